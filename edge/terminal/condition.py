"""How the node is doing, for the people at the counter: cameras, central, disk, face check.

Read from what the node's processes write anyway: gap and segment rows, the uplink's note, the file
system. Nothing is asked of another process and no lock is held, so a page may poll it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from edge.config import CameraConfig
from edge.terminal.duty_actions import Counted, on_duty, standing_of
from edge.uplink.contact import read_contact
from edge.uplink.status import is_fresh
from retention.records.clock import from_micros, from_text, to_micros
from retention.store import alarms, footage, uplink
from retention.store.alarms import Alarm

if TYPE_CHECKING:
    from edge.terminal.parts import Parts


@dataclass(frozen=True, slots=True)
class CameraCondition:
    """`down` since and why; `unseen` records pictures that show nothing; of `unwatched` nobody
    knows, for they are not looked at; `starting` has not sealed a segment lately, with no gap known
    yet."""

    camera: str
    role: str
    state: Literal["recording", "unseen", "unwatched", "starting", "down"]
    since: datetime | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class CentralCondition:
    """`alone`: no central is configured. `since` is when central last answered, None for never."""

    state: Literal["connected", "offline", "alone"]
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """`disk_days` by the node's forecast, None while too little was recorded to tell; `disk_free`
    in bytes; `look_days` and `stop_days` are the limits of the configuration; `face` says whether
    the verifier gave a sign of life lately, `face_off` why it looks at nobody all the same. `duty`
    is what the pharmacists on duty come to, None where none is wanted and none signed in;
    `duty_confirm` names those who have to give their secret again soon."""

    cameras: tuple[CameraCondition, ...]
    central: CentralCondition
    disk_days: int | None
    disk_free: int
    look_days: int
    stop_days: int
    face: bool
    face_off: str | None
    duty: Counted | None
    duty_confirm: tuple[str, ...]

    @property
    def disk_mark(self) -> Literal["ok", "look", "stop"]:
        if self.disk_days is None or self.disk_days >= self.look_days:
            return "ok"
        return "look" if self.disk_days >= self.stop_days else "stop"


def condition(parts: Parts) -> Condition:
    """Return how the node is doing now. Raises StoreUnavailable, OSError."""
    room, limits = parts.room.now(), parts.config.retention
    now = to_micros(parts.store.clock.now())
    with parts.store.read() as connection:
        cameras = tuple(_camera(parts, connection, camera, now) for camera in parts.config.cameras)
        off = next(
            (
                row.detail
                for row in alarms.open_alarms(connection)
                if row.alarm == Alarm.FACE_METHOD_OFF
            ),
            None,
        )
    there = on_duty(parts)
    return Condition(
        cameras=cameras,
        central=_central(parts),
        disk_days=room.days_left,
        disk_free=room.free_bytes,
        look_days=limits.warn_days,
        stop_days=limits.alarm_days,
        face=off is None and (parts.live is None or parts.live.verifier_heard),
        face_off=off,
        duty=standing_of(there) if there or parts.config.presence.required else None,
        duty_confirm=tuple(one.pharmacist for one in there if one.confirm_now),
    )


def _camera(
    parts: Parts, connection: sqlite3.Connection, camera: CameraConfig, now: int
) -> CameraCondition:
    role = camera.scene_role.value
    gap = footage.open_gap_of(connection, camera.id)
    if gap is not None:
        since = from_micros(gap.started_at)
        return CameraCondition(camera.id, role, "down", since, gap.cause)
    view = footage.open_gap_of(connection, camera.id, "view")
    if view is not None:
        since = from_micros(view.started_at)
        return CameraCondition(camera.id, role, "unseen", since, view.cause)
    last = uplink.camera_state(connection, camera.id).last_ended_at
    if is_fresh(parts.config, last, now):
        if alarms.is_open(connection, Alarm.VIEW_UNWATCHED, camera.id):
            return CameraCondition(camera.id, role, "unwatched")
        return CameraCondition(camera.id, role, "recording")
    return CameraCondition(camera.id, role, "starting", None if last is None else from_micros(last))


def _central(parts: Parts) -> CentralCondition:
    if parts.config.central is None:
        return CentralCondition("alone")
    known = read_contact(parts.config, parts.store.clock)
    answered_at = None if known is None else known.answered_at
    since = None if answered_at is None else from_text(answered_at)
    return CentralCondition("connected" if known and known.connected else "offline", since)
