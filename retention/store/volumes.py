"""The SQL of volumes: which disk has which name, and which names footage lies under."""

from __future__ import annotations

import sqlite3

from retention.records.clock import to_micros
from retention.records.keeping import VolumeAdopted
from retention.store.database import NodeStore
from retention.store.log import append


def adopt(store: NodeStore, connection: sqlite3.Connection, name: str, volume: str) -> bool:
    """Take a disk under a name, with its record; returns False when it has that name already.

    Raises sqlite3.IntegrityError when another disk has the name, or the disk another name.
    """
    if known(connection).get(name) == volume:
        return False
    connection.execute(
        "INSERT INTO volumes VALUES (?, ?, ?)", (name, volume, to_micros(store.clock.now()))
    )
    append(store, connection, VolumeAdopted(volume=volume, name=name))
    return True


def known(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the id of every volume that this node took, by name."""
    return {row[0]: row[1] for row in connection.execute("SELECT name, volume FROM volumes")}


def with_footage(connection: sqlite3.Connection) -> frozenset[str]:
    """Return the names of volumes that the index has footage on.

    Looks one name up after the other in their index, so it stays fast with a million segments.
    """
    found: set[str] = set()
    after = ""
    while True:
        row = connection.execute(
            "SELECT min(volume) FROM segments WHERE volume > ?", (after,)
        ).fetchone()
        if row[0] is None:
            return frozenset(found)
        after = row[0]
        found.add(after)


def span_on(connection: sqlite3.Connection, name: str) -> tuple[int, int] | None:
    """Return when the oldest footage of a volume began and its newest ended; None without any."""
    oldest, newest = connection.execute(
        "SELECT (SELECT min(started_at) FROM segments WHERE volume = ?1),"
        " (SELECT ended_at FROM segments WHERE volume = ?1 ORDER BY started_at DESC LIMIT 1)",
        (name,),
    ).fetchone()
    return None if oldest is None else (int(oldest), int(newest))


def database_id(connection: sqlite3.Connection) -> str:
    """Return the id of this database; a volume is bound to one."""
    (found,) = connection.execute("SELECT database_id FROM node").fetchone()
    return str(found)
