"""What is checked: a data folder, its open database, its volumes, and what the asker brought."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from retention.checking.report import Report
from retention.store.database import StoreRefused, StoreUnavailable
from retention.store.schema import MIGRATIONS


@dataclass(frozen=True, slots=True)
class Subject:
    """`connection` is read-only; `roots` are the volumes' folders by name. `central_key` is
    central's public key as the asker knows it: a key found in the folder would prove nothing."""

    data: Path
    roots: dict[str, Path]
    connection: sqlite3.Connection
    report: Report
    owner: tuple[str, str, str]
    database_id: str
    now: datetime
    central_key: bytes | None = None

    @property
    def node(self) -> str:
        return self.owner[2]


def owner_of(connection: sqlite3.Connection, data: Path) -> tuple[tuple[str, str, str], str]:
    """Return (agency, pharmacy, node) and the database's id. Raises StoreUnavailable, and
    StoreRefused for a database of other software than this."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != len(MIGRATIONS):
        raise StoreRefused(
            f"{data / 'node.sqlite3'}: schema version {version}; this software checks "
            f"{len(MIGRATIONS)}: run the node's own software once, or take its check"
        )
    row = connection.execute("SELECT agency, pharmacy, node, database_id FROM node").fetchone()
    if row is None:
        raise StoreUnavailable(f"{data / 'node.sqlite3'}: names no node")
    return (row["agency"], row["pharmacy"], row["node"]), row["database_id"]
