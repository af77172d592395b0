"""The SQL of holds: nothing that a standing hold covers is disposed of.

A hold is released only by the authority that placed it. What it covers is resolved anew whenever
something is about to go, so a session that comes later is covered too.
"""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from retention.policy import HeldScope, HeldSpan
from retention.records.canonical import canonical_bytes
from retention.records.clock import EPOCH, from_micros, from_text, to_micros
from retention.records.keeping import Hold, HoldPlaced, HoldReleased
from retention.store.database import NodeStore, StoreError
from retention.store.log import append

OWED_AROUND = timedelta(seconds=600)
"""The longest pre-roll and post-roll that can be configured: a hold keeps that much around a
session, whatever the configuration says now or said then."""
UNKNOWN_SESSION = timedelta(days=1)
"""How long a session may have been open that is not in this database (a rebuilt one, another
node's): its id tells when it began."""
READ_AT_ONCE = 100_000
"""Records of the log that are looked through in one transaction for a person's sessions."""
_PERSON_AT = {
    "session.opened": "$.payload.claim.person_ref",
    "session.proxy": "$.payload.purchaser_ref",
    "session.prescription": "$.payload.patient_ref",
}
Released = Literal["released", "unknown", "other_authority"]


class HoldRefused(StoreError):
    """A hold whose scope does not say what it covers, or whose id is taken by another."""


@dataclass(frozen=True, slots=True)
class HoldRow:
    """A hold as it is listed."""

    hold: Hold
    authority: str
    author: str
    reason: str
    placed_at: datetime
    released_at: datetime | None


def place(store: NodeStore, connection: sqlite3.Connection, placed: HoldPlaced) -> bool:
    """Place a hold and append its record; False when the same was placed before (standing or
    released since). Raises HoldRefused."""
    hold = placed.hold
    check_scope(hold)
    row = connection.execute(
        "SELECT body, authority FROM holds WHERE id = ?", (hold.hold,)
    ).fetchone()
    if row is not None:
        if (Hold.model_validate_json(row["body"]), row["authority"]) != (hold, placed.authority):
            raise HoldRefused(f"hold {hold.hold}: this id was used for another hold")
        return False
    connection.execute(
        "INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, NULL)",
        (hold.hold, placed.authority, canonical_bytes(hold.model_dump(mode="json")),
         placed.author, placed.reason, to_micros(store.clock.now())),
    )  # fmt: skip
    append(store, connection, placed)
    return True


def release(store: NodeStore, connection: sqlite3.Connection, released: HoldReleased) -> Released:
    """Release a hold and append the record; a second time changes nothing."""
    row = connection.execute(
        "SELECT authority, released_at FROM holds WHERE id = ?", (released.hold,)
    ).fetchone()
    if row is None:
        return "unknown"
    if row["authority"] != released.authority:
        return "other_authority"
    if row["released_at"] is None:
        connection.execute(
            "UPDATE holds SET released_at = ? WHERE id = ?",
            (to_micros(store.clock.now()), released.hold),
        )
        append(store, connection, released)
    return "released"


def standing(connection: sqlite3.Connection) -> list[Hold]:
    """Return the holds that were placed and not released, oldest first."""
    return [row.hold for row in listed(connection) if row.released_at is None]


def listed(connection: sqlite3.Connection) -> list[HoldRow]:
    """Return every hold there ever was, oldest first."""
    rows = connection.execute(
        "SELECT body, authority, author, reason, placed_at, released_at FROM holds"
        " ORDER BY placed_at, id"
    )
    return [
        HoldRow(
            Hold.model_validate_json(row["body"]), row["authority"], row["author"], row["reason"],
            from_micros(row["placed_at"]),
            None if row["released_at"] is None else from_micros(row["released_at"]),
        )
        for row in rows
    ]  # fmt: skip


def check_scope(hold: Hold) -> None:
    """Raises HoldRefused when the hold says too little or too much for its scope."""
    said = {
        name
        for name in ("session", "person_ref", "started_at", "ended_at")
        if getattr(hold, name) is not None
    } | ({"cameras"} if hold.cameras else set())
    needed = {
        "session": {"session"},
        "person": {"person_ref"},
        "span": {"started_at", "ended_at"},
        "pharmacy": set(),
    }[hold.scope]
    allowed = needed | ({"cameras"} if hold.scope == "span" else set())
    if not needed <= said <= allowed:
        raise HoldRefused(
            f"a hold of scope {hold.scope} names {', '.join(sorted(said)) or 'nothing'}; "
            f"it must name {', '.join(sorted(needed)) or 'nothing'}"
        )
    if hold.started_at is not None and hold.ended_at is not None:
        try:
            right = from_text(hold.started_at) < from_text(hold.ended_at)
        except ValueError as exc:
            raise HoldRefused(f"hold {hold.hold}: {exc}") from exc
        if not right:
            raise HoldRefused(f"hold {hold.hold}: ends before it begins")


# -- what they cover ------------------------------------------------------------------------------


def read_on(connection: sqlite3.Connection) -> bool:
    """Look for sessions of held persons in the next stretch of the log; True while there is more.

    A person's sessions are found once and kept, so a pass of disposal costs what came since.
    """
    (size,) = connection.execute("SELECT size FROM frontier").fetchone()
    more = False
    for hold in standing(connection):
        if hold.person_ref is not None:
            more |= _read_on(connection, hold.hold, hold.person_ref, size)
    return more


def _read_on(connection: sqlite3.Connection, hold: str, person: str, size: int) -> bool:
    row = connection.execute("SELECT read_to FROM held_persons WHERE hold = ?", (hold,)).fetchone()
    first = 0 if row is None else int(row["read_to"])
    end = min(size, first + READ_AT_ONCE)
    if row is not None and end == first:
        return False
    for kind, path in _PERSON_AT.items():
        connection.execute(
            "INSERT OR IGNORE INTO held_sessions SELECT ?, session FROM log"
            " WHERE kind = ? AND sequence >= ? AND sequence < ? AND session IS NOT NULL"
            " AND CASE WHEN disposed_by IS NULL THEN"
            " json_extract(CAST(bytes AS TEXT), ?) = ? ELSE 0 END",
            (hold, kind, first, end, path, person),
        )
    connection.execute("INSERT OR REPLACE INTO held_persons VALUES (?, ?)", (hold, end))
    return end < size


def resolve(connection: sqlite3.Connection) -> list[HeldScope] | None:
    """Return what the standing holds cover; None while a person's sessions are not all found
    (`read_on`): until then nothing may go."""
    (size,) = connection.execute("SELECT size FROM frontier").fetchone()
    found = [_scope(connection, hold, size) for hold in standing(connection)]
    scopes = [scope for scope in found if scope is not None]
    return scopes if len(scopes) == len(found) else None


def _scope(connection: sqlite3.Connection, hold: Hold, size: int) -> HeldScope | None:
    if hold.scope == "pharmacy":
        return HeldScope(hold.hold, everything=True)
    if hold.scope == "span":
        # check_scope saw to it that both are there.
        start, end = from_text(hold.started_at or ""), from_text(hold.ended_at or "")
        return HeldScope(hold.hold, spans=(HeldSpan(start, end, frozenset(hold.cameras)),))
    if hold.scope == "session":
        return _of_sessions(connection, hold.hold, [hold.session or ""], frozenset())
    row = connection.execute(
        "SELECT read_to FROM held_persons WHERE hold = ?", (hold.hold,)
    ).fetchone()
    if row is None or row["read_to"] < size:
        return None
    sessions = [
        found[0]
        for found in connection.execute(
            "SELECT session FROM held_sessions WHERE hold = ?", (hold.hold,)
        )
    ]
    return _of_sessions(connection, hold.hold, sessions, frozenset({hold.person_ref or ""}))


def _of_sessions(
    connection: sqlite3.Connection, hold: str, sessions: list[str], persons: frozenset[str]
) -> HeldScope:
    spans = (_owed(connection, session) for session in sessions)
    return HeldScope(
        hold,
        sessions=frozenset(sessions),
        persons=persons,
        spans=tuple(span for span in spans if span is not None),
    )


def _owed(connection: sqlite3.Connection, session: str) -> HeldSpan | None:
    """Return the footage owed to a session, with the widest rolls there can be.

    None for a session that this node never knew and whose id tells no time.
    """
    row = connection.execute(
        "SELECT opened_at, closed_at FROM sessions WHERE id = ?", (session,)
    ).fetchone()
    if row is None:
        return _born(session)
    end = _last_event(connection, session) if row["closed_at"] is None else row["closed_at"]
    return HeldSpan(
        from_micros(row["opened_at"]) - OWED_AROUND, from_micros(end) + OWED_AROUND, frozenset()
    )


def _born(session: str) -> HeldSpan | None:
    """Every id of ours is a UUIDv7, which begins with the milliseconds since the epoch."""
    try:
        began = EPOCH + timedelta(milliseconds=uuid.UUID(session).int >> 80)
        return HeldSpan(began - UNKNOWN_SESSION, began + UNKNOWN_SESSION, frozenset())
    except OverflowError:
        return None


def _last_event(connection: sqlite3.Connection, session: str) -> int:
    """A session that was never closed is held to its last record, and a day beyond it."""
    (at,) = connection.execute(
        "SELECT max(occurred_at) FROM log WHERE session = ?", (session,)
    ).fetchone()
    return int(at or 0) + UNKNOWN_SESSION // timedelta(microseconds=1)


def knows(connection: sqlite3.Connection, session: str) -> bool:
    """Tell whether this node has a session; of another only the time of its id is held."""
    return (
        connection.execute("SELECT 1 FROM sessions WHERE id = ?", (session,)).fetchone() is not None
    )


def person_of(connection: sqlite3.Connection, session: str) -> str | None:
    """Return whom a session was claimed for; None when this node does not know it any more."""
    row = connection.execute(
        "SELECT json_extract(CAST(bytes AS TEXT), ?) FROM log"
        " WHERE session = ? AND kind = 'session.opened' AND disposed_by IS NULL",
        (_PERSON_AT["session.opened"], session),
    ).fetchone()
    return None if row is None else str(row[0])
