"""Names of files under the footage root, and the identity that each file carries inside.

    ROOT/volume.json                            identity of the volume
    ROOT/CAMERA/YYYYMMDD/SEGMENT.mp4            sealed (UTC day of its start)
    ROOT/CAMERA/YYYYMMDD/SEGMENT.mp4.part       open, of a live run, or left by a crash
    ROOT/CAMERA/YYYYMMDD/SEGMENT.mp4.part.unusable   left by a crash without one whole fragment

Each segment file carries its identity in a `uuid` box (ISO/IEC 14496-12, 4.2) right after `ftyp`,
so files alone prove their order: JSON in canonical form, bound to the digest as every other byte.
Players skip a `uuid` box they do not know.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import uuid
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from retention.records.canonical import canonical_bytes, parse_json
from retention.records.clock import from_text
from retention.records.errors import RecordsError
from retention.records.fields import Code, Count, Frozen, Id, Moment
from retention.records.payloads import SceneRole
from retention.store.footage import MAIN_VOLUME

SEALED_SUFFIX = ".mp4"
PART_SUFFIX = ".mp4.part"
UNUSABLE_SUFFIX = ".mp4.part.unusable"
VOLUME_FILE = "volume.json"
IDENTITY_BOX = uuid.UUID("6f1d2c3a-8b0e-4f64-9a77-c5e1a7d0f2b9").bytes
MAX_IDENTITY_BYTES = 4096

CameraName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]


MOST_SHOWN = 200
_DAY_FOLDER = re.compile(r"[a-z0-9][a-z0-9-]{0,30}/[0-9]{8}")


class FootageError(Exception):
    """Base of everything the footage store refuses."""


class SegmentIdentity(Frozen):
    """Who, which camera, which run and which place in it a segment file is."""

    format: Literal[1] = 1
    agency: Code
    pharmacy: Code
    node: Code
    camera: CameraName
    scene_role: SceneRole
    run: Id
    ordinal: Count
    segment: Id
    started_at: Moment
    codec: Code

    @property
    def start(self) -> datetime:
        return from_text(self.started_at)

    def path(self, suffix: str = SEALED_SUFFIX) -> str:
        """Return the file's place relative to the footage root."""
        return str(PurePosixPath(self.camera, f"{self.start:%Y%m%d}", self.segment + suffix))

    def to_box(self) -> bytes:
        """Return the `uuid` box."""
        body = canonical_bytes(self.model_dump(mode="json"))
        return struct.pack(">I4s16s", 24 + len(body), b"uuid", IDENTITY_BOX) + body


def identity_from_box(body: bytes) -> SegmentIdentity | None:
    """Read the bytes of a `uuid` box after its header; None if it is not ours or not whole."""
    if body[:16] != IDENTITY_BOX or len(body) > MAX_IDENTITY_BYTES:
        return None
    try:
        identity = SegmentIdentity.model_validate(parse_json(body[16:], limit=MAX_IDENTITY_BYTES))
        identity.start  # noqa: B018 - a date that does not exist is no identity
    except (RecordsError, ValidationError, ValueError):
        return None
    return identity


def is_day_folder(name: str) -> bool:
    """Tell whether `name` (relative to the root) can be CAMERA/YYYYMMDD; no other holds rows."""
    return _DAY_FOLDER.fullmatch(name) is not None


def on_volume(volume: str, path: str) -> str:
    """Return how an incident names a file: by its path, on any volume but the first by both."""
    return path if volume == MAIN_VOLUME else f"{volume}:{path}"


def shown(path: str) -> str:
    """Return a path as a record can carry it: any bytes, any length, told apart from others."""
    raw = os.fsencode(path)
    text = raw.decode("utf-8", "backslashreplace")
    text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    if len(text) <= MOST_SHOWN:
        return text
    mark = "~" + hashlib.sha256(raw).hexdigest()[:16]
    return text[: MOST_SHOWN - len(mark)] + mark
