"""Making a lost index again from the files alone. Nothing is deleted, and no file is changed.

    1  refuse while the node runs, or a database that can be used knows footage
    2  build DATA/node.sqlite3.rebuilding: rows and records of every file that explains itself,
       holes between them as gaps of unknown cause, incidents for the files that do not
    3  tie the volumes to the new database; their earlier ones stay named in volume.json
    4  put the lost database and VERSION aside under new names, and the new database in place
A crash at any point leaves a state from which the same command goes on. Retention stays safe: what
is owed counts from the times inside the files at least. What only the database knew (sessions,
consents, holds, policies, receipts) is gone; as nobody here knows any more what was held, all of it
is, until an inspector releases it. The new log does not continue the one that central holds:
central says so, and a person decides.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retention.durable import FileLock, fsync_directory, rename_durably
from retention.footage.layout import VOLUME_FILE
from retention.footage.sweep import sweep
from retention.footage.volume import (
    VolumeIdentity,
    look_at,
    owner_of,
    read_volume,
    rebind_volume,
)
from retention.nodefile import NodeFile
from retention.records.clock import Clock, from_micros, to_text
from retention.records.errors import UsageError
from retention.records.ids import IdSource
from retention.records.keeping import Hold, HoldPlaced, IndexRebuilt
from retention.records.payloads import AccessRecorded
from retention.reindex import Indexed, Reindex
from retention.store import footage, holds
from retention.store import volumes as volume_rows
from retention.store.database import NodeStore, StoreUnavailable, open_read_only
from retention.store.log import append

REBUILDING = ".rebuilding"
HELD = "索引已重建，原有保全不明 / the index was rebuilt; what was held is not known"


class RebuildRefused(UsageError):
    """An index that need not, or cannot, be made again from what is there."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was made, and the names under which what was there was put aside."""

    indexed: Indexed
    aside: tuple[str, ...]


def rebuild(
    node: NodeFile,
    clock: Clock,
    ids: IdSource,
    author: str,
    reason: str,
    beat: Callable[[int], None] = lambda _: None,
) -> Rebuilt:
    """Make the index again. `beat` is told the bytes of each file before it is read.

    Raises RebuildRefused, HeldElsewhere (the node runs), OSError, StoreError.
    """
    with ExitStack() as held:
        for name in ("supervisor", "custodian", *(f"recorder-{one.id}" for one in node.cameras)):
            lock = FileLock(node.node.data / "run" / f"{name}.lock")
            held.callback(lock.release)
        if state_of(node.database) == "used":
            raise RebuildRefused(
                f"{node.database}: can be read and knows footage; nothing to make again"
            )
        volumes = _volumes(node)
        store = _fresh_store(node, clock, ids)
        try:
            return _Rebuilding(node, store, volumes).run(author, reason, beat)
        finally:
            store.close()


def state_of(path: Path) -> Literal["unusable", "empty", "used"]:
    """Say what a database is: not there or not whole; whole, and has never known footage; used."""
    try:
        with closing(open_read_only(path)) as connection:
            whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            if not whole or connection.execute("SELECT 1 FROM node").fetchone() is None:
                return "unusable"
            sealed = connection.execute(
                "SELECT 1 FROM log WHERE kind = 'segment.sealed' LIMIT 1"
            ).fetchone()
            return "used" if sealed is not None or footage.has_segments(connection) else "empty"
    except (StoreUnavailable, sqlite3.Error):
        return "unusable"


def _volumes(node: NodeFile) -> dict[str, VolumeIdentity]:
    """Read every volume's identity; each must be there and this node's. Raises RebuildRefused."""
    found = {}
    for name, root in node.volume_roots.items():
        path = root / VOLUME_FILE
        if not path.exists():
            raise RebuildRefused(f"volume {name}: {path} is missing; is a disk missing?")
        identity = read_volume(path)
        if identity.node != node.node.node:
            raise RebuildRefused(f"volume {name}: {path} belongs to node {identity.node}")
        found[name] = identity
    return found


def _fresh_store(node: NodeFile, clock: Clock, ids: IdSource) -> NodeStore:
    """Open the database that is being made, with what an earlier try put there. One that knows
    no footage, but has records that central may hold, is where it begins."""
    path = node.database.with_name(node.database.name + REBUILDING)
    if not path.exists() and state_of(node.database) == "empty":
        unfinished = path.with_name(path.name + ".copy")
        unfinished.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(node.database)) as old,
            closing(sqlite3.connect(unfinished)) as new,
        ):
            old.backup(new)
        rename_durably(unfinished, path)
    return NodeStore(path, node.identity, clock, ids)


class _Rebuilding:
    """Steps 2 to 5, for a node whose locks are held."""

    def __init__(
        self, node: NodeFile, store: NodeStore, volumes: dict[str, VolumeIdentity]
    ) -> None:
        self._node, self._store, self._volumes = node, store, volumes
        self._roots = node.volume_roots

    def run(self, author: str, reason: str, beat: Callable[[int], None]) -> Rebuilt:
        done = Reindex(self._store, self._roots, beat).run()
        self._conclude(done, author, reason)
        self._bind()
        return Rebuilt(done, self._put_in_place())

    def _conclude(self, done: Indexed, author: str, reason: str) -> None:
        with self._store.write() as connection:
            for name, identity in sorted(self._volumes.items()):
                volume_rows.adopt(self._store, connection, name, identity.volume)
            accessed = AccessRecorded(
                actor=author, action="index.rebuild", subject=self._node.node.node, reason=reason
            )
            append(self._store, connection, accessed)
            database_id = volume_rows.database_id(connection)
            previous = sorted({one.database_id for one in self._volumes.values()} - {database_id})
            rebuilt = IndexRebuilt(
                previous_database=previous[0] if previous else None,
                segments=done.segments,
                bytes=done.bytes,
                first_started_at=_text(done.first_started_at),
                last_ended_at=_text(done.last_ended_at),
            )
            append(self._store, connection, rebuilt)
            self._hold_everything(connection, author)

    def _hold_everything(self, connection: sqlite3.Connection, author: str) -> None:
        if any(hold.scope == "pharmacy" for hold in holds.standing(connection)):
            return  # An earlier try placed it.
        hold = Hold(
            hold=self._store.ids.new(), scope="pharmacy", session=None, person_ref=None,
            started_at=None, ended_at=None, cameras=(),
        )  # fmt: skip
        placed = HoldPlaced(hold=hold, authority="inspector", author=author, reason=HELD)
        holds.place(self._store, connection, placed)

    def _bind(self) -> None:
        for name, identity in self._volumes.items():
            rebind_volume(self._roots[name], identity, self._store)
        owner = owner_of(self._store)
        for name, root in self._roots.items():
            found = look_at(name, root, owner)
            if found.reachable:
                sweep(self._store, root, lambda: None, name)

    def _put_in_place(self) -> tuple[str, ...]:
        """The old files first: a crash in between leaves no database, and this goes on."""
        data, mark = self._node.node.data, f"{self._store.clock.now():%Y%m%dT%H%M%SZ}"
        self._store.close()  # which takes its journal in
        aside = []
        for name in (self._node.database.name, f"{self._node.database.name}-wal",
                     f"{self._node.database.name}-shm", "VERSION"):  # fmt: skip
            if (data / name).exists():
                kept = data / f"{name}.before-rebuild-{mark}"
                os.rename(data / name, kept)
                aside.append(kept.name)
        fsync_directory(data)
        rename_durably(self._store.path, self._node.database)
        return tuple(aside)


def _text(micros: int | None) -> str | None:
    return None if micros is None else to_text(from_micros(micros))
