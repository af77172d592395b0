"""A pack or a known file is installed whole, after digest, licence and trial, or not at all."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models import active as active_module
from models import extras
from models.active import active, choose, installed
from models.cli import main
from models.errors import (
    LicenceNotAccepted,
    ModelDigestMismatch,
    ModelRefused,
    ModelsError,
    ModelSourceUnusable,
    ModelUnknown,
)
from models.extras import install_file, install_pack
from models.folder import models_folder
from models.manifest import MINIFASNET_V2, MOBILEFACENET, SFACE, YUNET
from models.recognition import ArcFaceEmbedder
from models.runtime import load_models
from tests.models import tiny

SHARED = Path(__file__).parents[2].parent / "shared" / "models"


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
    return tiny.write_pack(
        tmp_path / "pack", detection=tiny.scrfd_model(), embedding=tiny.vector_model()
    )


def _install(place: Path, manifest: Path, *, accept: bool = False) -> list[bool]:
    done = install_pack(place, manifest.parent, manifest, accept_licence=accept)
    return [item.fresh for item in done]


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_an_installed_pack_can_be_chosen_loaded_and_left_again(place: Path, pack: Path) -> None:
    default = active(place).embedding.contract_id
    assert _install(place, pack) == [True, True]
    assert _install(place, pack) == [False, False]
    assert active(place).embedding.contract_id == default
    chosen = choose(place, "tiny-pack")
    assert chosen.embedding.contract_id != default
    loaded = load_models(place)
    assert loaded.embedder.contract_id == chosen.embedding.contract_id
    assert isinstance(loaded.embedder, ArcFaceEmbedder)
    crop = np.random.default_rng(1).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    assert loaded.embedder.embed_aligned(crop).shape == (tiny.DIMENSIONS,)
    assert choose(place, "default").embedding.contract_id == default


def test_the_packs_detector_answers_in_the_pixels_of_the_picture(place: Path, pack: Path) -> None:
    _install(place, pack)
    choose(place, "tiny-pack")
    detector = load_models(place).detector
    picture = np.zeros((2 * tiny.DETECTION_SIDE, 2 * tiny.DETECTION_SIDE, 3), np.uint8)
    assert list(detector.detect(picture)) == []
    picture[96:112, 64:80] = 255
    (face,) = detector.detect(picture)
    assert face.box == pytest.approx((64 - 16, 96 - 16, 32, 32))
    assert face.landmarks[2] == pytest.approx((64, 96))
    assert face.score > 0.9
    assert face.landmarks[0, 0] < face.landmarks[1, 0]


def test_another_detector_alone_changes_the_contract(place: Path, tmp_path: Path) -> None:
    before = active(place).embedding
    manifest = tiny.write_pack(tmp_path / "p", detection=tiny.scrfd_model())
    _install(place, manifest)
    after = choose(place, "tiny-pack").embedding
    assert after.name == before.name
    assert after.contract_id != before.contract_id


@pytest.mark.parametrize(
    ("embedding", "dimensions", "reason"),
    [
        (lambda: tiny.vector_model(side=128), tiny.DIMENSIONS, "its input is 3x128x128"),
        (lambda: tiny.vector_model(dimensions=64), tiny.DIMENSIONS, "gives 64 values"),
        (lambda: tiny.vector_model(constant=True), tiny.DIMENSIONS, "give the same answer"),
        (tiny.broken_vector_model, tiny.DIMENSIONS, "finite"),
        (tiny.scrfd_model, tiny.DIMENSIONS, "its input is 3x96x96"),
        (lambda: b"no model at all", tiny.DIMENSIONS, "not a model"),
        (lambda: b"", tiny.DIMENSIONS, "not a model"),
    ],
)
def test_a_model_unlike_its_manifest_is_one_line_and_nothing_installed(
    place: Path,
    tmp_path: Path,
    embedding: Callable[[], bytes],
    dimensions: int,
    reason: str,
) -> None:
    manifest = tiny.write_pack(
        tmp_path / "pack",
        detection=tiny.scrfd_model(),
        embedding=embedding(),
        dimensions=dimensions,
    )
    before = _files(place)
    with pytest.raises(ModelRefused, match=reason) as caught:
        _install(place, manifest)
    assert "\n" not in str(caught.value)
    assert _files(place) == before


def test_a_recogniser_is_no_detector(place: Path, tmp_path: Path) -> None:
    manifest = tiny.write_pack(tmp_path / "p", detection=tiny.vector_model(tiny.DETECTION_SIDE))
    with pytest.raises(ModelRefused, match="1 outputs, SCRFD with landmarks has 9 or 15"):
        _install(place, manifest)


def test_a_file_changed_after_the_manifest_was_written_is_refused(place: Path, pack: Path) -> None:
    (pack.parent / "rec.onnx").write_bytes(tiny.vector_model()[:-10])
    before = _files(place)
    with pytest.raises(ModelRefused, match="expected"):
        _install(place, pack)
    assert _files(place) == before


def test_an_installed_pack_that_was_damaged_does_not_load(place: Path, pack: Path) -> None:
    _install(place, pack)
    choose(place, "tiny-pack")
    (place / "packs" / "tiny-pack" / "rec.onnx").write_bytes(tiny.vector_model(dimensions=41))
    with pytest.raises(ModelDigestMismatch):
        load_models(place)
    assert _install(place, pack) == [True, True]
    load_models(place)


def test_a_pack_in_use_that_is_gone_is_refused_not_replaced_by_the_default(
    place: Path, pack: Path
) -> None:
    _install(place, pack)
    choose(place, "tiny-pack")
    shutil.rmtree(place / "packs")
    with pytest.raises(ModelUnknown, match=r"tiny-pack\.detection"):
        load_models(place)


def test_weights_not_for_commerce_need_to_be_accepted(place: Path, tmp_path: Path) -> None:
    manifest = tiny.write_pack(tmp_path / "p", embedding=tiny.vector_model(), commercial_use=False)
    before = _files(place)
    with pytest.raises(LicenceNotAccepted, match="made by the tests"):
        _install(place, manifest)
    assert _files(place) == before
    assert _install(place, manifest, accept=True) == [True]


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ('surprise = "1"\n', "surprise"),
        ("= nothing\n", "not TOML"),
    ],
)
def test_a_manifest_that_cannot_be_read_names_the_key(
    place: Path, tmp_path: Path, extra: str, reason: str
) -> None:
    manifest = tiny.write_pack(tmp_path / "p", embedding=tiny.vector_model(), extra=extra)
    with pytest.raises(ModelSourceUnusable, match=reason):
        _install(place, manifest)


@pytest.mark.parametrize("name", ["../rec.onnx", "/rec.onnx", "a/rec.onnx", "rec.pickle"])
def test_a_manifest_that_leaves_its_folder_is_refused(
    place: Path, tmp_path: Path, name: str
) -> None:
    manifest = tiny.write_pack(tmp_path / "p", embedding=tiny.vector_model())
    manifest.write_text(manifest.read_text().replace("rec.onnx", name))
    with pytest.raises(ModelSourceUnusable, match="file"):
        _install(place, manifest)


@pytest.mark.parametrize(
    "content", ["detection = 5\n", 'detection = "yunet-2023mar"\n', "=", 'a = "b"\n']
)
def test_a_choice_that_cannot_be_read_is_refused(place: Path, content: str) -> None:
    (place / "active.toml").write_text(content)
    with pytest.raises(ModelSourceUnusable, match=r"active\.toml"):
        active(place)


def test_a_file_that_no_manifest_knows_is_refused(place: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.onnx"
    stranger.write_bytes(tiny.vector_model())
    with pytest.raises(ModelSourceUnusable, match="no known model"):
        install_file(place, stranger, accept_licence=True)
    with pytest.raises(ModelSourceUnusable, match="No such file"):
        install_file(place, tmp_path / "absent.onnx", accept_licence=True)


def test_a_known_file_is_installed_listed_verified_and_loaded(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tiny.vector_model(side=80, dimensions=3)
    digest = tiny.sha256(content)
    known = dataclasses.replace(MINIFASNET_V2, source_sha256=digest, prepared_sha256=digest)
    monkeypatch.setattr(extras, "KNOWN", (known,))
    monkeypatch.setattr(active_module, "KNOWN", (known,))
    monkeypatch.setattr(active_module, "PASSIVE", (known,))
    source = tmp_path / "renamed.onnx"
    source.write_bytes(content)
    assert load_models(place).passive is None
    assert install_file(place, source, accept_licence=False).fresh
    assert not install_file(place, source, accept_licence=False).fresh
    assert known in installed(place)
    passive = load_models(place).passive
    assert passive is not None
    (place / known.file_name).write_bytes(b"damaged")
    with pytest.raises(ModelDigestMismatch):
        load_models(place)


def test_the_command_line_installs_lists_uses_and_verifies(
    place: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--folder", str(place), "--json"]
    source = ["--pack", str(pack.parent), "--manifest", str(pack)]
    assert main(["install", *source, *folder]) == 0
    rows = json.loads(capsys.readouterr().out)["installed"]
    assert [row["name"] for row in rows] == ["tiny-pack.detection", "tiny-pack.embedding"]
    assert main(["use", "tiny-pack", *folder]) == 0
    assert json.loads(capsys.readouterr().out)["contract_changed"] is True
    assert main(["list", *folder]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    used = {model["name"] for model in models if model["in_use"]}
    assert used == {"tiny-pack.detection", "tiny-pack.embedding"}
    assert main(["verify", *folder]) == 0
    assert {m["name"] for m in json.loads(capsys.readouterr().out)["models"]} >= used
    assert main(["use", "no-such-pack", *folder]) == 1
    assert "no-such-pack" in capsys.readouterr().err
    assert main(["install", "--pack", str(pack.parent), *folder]) == 2


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/models is not there")
@pytest.mark.parametrize("path", sorted(SHARED.glob("*.onnx")), ids=lambda path: path.name)
def test_the_known_models_are_as_their_manifests_say(place: Path, path: Path) -> None:
    if path.name == MOBILEFACENET.file_name:
        with pytest.raises(LicenceNotAccepted, match="no licence"):
            install_file(place, path, accept_licence=False)
    install_file(place, path, accept_licence=path.name == MOBILEFACENET.file_name)
    assert path.name in {manifest.file_name for manifest in installed(place)}
    load_models(place)


def test_every_refusal_is_a_models_error() -> None:
    assert issubclass(ModelRefused, ModelsError)
    assert issubclass(LicenceNotAccepted, ModelsError)
