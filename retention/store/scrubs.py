"""The SQL of scrubbing: where the round stands, and which segment comes next."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from retention.store.footage import SegmentRow
from retention.store.log import read_frontier

OVER = -1
"""`next_sequence` of a round that came to its end."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round over all footage: the next record to look at, and what was found so far."""

    started_at: int
    next_sequence: int = 0
    segments: int = 0
    bytes: int = 0
    broken: int = 0

    @property
    def over(self) -> bool:
        return self.next_sequence == OVER


def current(connection: sqlite3.Connection) -> Round | None:
    """Return the round that runs, or the last one that ended; None before the first."""
    row = connection.execute(
        "SELECT round_started_at, next_sequence, segments, bytes, broken FROM scrub"
    ).fetchone()
    return None if row is None else Round(*row)


def save(connection: sqlite3.Connection, round_: Round) -> None:
    """Write where the round stands."""
    connection.execute(
        "INSERT INTO scrub VALUES (1, ?1, ?2, ?3, ?4, ?5) ON CONFLICT (only) DO UPDATE SET"
        " round_started_at = ?1, next_sequence = ?2, segments = ?3, bytes = ?4, broken = ?5",
        (round_.started_at, round_.next_sequence, round_.segments, round_.bytes, round_.broken),
    )


def next_segment(
    connection: sqlite3.Connection, first: int, end: int, volumes: Collection[str]
) -> SegmentRow | None:
    """Return the sealed segment on these volumes whose record comes first in [first, end)."""
    row = connection.execute(
        "SELECT id, camera, scene_role, run, ordinal, started_at, ended_at, bytes, codec,"
        " file_sha256, chunk_root, path, state, sequence, volume"
        # Left to itself SQLite takes the volume's index and sorts a year of segments each time.
        " FROM segments INDEXED BY segments_sequence WHERE sequence >= ? AND sequence < ?"
        " AND state = 'sealed' AND volume IN (SELECT value FROM json_each(?))"
        " ORDER BY sequence LIMIT 1",
        (first, end, json.dumps(sorted(volumes))),
    ).fetchone()
    return None if row is None else SegmentRow(*row)


def is_sealed(connection: sqlite3.Connection, row: SegmentRow) -> bool:
    """Tell whether a segment is still to be there, as it was when it was read."""
    found = connection.execute(
        "SELECT state, file_sha256, volume FROM segments WHERE id = ?", (row.id,)
    ).fetchone()
    return found is not None and tuple(found) == ("sealed", row.file_sha256, row.volume)


def log_size(connection: sqlite3.Connection) -> int:
    """Return how many records there are: a round ends at those that it began with."""
    return read_frontier(connection)[0].size
