"""Calendar days of Asia/Shanghai as numbers, and splitting a span over them exactly.

Moments are microseconds since the Unix epoch. Within the years that `day_of` takes, Shanghai is
eight hours ahead all year round, so a day is a division and needs no calendar table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
AHEAD_US = 8 * HOUR_US
FIRST_YEAR, LAST_YEAR = 2000, 2199
EPOCH_DAY = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Part:
    """What of a span lies on one day: from `start` until just before `end`."""

    day: str
    start: int
    end: int


def day_of(moment: int) -> str:
    """Return the day of a moment as 2026-01-02. Raises ValueError outside of 2000 to 2199."""
    number = (moment + AHEAD_US) // DAY_US
    if not -(10**6) < number < 10**6:
        raise ValueError("a moment that no recording has")
    day = EPOCH_DAY + timedelta(days=number)
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"a moment in the year {day.year}")
    return day.isoformat()


def parse_day(text: str) -> date:
    """Read 2026-01-02. Raises ValueError, also outside of 2000 to 2199."""
    day = date.fromisoformat(text)
    if len(text) != 10 or not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"no day: {text[:20]}")
    return day


@lru_cache(maxsize=2048)
def bounds_of(day: str) -> tuple[int, int]:
    """Return the first moment of a day and that of the next."""
    start = (parse_day(day) - EPOCH_DAY).days * DAY_US - AHEAD_US
    return start, start + DAY_US


def days_between(first: date, last: date) -> list[str]:
    """Return every day from `first` to `last`, both included."""
    return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


def parts_of(start: int, end: int) -> Iterator[Part]:
    """Split a span into its days, in order; a span without length has none."""
    while start < end:
        day = day_of(start)
        cut = min(end, bounds_of(day)[1])
        yield Part(day, start, cut)
        start = cut


def portion(amount: int, part: Part, start: int, end: int) -> int:
    """Return the share of `amount`, spread evenly over start..end, that falls on `part`.

    Rounded at the cuts and not in the parts, so the portions of all parts add up to `amount`.
    """
    whole = end - start
    return amount * (part.end - start) // whole - amount * (part.start - start) // whole
