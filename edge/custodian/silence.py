"""Silence is an alarm: a camera without a new segment while the pharmacy is open.

A camera that sealed nothing for SILENT_SEGMENTS segment lengths of opening time is silent, whatever
the reason and whether or not a gap says why; time inside declared closed spans does not count. The
alarm is cleared by a new segment and by nothing else. It is reckoned from rows alone, so it also
tells of a recorder that hangs, of one that was given up, and of one that only says that it records.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from edge.config import CameraConfig, EdgeConfig
from retention.footage.coverage import Span, length, without
from retention.footage.summary import closed_of
from retention.records.clock import from_micros, to_micros, to_text
from retention.store import alarms, footage
from retention.store.alarms import Alarm, AlarmRow
from retention.store.database import NodeStore
from retention.store.footage import SegmentRow

SILENT_SEGMENTS = 2.5
OF_CAMERAS = (
    Alarm.CAMERA_SILENT, Alarm.SEGMENT_INVALID, Alarm.VIEW_UNUSABLE, Alarm.VIEW_UNWATCHED,
)  # fmt: skip
LOOKED_BACK_US = 62 * 86_400_000_000
"""Closed spans are looked up over at most so long a silence (twice the longest closure)."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Silence:
    """What the rows say of one camera now: its newest segment, since when it is silent, whether
    the pharmacy is closed, and its open alarm (which a clock that was ahead may have dated)."""

    now: int
    last: SegmentRow | None
    since: int | None
    closed_now: bool
    alarm: AlarmRow | None

    @property
    def must_raise(self) -> bool:
        return self.since is not None and self.alarm is None and not self.closed_now

    @property
    def must_clear(self) -> bool:
        return (
            self.since is None
            and self.alarm is not None
            and self.last is not None
            and (self.last.ended_at > self.alarm.since or self.alarm.since > self.now)
        )


def watch_silence(store: NodeStore, config: EdgeConfig) -> None:
    """Raise and clear CAMERA_SILENT for every camera; a camera that was taken out of the
    configuration leaves no alarm behind. Raises StoreUnavailable."""
    _forget_removed(store, {camera.id for camera in config.cameras})
    for camera in config.cameras:
        with store.read() as connection:
            found = _look(store, connection, camera, config.recording.segment_seconds)
        if not (found.must_raise or found.must_clear):
            continue
        last = "none" if found.last is None else to_text(from_micros(found.last.ended_at))
        with store.write() as connection:
            if found.since is None:
                alarms.clear_alarm(store, connection, Alarm.CAMERA_SILENT, camera.id)
            else:
                detail = f"no new segment; end of the last one: {last}"
                alarms.raise_alarm(
                    store, connection, Alarm.CAMERA_SILENT, camera.id, detail, found.since
                )
        event = "camera_silent" if found.must_raise else "camera_heard_again"
        log.warning(event, camera=camera.id, last_ended_at=last)


def _forget_removed(store: NodeStore, configured: set[str]) -> None:
    with store.read() as connection:
        removed = [
            row
            for row in alarms.open_alarms(connection)
            if row.alarm in OF_CAMERAS and row.subject not in configured
        ]
    for row in removed:
        with store.write() as connection:
            alarms.clear_alarm(store, connection, row.alarm, row.subject)
        log.info("alarm_of_removed_camera_cleared", alarm=row.alarm, camera=row.subject)


def silent_since(
    last_end: int, now: int, closed: Sequence[Span], segment_seconds: float
) -> int | None:
    """Return since when a camera is silent, None while it is not.

    `last_end` is the end of its newest segment, or since when it owes one; `closed` are the closed
    spans between the two moments. Silence begins where the footage ends, or at the next opening. A
    newest segment that ends in the future (the clock was set back) is silence from now on.
    """
    limit = limit_us(segment_seconds)
    if last_end - now > limit:
        return now
    open_parts = without([Span(last_end, now)], closed)
    return open_parts[0].start if length(open_parts) > limit else None


def _look(
    store: NodeStore, connection: sqlite3.Connection, camera: CameraConfig, segment_seconds: float
) -> Silence:
    now = to_micros(store.clock.now())
    last = footage.last_sealed(connection, camera.id)
    latest = now + limit_us(segment_seconds)
    since = _owed_since(latest, 0 if last is None else last.ended_at, _started_at(connection))
    span = Span(max(since, now - LOOKED_BACK_US), now)
    closed = closed_of(connection, span) if span.start < span.end else []
    silent = silent_since(max(since, span.start), now, closed, segment_seconds) if since else None
    wanted = (Alarm.CAMERA_SILENT.value, camera.id)
    found = [row for row in alarms.open_alarms(connection) if (row.alarm, row.subject) == wanted]
    closed_now = bool(closed) and closed[-1].end == now
    return Silence(now, last, silent, closed_now, found[0] if found else None)


def limit_us(segment_seconds: float) -> int:
    """Return how much opening time may pass without a new segment, in microseconds."""
    return int(SILENT_SEGMENTS * segment_seconds * 1_000_000)


def _owed_since(latest: int, *moments: int) -> int:
    """Return the last of the moments; those after `latest` (the clock was set back) count only
    when there is no other."""
    believed = [moment for moment in moments if moment <= latest]
    return max(believed if any(believed) else moments)


def _started_at(connection: sqlite3.Connection) -> int:
    """Return when the node was started last: before that nobody could record."""
    row = connection.execute(
        "SELECT occurred_at FROM log WHERE kind = 'node.started' ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    return 0 if row is None else int(row[0])
