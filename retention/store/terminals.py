"""Paired terminals and pairing codes. Only digests of their secrets are kept."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from retention.records.clock import to_micros


@dataclass(frozen=True, slots=True)
class TerminalRow:
    """A paired terminal that may call."""

    id: str
    counter: str


# -- terminals ------------------------------------------------------------------------------------


def insert_terminal(
    connection: sqlite3.Connection,
    terminal: str,
    counter: str,
    name: str,
    token_sha256: str,
    paired_at: datetime,
) -> None:
    """Store a terminal with the digest of its token."""
    connection.execute(
        "INSERT INTO terminals VALUES (?, ?, ?, ?, ?, NULL)",
        (terminal, counter, name, token_sha256, to_micros(paired_at)),
    )


def terminal_by_token(connection: sqlite3.Connection, token_sha256: str) -> TerminalRow | None:
    """Return the terminal of a token, unless it was revoked."""
    row = connection.execute(
        "SELECT id, counter FROM terminals WHERE token_sha256 = ? AND revoked_at IS NULL",
        (token_sha256,),
    ).fetchone()
    return None if row is None else TerminalRow(row["id"], row["counter"])


def mark_revoked(connection: sqlite3.Connection, terminal: str, revoked_at: datetime) -> bool:
    """Revoke a terminal; say whether there was one to revoke."""
    changed = connection.execute(
        "UPDATE terminals SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL",
        (to_micros(revoked_at), terminal),
    )
    return changed.rowcount == 1


# -- pairing codes --------------------------------------------------------------------------------


def replace_code(
    connection: sqlite3.Connection, counter: str, code_sha256: str, expires_at: datetime
) -> None:
    """Store a fresh code; earlier unused codes of the counter stop working."""
    connection.execute(
        "DELETE FROM pairing_codes WHERE counter = ? AND used_at IS NULL", (counter,)
    )
    connection.execute(
        "INSERT INTO pairing_codes VALUES (?, ?, ?, 0, NULL)",
        (code_sha256, counter, to_micros(expires_at)),
    )


def use_code(
    connection: sqlite3.Connection, code_sha256: str, now: datetime, limit: int
) -> str | None:
    """Consume a live code and return its counter. A live code has fewer than `limit` failures."""
    row = connection.execute(
        "UPDATE pairing_codes SET used_at = ? WHERE code_sha256 = ? AND used_at IS NULL"
        " AND expires_at > ? AND failed_tries < ? RETURNING counter",
        (to_micros(now), code_sha256, to_micros(now), limit),
    ).fetchall()
    return row[0]["counter"] if row else None


def count_wrong_code(connection: sqlite3.Connection, now: datetime, limit: int) -> None:
    """Count a wrong try against every code that is waiting, since it could have been for any.

    A code that is locked already is not written again: anybody may try, and a write costs an fsync.
    """
    connection.execute(
        "UPDATE pairing_codes SET failed_tries = failed_tries + 1"
        " WHERE used_at IS NULL AND expires_at > ? AND failed_tries < ?",
        (to_micros(now), limit),
    )
