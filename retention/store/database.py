"""Opening a node's database and writing to it.

Several processes share the file: WAL, synchronous FULL, and every write inside one
`BEGIN IMMEDIATE` transaction, so a fact, its record and its outbox row are one commit. A database
that belongs to another node, or is newer than this code, is refused and left as it is.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from retention.records.clock import Clock
from retention.records.errors import UsageError
from retention.records.ids import IdSource
from retention.store.reserve import lacks_room, reserve_of
from retention.store.schema import MIGRATIONS

BUSY_SECONDS = 15.0
AGAIN_SECONDS = 0.02


class StoreError(Exception):
    """Base of everything the node's database refuses."""


class StoreUnavailable(StoreError):
    """The database cannot be written: disk full, read-only, or locked for too long."""


class StoreRefused(StoreError, UsageError):
    """The database belongs to another node, or to a newer version of this software."""


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Whose records these are."""

    agency: str
    pharmacy: str
    node: str


class NodeStore:
    """The database of one node. Safe to share between threads; each process opens its own."""

    def __init__(self, path: Path, identity: NodeIdentity, clock: Clock, ids: IdSource) -> None:
        self.path, self.identity, self.clock, self.ids = path, identity, clock, ids
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _connect(path)
            self._migrate()
            self._claim()
        except (sqlite3.Error, OSError) as exc:
            self._make_room(exc)
            raise StoreUnavailable(f"{path}: {exc}") from exc

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Run one durable transaction; commits at the end, rolls back on any exception."""
        with self._lock:
            connection = self._connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()
            except sqlite3.OperationalError as exc:
                if connection.in_transaction:
                    connection.rollback()
                self._make_room(exc)
                raise StoreUnavailable(f"{self.path}: {exc}") from exc

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Run reads on one consistent snapshot."""
        with self._lock:
            connection = self._connection
            nested = connection.in_transaction
            try:
                if not nested:
                    connection.execute("BEGIN")
                yield connection
            except sqlite3.OperationalError as exc:
                raise StoreUnavailable(f"{self.path}: {exc}") from exc
            finally:
                if not nested and connection.in_transaction:
                    connection.rollback()

    def _make_room(self, exc: Exception) -> None:
        """On a full disk give the reserve up, so that the next try can say what happened."""
        if isinstance(exc, sqlite3.Error) and lacks_room(exc):
            reserve_of(self.path).give_up()

    def _migrate(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StoreRefused(
                f"{self.path}: schema version {version}; this software knows up to "
                f"{len(MIGRATIONS)}"
            )
        with self.write() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
                for statement in _statements(script):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number:d}")

    def _claim(self) -> None:
        identity = self.identity
        with self.write() as connection:
            row = connection.execute("SELECT agency, pharmacy, node FROM node").fetchone()
            if row is None:
                connection.execute(
                    "INSERT INTO node VALUES (1, ?, ?, ?, ?)",
                    (identity.agency, identity.pharmacy, identity.node, self.ids.new()),
                )
            elif tuple(row) != (identity.agency, identity.pharmacy, identity.node):
                raise StoreRefused(
                    f"{self.path}: belongs to node {row['node']} of pharmacy {row['pharmacy']}, "
                    f"not to node {identity.node} of pharmacy {identity.pharmacy}"
                )


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a node's database for reading only. Raises StoreUnavailable."""
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None
        )
        connection.row_factory = sqlite3.Row
        connection.execute("SELECT 1 FROM node").fetchone()
    except sqlite3.Error as exc:
        raise StoreUnavailable(f"{path}: {exc}") from exc
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    _use_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Change a fresh database to WAL. While several processes do so at once, SQLite answers one of
    them "locked" without waiting, so it is asked again."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            busy = exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # of whatever extended code
            if not busy or time.monotonic() >= deadline:
                raise
            time.sleep(AGAIN_SECONDS)
        else:
            return


def _statements(script: str) -> Iterator[str]:
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        yield pending
