"""Hourly coverage of a camera, so that central sees holding without seeing every segment.

An hour is summarised when it is over, its last second is either sealed or in a gap, and what the
pictures showed in it was told (VIEW_TOLD_US). What of it
lies in declared closed spans is not owed. Nights in which the node is off are summarised when it is
on again, with nothing owed.
"""

from __future__ import annotations

import sqlite3

from retention.footage.closures import closed_spans
from retention.footage.coverage import Gap, Span, coverage
from retention.records.clock import from_micros, to_micros, to_text
from retention.records.payloads import CoverageSummarised, GapCause, SceneRole
from retention.store import footage, opening
from retention.store.database import NodeStore
from retention.store.log import append

HOUR_US = 3_600_000_000
MOST_AT_ONCE = 100
VIEW_TOLD_US = 6_000_000
"""A view gap may become a row so long after it began: the watch must be sure first."""


def summarise_due(
    store: NodeStore, connection: sqlite3.Connection, camera: str, scene_role: SceneRole
) -> int:
    """Append the summaries that are due; return when the next one is (0: there is no footage).

    The first hour of a camera is owed from its first footage or gap on. Runs inside the caller's
    transaction, which a clock that was wrong by years must not hold up: hours beyond
    MOST_AT_ONCE wait for the next call, which is then due at once.
    """
    now = to_micros(store.clock.now())
    since = footage.summarised_until(connection, camera)
    start = footage.first_footage(connection, camera) if since is None else since
    if start is None:
        return 0
    for _ in range(MOST_AT_ONCE):
        end = (start // HOUR_US + 1) * HOUR_US
        if end + VIEW_TOLD_US > now or not is_settled(connection, camera, end):
            return end + VIEW_TOLD_US
        append(store, connection, summary_of(connection, camera, scene_role, Span(start, end)))
        start = end
    return start


def summary_of(
    connection: sqlite3.Connection, camera: str, scene_role: SceneRole, span: Span
) -> CoverageSummarised:
    """Return what is held of a camera over a span."""
    segments = footage.segments_between(connection, camera, span.start, span.end)
    found = coverage(
        span,
        (Span(row.started_at, row.ended_at) for row in segments),
        gaps_of(connection, camera, span),
        closed_of(connection, span),
    )
    return CoverageSummarised(
        camera=camera,
        scene_role=scene_role,
        started_at=to_text(from_micros(span.start)),
        ended_at=to_text(from_micros(span.end)),
        owed_ms=found.owed_ms,
        covered_ms=found.covered_ms,
        segments=len(segments),
        bytes=sum(row.bytes for row in segments),
    )


def gaps_of(connection: sqlite3.Connection, camera: str, span: Span) -> list[Gap]:
    """Return the gaps of a camera over a span as values."""
    return [
        Gap(Span(row.started_at, span.end if row.ended_at is None else row.ended_at),
            GapCause(row.cause))
        for row in footage.gaps_between(connection, camera, span.start, span.end)
    ]  # fmt: skip


def closed_of(connection: sqlite3.Connection, span: Span) -> list[Span]:
    """Return the parts of a span in which the pharmacy is closed, as declared."""
    closures = opening.closures_between(connection, span.start, span.end)
    return closed_spans(opening.openings(connection), closures, span)


def is_settled(connection: sqlite3.Connection, camera: str, end: int) -> bool:
    """Tell whether everything before `end` is sealed or explained."""
    gap = footage.open_gap_of(connection, camera)
    if gap is not None and gap.started_at < end:
        return True
    known = footage.explained_until(connection, camera)
    return known is not None and known >= end
