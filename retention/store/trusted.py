"""Time that retention may trust: the latest moment that is surely past.

An anchor, plus the monotonic time that ran since within one boot. A later wall clock counts only
as far as central agrees: the `seen_at` that it signed when it countersigned a checkpoint. So a
wall clock that jumps forward moves nothing, a node that was off counts nothing of that time until
central speaks, and a node without central counts only while it runs. Every error is one of
keeping for longer.

    passed      never goes back, whatever the wall clock or the boot does
    marks       what had passed when the log had a certain size
    lived       between which moments something recorded at a place in the log can have been made:
                a segment that was stamped 1970 by a dead battery does not seem half a century old
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from retention.records.checkpoint import SignedCountersignature
from retention.records.clock import EPOCH, Clock, ClockState, from_micros, from_text, to_micros
from retention.store.database import NodeStore

MARK_EVERY_US = 3_600_000_000
"""A mark an hour: what is recorded between two of them is kept at most so much longer."""
BEHIND = timedelta(seconds=5)
LAGS = timedelta(days=1)
"""So far a wall clock that was stepped back may lag behind what has passed: what is due waits for
the later of both, and a machine that is never switched off would otherwise rest for ever."""
BELIEVABLE = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2076, 1, 1, tzinfo=UTC))
"""A wall clock outside this has no battery: an anchor there would be decades off for ever."""
AGREES_WITHIN = timedelta(hours=2)
"""Central signs at least one checkpoint an hour of a node that records."""


def advance(
    store: NodeStore, connection: sqlite3.Connection, central_seen_at: datetime | None
) -> None:
    """Write down how far time has surely come, inside the caller's transaction.

    A node that has a central calls this only once central has spoken (`newest_seen_at`): its first
    anchor is then the earlier of both clocks. A node alone begins with its wall clock, once that
    can be believed.
    """
    clock = store.clock
    wall = clock.now()
    agreed = wall if central_seen_at is None else min(wall, central_seen_at)
    found = _read(connection)
    if found is None:
        if central_seen_at is None and not _believable(wall):
            return
        now = to_micros(agreed)
    else:
        now = found.passed_now(clock)
        if central_seen_at is not None:
            now = max(now, to_micros(agreed))
    connection.execute(
        "INSERT OR REPLACE INTO trusted_time VALUES (1, ?, ?, ?)",
        (now, clock.boot_id(), clock.monotonic_ns()),
    )
    _mark(connection, now)


def passed(connection: sqlite3.Connection, clock: Clock) -> datetime:
    """Return the latest moment that is surely past; the epoch before there is an anchor."""
    found = _read(connection)
    return EPOCH if found is None else from_micros(found.passed_now(clock))


def clock_state(
    connection: sqlite3.Connection, clock: Clock, central_seen_at: datetime | None
) -> ClockState:
    """Tell whether anything may be disposed of by this clock now.

    JUMPED while the wall clock cannot be believed or is a day behind what has surely passed, and
    after a jump until central and the wall clock agree again (for a node alone: until the process
    is started again).
    """
    wall = clock.now()
    if not _believable(wall) or wall < passed(connection, clock) - LAGS:
        return ClockState.JUMPED
    if clock.state() is ClockState.STEADY:
        return ClockState.STEADY
    agrees = (
        central_seen_at is not None
        and central_seen_at - BEHIND <= wall <= central_seen_at + AGREES_WITHIN
    )
    return ClockState.STEADY if agrees else ClockState.JUMPED


def newest_seen_at(connection: sqlite3.Connection) -> datetime | None:
    """Return when central saw the newest checkpoint that it countersigned; None before any.

    The uplink keeps a countersignature only after it checked central's signature.
    """
    row = connection.execute(
        "SELECT countersigned FROM checkpoints WHERE countersigned IS NOT NULL"
        " ORDER BY tree_size DESC LIMIT 1"
    ).fetchone()
    return None if row is None else _seen_at(row["countersigned"])


def seen_since(connection: sqlite3.Connection, sequence: int) -> datetime | None:
    """Return when central first countersigned a checkpoint that covers a record."""
    row = connection.execute(
        "SELECT countersigned FROM checkpoints WHERE tree_size > ? AND countersigned IS NOT NULL"
        " ORDER BY tree_size LIMIT 1",
        (sequence,),
    ).fetchone()
    return None if row is None else _seen_at(row["countersigned"])


def lived(
    connection: sqlite3.Connection,
    clock: Clock,
    sequence: int,
    started_at: datetime,
    ended_at: datetime,
) -> tuple[datetime, datetime]:
    """Return the earliest beginning and the latest end of what was recorded at a place in the log.

    Counting from the latest end is what makes disposal never early: real time that has passed
    since then is at least what trusted time says, whatever the wall clock said when it was made.
    What no mark follows yet may have been made just now, and what central has not covered, when it
    spoke last: that word may have moved trusted time on since.
    """
    before = _mark_at(connection, "log_size <= ? ORDER BY log_size DESC", sequence) or EPOCH
    after = _mark_at(connection, "log_size > ? ORDER BY log_size", sequence)
    latest = [ended_at, passed(connection, clock) if after is None else after]
    seen = seen_since(connection, sequence) or newest_seen_at(connection)
    latest += [] if seen is None else [seen]
    return min(started_at, before), max(latest)


def _believable(wall: datetime) -> bool:
    return BELIEVABLE[0] <= wall < BELIEVABLE[1]


def _mark_at(connection: sqlite3.Connection, where: str, sequence: int) -> datetime | None:
    row = connection.execute(
        f"SELECT passed_at FROM time_marks WHERE {where} LIMIT 1",  # noqa: S608 - our own two
        (sequence,),
    ).fetchone()
    return None if row is None else from_micros(row["passed_at"])


@dataclass(frozen=True, slots=True)
class _Anchor:
    passed_at: int
    boot_id: str
    monotonic_ns: int

    def passed_now(self, clock: Clock) -> int:
        if clock.boot_id() != self.boot_id:
            return self.passed_at
        return self.passed_at + max(0, clock.monotonic_ns() - self.monotonic_ns) // 1000


def _read(connection: sqlite3.Connection) -> _Anchor | None:
    row = connection.execute("SELECT passed_at, boot_id, monotonic_ns FROM trusted_time").fetchone()
    return None if row is None else _Anchor(*row)


def _mark(connection: sqlite3.Connection, now: int) -> None:
    """Note what has passed at this size of the log, at most once an hour."""
    (size,) = connection.execute("SELECT size FROM frontier").fetchone()
    last = connection.execute(
        "SELECT log_size, passed_at FROM time_marks ORDER BY log_size DESC LIMIT 1"
    ).fetchone()
    if last is None or (size > last["log_size"] and now - last["passed_at"] >= MARK_EVERY_US):
        connection.execute("INSERT INTO time_marks VALUES (?, ?)", (size, now))


def _seen_at(countersigned: bytes) -> datetime:
    signed = SignedCountersignature.model_validate_json(countersigned)
    return from_text(signed.countersignature.seen_at)
