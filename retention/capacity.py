"""How long the room on the disks lasts, and whether every floor can be met. Pure: values in, out.

A day's footage takes what it took on the worst but one day in twenty (p95 of the last 28 complete
days on which there was footage); it goes when the latest promise about it ends (`owed_until`). Room
is simulated day by day for three years: minus what is recorded, plus what may go. When it runs out,
nothing goes earlier for that: recording stops until the oldest footage may go, and that span is
what will be missing inside its floor. So the forecast names it while it can still be helped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from retention.store.intake import DayIntake

DAY = timedelta(days=1)
HORIZON_DAYS = 1096
MEASURED_DAYS = 28
PERCENT = 95
SAFE_HEADROOM = 1.05
"""Danger is over when a twentieth more than is recorded would still fit: a forecast that changes
its mind every day is not read."""
SAFE_DAYS = 3

Basis = Literal["measured", "extrapolated", "assumed"]
_ORDER: tuple[Basis, ...] = ("assumed", "extrapolated", "measured")  # the weakest first
Owed = Callable[[datetime], datetime]


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes that a day of recording takes, and what that is known from: `days` complete days, the
    newest hours as if they were a whole day, or the configured bit rate."""

    bytes_per_day: int
    basis: Basis
    days: int = 0

    @property
    def bits_per_second(self) -> int:
        return self.bytes_per_day * 8 // 86_400


@dataclass(frozen=True, slots=True)
class Rates:
    """The rate of each camera and of all together (days differ, so it is at most their sum)."""

    cameras: Mapping[str, Rate]
    total: Rate


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the forecast, at its end: room left (negative: missing) and footage held."""

    day: date
    room_bytes: int
    held_bytes: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """`full_on` is the first day that does not fit, None if every day of the horizon does; then
    nothing is recorded until `resumes_on`, when enough may go (None: not within the horizon).
    `headroom` is how many times today's rate would fit, None when nothing is recorded."""

    today: date
    rate: Rate
    free_bytes: int
    held_bytes: int
    full_on: date | None
    resumes_on: date | None
    missing_bytes: int
    headroom: float | None
    days: tuple[Day, ...]

    @property
    def days_left(self) -> int | None:
        """Return how many whole days of recording still fit; None if all of the horizon do."""
        return None if self.full_on is None else (self.full_on - self.today).days - 1

    @property
    def meets_floor(self) -> bool:
        return self.full_on is None

    @property
    def need_bytes(self) -> int:
        """The most that footage will take at any time within the horizon, were there room."""
        return max((day.held_bytes for day in self.days), default=0)

    def is_safe(self) -> bool:
        return self.headroom is None or self.headroom >= SAFE_HEADROOM


@dataclass(frozen=True, slots=True)
class Frozen:
    """Days whose footage stays whatever was promised: on hold. None stands for open ends."""

    first: date | None
    last: date | None

    def covers(self, day: date) -> bool:
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


# -- how much a day takes -------------------------------------------------------------------------


def rates(
    cameras: Sequence[str],
    intake: Iterable[DayIntake],
    known_since: Mapping[str, datetime],
    today: date,
    otherwise: Callable[[str], Rate],
) -> Rates:
    """Return what a day takes. `known_since` is when each camera's first footage was; `otherwise`
    gives the rate of a camera without one complete day of footage."""
    recent = _recent(cameras, intake, known_since, today)
    single = {
        camera: _measured(list(days.values())) if days else otherwise(camera)
        for camera, days in recent.items()
    }
    total = sum(rate.bytes_per_day for rate in single.values())
    common = set.intersection(*(set(days) for days in recent.values())) if recent else set()
    if common:
        together = [sum(days[day] for days in recent.values()) for day in sorted(common)]
        return Rates(single, _measured(together))
    # A camera is so new that no whole day shows them all: the sum is never too small.
    found = {rate.basis for rate in single.values()} or {"assumed"}
    weakest = next(basis for basis in _ORDER if basis in found)
    days = min((rate.days for rate in single.values()), default=0)
    return Rates(single, Rate(total, weakest, days))


def _recent(
    cameras: Sequence[str],
    intake: Iterable[DayIntake],
    known_since: Mapping[str, datetime],
    today: date,
) -> dict[str, dict[date, int]]:
    """Return the complete days with footage of each camera. A day is complete when it is over and
    the camera was known before it began; one without footage tells nothing of what a day takes."""
    found: dict[str, dict[date, int]] = {camera: {} for camera in cameras}
    for one in intake:
        since = known_since.get(one.camera)
        if (
            one.camera in found
            and since is not None
            and since.date() < one.day < today
            and one.day >= today - MEASURED_DAYS * DAY
            and one.covered_ms > 0
        ):
            found[one.camera][one.day] = one.bytes
    return found


def _measured(values: list[int]) -> Rate:
    return Rate(_p95(values), "measured", len(values))


def _p95(values: list[int]) -> int:
    """Return the 95th percentile by nearest rank."""
    return sorted(values)[math.ceil(PERCENT * len(values) / 100) - 1]


# -- how long it lasts ----------------------------------------------------------------------------


def forecast(
    *,
    today: date,
    rate: Rate,
    free_bytes: int,
    held: Mapping[date, int],
    owed: Owed,
    frozen: Sequence[Frozen] = (),
    horizon_days: int = HORIZON_DAYS,
) -> Forecast:
    """Simulate the room on the disks. `held` is the footage that lies there now, by its day (UTC);
    `owed` says until when footage that ended at a moment is owed. What is there though it could
    have gone already is on hold, and counts for nothing: it neither goes nor grows."""
    owed_still = {day: size for day, size in held.items() if goes_on(day, owed) > today}
    released = _released(owed_still, owed, frozen)
    per_day, last = rate.bytes_per_day, today + horizon_days * DAY
    own = _released_days(today, last, owed, frozen)
    room, kept, living = free_bytes, sum(owed_still.values()), 0
    freed_total = 0
    headroom: float | None = None
    full_on: date | None = None
    days: list[Day] = []
    for number in range(1, horizon_days + 1):
        day = today + number * DAY
        freed = released.get(day, 0)
        freed_total += freed
        living += 1 - own.get(day, 0)
        room += freed - per_day + own.get(day, 0) * per_day
        kept += per_day - freed - own.get(day, 0) * per_day
        if per_day and living > 0:
            fits = (free_bytes + freed_total) / (per_day * living)
            headroom = fits if headroom is None else min(headroom, fits)
        if room < 0 and full_on is None:
            full_on = day
        days.append(Day(day, room, kept))
    missing = max(0, -min((day.room_bytes for day in days), default=0))
    return Forecast(
        today=today,
        rate=rate,
        free_bytes=free_bytes,
        held_bytes=sum(owed_still.values()),
        full_on=full_on,
        resumes_on=None if full_on is None else _first_after(full_on, released, own),
        missing_bytes=missing,
        headroom=headroom,
        days=tuple(days),
    )


def _released(held: Mapping[date, int], owed: Owed, frozen: Sequence[Frozen]) -> dict[date, int]:
    """Return what of the footage held may go on each day."""
    found: dict[date, int] = {}
    for day, size in held.items():
        if not any(span.covers(day) for span in frozen):
            goes = goes_on(day, owed)
            found[goes] = found.get(goes, 0) + size
    return found


def _released_days(
    today: date, last: date, owed: Owed, frozen: Sequence[Frozen]
) -> dict[date, int]:
    """Return how many of the days to come may go on each day."""
    found: dict[date, int] = {}
    day = today + DAY
    while day <= last:
        goes = goes_on(day, owed)
        if goes <= last and not any(span.covers(day) for span in frozen):
            found[goes] = found.get(goes, 0) + 1
        day += DAY
    return found


def goes_on(day: date, owed: Owed) -> date:
    """Return the first day on which all footage of a day may be gone."""
    end_of_day = datetime.combine(day + DAY, time(), UTC)
    try:
        return owed(end_of_day).date() + DAY
    except OverflowError:
        return date.max


def _first_after(day: date, *tables: Mapping[date, int]) -> date | None:
    return min((one for table in tables for one in table if one > day), default=None)


# -- what it means --------------------------------------------------------------------------------

Level = Literal["DISK_WARN", "DISK_ALARM", "FLOOR_AT_RISK"]


def levels(
    found: Forecast, warn_days: int, alarm_days: int, open_now: Iterable[str] = ()
) -> set[Level]:
    """Return the alarms that a forecast calls for. Those `open_now` stay until it is clearly over;
    nothing is raised on a rate that was not measured over a whole day."""
    is_open = set(open_now)

    def within(days: int, level: Level) -> bool:
        slack = SAFE_DAYS if level in is_open else 0
        return found.days_left is not None and found.days_left < days + slack

    limits: tuple[tuple[Level, int], ...] = (("DISK_WARN", warn_days), ("DISK_ALARM", alarm_days))
    wanted: set[Level] = {level for level, days in limits if within(days, level)}
    at_risk = not found.is_safe() if "FLOOR_AT_RISK" in is_open else not found.meets_floor
    if at_risk:
        wanted.add("FLOOR_AT_RISK")
    return wanted if found.rate.basis == "measured" else wanted & is_open
