"""Installing more than the default models: a known file, or a pack with its manifest, from disk.

Digest first, then the licence, then a trial run, then the file is put in its place: whatever is
wrong, the folder holds what it held before. Weights that are not for commercial use are installed
only when that is accepted in words.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from models.errors import LicenceNotAccepted, ModelRefused, ModelSourceUnusable
from models.files import write_atomically
from models.folder import models_folder
from models.install import InstalledModel
from models.manifest import KNOWN, MANIFESTS, ModelManifest
from models.packs import PACK_MANIFEST, PACKS, parse_pack
from models.probe import probe

_LARGEST_FILE_BYTES = 512 * 2**20


def install_file(folder: Path | None, source: Path, *, accept_licence: bool) -> InstalledModel:
    """Install a file that a known manifest names by digest.

    Raises ModelSourceUnusable, ModelRefused or LicenceNotAccepted; then nothing is installed.
    """
    content = _read(source)
    digest = hashlib.sha256(content).hexdigest()
    extras = [item for item in KNOWN if item not in MANIFESTS]
    manifest = next((item for item in extras if item.source_sha256 == digest), None)
    if manifest is None:
        raise ModelSourceUnusable(str(source), f"no known model has its SHA-256 {digest}")
    _require_licence([manifest], accept_licence)
    probe(manifest, content)
    place = models_folder(folder) / manifest.file_name
    fresh = not place.is_file() or place.read_bytes() != content
    if fresh:
        _written(place, content, source)
    return InstalledModel(manifest.name, place, fresh)


def install_pack(
    folder: Path | None, files: Path, manifest: Path, *, accept_licence: bool
) -> list[InstalledModel]:
    """Install a pack whose files lie in `files`, replacing one of the same name whole.

    Raises ModelSourceUnusable, ModelRefused or LicenceNotAccepted; then nothing is installed.
    """
    described = _read(manifest)
    pack = parse_pack(described, str(manifest))
    manifests = pack.manifests()
    contents = {item.source_member: _checked(files, item) for item in manifests}
    _require_licence(manifests, accept_licence)
    for item in manifests:
        probe(item, contents[item.source_member])
    place = models_folder(folder) / PACKS / pack.name
    wanted = contents | {PACK_MANIFEST: described}
    fresh = not all(
        (place / name).is_file() and (place / name).read_bytes() == content
        for name, content in wanted.items()
    )
    if fresh:
        try:
            _replace_folder(place, wanted)
        except OSError as exc:
            raise _unwritable(files, place, exc) from exc
    return [InstalledModel(item.name, place / item.source_member, fresh) for item in manifests]


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            # A pipe or a device would never end.
            raise ModelSourceUnusable(str(path), "it is no file")
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_FILE_BYTES + 1)
    except OSError as exc:
        raise ModelSourceUnusable(str(path), exc.strerror or "it cannot be read") from exc
    if len(content) > _LARGEST_FILE_BYTES:
        raise ModelSourceUnusable(str(path), "it is larger than allowed")
    return content


def _checked(files: Path, manifest: ModelManifest) -> bytes:
    path = files / manifest.source_member
    content = _read(path)
    found = hashlib.sha256(content).hexdigest()
    if found != manifest.source_sha256:
        raise ModelRefused(
            manifest.name, f"{path} has SHA-256 {found}, expected {manifest.source_sha256}"
        )
    return content


def _require_licence(
    manifests: tuple[ModelManifest, ...] | list[ModelManifest], accept: bool
) -> None:
    for manifest in manifests:
        if not manifest.licence.commercial_use and not accept:
            raise LicenceNotAccepted(manifest.name, manifest.licence.text)


def _written(place: Path, content: bytes, source: Path) -> None:
    try:
        write_atomically(place, content)
    except OSError as exc:
        raise _unwritable(source, place, exc) from exc


def _unwritable(source: Path, place: Path, exc: OSError) -> ModelSourceUnusable:
    return ModelSourceUnusable(str(source), f"cannot write to {place}: {exc.strerror or exc}")


def _replace_folder(place: Path, contents: dict[str, bytes]) -> None:
    """Put a folder with these files in place of another, which is moved aside and then removed.

    Killed between the two moves, the pack is gone until it is installed again: a pack in use then
    stops the face method. What a killed run left beside it is removed here.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.glob(f".{place.name}.tmp-*"):
        shutil.rmtree(left)
    scratch = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}.tmp-"))
    try:
        fresh, old = scratch / "new", scratch / "old"
        for name, content in contents.items():
            write_atomically(fresh / name, content)
        if place.exists():
            os.replace(place, old)
        try:
            os.replace(fresh, place)
        except OSError:
            if old.exists():
                os.replace(old, place)
            raise
    finally:
        shutil.rmtree(scratch)
