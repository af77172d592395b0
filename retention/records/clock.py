"""Time as an argument. UTC inside; durations come from the monotonic clock, never from the wall.

A wall clock that moved against the monotonic clock is *jumped* from then on: retention and
receipts ask `state()` before they trust `now()`.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

JUMP_TOLERANCE = timedelta(seconds=5)
_TEXT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ClockState(StrEnum):
    """How far `now()` may be trusted."""

    STEADY = "steady"
    JUMPED = "jumped"


class Clock(Protocol):
    """The wall clock, the monotonic clock and the boot they belong to."""

    def now(self) -> datetime:
        """Return the wall clock time, timezone-aware, in UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go back within one boot."""
        ...

    def boot_id(self) -> str:
        """Return the id of the boot that `monotonic_ns` counts from."""
        ...

    def state(self) -> ClockState:
        """Return JUMPED once the wall clock moved against the monotonic clock."""
        ...


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._offset = datetime.now(UTC) - timedelta(microseconds=time.monotonic_ns() // 1000)
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._jumped = False

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def boot_id(self) -> str:
        return self._boot_id

    def state(self) -> ClockState:
        offset = self.now() - timedelta(microseconds=self.monotonic_ns() // 1000)
        self._jumped = self._jumped or abs(offset - self._offset) > JUMP_TOLERANCE
        return ClockState.JUMPED if self._jumped else ClockState.STEADY


class ManualClock:
    """A clock that moves only when told to; for tests."""

    def __init__(self, now: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic_ns = 1_000_000_000
        self._state = ClockState.STEADY

    def now(self) -> datetime:
        return self._now

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def boot_id(self) -> str:
        return "00000000-0000-4000-8000-000000000000"

    def state(self) -> ClockState:
        return self._state

    def advance(self, by: timedelta) -> None:
        """Let both clocks run for `by`."""
        self._now += by
        self._monotonic_ns += int(by / timedelta(microseconds=1)) * 1000

    def jump(self, by: timedelta) -> None:
        """Move the wall clock alone, as a wrong time server does."""
        self._now += by
        self._state = ClockState.JUMPED


def to_text(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC with microseconds: `2026-01-02T03:04:05.000000Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> datetime:
    """Read what `to_text` wrote. Raises ValueError on anything else."""
    if _TEXT.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is not a moment as 2026-01-02T03:04:05.000000Z")
    return datetime.fromisoformat(text)


def to_micros(moment: datetime) -> int:
    """Return whole microseconds since the Unix epoch, the unit of every time column."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """Return the UTC moment of a time column."""
    return EPOCH + timedelta(microseconds=micros)
