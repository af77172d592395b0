"""What the index says for the forecast: rates, footage held by day, promises, holds. Reads rows.

What a day holds is what was sealed on it (`intake`), from the oldest footage that is still there
on; a day of which part went already counts whole, which errs by a day at the most.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from retention.capacity import HORIZON_DAYS, Forecast, Frozen, Rate, Rates, forecast, goes_on, rates
from retention.footage.volumes import FreeSpace
from retention.policy import AdoptedPolicy, owed_until
from retention.records.clock import from_micros, from_text
from retention.records.keeping import Hold
from retention.store import footage, holds, intake, policies, uplink
from retention.store.intake import DayIntake

ASSUMED_BITS_PER_SECOND = 4_000_000
"""A usual 1080p camera, when nothing was measured and nothing is configured."""
DAY_SECONDS = 86_400
BEYOND_DAYS = 31


@dataclass(frozen=True, slots=True)
class CameraKept:
    """What is held of one camera today; `since` is None while there is nothing."""

    camera: str
    rate: Rate
    since: datetime | None
    days_held: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """Everything the forecast, the plan and the counter's bar are told from."""

    rates: Rates
    forecast: Forecast
    cameras: tuple[CameraKept, ...]
    owed_now: datetime
    """Until when footage that ends now is owed."""


def assumed(bits_per_second: int | None) -> Rate:
    """Return the rate of a camera of which no footage tells."""
    return Rate((bits_per_second or ASSUMED_BITS_PER_SECOND) // 8 * DAY_SECONDS, "assumed")


def look_ahead(
    connection: sqlite3.Connection,
    cameras: Mapping[str, int | None],
    room: FreeSpace,
    now: datetime,
) -> Outlook:
    """Return how long the room lasts for these cameras, each with its configured bits a second
    if any. Raises sqlite3.Error."""
    days = intake.by_day(connection)
    promised = policies.adopted(connection)

    def owed(ended_at: datetime) -> datetime:
        return owed_until("footage", ended_at, promised)

    owed_from = next((one.day for one in days if goes_on(one.day, owed) > now.date()), None)
    since = {
        camera: _held_since(connection, camera, owed_from)
        for camera in {*cameras, *(one.camera for one in days)}
    }
    found = rates(
        tuple(cameras),
        days,
        _known_since(connection, cameras),
        now.date(),
        lambda camera: _without_a_day(connection, camera, cameras[camera]),
    )
    return _outlook(
        found,
        forecast(
            today=now.date(),
            rate=found.total,
            free_bytes=room.free_bytes,
            held=_held(days, since, intake.held_on(connection, room.closed)),
            owed=owed,
            frozen=on_hold(holds.standing(connection)),
            horizon_days=_horizon(owed(now) - now),
        ),
        {camera: since[camera] for camera in cameras},
        promised,
        now,
    )


def without_rows(cameras: Mapping[str, int | None], room: FreeSpace, now: datetime) -> Outlook:
    """Return the outlook of a node that never ran: assumed rates, nothing held."""
    single = {camera: assumed(bits) for camera, bits in cameras.items()}
    total = Rate(sum(rate.bytes_per_day for rate in single.values()), "assumed")
    found = forecast(
        today=now.date(),
        rate=total,
        free_bytes=room.free_bytes,
        held={},
        owed=lambda ended_at: owed_until("footage", ended_at, ()),
    )
    return _outlook(Rates(single, total), found, dict.fromkeys(cameras), (), now)


def on_hold(standing: Sequence[Hold]) -> tuple[Frozen, ...]:
    """Return the days that holds keep whole. Holds of sessions and persons keep minutes of a
    day, which no forecast of days sees."""
    found = []
    for hold in standing:
        if hold.scope == "pharmacy":
            found.append(Frozen(None, None))
        elif hold.started_at is not None and hold.ended_at is not None:
            span = (from_text(hold.started_at).date(), from_text(hold.ended_at).date())
            found.append(Frozen(*span))
    return tuple(found)


def _outlook(
    found: Rates,
    ahead: Forecast,
    since: Mapping[str, datetime | None],
    promised: Sequence[AdoptedPolicy],
    now: datetime,
) -> Outlook:
    kept = tuple(
        CameraKept(
            camera,
            rate,
            since[camera],
            0 if since[camera] is None else _days_between(since[camera], now),
        )
        for camera, rate in found.cameras.items()
    )
    return Outlook(found, ahead, kept, owed_until("footage", now, promised))


def _days_between(since: datetime | None, now: datetime) -> int:
    return 0 if since is None else max(0, (now - since) // timedelta(days=1))


def _held(
    days: Sequence[DayIntake], since: Mapping[str, datetime | None], closed: Mapping[date, int]
) -> dict[date, int]:
    """Return what is held of each day, but for what makes no room when it goes."""
    found: dict[date, int] = {}
    for one in days:
        oldest = since[one.camera]
        if oldest is not None and one.day >= oldest.date():
            found[one.day] = found.get(one.day, 0) + one.bytes
    return {day: max(0, size - closed.get(day, 0)) for day, size in found.items()}


def _held_since(
    connection: sqlite3.Connection, camera: str, owed_from: date | None
) -> datetime | None:
    """Return when the camera's oldest footage began; what a hold kept beyond its time says
    nothing about how far back the rest reaches."""
    found = footage.first_held(connection, camera)
    if found is None:
        return None
    oldest = from_micros(found)
    if owed_from is None or oldest.date() >= owed_from:
        return oldest
    return datetime.combine(owed_from, time(), UTC)


def _horizon(owed_for: timedelta) -> int:
    """Return how far to look: beyond the day on which what is recorded today may go."""
    return max(HORIZON_DAYS, owed_for.days + BEYOND_DAYS)


def _known_since(
    connection: sqlite3.Connection, cameras: Mapping[str, int | None]
) -> dict[str, datetime]:
    found = {camera: footage.first_footage(connection, camera) for camera in cameras}
    return {camera: from_micros(at) for camera, at in found.items() if at is not None}


def _without_a_day(connection: sqlite3.Connection, camera: str, bits: int | None) -> Rate:
    """The newest hours as if they were a whole day, or what the configuration says."""
    hours = uplink.bytes_per_day(connection, [camera])
    return assumed(bits) if hours is None else Rate(hours, "extrapolated")
