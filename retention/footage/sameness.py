"""Is a file still the one that was sealed? What can be told without reading all of it."""

from __future__ import annotations

import os
from pathlib import Path

from retention.footage.boxes import read_body, top_level
from retention.footage.layout import MAX_IDENTITY_BYTES, SegmentIdentity, identity_from_box
from retention.store.footage import SegmentRow


class NotAsSealed(Exception):
    """A file that is not the one that was sealed."""


def look_at(row: SegmentRow, path: Path) -> None:
    """Compare size and identity with the row. Raises NotAsSealed, FileNotFoundError, OSError."""
    size = os.lstat(path).st_size
    if size != row.bytes:
        raise NotAsSealed(f"{size} bytes, sealed with {row.bytes}")
    identity = _identity_in(path)
    if identity is None or identity.segment != row.id:
        raise NotAsSealed(f"the identity inside is {identity and identity.segment}")


def _identity_in(path: Path) -> SegmentIdentity | None:
    """Return the identity that a segment file carries before its footage."""
    with path.open("rb") as file:
        for box in top_level(file, os.fstat(file.fileno()).st_size):
            if box.kind == b"uuid" and box.size <= MAX_IDENTITY_BYTES:
                return identity_from_box(read_body(file, box))
            if box.kind == b"moof":
                break
    return None
