"""Rows and records from files: the middle of a rebuild (`retention.rebuild`).

Every file that explains itself becomes a segment, `recovered`; every hole in time between segments
a gap whose cause nobody knows any more; every file that does not, an incident. What an earlier try
wrote is left as it is, so this may be broken off and run again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from retention.footage import inventory
from retention.footage.inventory import FiledSegment, Unexplained
from retention.footage.layout import on_volume, shown
from retention.footage.sink import fingerprint_of
from retention.records.clock import from_micros, to_micros, to_text
from retention.records.payloads import GapCause, RunStarted, SceneRole, SegmentSealed
from retention.store import footage
from retention.store.database import NodeStore

ROWS_AT_ONCE = 50


@dataclass(slots=True)
class Indexed:
    """What the files came to. Times in microseconds since the epoch."""

    segments: int = 0
    bytes: int = 0
    gaps: int = 0
    unexplained: int = 0
    first_started_at: int | None = None
    last_ended_at: int | None = None


class Reindex:
    """One pass over every volume."""

    def __init__(
        self, store: NodeStore, roots: Mapping[str, Path], beat: Callable[[int], None]
    ) -> None:
        """`beat` is told the bytes of each file before it is read."""
        self._store, self._roots, self._beat = store, dict(roots), beat
        self._done = Indexed()

    def run(self) -> Indexed:
        """Write what the files say. Raises OSError when a folder cannot be listed, StoreError."""
        self._segments()
        self._gaps()
        return self._done

    # -- rows -------------------------------------------------------------------------------------

    def _segments(self) -> None:
        waiting: list[tuple[FiledSegment, SegmentSealed]] = []
        for one in inventory.listing(self._roots, self._store.identity):
            if isinstance(one, Unexplained):
                self._unexplained(one)
                continue
            self._count(one)
            with self._store.read() as connection:
                known = footage.segment_at(connection, one.path) is not None
            if known:
                continue
            self._beat(one.bytes)
            try:
                sealed = self._read(one)
            except OSError as exc:
                self._uncount(one)
                said = f"cannot be read: {exc.strerror}"
                self._unexplained(Unexplained(one.volume, one.path, said))
                continue
            waiting.append((one, sealed))
            if len(waiting) >= ROWS_AT_ONCE:
                self._write(waiting)
                waiting = []
        self._write(waiting)

    def _read(self, one: FiledSegment) -> SegmentSealed:
        fingerprint = fingerprint_of(self._roots[one.volume] / one.path)
        identity = one.identity
        return SegmentSealed(
            segment=identity.segment,
            camera=identity.camera,
            scene_role=identity.scene_role,
            run=identity.run,
            ordinal=identity.ordinal,
            started_at=identity.started_at,
            ended_at=to_text(from_micros(one.ended_at)),
            duration_ms=round((one.ended_at - one.started_at) / 1000),
            bytes=fingerprint.bytes,
            codec=identity.codec,
            file_sha256=fingerprint.file_sha256(),
            chunk_root=fingerprint.chunk_root(),
            recovered=True,
            truncated_bytes=0,
        )

    def _write(self, found: list[tuple[FiledSegment, SegmentSealed]]) -> None:
        with self._store.write() as connection:
            for one, sealed in found:
                if not footage.has_run(connection, sealed.run):
                    width, height = one.size
                    began = RunStarted(
                        run=sealed.run, camera=sealed.camera, scene_role=sealed.scene_role,
                        codec=sealed.codec, width=width, height=height,
                        started_at=sealed.started_at,
                    )  # fmt: skip
                    footage.insert_run(self._store, connection, began)
                footage.insert_segment(self._store, connection, sealed, one.path, one.volume)

    def _unexplained(self, one: Unexplained) -> None:
        self._done.unexplained += 1
        subject = shown(on_volume(one.volume, one.path))
        with self._store.write() as connection:
            footage.add_incident(self._store, connection, "UNEXPLAINED_FILE", subject, one.reason)

    def _count(self, one: FiledSegment) -> None:
        done = self._done
        done.segments += 1
        done.bytes += one.bytes
        done.first_started_at = min(one.started_at, done.first_started_at or one.started_at)
        done.last_ended_at = max(one.ended_at, done.last_ended_at or one.ended_at)

    def _uncount(self, one: FiledSegment) -> None:
        self._done.segments -= 1
        self._done.bytes -= one.bytes

    # -- gaps -------------------------------------------------------------------------------------

    def _gaps(self) -> None:
        now = to_micros(self._store.clock.now())
        with self._store.write() as connection:
            for camera in sorted(footage.known_cameras(connection)):
                footage.close_gap(self._store, connection, camera, now)
        with self._store.read() as connection:
            found = list(self._holes(connection))
        for hole in found:
            with self._store.write() as connection:
                if footage.gaps_between(connection, hole.camera, hole.started_at, hole.ended_at):
                    continue  # An earlier try wrote it.
                footage.open_gap(
                    self._store, connection, hole.camera, hole.scene_role, hole.started_at,
                    GapCause.UNKNOWN,
                )  # fmt: skip
                footage.close_gap(self._store, connection, hole.camera, hole.ended_at)
                self._done.gaps += 1

    def _holes(self, connection: sqlite3.Connection) -> Iterator[inventory.Hole]:
        """Yield the holes between the rows of the files."""
        for camera in sorted(footage.known_cameras(connection)):
            for before, after in pairwise(footage.segments_of(connection, camera)):
                if after.started_at - before.ended_at > inventory.TOLERANCE_US:
                    yield inventory.Hole(
                        camera, SceneRole(after.scene_role), before.ended_at,
                        after.started_at, 0,
                    )  # fmt: skip
