"""The policies and calibrations that decisions were made by, kept by digest in DATA/identity.

A receipt names both by digest. An upgrade or a new policy replaces what is in force, so a copy of
each is kept, and a receipt of last month can be replayed. They hold no face data and do not expire;
a copy whose content is not what its name says is never used.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from edge.config import EdgeConfig
from identity.calibration import LoadedCalibration, parse_calibration
from identity.errors import CalibrationUnreadable
from identity.policy import IdentityPolicy
from retention.durable import make_directory_durably, write_durably
from retention.records.canonical import canonical_bytes
from retention.store.database import StoreUnavailable

FOLDER = "identity"


def folder_of(data: Path) -> Path:
    """Return where the inputs of a data folder's decisions are kept."""
    return data / FOLDER


def keep(config: EdgeConfig, policy: IdentityPolicy, calibration: LoadedCalibration) -> None:
    """Keep copies of what decides from now on; costs nothing when they are there. Raises
    StoreUnavailable."""
    folder = folder_of(config.node.data)
    contents = {
        _policy_path(folder, policy.digest): canonical_bytes(policy.model_dump(mode="json"))
    }
    if calibration.content is not None:
        contents[_calibration_path(folder, calibration.digest)] = calibration.content
    try:
        make_directory_durably(folder)
        for path, content in contents.items():
            if not path.exists() or path.read_bytes() != content:
                write_durably(path, content)
    except OSError as exc:
        raise StoreUnavailable(f"{folder}: {exc.strerror}") from exc


def kept_policy(data: Path, digest: str) -> IdentityPolicy | None:
    """Return the policy of a digest; None when no true copy of it is there."""
    content = _content(_policy_path(folder_of(data), digest), digest)
    if content is None:
        return None
    try:
        policy = IdentityPolicy.model_validate_json(content)
    except ValidationError:  # of a form that this software does not know any more
        return None
    return policy if policy.digest == digest else None


def kept_calibration(data: Path, digest: str) -> LoadedCalibration | None:
    """Return the calibration of a digest; None when no true copy of it is there."""
    path = _calibration_path(folder_of(data), digest)
    content = _content(path, digest)
    if content is None:
        return None
    try:
        return parse_calibration(content, str(path))
    except CalibrationUnreadable:  # of a form that this software does not know any more
        return None


def _content(path: Path, digest: str) -> bytes | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return content if hashlib.sha256(content).hexdigest() == digest else None


def _policy_path(folder: Path, digest: str) -> Path:
    return folder / f"policy-{digest}.json"


def _calibration_path(folder: Path, digest: str) -> Path:
    return folder / f"calibration-{digest}.json"
