"""Dispensing sessions: the row that lists one, and the scan for settlements left open.

What a session *is* lies in its log rows; this table only finds and orders them.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from retention.records.clock import from_micros, to_micros

# A session whose archive was disposed of is no session any more; its row only bounds footage.
_SESSION = (
    "SELECT id, counter, opened_at, closed_at, covered_at FROM sessions"
    " WHERE NOT EXISTS (SELECT 1 FROM log WHERE log.session = sessions.id"
    " AND log.kind = 'session.opened' AND log.disposed_by IS NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as it is listed."""

    id: str
    counter: str
    opened_at: datetime
    closed_at: datetime | None
    covered_at: datetime | None


def insert_session(
    connection: sqlite3.Connection, session: str, counter: str, opened_at: datetime
) -> None:
    """List a session that was just opened."""
    connection.execute(
        "INSERT INTO sessions VALUES (?, ?, ?, NULL, NULL)",
        (session, counter, to_micros(opened_at)),
    )


def mark_closed(connection: sqlite3.Connection, session: str, closed_at: datetime) -> None:
    """Note when a session was closed; the custodian counts its coverage from there."""
    connection.execute(
        "UPDATE sessions SET closed_at = ? WHERE id = ?", (to_micros(closed_at), session)
    )


def read_session(connection: sqlite3.Connection, session: str) -> SessionRow | None:
    """Return one listed session; None for one whose archive was disposed of, too."""
    row = connection.execute(
        f"{_SESSION} AND id = ?",
        (session,),
    ).fetchone()
    return None if row is None else _session(row)


def recent_sessions(connection: sqlite3.Connection, counter: str, limit: int) -> list[SessionRow]:
    """Return a counter's newest sessions, newest first."""
    rows = connection.execute(
        f"{_SESSION} AND counter = ? ORDER BY opened_at DESC, id DESC LIMIT ?",
        (counter, limit),
    )
    return [_session(row) for row in rows]


def unconcluded_settlements(connection: sqlite3.Connection) -> list[str]:
    """Return the sessions whose last settlement message has no conclusion in the log."""
    rows = connection.execute(
        "SELECT a.session, max(a.sequence) AS attempted,"
        " coalesce((SELECT max(c.sequence) FROM log c WHERE c.session = a.session"
        "           AND c.kind = 'settlement.concluded'), -1) AS concluded"
        " FROM log a WHERE a.kind = 'settlement.attempted' GROUP BY a.session"
        " HAVING attempted > concluded ORDER BY attempted"
    )
    return [row["session"] for row in rows]


def _session(row: sqlite3.Row) -> SessionRow:
    closed, covered = row["closed_at"], row["covered_at"]
    return SessionRow(
        row["id"], row["counter"], from_micros(row["opened_at"]),
        None if closed is None else from_micros(closed),
        None if covered is None else from_micros(covered),
    )  # fmt: skip
