"""The SQL of the pharmacists on duty: who signed in, where, and whether they are still there.

One pharmacist signs in at one counter at a time; several pharmacists may be on duty. Every function
that writes takes the connection of the caller's transaction and appends the record of the fact in
it; a look that changes nothing writes no record. How long ago somebody was seen is told by the
monotonic clock of one boot, never by the wall clock: after a reboot nobody can say, so nobody is
present until they are looked at or confirm it. `present` does not trust the written state alone:
a state that nobody renewed in time counts for nothing (retention.terms.presence).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from retention.records.clock import Clock, from_micros, to_micros
from retention.records.people import (
    PharmacistPresence,
    PharmacistSignedIn,
    PharmacistSignedOut,
)
from retention.store.database import NodeStore
from retention.store.log import append
from retention.terms.presence import Method, PresenceLimits, still_holds

State = Literal["present", "doubtful", "absent"]
Cause = Literal["asked", "other_signed_in", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class DutyRow:
    """One pharmacist on duty. `since` is when the state began, `seen_at` when they were last seen
    or confirmed it, `missed` how many looks in a row did not see them, `reasons` why the state is
    what it is. `seen_ns` is on the monotonic clock of `boot_id`."""

    pharmacist: str
    counter: str
    method: Method
    state: State
    signed_in_at: datetime
    since: datetime
    seen_at: datetime
    boot_id: str
    seen_ns: int
    missed: int
    reasons: tuple[str, ...]

    def age_seconds(self, clock: Clock) -> float | None:
        """Return how long ago they were seen; None when that was before this boot."""
        if clock.boot_id() != self.boot_id:
            return None
        return (clock.monotonic_ns() - self.seen_ns) / 1e9


_ROW = (
    "SELECT d.pharmacist, d.counter, d.method, d.state, d.signed_in_at, d.since, d.seen_at,"
    " d.boot_id, d.seen_ns, d.missed, d.reasons FROM duty d"
)
_STANDING = " JOIN pharmacists p ON p.id = d.pharmacist AND p.revoked_at IS NULL"


# -- reading --------------------------------------------------------------------------------------


def present(
    connection: sqlite3.Connection, counter: str | None, clock: Clock, limits: PresenceLimits
) -> bool:
    """Tell whether a pharmacist is present at a counter, or anywhere in the pharmacy (None).

    Someone doubtful is still present, until the grace is over. A revoked credential never is.
    """
    rows = [row for row in _rows(connection, _STANDING) if counter in (None, row.counter)]
    return any(is_present(row, clock, limits) for row in rows)


def is_present(row: DutyRow, clock: Clock, limits: PresenceLimits) -> bool:
    """Tell whether one pharmacist on duty counts as present now."""
    return row.state != "absent" and still_holds(row.method, row.age_seconds(clock), limits)


def on_duty(connection: sqlite3.Connection) -> list[DutyRow]:
    """Return who is signed in, present or not, the first to come first."""
    return _rows(connection, "")


def read(connection: sqlite3.Connection, pharmacist: str) -> DutyRow | None:
    """Return one pharmacist's row."""
    found = connection.execute(f"{_ROW} WHERE d.pharmacist = ?", (pharmacist,)).fetchone()
    return None if found is None else _row(found)


def is_credential(connection: sqlite3.Connection, pharmacist: str) -> bool:
    """Tell whether a pharmacist of that id has a credential here that was not revoked."""
    found = connection.execute(
        "SELECT 1 FROM pharmacists WHERE id = ? AND revoked_at IS NULL", (pharmacist,)
    ).fetchone()
    return found is not None


# -- writing --------------------------------------------------------------------------------------


def sign_in(
    store: NodeStore,
    connection: sqlite3.Connection,
    pharmacist: str,
    counter: str,
    method: Method,
    reasons: tuple[str, ...],
) -> None:
    """Let a pharmacist be on duty and present at a counter. At another one they are signed out."""
    known = read(connection, pharmacist)
    if known is not None:
        sign_out(store, connection, known, "other_signed_in")
    clock = store.clock
    now = to_micros(clock.now())
    connection.execute(
        "INSERT INTO duty (pharmacist, counter, method, state, signed_in_at, since, seen_at,"
        " boot_id, seen_ns, missed, reasons) VALUES (?, ?, ?, 'present', ?, ?, ?, ?, ?, 0, ?)",
        (pharmacist, counter, method, now, now, now, clock.boot_id(), clock.monotonic_ns(),
         " ".join(reasons)),
    )  # fmt: skip
    signed_in = PharmacistSignedIn(pharmacist=pharmacist, counter=counter, method=method)
    append(store, connection, signed_in, counter=counter)


def change(
    store: NodeStore,
    connection: sqlite3.Connection,
    row: DutyRow,
    *,
    method: Method,
    state: State,
    missed: int,
    reasons: tuple[str, ...],
    seen: bool,
) -> None:
    """Write what a look, a confirmation or the time came to; a record only when what counts, or the
    way in which it is known, is another one. `seen` says that they were seen or confirmed it now.

    One look that missed somebody who still counts is nobody else's business: of a doubt only that
    after a reboot is recorded, in which they count no more.
    """
    clock = store.clock
    now = to_micros(clock.now())
    mere_doubt = row.boot_id == clock.boot_id() and "absent" not in (state, row.state)
    changed = method != row.method or (state != row.state and not mere_doubt)
    connection.execute(
        "UPDATE duty SET method = ?, state = ?, missed = ?, reasons = ?, since = ?, seen_at = ?,"
        " boot_id = ?, seen_ns = ? WHERE pharmacist = ?",
        (method, state, missed, " ".join(reasons),
         now if state != row.state else to_micros(row.since),
         now if seen else to_micros(row.seen_at),
         clock.boot_id() if seen else row.boot_id,
         clock.monotonic_ns() if seen else row.seen_ns,
         row.pharmacist),
    )  # fmt: skip
    if not changed:
        return
    presence = PharmacistPresence(
        pharmacist=row.pharmacist,
        counter=row.counter,
        state=state,
        method=method,
        reasons=reasons[:4],
    )
    append(store, connection, presence, counter=row.counter)


def sign_out(store: NodeStore, connection: sqlite3.Connection, row: DutyRow, cause: Cause) -> None:
    """End a pharmacist's duty; `other_signed_in`: they signed in somewhere else."""
    connection.execute("DELETE FROM duty WHERE pharmacist = ?", (row.pharmacist,))
    signed_out = PharmacistSignedOut(pharmacist=row.pharmacist, counter=row.counter, cause=cause)
    append(store, connection, signed_out, counter=row.counter)


def _rows(connection: sqlite3.Connection, joined: str) -> list[DutyRow]:
    found = connection.execute(f"{_ROW}{joined} ORDER BY d.signed_in_at, d.pharmacist")
    return [_row(row) for row in found]


def _row(row: sqlite3.Row) -> DutyRow:
    return DutyRow(
        row["pharmacist"], row["counter"], row["method"], row["state"],
        from_micros(row["signed_in_at"]), from_micros(row["since"]), from_micros(row["seen_at"]),
        row["boot_id"], row["seen_ns"], row["missed"], tuple(row["reasons"].split()),
    )  # fmt: skip
