"""Disposal of footage that is owed no longer. The only module that deletes footage.

    1  tombstone     the row says `tombstoned`, committed
    2  unlink        the file goes                     (under the database's write lock, with
    3  fsync         its folder, so it cannot return    everything judged once more: a hold that
    4  record        `segment.disposed`, row deleted    was placed in between wins)

A crash at any line leaves the footage, or a tombstoned row that the next pass finishes. A file is
looked at before it goes: one that is not what was sealed, or that is not there, is an incident and
its row stays until somebody looks. A volume that cannot be reached is left alone. Nothing here
knows how full a disk is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from retention.due import footage_ranges
from retention.durable import fsync_directory
from retention.footage.layout import FootageError, on_volume, shown
from retention.footage.sameness import NotAsSealed, look_at
from retention.footage.sink import DirectorySyncFailed
from retention.policy import Dispose, Disposition, Keep, KeepReason
from retention.records.clock import ClockState
from retention.standing import Standing, await_standing, item_of, judge_again
from retention.store import disposal as rows_of
from retention.store.database import NodeStore
from retention.store.footage import SegmentRow, add_incident
from retention.store.volumes import with_footage

BATCH = 64
"""Files that go under one lock: recorders wait as long as it takes to unlink them."""
_WAITS = (KeepReason.OWED_TO_CENTRAL, KeepReason.CLOCK_NOT_TRUSTED)
"""Why a tombstoned segment may have to wait for its end; anything else takes the tombstone back."""


class Reachable(Protocol):
    """`retention.footage.volumes.Volumes`, as far as disposal needs it."""

    def root(self, name: str) -> Path:
        """Raises FootageError when the volume of this name is not there."""
        ...

    def path_of(self, row: SegmentRow) -> Path:
        """Raises FootageError when the row's volume is not there."""
        ...


@dataclass(slots=True)
class Disposed:
    """What one pass did. `more` says that its limit ended it, `kept` why what was looked at
    stayed, `unreachable` which volumes were left alone."""

    segments: int = 0
    bytes: int = 0
    incidents: int = 0
    unreachable: tuple[str, ...] = ()
    more: bool = False
    kept: Counter[KeepReason] = field(default_factory=Counter)


def dispose_due(
    store: NodeStore,
    volumes: Reachable,
    limit: int,
    beat: Callable[[], None],
    *,
    central: bool = True,
) -> Disposed:
    """Dispose of at most `limit` segments that are due, the oldest of each camera first.

    `central` says that this node has a central: then only what it countersigned may go. Raises
    StoreUnavailable, DirectorySyncFailed (the process must stop), OSError.
    """
    return _Pass(store, volumes, limit, beat, central).run()


class _Pass:
    def __init__(
        self,
        store: NodeStore,
        volumes: Reachable,
        limit: int,
        beat: Callable[[], None],
        central: bool,
    ) -> None:
        self._store, self._volumes, self._limit = store, volumes, limit
        self._beat, self._central = beat, central
        self.done = Disposed()

    def run(self) -> Disposed:
        standing = await_standing(self._store, self._beat, central=self._central)
        self._finish()
        if standing.clock_state is not ClockState.STEADY:
            self.done.kept[KeepReason.CLOCK_NOT_TRUSTED] += 1
        elif not standing.everything_is_held:
            for batch in self._due(standing):
                self._dispose(batch)
        with self._store.write() as connection:
            rows_of.sum_up(self._store, connection)
        return self.done

    # -- what is due ------------------------------------------------------------------------------

    def _due(self, standing: Standing) -> Iterator[list[SegmentRow]]:
        """Yield batches of what may go; ends at the limit."""
        reachable = self._reachable_volumes()
        with self._store.read() as connection:
            cameras = rows_of.cameras(connection) if reachable else []
        for camera in cameras:
            for after, until in footage_ranges(standing, camera):
                for batch in self._between(standing, camera, reachable, after, until):
                    left = self._limit - self.done.segments
                    self.done.more = len(batch) > left
                    yield batch[:left]
                    if self.done.more:
                        return

    def _reachable_volumes(self) -> tuple[str, ...]:
        with self._store.read() as connection:
            names = sorted(with_footage(connection))
        self.done.unreachable = tuple(name for name in names if not self._reaches(name))
        return tuple(name for name in names if name not in self.done.unreachable)

    def _reaches(self, name: str) -> bool:
        try:
            self._volumes.root(name)
        except FootageError:
            return False
        return True

    def _between(
        self,
        standing: Standing,
        camera: str,
        volumes: tuple[str, ...],
        after: int,
        until: int,
    ) -> Iterator[list[SegmentRow]]:
        while True:
            self._beat()
            with self._store.read() as connection:
                rows = rows_of.sealed_between(connection, camera, volumes, (after, until), BATCH)
                found = [(row, self._decide(connection, standing, row)) for row in rows]
            for _, disposition in found:
                if isinstance(disposition, Keep):
                    self.done.kept[disposition.reason] += 1
            due = [row for row, disposition in found if isinstance(disposition, Dispose)]
            if due:
                yield due
            if len(rows) < BATCH:
                return
            after = rows[-1].ended_at

    def _decide(
        self, connection: sqlite3.Connection, standing: Standing, row: SegmentRow
    ) -> Disposition:
        item = item_of(
            self._store,
            connection,
            standing,
            "footage",
            ((row.sequence, None),),
            (row.started_at, row.ended_at),
            camera=row.camera,
        )
        return standing.decide(item)

    # -- letting it go ----------------------------------------------------------------------------

    def _dispose(self, batch: list[SegmentRow]) -> None:
        whole = [row for row in batch if self._is_as_sealed(row)]
        if not whole:
            return  # What is missing or changed is met in every pass; no lock is taken for it.
        with self._store.write() as connection:
            standing = judge_again(self._store, connection, central=self._central)
            if standing is None:
                return  # A person was held just now; the next pass knows more.
            marked = [
                row
                for row in whole
                if isinstance(self._decide(connection, standing, row), Dispose)
                and rows_of.set_state(connection, row.id, "sealed", "tombstoned")
            ]
        if marked:
            self._remove(marked)

    def _finish(self) -> None:
        """Finish what a crash left tombstoned."""
        after = -1
        while True:
            with self._store.read() as connection:
                rows = rows_of.tombstoned(connection, after, BATCH)
            if not rows:
                return
            self._beat()
            self._remove(rows)
            after = rows[-1].sequence

    def _remove(self, rows: list[SegmentRow]) -> None:
        """Unlink tombstoned files and record it, or take the tombstone back."""
        folders: set[Path] = set()
        gone: list[tuple[SegmentRow, datetime]] = []
        with self._store.write() as connection:
            standing = judge_again(self._store, connection, central=self._central)
            if standing is None:
                return
            for row in rows:
                path = self._path_of(row)
                found = self._decide(connection, standing, row)
                if path is None or (isinstance(found, Keep) and found.reason in _WAITS):
                    continue  # It stays tombstoned.
                if isinstance(found, Keep):
                    self._take_back(connection, row, path)
                elif self._unlink(connection, row, path):
                    folders.add(path.parent)
                    gone.append((row, found.owed_until))
            _sync(folders)
            for row, owed_until in gone:
                rows_of.footage_gone(self._store, connection, row, owed_until)
        self.done.segments += len(gone)
        self.done.bytes += sum(row.bytes for row, _ in gone)
        self._clear_folders([row for row, _ in gone])

    def _take_back(self, connection: sqlite3.Connection, row: SegmentRow, path: Path) -> None:
        """What is owed after all is sealed again; if its file went, that was not lawful."""
        rows_of.set_state(connection, row.id, "tombstoned", "sealed")
        if not path.exists():
            self._incident(connection, row, "FOOTAGE_MISSING", "tombstoned, owed, and not there")

    def _unlink(self, connection: sqlite3.Connection, row: SegmentRow, path: Path) -> bool:
        """Let one file go; False when it stays, as an incident and a sealed row."""
        try:
            size = os.lstat(path).st_size
            if size != row.bytes:
                raise NotAsSealed(f"{size} bytes, sealed with {row.bytes}")
            os.unlink(path)
        except FileNotFoundError:
            return True  # A crash after the unlink, before the record.
        except NotAsSealed as exc:
            incident, detail = "FOOTAGE_CHANGED", str(exc)
        except OSError as exc:
            incident, detail = "UNREADABLE_FILE", f"cannot be removed: {exc.strerror}"
        else:
            return True
        rows_of.set_state(connection, row.id, "tombstoned", "sealed")
        self._incident(connection, row, incident, detail)
        return False

    def _is_as_sealed(self, row: SegmentRow) -> bool:
        """Look at a file before it goes: its size, the identity inside, what scrubbing found."""
        path = self._path_of(row)
        if path is None:
            return False
        with self._store.read() as connection:
            if rows_of.has_incident(connection, "FOOTAGE_CHANGED", _subject(row)):
                return False
        try:
            look_at(row, path)
            return True
        except FileNotFoundError:
            incident, detail = "FOOTAGE_MISSING", f"segment {row.id} has no file"
        except NotAsSealed as exc:
            incident, detail = "FOOTAGE_CHANGED", str(exc)
        except OSError as exc:
            incident, detail = "UNREADABLE_FILE", str(exc.strerror)
        with self._store.read() as connection:
            known = rows_of.has_incident(connection, incident, _subject(row))
        if not known:
            with self._store.write() as connection:
                self._incident(connection, row, incident, detail)
        return False

    def _path_of(self, row: SegmentRow) -> Path | None:
        try:
            return self._volumes.path_of(row)
        except FootageError:
            return None  # Pulled out since the pass began.

    def _incident(
        self, connection: sqlite3.Connection, row: SegmentRow, incident: str, detail: str
    ) -> None:
        subject = _subject(row)
        self.done.incidents += add_incident(self._store, connection, incident, subject, detail)

    def _clear_folders(self, gone: list[SegmentRow]) -> None:
        """Take away the day folders that are empty now; one that is not stays as it is."""
        for row in {row.path.rpartition("/")[0]: row for row in gone}.values():
            with self._store.read() as connection:
                empty = rows_of.folder_is_empty(connection, row)
            path = self._path_of(row)
            if empty and path is not None:
                with contextlib.suppress(FileNotFoundError):
                    _remove_if_empty(path.parent)


def _subject(row: SegmentRow) -> str:
    return shown(on_volume(row.volume, row.path))


def _sync(folders: set[Path]) -> None:
    """Make it durable that files are gone. Raises DirectorySyncFailed."""
    for folder in sorted(folders):
        try:
            fsync_directory(_nearest(folder))
        except OSError as exc:
            raise DirectorySyncFailed(f"{folder}: {exc.strerror}") from exc


def _nearest(folder: Path) -> Path:
    """A folder that is gone was taken away when it was empty; its parent says so."""
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _remove_if_empty(folder: Path) -> None:
    try:
        os.rmdir(folder)
    except OSError as exc:
        if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return
    fsync_directory(folder.parent)
