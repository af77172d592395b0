"""References under keys: which rows need a key, and sealing them again under another.

The only place that replaces the sealed form of a reference. What it replaces is overwritten.
"""

from __future__ import annotations

import sqlite3

from retention.records.people import ReferencesRekeyed
from retention.store.database import NodeStore
from retention.store.log import append
from retention.store.people import REFERENCE_ROW, Reference, reference_of


def not_under(
    connection: sqlite3.Connection, key_id: str, after: str, most: int
) -> list[Reference]:
    """Return references sealed under another key than this, in the order of their ids."""
    rows = connection.execute(
        f"{REFERENCE_ROW} WHERE r.key_id != ? AND r.id > ? ORDER BY r.id LIMIT ?",
        (key_id, after, most),
    )
    return [reference_of(row) for row in rows]


def reseal(connection: sqlite3.Connection, reference: Reference) -> None:
    """Replace the sealed form of a reference, overwriting what it replaces; nothing else of it.

    Call `fold_wal` after the transaction is committed.
    """
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(
        "UPDATE reference_templates SET key_id = ?, nonce = ?, sealed = ? WHERE id = ?",
        (reference.key_id, reference.nonce, reference.sealed, reference.id),
    )


def record_rekeyed(
    store: NodeStore, connection: sqlite3.Connection, from_key: str, to_key: str, references: int
) -> None:
    """Record that references were sealed again under another key, in their transaction."""
    payload = ReferencesRekeyed(
        from_key_id=from_key,
        to_key_id=to_key,
        references=references,
        remaining=count_under(connection, from_key),
    )
    append(store, connection, payload)


def count_under(connection: sqlite3.Connection, key_id: str) -> int:
    """Return how many references need a key."""
    (count,) = connection.execute(
        "SELECT count(*) FROM reference_templates WHERE key_id = ?", (key_id,)
    ).fetchone()
    return int(count)
