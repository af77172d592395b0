"""Which models are in use: the default ones, or those that `active.toml` in the folder names.

Changing the detector or the embedding model changes the contract id, and with it every reference
and calibration: that is the point of the contract id, and why the choice is made on the command
line and never by finding a file.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from models.errors import ModelSourceUnusable, ModelUnknown
from models.files import write_atomically
from models.folder import verified_path
from models.manifest import KNOWN, PASSIVE, SFACE, YUNET, ModelManifest, under
from models.packs import installed_packs

ACTIVE_FILE = "active.toml"
DEFAULT = "default"
USE_DEFAULT = f"countersight models use {DEFAULT}"
_ROLES = ("detection", "embedding")
_DEFAULT = {"detection": YUNET.name, "embedding": SFACE.name}


@dataclass(frozen=True, slots=True)
class Active:
    """The models in use; the embedding model's contract is the one under this detector."""

    detection: ModelManifest
    embedding: ModelManifest
    passive: tuple[ModelManifest, ...]

    @property
    def manifests(self) -> tuple[ModelManifest, ...]:
        """Return all of them."""
        return (self.detection, self.embedding, *self.passive)


def active(folder: Path) -> Active:
    """Return what is in use. Raises ModelSourceUnusable or ModelUnknown."""
    named = _named(folder)
    detection = _offered(folder, named["detection"], "detection")
    embedding = _offered(folder, named["embedding"], "embedding")
    passive = tuple(item for item in PASSIVE if (folder / item.file_name).exists())
    return Active(detection, under(embedding, detection), passive)


def installed(folder: Path) -> list[ModelManifest]:
    """Return the default models and every other one that is in the folder."""
    extra = [item for item in KNOWN if item not in (YUNET, SFACE)]
    there = [item for item in extra if (folder / item.file_name).exists()]
    packs = [item for pack in installed_packs(folder) for item in pack.manifests()]
    return [YUNET, SFACE, *there, *packs]


def choose(folder: Path, name: str) -> Active:
    """Put a model, all models of a pack, or the default ones to use; return what then is in use.

    The files are verified first. Raises ModelUnknown, ModelMissing, ModelDigestMismatch or
    ModelSourceUnusable.
    """
    named = _DEFAULT
    if name != DEFAULT:
        offered = [m for m in installed(folder) if name in (m.name, m.pack) and m.role in _ROLES]
        if not offered:
            raise ModelUnknown(name, folder)
        for manifest in offered:
            verified_path(manifest, folder)
        named = _named(folder) | {manifest.role: manifest.name for manifest in offered}
    lines = [f'{role} = "{named[role]}"\n' for role in _ROLES]
    try:
        write_atomically(folder / ACTIVE_FILE, "".join(lines).encode("ascii"))
    except OSError as exc:
        raise ModelSourceUnusable(
            name, f"cannot write to {folder / ACTIVE_FILE}: {exc.strerror or exc}"
        ) from exc
    return active(folder)


def _named(folder: Path) -> dict[str, str]:
    path = folder / ACTIVE_FILE
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return _DEFAULT
    # A file of nothing but brackets is too deep for the parser.
    except (OSError, ValueError, RecursionError) as exc:
        raise ModelSourceUnusable(
            str(path), f"it cannot be read as TOML; run: {USE_DEFAULT}"
        ) from exc
    if set(found) != set(_ROLES) or not all(isinstance(value, str) for value in found.values()):
        raise ModelSourceUnusable(
            str(path),
            f"it must name {' and '.join(_ROLES)}, nothing else; run: {USE_DEFAULT}",
        )
    return found


def _offered(folder: Path, name: str, role: str) -> ModelManifest:
    if name == _DEFAULT[role]:
        # Whatever is wrong with a pack, the default models do not depend on it.
        return YUNET if role == "detection" else SFACE
    for manifest in installed(folder):
        if manifest.name == name and manifest.role == role:
            return manifest
    raise ModelUnknown(name, folder)
