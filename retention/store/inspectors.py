"""Inspectors who may place holds and take evidence at the node itself, away from central.

Only a digest of each secret is kept. Five failures lock a credential for five minutes; the answer
is the same whether the inspector is unknown, locked, revoked or gave a wrong secret.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from retention.passphrase import hash_secret, matches
from retention.records.clock import from_micros, to_micros
from retention.records.errors import UsageError
from retention.records.payloads import AccessRecorded
from retention.store import credentials
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
        credentials.put(connection, "inspectors", name, stored, store.clock.now())
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
    if not matches(credentials.take_a_try(store, "inspectors", name), secret):
        raise InspectorRefused(name)
    credentials.forget_tries(store, "inspectors", name)


def _record(store: NodeStore, connection: sqlite3.Connection, action: str, name: str) -> None:
    access = AccessRecorded(
        actor="node operator", action=action, subject=name, reason="edge inspector"
    )
    append(store, connection, access)
