"""Where prepared models live, and the check that they are what the manifest says.

The folder is the argument, else `COUNTERSIGHT_MODELS`, else `share/countersight/models` under the
Python prefix. A path is handed out only after its digest was checked.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from models.errors import ModelDigestMismatch, ModelMissing
from models.manifest import ModelManifest

FOLDER_VARIABLE = "COUNTERSIGHT_MODELS"


def models_folder(override: Path | None = None) -> Path:
    """Return the folder of prepared models; it need not exist."""
    if override is not None:
        return override
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else Path(sys.prefix) / "share" / "countersight" / "models"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verified_path(manifest: ModelManifest, folder: Path) -> Path:
    """Return the path of a prepared model whose digest is the committed one.

    Raises ModelMissing or ModelDigestMismatch.
    """
    path = folder / manifest.file_name
    if not path.is_file():
        raise ModelMissing(manifest.name, path)
    found = sha256_of(path)
    if found != manifest.prepared_sha256:
        raise ModelDigestMismatch(path, found, manifest.prepared_sha256)
    return path
