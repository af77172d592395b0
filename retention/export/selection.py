"""Which records and which footage belong to an export. SQL only, nothing is written.

One table says for each kind how it is found; kinds that are not in it belong to an export only as
steps of its sessions.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from retention.export.archive import ExportRefused
from retention.records.clock import from_micros, to_micros, to_text
from retention.store import footage
from retention.store.footage import SegmentRow
from retention.store.sessions import read_session

MOST_SEGMENTS = 50_000
"""About 35 camera-days of one-minute segments; more is several exports."""


class Rule(Enum):
    """How the records of a kind are found."""

    OVERLAPS = auto()  # its payload's span overlaps that of the export
    HAPPENED = auto()  # it occurred within the span
    SINCE = auto()  # it occurred at any time since the span began: who looked, what left
    EVER = auto()  # few, and all of them bear on what is kept


RULES: tuple[tuple[str, Rule], ...] = (
    ("coverage.summarised", Rule.OVERLAPS),
    ("segment.disposed", Rule.OVERLAPS),
    ("footage.disposed", Rule.OVERLAPS),
    ("retention.breach", Rule.OVERLAPS),
    ("closure.declared", Rule.OVERLAPS),
    ("closure.cancelled", Rule.SINCE),
    ("node.started", Rule.HAPPENED),
    ("node.stopped", Rule.HAPPENED),
    ("process.exited", Rule.HAPPENED),
    ("clock.jumped", Rule.HAPPENED),
    ("camera.view_changed", Rule.HAPPENED),
    ("alarm.raised", Rule.HAPPENED),
    ("alarm.cleared", Rule.HAPPENED),
    ("incident.recorded", Rule.SINCE),
    ("access.recorded", Rule.SINCE),
    ("evidence.exported", Rule.SINCE),
    ("challenge.answered", Rule.SINCE),
    ("footage.scrubbed", Rule.SINCE),
    ("opening.adopted", Rule.EVER),
    ("retention.policy_adopted", Rule.EVER),
    ("volume.adopted", Rule.EVER),
    ("index.rebuilt", Rule.EVER),
)


@dataclass(frozen=True, slots=True)
class Span:
    """What is asked for: microseconds since the epoch, half-open; one session, or a time span."""

    session: str | None
    started_at: int
    ended_at: int
    cameras: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """The records (places in the log, in order), the footage, and what the log no longer has."""

    records: tuple[int, ...]
    segments: tuple[SegmentRow, ...]
    disposed_segments: tuple[tuple[str, str], ...]  # segment, why
    disposed_records: tuple[int, ...]
    unsealed: tuple[tuple[str, int], ...]  # camera, where its sealed footage ends


def span_of_session(
    connection: sqlite3.Connection, session: str, pre_roll_us: int, post_roll_us: int, now: int
) -> tuple[int, int]:
    """Return the span of footage owed to a session; one that is open is owed it until now.

    Raises ExportRefused when the node does not know the session.
    """
    row = read_session(connection, session)
    if row is None:
        raise ExportRefused(f"session {session}: this node has none of that id")
    closed_at = now if row.closed_at is None else to_micros(row.closed_at) + post_roll_us
    return to_micros(row.opened_at) - pre_roll_us, closed_at


def select(
    connection: sqlite3.Connection, span: Span, rolls_us: tuple[int, int], size: int, now: int
) -> Selection:
    """Return everything of a span among the first `size` records. Raises ExportRefused."""
    segments = [
        row
        for camera in span.cameras
        for row in footage.segments_between(connection, camera, span.started_at, span.ended_at)
        if row.sequence < size
    ]
    if len(segments) > MOST_SEGMENTS:
        raise ExportRefused(
            f"{len(segments)} segments; at most {MOST_SEGMENTS} go into one export: "
            "export a shorter span, or fewer cameras at a time"
        )
    places = {row.sequence for row in segments}
    places |= set(_of_runs(connection, {row.run for row in segments}))
    places |= set(_of_gaps(connection, span))
    for kind, rule in RULES:
        places |= set(_by_rule(connection, kind, rule, span))
    sessions = _sessions(connection, span, rolls_us)
    for session in sessions:
        places |= set(_of_session(connection, session))
    places |= set(_holds(connection, span, sessions))
    disposed = list(_disposed_segments(connection, places))
    places |= {sealed for _, sealed, _ in disposed}
    gone = dict(_emptied(connection, places))
    places = (places - gone.keys()) | set(gone.values())
    return Selection(
        records=tuple(sorted(place for place in places if place < size)),
        segments=tuple(segments),
        disposed_segments=tuple((segment, why) for segment, _, why in disposed),
        disposed_records=tuple(sorted(gone)),
        unsealed=tuple(_unsealed(connection, span, now)),
    )


def _of_runs(connection: sqlite3.Connection, runs: set[str]) -> Iterator[int]:
    if not runs:
        return
    for row in connection.execute(
        "SELECT sequence, json_extract(CAST(bytes AS TEXT), '$.payload.run') AS run FROM log"
        " WHERE kind = 'camera.run_started' AND length(bytes) > 0"
    ):
        if row["run"] in runs:
            yield row["sequence"]


def _of_gaps(connection: sqlite3.Connection, span: Span) -> Iterator[int]:
    wanted = {
        gap.id
        for camera in span.cameras
        for gap in footage.gaps_between(connection, camera, span.started_at, span.ended_at)
    }
    for row in connection.execute(
        "SELECT sequence, json_extract(CAST(bytes AS TEXT), '$.payload.gap') AS gap FROM log"
        " WHERE kind IN ('gap.opened', 'gap.closed') AND length(bytes) > 0"
    ):
        if row["gap"] in wanted:
            yield row["sequence"]


def _by_rule(connection: sqlite3.Connection, kind: str, rule: Rule, span: Span) -> Iterator[int]:
    if rule is Rule.EVER:
        rows = connection.execute("SELECT sequence FROM log WHERE kind = ?", (kind,))
    elif rule is Rule.OVERLAPS:
        marks = ", ".join("?" for _ in span.cameras)
        camera = "json_extract(CAST(bytes AS TEXT), '$.payload.camera')"
        rows = connection.execute(
            "SELECT sequence FROM log WHERE kind = ? AND length(bytes) > 0"  # noqa: S608 - marks only
            " AND json_extract(CAST(bytes AS TEXT), '$.payload.started_at') < ?"
            " AND coalesce(json_extract(CAST(bytes AS TEXT), '$.payload.ended_at'), '9') > ?"
            f" AND coalesce({camera} IN ({marks}), 1)",
            (kind, _text(span.ended_at), _text(span.started_at), *span.cameras),
        )
    else:
        until = span.ended_at if rule is Rule.HAPPENED else 2**62
        rows = connection.execute(
            "SELECT sequence FROM log WHERE kind = ? AND occurred_at >= ? AND occurred_at < ?",
            (kind, span.started_at, until),
        )
    for row in rows:
        yield row["sequence"]


def _sessions(connection: sqlite3.Connection, span: Span, rolls_us: tuple[int, int]) -> list[str]:
    """Return the session asked for, or every session that is owed footage of the span."""
    if span.session is not None:
        return [span.session]
    rows = connection.execute(
        "SELECT id FROM sessions WHERE opened_at < ? AND (closed_at IS NULL OR closed_at > ?)"
        " ORDER BY opened_at",
        (span.ended_at + rolls_us[0], span.started_at - rolls_us[1]),
    )
    return [row["id"] for row in rows]


def _of_session(connection: sqlite3.Connection, session: str) -> Iterator[int]:
    for row in connection.execute("SELECT sequence FROM log WHERE session = ?", (session,)):
        yield row["sequence"]


def _holds(connection: sqlite3.Connection, span: Span, sessions: list[str]) -> Iterator[int]:
    """Yield the holds that may cover anything of the export, and their releases."""
    people = {
        row["person"]
        for session in sessions
        for row in connection.execute(
            "SELECT coalesce(json_extract(CAST(bytes AS TEXT), '$.payload.claim.person_ref'),"
            " json_extract(CAST(bytes AS TEXT), '$.payload.purchaser_ref')) AS person FROM log"
            " WHERE session = ? AND kind IN ('session.opened', 'session.proxy')"
            " AND length(bytes) > 0",
            (session,),
        )
    }
    wanted: set[str] = set()
    for row in connection.execute(
        "SELECT sequence, bytes FROM log WHERE kind IN ('hold.placed', 'hold.released')"
        " AND length(bytes) > 0 ORDER BY sequence"
    ):
        hold = json.loads(row["bytes"])["payload"]["hold"]
        if isinstance(hold, str):
            if hold in wanted:
                yield row["sequence"]
        elif (
            hold["scope"] == "pharmacy"
            or (hold["scope"] == "session" and hold["session"] in sessions)
            or (hold["scope"] == "person" and hold["person_ref"] in people)
            or (hold["scope"] == "span" and _overlaps(hold, span))
        ):
            wanted.add(hold["hold"])
            yield row["sequence"]


def _overlaps(hold: dict[str, str], span: Span) -> bool:
    begins_before = hold["started_at"] < _text(span.ended_at)
    ends_after = (hold["ended_at"] or "9") > _text(span.started_at)
    cameras = set(hold["cameras"])
    return begins_before and ends_after and (not cameras or bool(cameras & set(span.cameras)))


def _disposed_segments(
    connection: sqlite3.Connection, places: set[int]
) -> Iterator[tuple[str, int, str]]:
    """Yield (segment, place of its sealing, why) for the disposals among the records."""
    for row in connection.execute(
        "SELECT sequence, bytes FROM log WHERE kind = 'segment.disposed' AND length(bytes) > 0"
    ):
        if row["sequence"] in places:
            said = json.loads(row["bytes"])["payload"]
            why = f"{said['camera']} {said['started_at']} – {said['ended_at']}, "
            yield said["segment"], said["sequence"], why + f"owed until {said['owed_until']}"


def _emptied(connection: sqlite3.Connection, places: set[int]) -> Iterator[tuple[int, int]]:
    """Yield (place, place of the record that disposed of it) for records whose bytes are gone."""
    for row in connection.execute(
        "SELECT sequence, disposed_by FROM log WHERE length(bytes) = 0 AND disposed_by IS NOT NULL"
    ):
        if row["sequence"] in places:
            yield row["sequence"], row["disposed_by"]


def _unsealed(connection: sqlite3.Connection, span: Span, now: int) -> Iterator[tuple[str, int]]:
    """Yield the cameras whose footage of the span is still open, and where it ends so far."""
    owed_until = min(span.ended_at, now)
    for camera in span.cameras:
        last = footage.last_segment(connection, camera)
        ended_at = span.started_at if last is None else max(last.ended_at, span.started_at)
        if ended_at < owed_until and footage.open_gap_of(connection, camera) is None:
            yield camera, ended_at


def _text(micros: int) -> str:
    return to_text(from_micros(micros))
