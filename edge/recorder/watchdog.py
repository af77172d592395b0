"""A new segment appeared, and a valid one: otherwise SEGMENT_INVALID, an alarm.

Each sealed file is opened again as any reader would open it: its boxes are walked to the end, its
identity is the one that was sealed, its first picture is a key picture, it lasts. And while packets
arrive, a segment must be sealed within OVERDUE_SEGMENTS lengths. Silence of the camera itself is
judged elsewhere, from rows (`edge/custodian`). The alarm is over with the next valid segment.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import av
import structlog

from retention.footage.boxes import scan
from retention.records.clock import to_micros
from retention.store.alarms import Alarm, clear_alarm, raise_alarm
from retention.store.database import NodeStore, StoreError

OVERDUE_SEGMENTS = 2.5
SHORTEST_OVERDUE_US = 10_000_000
"""Two key pictures of a slow camera, where segments are shorter than that."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """What reading a sealed file back found."""

    whole: bool
    is_ours: bool
    begins_with_key: bool
    duration_us: int


def trouble_of(facts: SegmentFacts) -> str | None:
    """Return what is wrong with a segment, None if it is valid."""
    if not facts.whole:
        return "its boxes end before the file does"
    if not facts.is_ours:
        return "it does not carry the identity that was sealed"
    if not facts.begins_with_key:
        return "it does not begin with a key picture"
    return None if facts.duration_us > 0 else "it lasts no time"


def is_overdue(now_us: int, progress_us: int, segment_seconds: float) -> bool:
    """Tell whether a segment should have been sealed by now. Monotonic microseconds: of the
    packet that just came, and of the last seal or of the first packet since."""
    return now_us - progress_us > longest_us(segment_seconds)


def longest_us(segment_seconds: float) -> int:
    """Return for how long packets may come without a segment being sealed."""
    return max(SHORTEST_OVERDUE_US, round(OVERDUE_SEGMENTS * segment_seconds * 1_000_000))


def facts_of(path: Path, segment: str) -> SegmentFacts:
    """Read a sealed file back. Raises OSError."""
    found = scan(path)
    return SegmentFacts(
        whole=0 < found.whole_bytes == found.file_bytes,
        is_ours=found.identity is not None and found.identity.segment == segment,
        begins_with_key=_begins_with_key(path),
        duration_us=found.duration_us,
    )


def _begins_with_key(path: Path) -> bool:
    try:
        # Nothing is decoded: FFmpeg would otherwise decode a picture to describe the stream.
        with av.open(str(path), options={"skip_frame": "all"}) as container:
            return next((one.is_keyframe for one in container.demux(video=0) if one.size), False)
    except (av.error.FFmpegError, IndexError):  # unreadable, or without a video stream
        return False


class Watchdog:
    """Follows one camera's segments. An alarm that cannot be written is tried with the next."""

    def __init__(self, store: NodeStore, camera: str, segment_seconds: float) -> None:
        self._store, self._camera = store, camera
        self._longest_us = longest_us(segment_seconds)
        self._progress_us: int | None = None
        self._arrived_us = 0
        self._is_open: bool | None = None

    def arrived(self, received_us: int) -> None:
        """A packet came; raises the alarm when segments should have come too."""
        self._arrived_us = received_us
        if self._progress_us is None:
            self._progress_us = received_us
        elif received_us - self._progress_us > self._longest_us:
            self._progress_us = received_us  # and said again, if it cannot be written now
            self._raise("packets arrive, but no segment was sealed")

    def left(self) -> None:
        """The connection is over: nothing is due until the next packet."""
        self._progress_us = None

    def sealed(self, path: Path, segment: str) -> None:
        """Read a segment back that was just sealed, be it the last of a lost connection."""
        if self._progress_us is not None:
            self._progress_us = self._arrived_us
        try:
            trouble = trouble_of(facts_of(path, segment))
        except OSError as exc:
            trouble = f"it cannot be read: {exc.strerror}"
        if trouble is None:
            self._clear()
        else:
            self._raise(f"segment {segment}: {trouble}")

    def _raise(self, detail: str) -> None:
        log.error("segment_invalid", camera=self._camera, detail=detail)
        if self._is_open:
            return
        since = to_micros(self._store.clock.now())
        try:
            with self._store.write() as connection:
                alarm = Alarm.SEGMENT_INVALID
                raise_alarm(self._store, connection, alarm, self._camera, detail, since)
        except (StoreError, sqlite3.Error) as exc:
            log.error("alarm_not_written_yet", camera=self._camera, reason=str(exc))
        else:
            self._is_open = True

    def _clear(self) -> None:
        if self._is_open is False:
            return
        try:
            with self._store.write() as connection:
                clear_alarm(self._store, connection, Alarm.SEGMENT_INVALID, self._camera)
        except (StoreError, sqlite3.Error) as exc:
            log.error("alarm_not_cleared_yet", camera=self._camera, reason=str(exc))
        else:
            self._is_open = False
