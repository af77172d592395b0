"""Silence of the watch is an alarm too: footage comes and nobody looks whether it shows anything.

A camera that records and of which no picture was judged for LIMIT_SECONDS is unwatched, whatever
the reason: the watch is dead, hangs or lags, pictures cannot be decoded, a second stream does not
come. The alarm is cleared by a judged picture and by nothing else. A camera that does not record
has its gap and CAMERA_SILENT.
"""

from __future__ import annotations

import sqlite3

import structlog

from edge.config import CameraConfig, EdgeConfig
from edge.uplink.status import is_fresh
from edge.watch.looked import looked_at
from retention.records.clock import to_micros
from retention.store import alarms, footage
from retention.store.alarms import Alarm
from retention.store.database import NodeStore

LIMIT_SECONDS = 60.0
"""Beyond the time in which a camera that stopped sending has its gap."""

log = structlog.get_logger()


class Unwatched:
    """Compares what is recorded with what the watch says that it looked at."""

    def __init__(self, store: NodeStore, config: EdgeConfig) -> None:
        self._store, self._config = store, config
        self._since_ns = store.clock.monotonic_ns()  # the watch starts with the custodian

    def step(self) -> None:
        """Raise and clear VIEW_UNWATCHED for every camera. Raises StoreUnavailable."""
        now_ns = self._store.clock.monotonic_ns()
        looked = looked_at(self._config, self._store.clock)
        for camera in self._config.cameras:
            age = (now_ns - max(looked.get(camera.id, 0), self._since_ns)) / 1e9
            unwatched = age > LIMIT_SECONDS + camera.timeout_seconds
            with self._store.read() as connection:
                raised = alarms.is_open(connection, Alarm.VIEW_UNWATCHED, camera.id)
                must_raise = unwatched and not raised and self._records(connection, camera)
            if must_raise:
                self._raise(camera, age)
            elif raised and looked.get(camera.id, 0) > self._since_ns and not unwatched:
                with self._store.write() as connection:
                    alarms.clear_alarm(self._store, connection, Alarm.VIEW_UNWATCHED, camera.id)
                log.warning("view_watched_again", camera=camera.id)

    def _records(self, connection: sqlite3.Connection, camera: CameraConfig) -> bool:
        last = footage.last_sealed(connection, camera.id)
        now = to_micros(self._store.clock.now())
        gap = footage.open_gap_of(connection, camera.id)
        return gap is None and is_fresh(self._config, last.ended_at if last else None, now)

    def _raise(self, camera: CameraConfig, age: float) -> None:
        since = to_micros(self._store.clock.now()) - int(age * 1e6)
        detail = f"no picture was judged for {age:.0f} s while footage came"
        with self._store.write() as connection:
            alarms.raise_alarm(
                self._store, connection, Alarm.VIEW_UNWATCHED, camera.id, detail, since
            )
        log.warning("view_unwatched", camera=camera.id, seconds=round(age))
