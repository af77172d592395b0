"""The live state a node tells central. May be lost; never evidence."""

from __future__ import annotations

from edge.config import CameraConfig, EdgeConfig
from edge.room import RoomWatch
from retention.records.clock import from_micros, to_micros, to_text
from retention.store import uplink
from retention.store.database import NodeStore
from retention.terms.wire import CameraStatus, Status

FRESH_SECONDS = 2.5  # a camera that sealed nothing for so many segment lengths is not recording


def status_of(
    config: EdgeConfig, store: NodeStore, confirmed: int, watch: RoomWatch | None = None
) -> Status:
    """Return cameras, backlog and room as the tables and the file systems tell.

    Raises StoreUnavailable, OSError.
    """
    now = store.clock.now()
    room = (watch or RoomWatch(config, store)).now()
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
        disk_free_bytes=room.free_bytes,
        bytes_per_day=room.bytes_per_day,
        disk_days=room.days_left,
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
