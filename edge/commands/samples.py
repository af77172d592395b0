"""What this node can show of one sampled leaf: its record, and a chunk of its segment's file.

Nothing is judged here and nothing is hidden: central checks every byte against what it holds. A
file is read whole, so that a change anywhere in it is told, not only in the chunk that was asked.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.commands.jobs import JobTools
from retention.footage.volumes import VolumeMissing
from retention.records.envelope import parse_envelope
from retention.records.errors import MalformedRecord
from retention.records.merkle import CHUNK_BYTES, inclusion_proof, leaf_hash, tree_root
from retention.store import challenges, uplink
from retention.store.footage import SegmentRow, segment_by_id
from retention.terms.commands import Sample, chunk_index

Cause = Literal[
    "NO_SUCH_LEAF",
    "RECORD_MISSING",
    "ROW_MISSING",
    "VOLUME_MISSING",
    "FILE_MISSING",
    "FILE_UNREADABLE",
    "FILE_CHANGED",
]


@dataclass(frozen=True, slots=True)
class Held:
    """A record that is here, with one chunk of its file and the chunk's path (or no file); `read`
    is how many bytes were read to show it."""

    record: bytes
    chunk: bytes = b""
    path: bytes = b""
    read: int = 0


@dataclass(frozen=True, slots=True)
class Disposed:
    """Something that is lawfully gone; the disposal's record stands at `sequence`. `record` is
    empty when it is the record itself that is gone."""

    record: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that cannot be shown, and why."""

    record: bytes
    cause: Cause


@dataclass(frozen=True, slots=True)
class Later:
    """A file that is being disposed of now: what is to be shown is not written yet."""


Found = Held | Disposed | Missing | Later


def look_up(tools: JobTools, sample: Sample) -> Found:
    """Return what there is to show of a sample."""
    with tools.store.read() as connection:
        row = challenges.leaf_row(connection, sample.leaf)
        if row is None:
            size = uplink.log_size(connection).tree_size
            return Missing(b"", "RECORD_MISSING" if sample.leaf < size else "NO_SUCH_LEAF")
        if not row.raw:
            gone = row.disposed_by
            return Missing(b"", "RECORD_MISSING") if gone is None else Disposed(b"", gone)
        if row.kind != "segment.sealed":
            return Held(row.raw)
        found = _segment_of(connection, sample.leaf, row.raw)
    return _read(tools, sample, row.raw, found) if isinstance(found, SegmentRow) else found


def _segment_of(connection: sqlite3.Connection, leaf: int, record: bytes) -> SegmentRow | Found:
    """Return the row of a record's segment while its file should be here."""
    try:
        name = str(parse_envelope(record).payload.get("segment"))
    except MalformedRecord:
        return Missing(record, "ROW_MISSING")  # Central holds the leaf and sees the change.
    row = segment_by_id(connection, name)
    if row is not None and row.state == "sealed":
        return row
    gone = challenges.disposal_of(connection, leaf)
    if gone is not None:
        return Disposed(record, gone)
    return Missing(record, "ROW_MISSING") if row is None else Later()


def _read(tools: JobTools, sample: Sample, record: bytes, row: SegmentRow) -> Found:
    try:
        path = tools.locate(row)
    except VolumeMissing:
        return Missing(record, "VOLUME_MISSING")
    try:
        return _chunk(path, sample, record, row)
    except FileNotFoundError:
        found: Found = Missing(record, "FILE_MISSING")
    except OSError:
        found = Missing(record, "FILE_UNREADABLE")
    with tools.store.read() as connection:
        now = segment_by_id(connection, row.id)
    # It may have been disposed of while it was being read.
    return found if now is not None and now.state == "sealed" else Later()


def _chunk(path: Path, sample: Sample, record: bytes, row: SegmentRow) -> Found:
    """Read the whole file and return the wanted chunk with its path. Raises OSError."""
    wanted = chunk_index(sample.chunk, row.bytes)
    hashes: list[bytes] = []
    chunk, size = b"", 0
    with path.open("rb") as file:
        while content := file.read(CHUNK_BYTES):
            if len(hashes) == wanted:
                chunk = content
            hashes.append(leaf_hash(content))
            size += len(content)
            if size > row.bytes:
                break
    if size != row.bytes or tree_root(hashes).hex() != row.chunk_root:
        return Missing(record, "FILE_CHANGED")
    if not hashes:
        return Held(record)
    return Held(record, chunk, b"".join(inclusion_proof(hashes, wanted, len(hashes))), size)
