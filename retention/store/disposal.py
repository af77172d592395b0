"""The SQL of disposal: what may be due, tombstones, and the records of what went.

Only `retention.disposal` (footage) and `retention.record_disposal` (records) use it.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from retention.records.clock import from_micros, to_micros, to_text
from retention.records.keeping import (
    FootageDisposed,
    RecordsDisposed,
    RetentionSubject,
    SegmentDisposed,
)
from retention.records.payloads import SceneRole
from retention.store.database import NodeStore
from retention.store.footage import SegmentRow
from retention.store.log import append

_SEGMENT = (
    "SELECT id, camera, scene_role, run, ordinal, started_at, ended_at, bytes, codec,"
    " file_sha256, chunk_root, path, state, sequence, volume FROM segments"
)


# -- footage --------------------------------------------------------------------------------------


def cameras(connection: sqlite3.Connection) -> list[str]:
    """Return the cameras that the index has footage of, each found by one look into its index."""
    found: list[str] = []
    while True:
        (camera,) = connection.execute(
            "SELECT min(camera) FROM segments WHERE camera > ?", (found[-1] if found else "",)
        ).fetchone()
        if camera is None:
            return found
        found.append(camera)


def sealed_between(
    connection: sqlite3.Connection,
    camera: str,
    volumes: tuple[str, ...],
    ended: tuple[int, int],
    limit: int,
) -> list[SegmentRow]:
    """Return sealed segments of a camera on some volumes that ended after one moment and up to
    another."""
    marks = ", ".join("?" for _ in volumes)
    rows = connection.execute(
        f"{_SEGMENT} WHERE camera = ? AND ended_at > ? AND ended_at <= ? AND state = 'sealed'"
        f" AND volume IN ({marks}) ORDER BY ended_at LIMIT ?",
        (camera, *ended, *volumes, limit),
    )
    return [SegmentRow(*row) for row in rows]


def tombstoned(connection: sqlite3.Connection, after: int, limit: int) -> list[SegmentRow]:
    """Return tombstoned segments whose record stands after a place in the log, in its order."""
    rows = connection.execute(
        f"{_SEGMENT} WHERE state = 'tombstoned' AND sequence > ? ORDER BY sequence LIMIT ?",
        (after, limit),
    )
    return [SegmentRow(*row) for row in rows]


def set_state(connection: sqlite3.Connection, segment: str, before: str, after: str) -> bool:
    """Turn a segment's state from one into the other; False when it was not in the first."""
    changed = connection.execute(
        "UPDATE segments SET state = ? WHERE id = ? AND state = ?", (after, segment, before)
    )
    return changed.rowcount == 1


def footage_gone(
    store: NodeStore, connection: sqlite3.Connection, row: SegmentRow, owed_until: datetime
) -> None:
    """Record that a tombstoned segment's file is gone, and take its row out of the index."""
    record = append(
        store,
        connection,
        SegmentDisposed(
            segment=row.id,
            sequence=row.sequence,
            camera=row.camera,
            scene_role=SceneRole(row.scene_role),
            started_at=to_text(from_micros(row.started_at)),
            ended_at=to_text(from_micros(row.ended_at)),
            bytes=row.bytes,
            file_sha256=row.file_sha256,
            owed_until=to_text(owed_until),
        ),
    )
    connection.execute(
        "INSERT INTO disposals VALUES (?, ?, ?, ?)",
        (row.sequence, record.sequence, row.id, to_micros(store.clock.now())),
    )
    connection.execute("DELETE FROM segments WHERE id = ? AND state = 'tombstoned'", (row.id,))


def has_incident(connection: sqlite3.Connection, incident: str, subject: str) -> bool:
    """Tell whether an incident about a subject was recorded."""
    row = connection.execute(
        "SELECT 1 FROM incidents WHERE incident = ? AND subject = ?", (incident, subject)
    ).fetchone()
    return row is not None


def folder_is_empty(connection: sqlite3.Connection, row: SegmentRow) -> bool:
    """Tell whether the index has nothing any more in the folder that a segment lay in."""
    folder = row.path.rpartition("/")[0]
    left = connection.execute(
        "SELECT 1 FROM segments WHERE path >= ? AND path < ? AND +volume = ? LIMIT 1",  # by path
        (f"{folder}/", f"{folder}0", row.volume),  # "0" is the character after "/"
    ).fetchone()
    return left is None


def sum_up(store: NodeStore, connection: sqlite3.Connection) -> int:
    """Write one `footage.disposed` a camera over what went since the last; returns how many."""
    rows = connection.execute(
        "SELECT bytes FROM log WHERE kind = 'segment.disposed' AND sequence >"
        " (SELECT coalesce(max(sequence), -1) FROM log WHERE kind = 'footage.disposed')"
        " AND disposed_by IS NULL ORDER BY sequence"
    )
    by_camera: dict[str, list[SegmentDisposed]] = {}
    for row in rows:
        gone = SegmentDisposed.model_validate(json.loads(row["bytes"])["payload"])
        by_camera.setdefault(gone.camera, []).append(gone)
    for camera, gone_ones in sorted(by_camera.items()):
        append(
            store,
            connection,
            FootageDisposed(
                camera=camera,
                started_at=min(one.started_at for one in gone_ones),
                ended_at=max(one.ended_at for one in gone_ones),
                segments=len(gone_ones),
                bytes=sum(one.bytes for one in gone_ones),
                owed_until=max(one.owed_until for one in gone_ones),
            ),
        )
    return len(by_camera)


# -- records --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A record that was not disposed of, as far as its row tells."""

    sequence: int
    sent_sequence: int | None
    kind: str
    session: str | None
    occurred_at: int


_KEPT = "SELECT sequence, sent_sequence, kind, session, occurred_at FROM log"


def records_between(
    connection: sqlite3.Connection, kind: str, after: int, until: int, limit: int
) -> list[KeptRecord]:
    """Return kept records of a kind that occurred after one moment and up to another."""
    rows = connection.execute(
        f"{_KEPT} WHERE kind = ? AND disposed_by IS NULL AND occurred_at > ? AND occurred_at <= ?"
        " ORDER BY occurred_at LIMIT ?",
        (kind, after, until, limit),
    )
    return [KeptRecord(*row) for row in rows]


def records_of_session(connection: sqlite3.Connection, session: str) -> list[KeptRecord]:
    """Return the kept records of a session, in order."""
    rows = connection.execute(
        f"{_KEPT} WHERE session = ? AND disposed_by IS NULL ORDER BY sequence", (session,)
    )
    return [KeptRecord(*row) for row in rows]


def payload_of(connection: sqlite3.Connection, sequence: int) -> dict[str, object]:
    """Return the payload of a kept record."""
    row = connection.execute("SELECT bytes FROM log WHERE sequence = ?", (sequence,)).fetchone()
    return cast(dict[str, object], json.loads(row["bytes"])["payload"])


def records_gone(
    store: NodeStore,
    connection: sqlite3.Connection,
    retention: RetentionSubject,
    sequences: tuple[int, ...],
    owed_until: datetime,
) -> None:
    """Empty records, at most 500: their rows and leaves stay, one record names them all."""
    record = append(
        store,
        connection,
        RecordsDisposed(retention=retention, sequences=sequences, owed_until=to_text(owed_until)),
    )
    connection.execute("PRAGMA secure_delete = ON")
    connection.executemany(
        "UPDATE log SET bytes = x'', disposed_by = ? WHERE sequence = ?",
        [(record.sequence, sequence) for sequence in sequences],
    )
    # The disposal of a segment that was itself disposed of answers for nothing any more.
    connection.executemany(
        "DELETE FROM disposals WHERE disposed_sequence = ?", [(one,) for one in sequences]
    )
