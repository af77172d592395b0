"""Room on the disks, watched: the reserve, the volumes, the forecast, and what floors will lose.

Writes alarms and breaches, never touches footage: a disk that runs full is announced, alarmed and
recorded, and nothing goes a day earlier for it. Each look is short; the forecast is made every
FORECAST_SECONDS, the rest every LOOK_SECONDS.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time

import structlog

from edge.config import EdgeConfig
from edge.room import forecast_now
from retention.capacity import Forecast, levels
from retention.footage.volume import Volume
from retention.footage.volumes import VolumeMissing, Volumes
from retention.policy import owed_until
from retention.records.clock import ClockState, from_micros, to_micros
from retention.store import breaches, footage, policies, trusted
from retention.store import volumes as volume_rows
from retention.store.alarms import Alarm, clear_alarm, is_open, raise_alarm
from retention.store.breaches import BreachRow, Cause
from retention.store.database import NodeStore
from retention.store.footage import MAIN_VOLUME, SegmentRow
from retention.store.reserve import reserve_of

LOOK_SECONDS, FORECAST_SECONDS = 10.0, 600.0
ROOM = "room"
"""The subject of alarms and of the breach that the forecast tells of."""
MOVED_DAYS = 7
"""An announced breach that comes so much earlier is announced again."""

log = structlog.get_logger()


class CapacityWatch:
    """Call `step` as often as you like; it looks when it is time. Raises OSError, StoreError."""

    def __init__(self, config: EdgeConfig, store: NodeStore, volumes: Volumes) -> None:
        self._config, self._store, self._volumes = config, store, volumes
        self._look_at_ns = self._forecast_at_ns = 0
        self._judged = 0
        """The last incident that was looked at: many break no floor, and need no second look."""

    def step(self) -> None:
        """Do what is due."""
        now_ns = self._store.clock.monotonic_ns()
        if now_ns >= self._look_at_ns:
            self._look_at_ns = now_ns + int(LOOK_SECONDS * 1e9)
            self.look()
        if now_ns >= self._forecast_at_ns:
            self._forecast_at_ns = now_ns + int(FORECAST_SECONDS * 1e9)
            self.look_ahead()

    def look(self) -> None:
        """Keep the reserve, and tell of volumes, full disks and lost footage."""
        held = self._keep_reserve()
        self._take_fresh()
        found = self._volumes.look()
        with self._store.read() as connection:
            gaps = breaches.untold_gaps(connection)
            lost = breaches.untold_incidents(connection, self._judged)
            full = not held or footage.any_gap_open(connection, "disk_full")
        self._tell(Alarm.DISK_FULL, ROOM, full, "空间已满，录像中断 / no room, recording stops")
        for volume in found:
            self._tell_volume(volume)
        for gap in gaps:
            self._tell_gap(gap)
        for number, cause, subject in lost:
            self._tell_lost(cause, subject)
            self._judged = number

    def look_ahead(self) -> None:
        """Make the forecast and tell what it means. By a clock that is in doubt it would take
        footage for owed no longer: then what was said stands."""
        with self._store.read() as connection:
            seen_at = trusted.newest_seen_at(connection)
            state = trusted.clock_state(connection, self._store.clock, seen_at)
        if state is not ClockState.STEADY:
            return
        found = forecast_now(self._config, self._store, self._volumes).forecast
        with self._store.write() as connection:
            open_now = [
                level
                for level in ("DISK_WARN", "DISK_ALARM", "FLOOR_AT_RISK")
                if is_open(connection, level, ROOM)
            ]
            rules = self._config.retention
            wanted = levels(found, rules.warn_days, rules.alarm_days, open_now)
            for level in sorted(wanted - set(open_now)):
                raise_alarm(self._store, connection, level, ROOM, told(found), self._now_us())
            for over in sorted(set(open_now) - wanted):
                clear_alarm(self._store, connection, over, ROOM)
            self._tell_forecast(connection, found, at_risk="FLOOR_AT_RISK" in wanted)

    def _keep_reserve(self) -> bool:
        """A reserve that a broken disk refuses is no full disk, and stops none of the rest."""
        try:
            return reserve_of(self._store.path).keep()
        except OSError as exc:
            log.error("reserve_not_kept", reason=str(exc))
            return True

    def _take_fresh(self) -> None:
        """A disk that was mounted late is taken without waiting for a recorder to begin again."""
        try:
            self._volumes.open()
        except OSError as exc:
            log.error("volume_not_taken", reason=str(exc))

    # -- one thing each ---------------------------------------------------------------------------

    def _tell_forecast(
        self, connection: sqlite3.Connection, found: Forecast, *, at_risk: bool
    ) -> None:
        known = breaches.announced(connection, "disk_full", ROOM)
        if known is not None and not at_risk:
            said = replace(known, stage="averted")
            breaches.say(self._store, connection, said, "空间已够 / there is room again")
            return
        if not at_risk or found.full_on is None:
            return
        start = _midnight(found.full_on)
        if known is not None and (known.started_at - start).days < MOVED_DAYS:
            return
        end = None if found.resumes_on is None else _midnight(found.resumes_on)
        id_ = self._store.ids.new() if known is None else known.id
        said = BreachRow(id_, "announced", None, "disk_full", ROOM, start, end)
        breaches.say(self._store, connection, said, told(found))

    def _tell_volume(self, volume: Volume) -> None:
        trouble = not volume.writable
        subject, now = volume.name, self._now_us()
        with self._store.read() as connection:
            known = breaches.announced(connection, "volume_missing", subject)
            if trouble == is_open(connection, Alarm.VOLUME_MISSING, subject) and (
                volume.reachable == (known is None)
            ):
                return
        with self._store.write() as connection:
            if trouble:
                raise_alarm(
                    self._store, connection, Alarm.VOLUME_MISSING, subject, volume.detail, now
                )
            else:
                clear_alarm(self._store, connection, Alarm.VOLUME_MISSING, subject)
            if volume.reachable and known is not None:
                said = replace(known, stage="averted")
                breaches.say(self._store, connection, said, "磁盘已恢复 / the disk is back")
            span = volume_rows.span_on(connection, subject)
            if trouble and not volume.reachable and known is None and span is not None:
                start, end = (from_micros(at) for at in span)
                said = BreachRow(
                    self._store.ids.new(), "announced", None, "volume_missing", subject, start, end
                )
                breaches.say(self._store, connection, said, volume.detail)

    def _tell_gap(self, gap: breaches.FullGap) -> None:
        with self._store.write() as connection:
            known = breaches.recorded(connection, "disk_full", gap.gap)
            id_ = self._store.ids.new() if known is None else known.id
            said = BreachRow(
                id_, "recorded", gap.camera, "disk_full", gap.gap, gap.started_at, gap.ended_at
            )
            breaches.say(self._store, connection, said, "空间已满，未录像 / not recorded: no room")

    def _tell_lost(self, cause: Cause, subject: str) -> None:
        rows = self._rows_of(subject)
        if not rows:
            return
        with self._store.read() as connection:
            promised = policies.adopted(connection)
            now = min(self._store.clock.now(), trusted.passed(connection, self._store.clock))
            if breaches.recorded(connection, cause, subject) is not None:
                return  # By another incident of the same file.
        ended_at = from_micros(max(row.ended_at for row in rows))
        if owed_until("footage", ended_at, promised) < now:
            return  # It could have been disposed of: no floor is broken.
        with self._store.write() as connection:
            said = BreachRow(
                self._store.ids.new(),
                "recorded",
                rows[0].camera,
                cause,
                subject,
                from_micros(min(row.started_at for row in rows)),
                ended_at,
            )
            detail = f"{len(rows)} 段 / segments: {subject}"
            breaches.say(self._store, connection, said, detail)

    def _rows_of(self, subject: str) -> Sequence[SegmentRow]:
        """Return the segments that an incident is about: one file, or a whole folder that is
        gone, which is named by its first file."""
        volume, _, path = subject.rpartition(":")
        volume = volume or MAIN_VOLUME
        folder = path.rpartition("/")[0]
        with self._store.read() as connection:
            row = footage.segment_at(connection, path)
        if row is None:
            return ()
        try:
            if (self._volumes.root(volume) / folder).is_dir():
                return (row,)
        except VolumeMissing:
            return (row,)
        with self._store.read() as connection:
            others = footage.segments_in_folder(connection, folder, volume)
        return [others[name] for name in sorted(others)]

    def _tell(self, alarm: Alarm, subject: str, wrong: bool, detail: str) -> None:
        with self._store.read() as connection:
            if is_open(connection, alarm, subject) == wrong:
                return
        with self._store.write() as connection:
            if wrong:
                raise_alarm(self._store, connection, alarm, subject, detail, self._now_us())
            else:
                clear_alarm(self._store, connection, alarm, subject)

    def _now_us(self) -> int:
        return to_micros(self._store.clock.now())


def told(found: Forecast) -> str:
    """Return a forecast in one line for people."""
    rate = found.rate.bytes_per_day / 1e9
    if found.full_on is None:
        return f"每天 {rate:.1f} GB，可录满法定期限 / {rate:.1f} GB a day fit the floor"
    return (
        f"每天 {rate:.1f} GB，{found.full_on} 存满（{found.days_left} 天），"
        f"缺 {found.missing_bytes / 1e12:.2f} TB / full on {found.full_on} "
        f"({found.days_left} days), {found.missing_bytes / 1e12:.2f} TB short"
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
