"""The live state a node tells central. May be lost; never evidence."""

from __future__ import annotations

import shutil

from edge.config import CameraConfig, EdgeConfig
from retention.records.clock import from_micros, to_micros, to_text
from retention.store import uplink
from retention.store.database import NodeStore
from retention.terms.wire import CameraStatus, Status

FRESH_SECONDS = 2.5  # a camera that sealed nothing for so many segment lengths is not recording
RATE_SECONDS = 60.0


class DailyBytes:
    """What a day of recording takes, reckoned once a minute; None while nobody can tell."""

    def __init__(self, config: EdgeConfig, store: NodeStore) -> None:
        self._cameras, self._store = [camera.id for camera in config.cameras], store
        self._bytes: int | None = None
        self._due_ns = 0

    def bytes(self) -> int | None:
        """Return bytes a day of all cameras together. Raises StoreUnavailable."""
        now_ns = self._store.clock.monotonic_ns()
        if now_ns >= self._due_ns:
            with self._store.read() as connection:
                self._bytes = uplink.bytes_per_day(connection, self._cameras)
            # Until there is enough footage it is asked again soon: the first days matter most.
            wait = RATE_SECONDS if self._bytes is not None else RATE_SECONDS / 6
            self._due_ns = now_ns + int(wait * 1e9)
        return self._bytes


def status_of(
    config: EdgeConfig, store: NodeStore, confirmed: int, daily: DailyBytes | None = None
) -> Status:
    """Return cameras, backlog and disk as the tables and the file system tell."""
    now = store.clock.now()
    with store.read() as connection:
        size = uplink.log_size(connection)
        oldest = uplink.oldest_unsent_at(connection, confirmed)
        cameras = tuple(
            _camera(config, camera, uplink.camera_state(connection, camera.id), to_micros(now))
            for camera in config.cameras
        )
    return Status(
        occurred_at=to_text(now),
        clock_state=store.clock.state(),
        cameras=cameras,
        disk_free_bytes=shutil.disk_usage(config.node.data).free,
        bytes_per_day=(daily or DailyBytes(config, store)).bytes(),
        backlog=max(0, size.sent_count - confirmed),
        oldest_unsent_at=None if oldest is None else to_text(from_micros(oldest)),
    )


def _camera(
    config: EdgeConfig, camera: CameraConfig, state: uplink.CameraState, now: int
) -> CameraStatus:
    last = state.last_ended_at
    live = "recording" if is_fresh(config, last, now) else "starting"
    return CameraStatus.model_validate(
        {
            "camera": camera.id,
            "scene_role": camera.scene_role,
            "state": "down" if state.gap_open else live,
            "last_sealed_at": None if last is None else to_text(from_micros(last)),
            "simulated": camera.simulated,
        }
    )


def is_fresh(config: EdgeConfig, last_ended_at: int | None, now: int) -> bool:
    """Say whether a camera's last sealed segment (its end, microseconds) is recent enough."""
    fresh = FRESH_SECONDS * config.recording.segment_seconds * 1_000_000
    return last_ended_at is not None and now - last_ended_at < fresh
