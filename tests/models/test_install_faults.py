"""Hostile files, half-written state and a choice that is damaged: one line, and a way out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from models import extras
from models.active import choose
from models.cli import main
from models.detection import YuNetDetector
from models.errors import ModelRefused, ModelSourceUnusable, ModelUnreadable
from models.extras import install_file, install_pack
from models.folder import models_folder
from models.manifest import SFACE, YUNET
from tests.models import tiny


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a models folder with the default models in it."""
    folder = tmp_path / "models"
    folder.mkdir()
    for manifest in (YUNET, SFACE):
        (folder / manifest.file_name).symlink_to(models_folder() / manifest.file_name)
    return folder


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return tiny.write_pack(tmp_path / "pack", embedding=tiny.vector_model())


def _install(place: Path, manifest: Path) -> None:
    install_pack(place, manifest.parent, manifest, accept_licence=True)


def _contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_pipe_or_a_device_is_no_model(place: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.onnx"
    os.mkfifo(pipe)
    for source in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(ModelSourceUnusable, match="no file"):
            install_file(place, source, accept_licence=True)


def test_a_file_without_end_is_not_read_to_it(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "_LARGEST_FILE_BYTES", 1000)
    large = tmp_path / "large.onnx"
    large.write_bytes(bytes(1001))
    with pytest.raises(ModelSourceUnusable, match="larger"):
        install_file(place, large, accept_licence=True)


def test_the_old_pack_comes_back_when_the_new_one_cannot_be_moved_into_place(
    place: Path, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(place, pack)
    before = _contents(place)
    other = tiny.write_pack(tmp_path / "other", embedding=tiny.vector_model(dimensions=48),
                            dimensions=48)  # fmt: skip
    move = os.replace

    def failing(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise OSError(28, "No space left on device")
        move(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(ModelSourceUnusable, match="No space"):
        _install(place, other)
    assert _contents(place) == before


_KILLED = """
import os, signal, sys
from pathlib import Path
from models.extras import install_pack
move, left = os.replace, int(sys.argv[3])
def dying(source, target):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    move(source, target)
os.replace = dying
manifest = Path(sys.argv[2])
install_pack(Path(sys.argv[1]), manifest.parent, manifest, accept_licence=True)
"""


@pytest.mark.parametrize("moves", range(4))
def test_a_kill_at_any_move_leaves_a_whole_pack_or_none_and_the_next_run_mends_it(
    place: Path, pack: Path, tmp_path: Path, moves: int
) -> None:
    _install(place, pack)
    old = _contents(place / "packs" / "tiny-pack")
    other = tiny.write_pack(tmp_path / "other", embedding=tiny.vector_model(dimensions=48),
                            dimensions=48)  # fmt: skip
    command = [sys.executable, "-P", "-c", _KILLED, str(place), str(other), str(moves)]
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        command, timeout=120, check=False, env=os.environ | {"PYTHONPATH": str(root)}
    )
    assert killed.returncode == -signal.SIGKILL
    found = _contents(place / "packs" / "tiny-pack")
    assert found in (old, {})
    _install(place, other)
    assert _contents(place / "packs" / "tiny-pack")["rec.onnx"] != old["rec.onnx"]
    assert [path.name for path in (place / "packs").iterdir()] == ["tiny-pack"]


@pytest.mark.parametrize("name", ["sface-2021dec", "minifasnet-v2", "default"])
def test_a_pack_cannot_take_the_name_of_another_model(
    place: Path, tmp_path: Path, name: str
) -> None:
    manifest = tiny.write_pack(tmp_path / "p", embedding=tiny.vector_model())
    manifest.write_text(manifest.read_text().replace("tiny-pack", name))
    with pytest.raises(ModelSourceUnusable, match="another model"):
        _install(place, manifest)


@pytest.mark.parametrize("std", ["1e-400", "1e-999999999999", "NaN", "0", "256"])
def test_a_divisor_that_is_none_is_refused(place: Path, pack: Path, std: str) -> None:
    pack.write_text(pack.read_text().replace('std = "127.5"', f'std = "{std}"'))
    with pytest.raises(ModelSourceUnusable, match="std"):
        _install(place, pack)


def test_a_manifest_too_deep_for_the_parser_is_refused(place: Path, pack: Path) -> None:
    pack.write_text("name = " + "[" * 30_000)
    with pytest.raises(ModelSourceUnusable, match="not TOML"):
        _install(place, pack)


@pytest.mark.parametrize(
    "content",
    [
        "=",
        "a = " + "[" * 30_000,
        'detection = "yunet-2023mar"\nembedding = "gone.embedding"\n',
        'detection = "sface-2021dec"\nembedding = "yunet-2023mar"\n',
    ],
    ids=["garbled", "deep", "gone", "swapped"],
)
def test_out_of_a_damaged_choice_leads_the_default(
    place: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "active.toml").write_text(content)
    folder = ["--folder", str(place), "--json"]
    assert main(["list", *folder]) == 1
    shown = capsys.readouterr()
    listed = json.loads(shown.out)
    assert listed["problem"] in shown.err
    assert not any(model["in_use"] for model in listed["models"])
    assert main(["verify", *folder]) == 1
    capsys.readouterr()
    assert main(["use", "default", *folder]) == 0
    assert json.loads(capsys.readouterr().out)["embedding"] == SFACE.name
    assert main(["list", *folder]) == 0


def test_a_choice_that_cannot_be_written_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "active.toml").mkdir()
    assert main(["use", "default", "--folder", str(place)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_default_models_do_not_depend_on_a_pack_that_is_damaged(
    place: Path, pack: Path
) -> None:
    _install(place, pack)
    choose(place, "tiny-pack")
    (place / "packs" / "tiny-pack" / "manifest.toml").write_text("=")
    assert choose(place, "default").embedding.name == SFACE.name


def test_a_thread_that_comes_later_does_not_see_what_became_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / YUNET.file_name
    shutil.copy(models_folder() / YUNET.file_name, path)
    detector = YuNetDetector(path)
    path.write_bytes(b"damaged")
    answers: list[int] = []
    picture = np.zeros((64, 64, 3), np.uint8)
    worker = threading.Thread(target=lambda: answers.append(len(detector.detect(picture))))
    worker.start()
    worker.join(timeout=60)
    assert answers == [0]
    with pytest.raises(ModelUnreadable):
        YuNetDetector(path)


@pytest.mark.parametrize("of", ["weights.bin", "../weights.bin", "/etc/passwd"])
def test_a_graph_that_names_other_files_is_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    folder = tmp_path / "pack"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for beside in (folder, tmp_path):
        (beside / "weights.bin").write_bytes(np.ones(4 * 3 * tiny.DIMENSIONS, "<f4").tobytes())
    manifest = tiny.write_pack(folder, embedding=tiny.vector_with_outside_weights(of))
    with pytest.raises(ModelRefused, match="not a model that can be read"):
        _install(place, manifest)
