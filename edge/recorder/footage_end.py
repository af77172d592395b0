"""Where a camera's footage ends: there a gap begins, and no later run may begin before it.

What this process knows goes before the rows, whose latest end lies in the future after the wall
clock was set back (then the row that was written last tells); after a recovery only the rows know.
"""

from __future__ import annotations

import sqlite3

from edge.recorder.segmenter import MAX_WALL_JUMP_US, Before
from retention.records.clock import to_micros
from retention.records.payloads import GapCause, SceneRole
from retention.store import footage
from retention.store.database import NodeStore


class FootageEnd:
    """One camera's. UTC microseconds."""

    def __init__(self, store: NodeStore, camera: str, scene_role: SceneRole) -> None:
        self._store, self._camera, self._scene_role = store, camera, scene_role
        self._began_us = to_micros(store.clock.now())
        self._known_us: int | None = None
        self._before: Before | None = None

    def is_at(self, moment_us: int) -> None:
        """Footage was sealed, or a run began, at this moment."""
        self._known_us = moment_us

    def left(self, before: Before | None) -> None:
        """A connection ended, with its footage there."""
        self._before = before

    def recovered(self) -> None:
        """Files were sealed that this process did not know of."""
        self._known_us = None

    def before_next_run(self) -> Before | None:
        """Return what the next connection's runs follow. After a start that is what the last
        recorder left, unless the wall clock was set back. Raises StoreError, sqlite3.Error."""
        if self._before is not None:
            return self._before
        with self._store.read() as connection:
            known = self._in_rows(connection)
        return None if known is None else Before(known, self.wall_offset_us())

    def open_gap(self, connection: sqlite3.Connection, cause: GapCause) -> None:
        """Say that there is no footage from its end on; the first cause stands."""
        started_at = self._explained_until(connection)
        footage.open_gap(self._store, connection, self._camera, self._scene_role, started_at, cause)

    def open_gap_after_crash(self, connection: sqlite3.Connection) -> None:
        """Footage that ends without a gap means that the last recorder crashed."""
        if footage.explained_until(connection, self._camera) is not None:
            self.open_gap(connection, GapCause.RECORDER_CRASHED)

    def wall_offset_us(self) -> int:
        """Return wall time minus monotonic time now."""
        clock = self._store.clock
        return to_micros(clock.now()) - clock.monotonic_ns() // 1000

    def _explained_until(self, connection: sqlite3.Connection) -> int:
        known = self._known_us
        if known is None or self._is_future(known):
            known = self._in_rows(connection)
        if known is not None:
            return known
        there = footage.explained_until(connection, self._camera) is not None
        return to_micros(self._store.clock.now()) if there else self._began_us

    def _in_rows(self, connection: sqlite3.Connection) -> int | None:
        """Return the latest end that the rows know. When that lies in the future, the wall clock
        was set back, and only what was written since tells; None if nothing was."""
        known = footage.explained_until(connection, self._camera)
        if known is None or not self._is_future(known):
            return known
        ends = footage.last_ends(connection, self._camera)
        return max((end for end in ends if not self._is_future(end)), default=None)

    def _is_future(self, moment_us: int) -> bool:
        return moment_us - to_micros(self._store.clock.now()) > MAX_WALL_JUMP_US
