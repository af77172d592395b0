"""How much of a session's owed footage is held. Reads rows, returns the record; no disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import timedelta

from edge.config import CameraConfig, SessionConfig
from retention.footage.coverage import Span, coverage
from retention.footage.summary import gaps_of, is_settled
from retention.records.clock import from_micros, to_text
from retention.records.payloads import SceneCoverage, SessionCovered
from retention.store import footage
from retention.store.footage import SessionSpan

MOST_SCENES = 16


def owed_span(session: SessionSpan, rules: SessionConfig) -> Span:
    """Return what is owed: from the pre-roll before opening to the post-roll after closing."""
    before = timedelta(seconds=rules.pre_roll_seconds) // timedelta(microseconds=1)
    after = timedelta(seconds=rules.post_roll_seconds) // timedelta(microseconds=1)
    return Span(session.opened_at - before, session.closed_at + after)


def unsettled(
    connection: sqlite3.Connection, cameras: Sequence[CameraConfig], span: Span
) -> list[str]:
    """Return the cameras whose footage of the span is not all sealed or explained yet."""
    return [camera.id for camera in cameras if not is_settled(connection, camera.id, span.end)]


def cover(
    connection: sqlite3.Connection,
    cameras: Sequence[CameraConfig],
    session: SessionSpan,
    span: Span,
) -> SessionCovered:
    """Return the coverage of a session over every scene camera, the worst scenes first.

    Every camera counts in the totals; the list of scenes has room for MOST_SCENES.
    """
    scenes = [_scene(connection, camera, span) for camera in cameras]
    scenes.sort(key=lambda scene: scene.covered_ms - scene.owed_ms)
    return SessionCovered(
        session=session.id,
        started_at=to_text(from_micros(span.start)),
        ended_at=to_text(from_micros(span.end)),
        owed_ms=sum(scene.owed_ms for scene in scenes),
        covered_ms=sum(scene.covered_ms for scene in scenes),
        scenes=tuple(scenes[:MOST_SCENES]),
    )


def _scene(connection: sqlite3.Connection, camera: CameraConfig, span: Span) -> SceneCoverage:
    rows = footage.segments_between(connection, camera.id, span.start, span.end)
    held = (Span(row.started_at, row.ended_at) for row in rows)
    found = coverage(span, held, gaps_of(connection, camera.id, span))
    return SceneCoverage(
        camera=camera.id,
        scene_role=camera.scene_role,
        owed_ms=found.owed_ms,
        covered_ms=found.covered_ms,
        gap_causes=found.causes,
    )
