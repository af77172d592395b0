"""Inspectors who may place holds and take evidence at the node itself, away from central.

Only a digest of each secret is kept. Five failures lock a credential for five minutes; the answer
is the same whether the inspector is unknown, locked, revoked or gave a wrong secret.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from retention.passphrase import Credential, after_try, hash_secret, matches
from retention.records.clock import from_micros, to_micros
from retention.records.errors import UsageError
from retention.records.payloads import AccessRecorded
from retention.store.database import NodeStore, StoreError
from retention.store.log import append

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/+-]{0,63}")


class InspectorRefused(StoreError, UsageError):
    """No inspector here has this name and this secret, or the credential is locked."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"检查员 {name[:64]!r} 的口令不对，或已锁定五分钟 / wrong inspector or secret, "
            "or locked for five minutes"
        )
        self.name = name


@dataclass(frozen=True, slots=True)
class InspectorRow:
    """An inspector as listed."""

    id: str
    added_at: datetime
    revoked_at: datetime | None


def add(store: NodeStore, name: str, secret: str) -> None:
    """Store an inspector's credential, or replace it, with a record. Raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"inspector {name[:64]!r}: letters, digits and _.:/+- only, 64 at most")
    stored = hash_secret(secret)
    with store.write() as connection:
        connection.execute(
            "INSERT INTO inspectors (id, secret_hash, added_at) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET secret_hash = excluded.secret_hash,"
            " failed_tries = 0, locked_until = NULL, revoked_at = NULL",
            (name, stored, to_micros(store.clock.now())),
        )
        _record(store, connection, "inspector.added", name)


def revoke(store: NodeStore, name: str) -> bool:
    """Take an inspector's access away, with a record; False when there is none to take."""
    with store.write() as connection:
        found = connection.execute(
            "UPDATE inspectors SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL",
            (to_micros(store.clock.now()), name),
        )
        if found.rowcount:
            _record(store, connection, "inspector.revoked", name)
    return bool(found.rowcount)


def listed(connection: sqlite3.Connection) -> list[InspectorRow]:
    """Return every inspector that was ever added."""
    return [
        InspectorRow(
            row["id"],
            from_micros(row["added_at"]),
            None if row["revoked_at"] is None else from_micros(row["revoked_at"]),
        )
        for row in connection.execute("SELECT id, added_at, revoked_at FROM inspectors ORDER BY id")
    ]


def check(store: NodeStore, name: str, secret: str) -> None:
    """Check an inspector's secret. Raises InspectorRefused, the same for every cause."""
    stored = _take_a_try(store, name)
    if not matches(stored, secret):
        raise InspectorRefused(name)
    with store.write() as connection:
        _set_tries(connection, name, 0, None)


def _take_a_try(store: NodeStore, name: str) -> str | None:
    """Count a try and return the stored secret, or None when there is nothing to try."""
    with store.write() as connection:
        row = _read(connection, name)
        counted = after_try(row, store.clock.now())
        if row is None or counted is None:
            return None
        _set_tries(connection, name, *counted)
    return row.secret_hash


def _read(connection: sqlite3.Connection, name: str) -> Credential | None:
    row = connection.execute(
        "SELECT id, secret_hash, failed_tries, locked_until FROM inspectors"
        " WHERE id = ? AND revoked_at IS NULL",
        (name,),
    ).fetchone()
    if row is None:
        return None
    locked = row["locked_until"]
    return Credential(
        row["id"], row["secret_hash"], row["failed_tries"],
        None if locked is None else from_micros(locked),
    )  # fmt: skip


def _set_tries(
    connection: sqlite3.Connection, name: str, tries: int, locked_until: datetime | None
) -> None:
    connection.execute(
        "UPDATE inspectors SET failed_tries = ?, locked_until = ? WHERE id = ?",
        (tries, None if locked_until is None else to_micros(locked_until), name),
    )


def _record(store: NodeStore, connection: sqlite3.Connection, action: str, name: str) -> None:
    access = AccessRecorded(
        actor="node operator", action=action, subject=name, reason="edge inspector"
    )
    append(store, connection, access)
