"""How much room recording has left, for the counter's bar, the status and the custodian.

Reckoned from rows and the file systems, at most once a minute a process; nothing is asked of
another process.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.config import EdgeConfig
from retention.footage.volumes import Volumes
from retention.outlook import Outlook, look_ahead
from retention.store.database import NodeStore

KEPT_SECONDS, KEPT_SECONDS_WHILE_UNKNOWN = 60.0, 10.0


@dataclass(frozen=True, slots=True)
class Room:
    """`days_left` counts whole days that still fit, what may go meanwhile counted in; it is the
    whole horizon of the forecast when all of it fits. None while too little was recorded."""

    free_bytes: int
    bytes_per_day: int | None
    days_left: int | None


def forecast_now(config: EdgeConfig, store: NodeStore, volumes: Volumes) -> Outlook:
    """Make the forecast for the cameras that are configured: for those of which it is known what
    a whole day takes, if any, so that a camera which never works hides no full disk.

    Raises OSError, StoreUnavailable.
    """
    room = volumes.room()
    cameras = {
        camera.id: camera.encode_bits_per_second if camera.url.startswith("v4l2:") else None
        for camera in config.cameras
    }
    with store.read() as connection:
        found = look_ahead(connection, cameras, room, store.clock.now())
        measured = {
            name: bits
            for name, bits in cameras.items()
            if found.rates.cameras[name].basis == "measured"
        }
        if len(measured) in (0, len(cameras)):
            return found
        return look_ahead(connection, measured, room, store.clock.now())


class RoomWatch:
    """Keeps the last answer for a minute, or for ten seconds while nothing is known."""

    def __init__(self, config: EdgeConfig, store: NodeStore) -> None:
        self._config, self._store = config, store
        self._volumes = config.volumes(store)
        self._kept: Room | None = None
        self._due_ns = 0

    def now(self) -> Room:
        """Return the room there is. Raises OSError, StoreUnavailable."""
        now_ns = self._store.clock.monotonic_ns()
        if self._kept is None or now_ns >= self._due_ns:
            self._kept = self._reckon()
            known = self._kept.bytes_per_day is not None
            wait = KEPT_SECONDS if known else KEPT_SECONDS_WHILE_UNKNOWN
            self._due_ns = now_ns + int(wait * 1e9)
        return self._kept

    def _reckon(self) -> Room:
        found = forecast_now(self._config, self._store, self._volumes)
        ahead, rate = found.forecast, found.rates.total
        if rate.basis == "assumed":
            return Room(ahead.free_bytes, None, None)
        left = len(ahead.days) if ahead.days_left is None else ahead.days_left
        return Room(ahead.free_bytes, rate.bytes_per_day, left)
