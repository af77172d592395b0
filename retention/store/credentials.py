"""The stored secrets of people who sign with their own name at a node: one table a role.

Only a digest of each secret is kept. A credential that is put again is unlocked and stands again.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Literal

from retention.passphrase import Credential, after_try
from retention.records.clock import from_micros, to_micros
from retention.store.database import NodeStore

Role = Literal["pharmacists", "inspectors"]
"""The name of the role's table."""


def put(
    connection: sqlite3.Connection, role: Role, name: str, secret_hash: str, added_at: datetime
) -> None:
    """Store a credential, or replace the one there is; a replaced one is unlocked."""
    connection.execute(
        f"INSERT INTO {role} (id, secret_hash, added_at) VALUES (?, ?, ?)"  # noqa: S608 - one of two
        " ON CONFLICT (id) DO UPDATE SET secret_hash = excluded.secret_hash, failed_tries = 0,"
        " locked_until = NULL, revoked_at = NULL",
        (name, secret_hash, to_micros(added_at)),
    )


def take_a_try(store: NodeStore, role: Role, name: str) -> str | None:
    """Count a try and return the stored secret, or None when there is nothing to try."""
    with store.write() as connection:
        row = _read(connection, role, name)
        counted = after_try(row, store.clock.now())
        if row is None or counted is None:
            return None
        _set_tries(connection, role, name, *counted)
    return row.secret_hash


def forget_tries(store: NodeStore, role: Role, name: str) -> None:
    """Start counting again: the secret was right."""
    with store.write() as connection:
        _set_tries(connection, role, name, 0, None)


def _read(connection: sqlite3.Connection, role: Role, name: str) -> Credential | None:
    row = connection.execute(
        f"SELECT id, secret_hash, failed_tries, locked_until FROM {role}"  # noqa: S608 - one of two
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
    connection: sqlite3.Connection,
    role: Role,
    name: str,
    tries: int,
    locked_until: datetime | None,
) -> None:
    connection.execute(
        f"UPDATE {role} SET failed_tries = ?, locked_until = ? WHERE id = ?",  # noqa: S608 - one of two
        (tries, None if locked_until is None else to_micros(locked_until), name),
    )
