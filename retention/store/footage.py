"""The SQL of footage: runs, segments, gaps, incidents, and what sessions are owed.

Every function that writes takes the connection of the caller's transaction and appends the record
of the fact in it. Times are microseconds since the Unix epoch, UTC, spans are half-open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from retention.records.clock import from_micros, from_text, to_micros, to_text
from retention.records.payloads import (
    VIEW_CAUSES,
    GapCause,
    GapClosed,
    GapOpened,
    IncidentRecorded,
    RunStarted,
    SceneRole,
    SegmentSealed,
    SessionCovered,
)
from retention.store import intake
from retention.store.database import NodeStore
from retention.store.log import append

Layer = Literal["footage", "view"]
MAIN_VOLUME = "main"
"""The name of the volume that a node has when its configuration names none."""
LONGEST_SEGMENT_US = 3_600_000_000
"""No segment is longer: the recorder sees to it, and queries by time rely on it."""


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A sealed segment as it is indexed. `sequence` is the place of its record in the log."""

    id: str
    camera: str
    scene_role: str
    run: str
    ordinal: int
    started_at: int
    ended_at: int
    bytes: int
    codec: str
    file_sha256: str
    chunk_root: str
    path: str
    state: str
    sequence: int
    volume: str = MAIN_VOLUME


@dataclass(frozen=True, slots=True)
class GapRow:
    """A span without footage, or (`layer` view) with footage that shows nothing; `ended_at` is
    None while it lasts."""

    id: str
    camera: str
    scene_role: str
    started_at: int
    ended_at: int | None
    cause: str
    layer: str = "footage"


@dataclass(frozen=True, slots=True)
class SessionSpan:
    """A closed session whose coverage is not recorded yet."""

    id: str
    counter: str
    opened_at: int
    closed_at: int


_SEGMENT = (
    "SELECT id, camera, scene_role, run, ordinal, started_at, ended_at, bytes, codec,"
    " file_sha256, chunk_root, path, state, sequence, volume FROM segments"
)
_GAP = "SELECT id, camera, scene_role, started_at, ended_at, cause, layer FROM gaps"


# -- writing --------------------------------------------------------------------------------------


def insert_run(store: NodeStore, connection: sqlite3.Connection, run: RunStarted) -> None:
    """Write the start of a run and its record."""
    append(store, connection, run)
    connection.execute(
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?)",
        (run.run, run.camera, run.scene_role, run.codec, to_micros(from_text(run.started_at))),
    )


def insert_segment(
    store: NodeStore,
    connection: sqlite3.Connection,
    sealed: SegmentSealed,
    path: str,
    volume: str = MAIN_VOLUME,
) -> None:
    """Write the index row of a durable file and its record."""
    record = append(store, connection, sealed)
    connection.execute(
        "INSERT INTO segments (id, camera, scene_role, run, ordinal, started_at, ended_at, bytes,"
        " codec, file_sha256, chunk_root, path, state, sequence, volume)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'sealed', ?, ?)",
        (sealed.segment, sealed.camera, sealed.scene_role, sealed.run, sealed.ordinal,
         to_micros(from_text(sealed.started_at)), to_micros(from_text(sealed.ended_at)),
         sealed.bytes, sealed.codec, sealed.file_sha256, sealed.chunk_root, path,
         record.sequence, volume),
    )  # fmt: skip
    started_at, ended_at = (from_text(at) for at in (sealed.started_at, sealed.ended_at))
    intake.add(connection, sealed.camera, to_micros(started_at), to_micros(ended_at), sealed.bytes)


def open_gap(
    store: NodeStore,
    connection: sqlite3.Connection,
    camera: str,
    scene_role: SceneRole,
    started_at: int,
    cause: GapCause,
) -> GapRow:
    """Open a gap, or return the one of its layer that is open already (its first cause stands)."""
    layer = layer_of(cause)
    found = open_gap_of(connection, camera, layer)
    if found is not None:
        return found
    gap = GapRow(store.ids.new(), camera, scene_role, started_at, None, cause, layer)
    append(
        store,
        connection,
        GapOpened(
            gap=gap.id,
            camera=camera,
            scene_role=scene_role,
            started_at=to_text(from_micros(started_at)),
            cause=cause,
        ),
    )
    connection.execute(
        "INSERT INTO gaps (id, camera, scene_role, started_at, cause, layer)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (gap.id, camera, scene_role, started_at, cause, layer),
    )
    return gap


def close_gap(
    store: NodeStore,
    connection: sqlite3.Connection,
    camera: str,
    ended_at: int,
    layer: Layer = "footage",
) -> GapRow | None:
    """Close the camera's open gap, if any; never before it began. Returns the closed row."""
    gap = open_gap_of(connection, camera, layer)
    if gap is None:
        return None
    ended_at = max(ended_at, gap.started_at)
    append(
        store,
        connection,
        GapClosed(
            gap=gap.id,
            camera=camera,
            scene_role=SceneRole(gap.scene_role),
            started_at=to_text(from_micros(gap.started_at)),
            ended_at=to_text(from_micros(ended_at)),
            cause=GapCause(gap.cause),
        ),
    )
    connection.execute("UPDATE gaps SET ended_at = ? WHERE id = ?", (ended_at, gap.id))
    return GapRow(gap.id, camera, gap.scene_role, gap.started_at, ended_at, gap.cause, layer)


def add_incident(
    store: NodeStore, connection: sqlite3.Connection, incident: str, subject: str, detail: str
) -> bool:
    """Write an incident and its record once; returns False when it is known already."""
    subject, detail = subject[-200:], detail[:200]
    known = connection.execute(
        "SELECT 1 FROM incidents WHERE incident = ? AND subject = ?", (incident, subject)
    ).fetchone()
    if known is not None:
        return False
    connection.execute(
        "INSERT INTO incidents VALUES (?, ?, ?, ?)",
        (incident, subject, detail, to_micros(store.clock.now())),
    )
    append(store, connection, IncidentRecorded(incident=incident, subject=subject, detail=detail))
    return True


def mark_covered(store: NodeStore, connection: sqlite3.Connection, covered: SessionCovered) -> None:
    """Write a session's coverage and its record, once."""
    connection.execute(
        "UPDATE sessions SET covered_at = ? WHERE id = ? AND covered_at IS NULL",
        (to_micros(store.clock.now()), covered.session),
    )
    (changed,) = connection.execute("SELECT changes()").fetchone()
    if changed:
        append(store, connection, covered)


# -- reading --------------------------------------------------------------------------------------


def layer_of(cause: GapCause) -> Layer:
    """Return where a gap lies: instead of footage, or over footage that shows nothing."""
    return "view" if cause in VIEW_CAUSES else "footage"


def open_gap_of(
    connection: sqlite3.Connection, camera: str, layer: Layer = "footage"
) -> GapRow | None:
    """Return the gap of a layer that a camera is in now."""
    row = connection.execute(
        f"{_GAP} WHERE camera = ? AND layer = ? AND ended_at IS NULL", (camera, layer)
    ).fetchone()
    return None if row is None else GapRow(*row)


def open_gaps(connection: sqlite3.Connection, layer: Layer) -> list[GapRow]:
    """Return every open gap of a layer, of configured cameras and others."""
    rows = connection.execute(f"{_GAP} WHERE layer = ? AND ended_at IS NULL", (layer,))
    return [GapRow(*row) for row in rows]


def explained_until(connection: sqlite3.Connection, camera: str) -> int | None:
    """Return the end of the camera's last footage or closed gap, None if it has neither."""
    (segments,) = connection.execute(
        "SELECT max(ended_at) FROM segments WHERE camera = ?1 AND started_at >="
        " (SELECT max(started_at) FROM segments WHERE camera = ?1) - ?2",
        (camera, LONGEST_SEGMENT_US),
    ).fetchone()
    (gaps,) = connection.execute(
        "SELECT max(ended_at) FROM gaps WHERE camera = ? AND layer = 'footage'", (camera,)
    ).fetchone()
    found: list[int] = [end for end in (segments, gaps) if end is not None]
    return max(found) if found else None


def last_ends(connection: sqlite3.Connection, camera: str) -> list[int]:
    """Return the ends of the camera's segment and of its closed gap that were written last,
    whatever the clock said; empty for a camera without either."""
    rows = connection.execute(
        "SELECT ended_at FROM (SELECT ended_at FROM segments WHERE camera = ?1"
        " ORDER BY rowid DESC LIMIT 1) UNION ALL"
        " SELECT ended_at FROM (SELECT ended_at FROM gaps WHERE camera = ?1 AND layer = 'footage'"
        " AND ended_at IS NOT NULL ORDER BY rowid DESC LIMIT 1)",
        (camera,),
    )
    return [row[0] for row in rows]


def last_segment(connection: sqlite3.Connection, camera: str) -> SegmentRow | None:
    """Return the camera's latest segment by start."""
    row = connection.execute(
        f"{_SEGMENT} WHERE camera = ? ORDER BY started_at DESC LIMIT 1", (camera,)
    ).fetchone()
    return None if row is None else SegmentRow(*row)


def last_sealed(
    connection: sqlite3.Connection, camera: str, volume: str | None = None
) -> SegmentRow | None:
    """Return the segment of the camera (on one volume) that was sealed last, whatever the clock
    said."""
    row = connection.execute(
        f"{_SEGMENT} WHERE camera = ?1 AND (?2 IS NULL OR volume = ?2) ORDER BY rowid DESC LIMIT 1",
        (camera, volume),
    ).fetchone()
    return None if row is None else SegmentRow(*row)


def segments_between(
    connection: sqlite3.Connection, camera: str, start: int, end: int
) -> list[SegmentRow]:
    """Return the segments of a camera that overlap a span, in order."""
    rows = connection.execute(
        f"{_SEGMENT} WHERE camera = ? AND started_at >= ? AND started_at < ? AND ended_at > ?"
        " ORDER BY started_at",
        (camera, start - LONGEST_SEGMENT_US, end, start),
    )
    return [SegmentRow(*row) for row in rows]


def gaps_between(connection: sqlite3.Connection, camera: str, start: int, end: int) -> list[GapRow]:
    """Return the gaps of both layers of a camera that overlap a span; an open one reaches to the
    end."""
    of = f"{_GAP} WHERE camera = ?1 AND layer IN ('footage', 'view') AND +started_at < ?2"
    rows = connection.execute(  # what is asked about is recent, so by the end
        f"{of} AND ended_at > ?3 UNION ALL {of} AND ended_at IS NULL", (camera, end, start)
    )
    return sorted((GapRow(*row) for row in rows), key=lambda gap: gap.started_at)


def all_segments(connection: sqlite3.Connection) -> Iterator[SegmentRow]:
    """Yield every segment, by camera, run and ordinal."""
    for row in connection.execute(f"{_SEGMENT} ORDER BY camera, run, ordinal"):
        yield SegmentRow(*row)


def segments_of(connection: sqlite3.Connection, camera: str) -> Iterator[SegmentRow]:
    """Yield every segment of a camera by start."""
    for row in connection.execute(f"{_SEGMENT} WHERE camera = ? ORDER BY started_at", (camera,)):
        yield SegmentRow(*row)


def has_run(connection: sqlite3.Connection, run: str) -> bool:
    """Tell whether a run is known."""
    return connection.execute("SELECT 1 FROM runs WHERE id = ?", (run,)).fetchone() is not None


def segments_in_log_order(connection: sqlite3.Connection) -> Iterator[SegmentRow]:
    """Yield every segment in the order of the records, which is that of the sealing."""
    for row in connection.execute(f"{_SEGMENT} ORDER BY sequence"):
        yield SegmentRow(*row)


def segments_after(connection: sqlite3.Connection, sequence: int, limit: int) -> list[SegmentRow]:
    """Return up to `limit` segments whose records come after `sequence`, in log order."""
    rows = connection.execute(
        f"{_SEGMENT} WHERE sequence > ? ORDER BY sequence LIMIT ?", (sequence, limit)
    )
    return [SegmentRow(*row) for row in rows]


def held_after(connection: sqlite3.Connection, sequence: int) -> tuple[int, int]:
    """Return how many segments come after a record, and their bytes."""
    row = connection.execute(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM segments WHERE sequence > ?", (sequence,)
    ).fetchone()
    return int(row[0]), int(row[1])


def segment_by_id(connection: sqlite3.Connection, segment: str) -> SegmentRow | None:
    """Return the row of a segment, whatever its state."""
    row = connection.execute(f"{_SEGMENT} WHERE id = ?", (segment,)).fetchone()
    return None if row is None else SegmentRow(*row)


def segment_at(connection: sqlite3.Connection, path: str) -> SegmentRow | None:
    """Return the segment whose file lies at a path relative to the footage root."""
    row = connection.execute(f"{_SEGMENT} WHERE path = ?", (path,)).fetchone()
    return None if row is None else SegmentRow(*row)


def is_indexed(connection: sqlite3.Connection, segment: str, run: str, ordinal: int) -> bool:
    """Tell whether a segment id, or its place in its run, is taken."""
    row = connection.execute(
        "SELECT 1 FROM segments WHERE id = ? OR (run = ? AND ordinal = ?)", (segment, run, ordinal)
    ).fetchone()
    return row is not None


def segments_in_folder(
    connection: sqlite3.Connection, folder: str, volume: str = MAIN_VOLUME
) -> dict[str, SegmentRow]:
    """Return the segments under a folder (`camera/day`) of a volume, by path."""
    rows = connection.execute(
        f"{_SEGMENT} WHERE path >= ? AND path < ? AND +volume = ?",  # by path, not by the disk
        (f"{folder}/", f"{folder}0", volume),
    )  # "0" is the character after "/"
    return {row["path"]: SegmentRow(*row) for row in rows}


def folders(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield every `camera/day` that the index has a segment under, on any volume.

    Goes from one to the next in the index of paths: a year of segments has a thousand folders.
    """
    after = ""
    while True:
        (path,) = connection.execute(
            "SELECT min(path) FROM segments WHERE path > ?", (after,)
        ).fetchone()
        if path is None:
            return
        folder = path.rpartition("/")[0]
        if folder:
            yield folder
        after = f"{folder}0" if folder else path  # "0" is the character after "/"


def known_cameras(connection: sqlite3.Connection) -> set[str]:
    """Return every camera that ever recorded here, configured still or not."""
    return {row[0] for row in connection.execute("SELECT DISTINCT camera FROM runs")}


def has_segments(connection: sqlite3.Connection) -> bool:
    """Tell whether any footage was ever sealed on this node."""
    return connection.execute("SELECT 1 FROM segments LIMIT 1").fetchone() is not None


def incident_subjects(connection: sqlite3.Connection) -> set[str]:
    """Return what incidents are about: paths, cameras, ids."""
    return {row[0] for row in connection.execute("SELECT subject FROM incidents")}


def uncovered_sessions(connection: sqlite3.Connection) -> list[SessionSpan]:
    """Return closed sessions whose coverage is not recorded, by opening."""
    rows = connection.execute(
        "SELECT id, counter, opened_at, closed_at FROM sessions"
        " WHERE closed_at IS NOT NULL AND covered_at IS NULL ORDER BY opened_at"
    )
    return [SessionSpan(*row) for row in rows]


def summarised_until(connection: sqlite3.Connection, camera: str) -> int | None:
    """Return the end of the camera's last `coverage.summarised` span."""
    row = connection.execute(
        "SELECT json_extract(CAST(bytes AS TEXT), '$.payload.ended_at') FROM log"
        " WHERE kind = 'coverage.summarised' AND CASE WHEN disposed_by IS NULL"
        " THEN json_extract(CAST(bytes AS TEXT), '$.payload.camera') = ? ELSE 0 END"
        " ORDER BY sequence DESC LIMIT 1",
        (camera,),
    ).fetchone()
    return None if row is None else to_micros(from_text(row[0]))


def first_footage(connection: sqlite3.Connection, camera: str) -> int | None:
    """Return when the camera's first run or first gap began."""
    (run,) = connection.execute(
        "SELECT min(started_at) FROM runs WHERE camera = ?", (camera,)
    ).fetchone()
    (gap,) = connection.execute(
        "SELECT min(started_at) FROM gaps WHERE camera = ? AND layer = 'footage'", (camera,)
    ).fetchone()
    found: list[int] = [start for start in (run, gap) if start is not None]
    return min(found) if found else None


def first_held(connection: sqlite3.Connection, camera: str) -> int | None:
    """Return when the oldest footage began that is still held of a camera."""
    (found,) = connection.execute(
        "SELECT min(started_at) FROM segments WHERE camera = ?", (camera,)
    ).fetchone()
    return None if found is None else int(found)


def any_gap_open(connection: sqlite3.Connection, cause: str) -> bool:
    """Tell whether a camera is in a gap of this cause now."""
    row = connection.execute(
        "SELECT 1 FROM gaps WHERE ended_at IS NULL AND cause = ? LIMIT 1", (cause,)
    ).fetchone()
    return row is not None
