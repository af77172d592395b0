"""The stored secrets of people who sign with their own name at a node: one table a role.

Only a digest of each secret is kept. Five failures lock a credential for five minutes; a try is
counted before it is checked. A credential that is put again is unlocked and stands again; one that
is revoked stays as a row. The node's operator adds and revokes; each is a record that central sees.

Checking a secret takes a while, and meanwhile the credential may be revoked or given another
secret. So whatever is done on the strength of a secret asks `stands` in its own transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from retention.passphrase import Credential, after_try, hash_secret, matches
from retention.records.clock import from_micros, to_micros
from retention.records.payloads import AccessRecorded
from retention.store.database import NodeStore
from retention.store.log import append

Role = Literal["pharmacists", "inspectors"]
"""The name of the role's table."""
ONE_OF: dict[Role, str] = {"pharmacists": "pharmacist", "inspectors": "inspector"}
"""What one of them is called, in commands and records."""


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """A credential as listed; `added_at` is since when it stands, or stood until it was revoked."""

    id: str
    added_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Checked:
    """A secret that was right when it was checked; it counts only while it `stands`."""

    role: Role
    name: str
    secret_hash: str = field(repr=False)


# -- by the node's operator -----------------------------------------------------------------------


def add(store: NodeStore, role: Role, name: str, secret: str) -> None:
    """Store a credential, or replace it, with a record. Raises UsageError."""
    stored = hash_secret(secret)
    with store.write() as connection:
        put(connection, role, name, stored, store.clock.now())
        _record(store, connection, role, "added", name)


def put(
    connection: sqlite3.Connection, role: Role, name: str, secret_hash: str, added_at: datetime
) -> None:
    """Store a credential, or replace the one there is; a replaced one is unlocked."""
    connection.execute(
        f"INSERT INTO {role} (id, secret_hash, added_at) VALUES (?, ?, ?)"  # noqa: S608 - one of two
        " ON CONFLICT (id) DO UPDATE SET secret_hash = excluded.secret_hash, failed_tries = 0,"
        " locked_until = NULL, revoked_at = NULL,"
        " added_at = CASE WHEN revoked_at IS NULL THEN added_at ELSE excluded.added_at END",
        (name, secret_hash, to_micros(added_at)),
    )


def revoke(store: NodeStore, connection: sqlite3.Connection, role: Role, name: str) -> bool:
    """Take a credential away, with a record; False when there is none to take."""
    found = connection.execute(
        f"UPDATE {role} SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL",  # noqa: S608 - one of two
        (to_micros(store.clock.now()), name),
    )
    if found.rowcount:
        _record(store, connection, role, "revoked", name)
    return bool(found.rowcount)


def listed(connection: sqlite3.Connection, role: Role) -> list[CredentialRow]:
    """Return every credential that was ever added."""
    return [
        CredentialRow(
            row["id"],
            from_micros(row["added_at"]),
            None if row["revoked_at"] is None else from_micros(row["revoked_at"]),
        )
        for row in connection.execute(
            f"SELECT id, added_at, revoked_at FROM {role} ORDER BY id"  # noqa: S608 - one of two
        )
    ]


def _record(
    store: NodeStore, connection: sqlite3.Connection, role: Role, done: str, name: str
) -> None:
    one = ONE_OF[role]
    access = AccessRecorded(
        actor="node operator", action=f"{one}.{done}", subject=name, reason=f"edge {one}"
    )
    append(store, connection, access)


# -- by whoever says a secret ---------------------------------------------------------------------


def check(store: NodeStore, role: Role, name: str, secret: str) -> Checked | None:
    """Check a secret; None, after as long, when nobody of that name stands, when the credential is
    locked or the secret is wrong, and when it was revoked or replaced while it was checked."""
    stored = _take_a_try(store, role, name)
    if not matches(stored, secret) or stored is None:
        return None
    checked = Checked(role, name, stored)
    with store.write() as connection:
        if not stands(connection, checked):
            return None
        _set_tries(connection, role, name, 0, None)
    return checked


def stands(connection: sqlite3.Connection, checked: Checked) -> bool:
    """Tell whether the credential still is the one whose secret was checked. One that was revoked
    and added again is another one, even with the same secret."""
    row = _read(connection, checked.role, checked.name)
    return row is not None and row.secret_hash == checked.secret_hash


def _take_a_try(store: NodeStore, role: Role, name: str) -> str | None:
    """Count a try and return the stored secret, or None when there is nothing to try."""
    with store.write() as connection:
        row = _read(connection, role, name)
        counted = after_try(row, store.clock.now())
        if row is None or counted is None:
            return None
        _set_tries(connection, role, name, *counted)
    return row.secret_hash


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
