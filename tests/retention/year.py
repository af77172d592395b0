"""A pharmacy's year in minutes: three cameras, a manual clock, and the node's own code for rows.

Every segment gets its row and its record by the code that recorders use; only the film is missing.
Files exist for the first days, small and real, for they are what disposal will look at and unlink.
Work is counted in steps of SQLite's virtual machine, which no other work on this machine changes.
"""

from __future__ import annotations

import re
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from retention.disposal import Disposed, dispose_due
from retention.footage.layout import SegmentIdentity
from retention.footage.sink import fingerprint_of
from retention.footage.volumes import FreeSpace, Volumes
from retention.outlook import look_ahead
from retention.records.clock import ManualClock, from_text, to_text
from retention.records.ids import SeededIds
from retention.records.keeping import (
    ClosureDeclared,
    Hold,
    HoldPlaced,
    PolicyAdopted,
    RetentionPolicy,
    Term,
)
from retention.records.payloads import RunStarted, SceneRole, SegmentSealed
from retention.store import challenges, footage, holds, opening, policies, trusted
from retention.store.database import NodeStore
from tests.conftest import IDENTITY

BEGAN = from_text("2026-01-05T00:00:00.000000Z")  # 8 in the morning in Shanghai
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
CAMERAS = {
    "counter": SceneRole.PURCHASE, "shelf": SceneRole.DISPENSING, "desk": SceneRole.PRESCRIPTION,
}  # fmt: skip
POLICY_DAY, CLOSED, HELD_DAY, HELD_CAMERA = 150, (100, 103), 3, "counter"
FLOOR_DAYS = 380
"""What the policy of POLICY_DAY lengthens a year to, for all that is held then."""
DIGEST = "0" * 64
STEPS_AT_ONCE = 10
LITERAL = re.compile(r"'[^']*'|X'[0-9A-F]*'|\b\d+\b")
LIMIT = 10_000
FORECAST_EVERY = 10
"""Days between two forecasts."""
FTYP = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom")


@dataclass(frozen=True, slots=True)
class Made:
    """A segment whose file exists."""

    camera: str
    day: int
    ended_at: datetime
    path: Path


@dataclass(slots=True)
class Spent:
    """What one kind of work cost, once a day: steps of SQLite's machine, and milliseconds."""

    steps: list[int] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)


class Year:
    """One node; `live` runs a day after the other."""

    def __init__(self, data: Path, a_day: int, files_days: int) -> None:
        """`a_day` segments of a minute each, of every camera, for days with opening hours."""
        data.mkdir(parents=True)
        self.data, self.root = data, data / "footage"
        self.clock = ManualClock(BEGAN)
        self.store = NodeStore(data / "node.sqlite3", IDENTITY, self.clock, SeededIds(1))
        self.connection.execute("PRAGMA synchronous = OFF")  # nobody pulls a plug here
        self.volumes = Volumes(self.store, {"main": self.root}, ("main",))
        self.volumes.open()
        self._a_day, self._files_days = a_day, files_days
        self.files: list[Made] = []
        self.segments = self.disposed = 0
        self.idle, self.disposing, self.forecast = Spent(), Spent(), Spent()
        self._steps = 0
        self._statement, self._statement_steps = "", 0
        self.dearest: dict[str, int] = {}
        self.connection.set_progress_handler(self._step, STEPS_AT_ONCE)

    @property
    def connection(self) -> sqlite3.Connection:
        return self.store._connection

    def close(self) -> None:
        self.store.close()

    def live(self, days: int, look: Callable[[int], None] = lambda _: None) -> None:
        """Record and keep for so many days; `look` is called at the end of each."""
        for day in range(days):
            self._bind(day)
            if not CLOSED[0] <= day < CLOSED[1]:
                self._record(day)
            self.clock.advance(BEGAN + (day + 1) * DAY - self.clock.now())
            self._keep(day)
            look(day)

    # -- a day ------------------------------------------------------------------------------------

    def _bind(self, day: int) -> None:
        """What the year brings: a hold, a closure, a policy."""
        with self.store.write() as connection:
            if day == HELD_DAY + 1:
                began = BEGAN + HELD_DAY * DAY
                hold = Hold(
                    hold=self.store.ids.new(), scope="span", session=None, person_ref=None,
                    started_at=to_text(began), ended_at=to_text(began + DAY - MINUTE),
                    cameras=(HELD_CAMERA,),
                )  # fmt: skip
                placed = HoldPlaced(hold=hold, authority="inspector", author="a", reason="case")
                holds.place(self.store, connection, placed)
            if day == CLOSED[0] - 1:
                closure = ClosureDeclared(
                    closure=self.store.ids.new(), kind="closed", author="a", reason="holiday",
                    started_at=to_text(BEGAN + CLOSED[0] * DAY),
                    ended_at=to_text(BEGAN + CLOSED[1] * DAY),
                )  # fmt: skip
                opening.declare(self.store, connection, closure)
            if day == POLICY_DAY:
                policy = RetentionPolicy(
                    policy="longer", version=1, province=None, agreement=None, ceilings=(),
                    effective_from=to_text(self.clock.now()),
                    terms=(Term(subject="footage", years=1, days=FLOOR_DAYS),),
                )  # fmt: skip
                adopted = PolicyAdopted(
                    policy=policy, authority="inspector", author="a", reason="law"
                )
                policies.adopt(self.store, connection, adopted)

    def _record(self, day: int) -> None:
        with self.store.write() as connection:
            runs = {}
            for camera, role in CAMERAS.items():
                runs[camera] = self.store.ids.new()
                began = RunStarted(
                    run=runs[camera], camera=camera, scene_role=role, codec="h264",
                    width=1920, height=1080, started_at=to_text(self.clock.now()),
                )  # fmt: skip
                footage.insert_run(self.store, connection, began)
            for ordinal in range(self._a_day):
                started = self.clock.now()
                self.clock.advance(MINUTE)
                for camera, run in runs.items():
                    sealed, path = self._sealed(camera, run, ordinal, started, day)
                    footage.insert_segment(self.store, connection, sealed, path)
                    self.segments += 1

    def _sealed(
        self, camera: str, run: str, ordinal: int, started: datetime, day: int
    ) -> tuple[SegmentSealed, str]:
        identity = SegmentIdentity(
            agency=IDENTITY.agency, pharmacy=IDENTITY.pharmacy, node=IDENTITY.node, camera=camera,
            scene_role=CAMERAS[camera], run=run, ordinal=ordinal, segment=self.store.ids.new(),
            started_at=to_text(started), codec="h264",
        )  # fmt: skip
        ended = started + MINUTE
        size, digest, root = 30_000_000, DIGEST, DIGEST
        if day < self._files_days:
            file = self.root / identity.path()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(FTYP + identity.to_box())
            found = fingerprint_of(file)
            size, digest, root = found.bytes, found.file_sha256(), found.chunk_root()
            self.files.append(Made(camera, day, ended, file))
        sealed = SegmentSealed(
            segment=identity.segment, camera=camera, scene_role=CAMERAS[camera], run=run,
            ordinal=ordinal, started_at=identity.started_at, ended_at=to_text(ended),
            duration_ms=60_000, bytes=size, codec="h264", file_sha256=digest, chunk_root=root,
            recovered=False, truncated_bytes=0,
        )  # fmt: skip
        return sealed, identity.path()

    def _keep(self, day: int) -> None:
        """What the custodian does, once a day."""
        with self.store.write() as connection:
            trusted.advance(self.store, connection, None)
        pass_of_today = Spent()
        with self._spending(pass_of_today):
            done: Disposed = dispose_due(
                self.store, self.volumes, LIMIT, lambda: None, central=False
            )
        self.disposed += done.segments
        kept = self.disposing if done.segments else self.idle
        kept.steps += [pass_of_today.steps[0] // max(1, done.segments)]
        kept.milliseconds += [pass_of_today.milliseconds[0] / max(1, done.segments)]
        if day % FORECAST_EVERY:
            return
        with self._spending(self.forecast), self.store.read() as connection:
            look_ahead(connection, dict.fromkeys(CAMERAS), FreeSpace(10**13), self.clock.now())

    # -- counting ---------------------------------------------------------------------------------

    @contextmanager
    def _spending(self, spent: Spent) -> Iterator[None]:
        self._steps, began = 0, time.perf_counter()
        yield
        spent.milliseconds.append((time.perf_counter() - began) * 1000)
        spent.steps.append(self._steps)

    def _step(self) -> int:
        self._steps += STEPS_AT_ONCE
        if self._statement:
            self._statement_steps += STEPS_AT_ONCE
            known = self.dearest.get(self._statement, 0)
            self.dearest[self._statement] = max(known, self._statement_steps)
        return 0

    def watch_statements(self) -> None:
        """Note from now on what each statement costs when it costs most."""

        def begins(statement: str) -> None:
            self._statement, self._statement_steps = LITERAL.sub("?", statement), 0

        self.connection.set_trace_callback(begins)

    def look_up(self, sequences: list[int]) -> tuple[int, float]:
        """Find what a challenge of some leaves needs; returns steps and milliseconds."""
        spent = Spent()
        with self._spending(spent), self.store.read() as connection:
            for sequence in sequences:
                row = challenges.leaf_row(connection, sequence)
                assert row is not None
                challenges.disposals_of(connection, sequence)
                footage.segments_after(connection, sequence - 1, 1)
        return spent.steps[0], spent.milliseconds[0]

    def log_size(self) -> int:
        with self.store.read() as connection:
            (size,) = connection.execute("SELECT size FROM frontier").fetchone()
        return int(size)
