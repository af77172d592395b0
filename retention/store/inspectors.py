"""Inspectors who may place holds and take evidence at the node itself, away from central.

The answer to a secret is the same whether the inspector is unknown, locked, revoked or gave a wrong
one (`retention.store.credentials`).
"""

from __future__ import annotations

import re
import sqlite3

from retention.records.errors import UsageError
from retention.store import credentials
from retention.store.credentials import CredentialRow
from retention.store.database import NodeStore, StoreError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/+-]{0,63}")


class InspectorRefused(StoreError, UsageError):
    """No inspector here has this name and this secret, or the credential is locked."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"检查员 {name[:64]!r} 的口令不对，或已锁定五分钟 / wrong inspector or secret, "
            "or locked for five minutes"
        )
        self.name = name


def add(store: NodeStore, name: str, secret: str) -> None:
    """Store an inspector's credential, or replace it, with a record. Raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"inspector {name[:64]!r}: letters, digits and _.:/+- only, 64 at most")
    credentials.add(store, "inspectors", name, secret)


def revoke(store: NodeStore, name: str) -> bool:
    """Take an inspector's access away, with a record; False when there is none to take."""
    with store.write() as connection:
        return credentials.revoke(store, connection, "inspectors", name)


def listed(connection: sqlite3.Connection) -> list[CredentialRow]:
    """Return every inspector that was ever added."""
    return credentials.listed(connection, "inspectors")


def check(store: NodeStore, name: str, secret: str) -> None:
    """Check an inspector's secret. Raises InspectorRefused, the same for every cause."""
    if credentials.check(store, "inspectors", name, secret) is None:
        raise InspectorRefused(name)
