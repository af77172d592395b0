"""The SQL of opening hours and closures: when silence is normal and a sale is a finding.

Hours hold from the moment they were adopted and a closure must be declared before it begins, so
an outage cannot be excused afterwards, nor by setting the clock back: that moment is never earlier
than what has surely passed (`trusted.passed`). Every function that writes takes the connection of
the caller's transaction and appends the record of the fact in it. Times are microseconds, UTC.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from retention.records.clock import from_micros, from_text, to_micros, to_text
from retention.records.errors import UsageError
from retention.records.keeping import ClosureCancelled, ClosureDeclared, OpeningAdopted
from retention.store import trusted
from retention.store.database import NodeStore
from retention.store.log import append

ALWAYS_OPEN = ("open",) * 7
LONGEST_CLOSURE_US = 31 * 86_400_000_000


class ClosureRefused(UsageError):
    """The closure would excuse what is past, ends before it begins, or is too long."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Weekly hours, Monday first, in force from a moment until the next ones are."""

    effective_from: int
    hours: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Closure:
    """A declared span without opening; from `cancelled_at` on it holds no more."""

    id: str
    kind: str
    started_at: int
    ended_at: int
    declared_at: int
    cancelled_at: int | None


# -- writing --------------------------------------------------------------------------------------


def adopt(store: NodeStore, connection: sqlite3.Connection, hours: Sequence[str]) -> bool:
    """Let these hours hold from now on; returns False when they do already.

    A node that never adopted any is always open. While the clock stands before the last adoption
    (it was set back) nothing is adopted: hours never reach back.
    """
    known = openings(connection)
    last = known[-1] if known else Opening(0, ALWAYS_OPEN)
    now = _now(store, connection)
    if tuple(hours) == last.hours or now <= last.effective_from:
        return False
    adopted = OpeningAdopted(hours=tuple(hours), effective_from=to_text(from_micros(now)))
    append(store, connection, adopted)
    connection.execute("INSERT INTO openings VALUES (?, ?)", (now, " ".join(hours)))
    return True


def declare(store: NodeStore, connection: sqlite3.Connection, closure: ClosureDeclared) -> bool:
    """Declare a closure; returns False when this id is known. Raises ClosureRefused."""
    start, end = (to_micros(from_text(text)) for text in (closure.started_at, closure.ended_at))
    now = _now(store, connection)
    if _known(connection, closure.closure) is not None:
        return False
    if start < now:
        raise ClosureRefused("a closure begins in the future: what is past cannot be excused")
    if not 0 < end - start <= LONGEST_CLOSURE_US:
        raise ClosureRefused("a closure ends after it begins and lasts at most 31 days")
    append(store, connection, closure)
    connection.execute(
        "INSERT INTO closures VALUES (?, ?, ?, ?, ?, NULL)",
        (closure.closure, closure.kind, start, end, now),
    )
    return True


def cancel(
    store: NodeStore, connection: sqlite3.Connection, cancelled: ClosureCancelled
) -> Literal["cancelled", "unknown", "over"]:
    """Take a closure back: what of it lies ahead is owed again, what is past of it is not."""
    found = _known(connection, cancelled.closure)
    now = to_micros(store.clock.now())
    if found is None:
        return "unknown"
    if found.cancelled_at is not None or found.ended_at <= now:
        return "over"
    append(store, connection, cancelled)
    connection.execute("UPDATE closures SET cancelled_at = ? WHERE id = ?", (now, found.id))
    return "cancelled"


# -- reading --------------------------------------------------------------------------------------


def openings(connection: sqlite3.Connection) -> list[Opening]:
    """Return every set of hours that was ever adopted, in order."""
    rows = connection.execute("SELECT effective_from, hours FROM openings ORDER BY effective_from")
    return [Opening(at, tuple(hours.split(" "))) for at, hours in rows]


def closures_between(connection: sqlite3.Connection, start: int, end: int) -> list[Closure]:
    """Return the closures that overlap a span, cancelled ones too, in order."""
    rows = connection.execute(
        f"{_CLOSURE} WHERE started_at >= ? AND started_at < ? AND ended_at > ? ORDER BY started_at",
        (start - LONGEST_CLOSURE_US, end, start),
    )
    return [Closure(*row) for row in rows]


_CLOSURE = "SELECT id, kind, started_at, ended_at, declared_at, cancelled_at FROM closures"


def _now(store: NodeStore, connection: sqlite3.Connection) -> int:
    """Return the moment from which on something may hold: now, or what has surely passed."""
    clock = store.clock
    return to_micros(max(clock.now(), trusted.passed(connection, clock)))


def _known(connection: sqlite3.Connection, closure: str) -> Closure | None:
    row = connection.execute(f"{_CLOSURE} WHERE id = ?", (closure,)).fetchone()
    return None if row is None else Closure(*row)
