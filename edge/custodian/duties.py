"""What the custodian does, one line a duty, and the rota that does what is due.

Every duty is short and says itself when it wants to go on. One that fails is logged and tried
again; it does not stop the others, except where a directory could not be made durable: then
nothing later could be believed, and the process ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from retention.durable import HeldElsewhere
from retention.footage.layout import FootageError
from retention.footage.sink import DirectorySyncFailed
from retention.records.clock import Clock
from retention.store.database import StoreError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Duty:
    """`act` returns after how many seconds it wants to go on, None for `every_seconds`."""

    name: str
    act: Callable[[], float | None]
    every_seconds: float
    first_seconds: float = 0.0
    again_seconds: float = 2.0


class Rota:
    """Does the duties that are due, in their order."""

    def __init__(self, duties: Sequence[Duty], clock: Clock) -> None:
        self._clock = clock
        now = clock.monotonic_ns()
        self._due = [(duty, now + _ns(duty.first_seconds)) for duty in duties]

    def step(self, beat: Callable[[], None]) -> None:
        """Do once what is due now. Raises DirectorySyncFailed."""
        for number, (duty, due_ns) in enumerate(self._due):
            if self._clock.monotonic_ns() >= due_ns:
                beat()
                seconds = self._do(duty)
                self._due[number] = (duty, self._clock.monotonic_ns() + _ns(seconds))

    def _do(self, duty: Duty) -> float:
        try:
            wanted = duty.act()
        except DirectorySyncFailed:
            raise
        except (HeldElsewhere, StoreError, FootageError, OSError, sqlite3.Error) as exc:
            log.error("custodian_waits", duty=duty.name, reason=str(exc))
            return duty.again_seconds
        return duty.every_seconds if wanted is None else wanted


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
