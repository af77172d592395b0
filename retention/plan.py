"""The storage plan: what the floor needs, what is held, when it is missed, what to change.

gather     reads the database and the disks of a node, changes nothing
to_json    the plan as one object; sizes in bytes, rates in bits a second
lines      the plan for people, Chinese first
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from retention.capacity import Basis, Rate
from retention.footage.volume import Condition, Owner, Volume, look_at, not_configured
from retention.footage.volumes import room_by_device, room_on
from retention.nodefile import NodeFile
from retention.outlook import CameraKept, Outlook, look_ahead, without_rows
from retention.records.clock import to_text
from retention.store import volumes as rows
from retention.store.database import open_read_only

MARGIN = 1.1
"""Disks are bought with a tenth to spare: days differ, and a file system wants room."""
GOOD_BITS_PER_SECOND = 1_000_000
"""Below this a 1080p camera shows no faces; then only more disk helps."""
BASIS: dict[Basis, tuple[str, str]] = {
    "measured": ("实测", "measured"),
    "extrapolated": ("按最近录像推算", "from the newest hours"),
    "assumed": ("录像尚少，按配置或常用值估计", "assumed, too little was recorded"),
}


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to change, in words."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that `retention plan` tells."""

    made_at: datetime
    outlook: Outlook
    volumes: tuple[Volume, ...]
    room: tuple[int | None, ...]
    """Free bytes of each volume, None where it takes no footage."""

    @property
    def meets_floor(self) -> bool:
        return self.outlook.forecast.meets_floor

    @property
    def owed_days(self) -> int:
        """Days that footage of now is owed, rounded up."""
        return -((self.made_at - self.outlook.owed_now) // timedelta(days=1))

    def need_bytes(self, rate: Rate) -> int:
        """Return what footage at a rate takes once its whole term is held."""
        return rate.bytes_per_day * self.owed_days


def gather(node: NodeFile, now: datetime) -> Plan:
    """Look at a node. Raises StoreUnavailable when its database cannot be read, OSError."""
    cameras = {camera.id: camera.configured_bits for camera in node.cameras}
    if not node.database.exists():
        owner = Owner(node.node.node, "", {}, frozenset())
        found = _look(node, owner)
        return _plan(now, without_rows(cameras, room_on(found), now), found)
    connection = open_read_only(node.database)
    try:
        owner = Owner(
            node.node.node,
            rows.database_id(connection),
            rows.known(connection),
            rows.with_footage(connection),
        )
        found = _look(node, owner)
        return _plan(now, look_ahead(connection, cameras, room_on(found), now), found)
    finally:
        connection.close()


def is_too_old(exc: sqlite3.Error) -> bool:
    """Tell whether a database misses tables that this version makes at its next start."""
    return "no such table" in str(exc) or "no such column" in str(exc)


def _look(node: NodeFile, owner: Owner) -> tuple[Volume, ...]:
    named = bool(node.recording.volumes)
    gone = sorted(owner.with_footage - node.volume_roots.keys())
    return tuple(
        look_at(name, root, owner, must_exist=named) for name, root in node.volume_roots.items()
    ) + tuple(not_configured(name) for name in gone)


def _plan(now: datetime, outlook: Outlook, volumes: tuple[Volume, ...]) -> Plan:
    room = tuple(next(iter(room_by_device([one]).values()), None) for one in volumes)
    return Plan(now, outlook, volumes, room)


# -- what to change -------------------------------------------------------------------------------


def advice(plan: Plan) -> Iterator[Advice]:
    """Yield what to change, the first thing first; nothing when all is well."""
    for volume in plan.volumes:
        if not volume.writable and volume.condition is not Condition.FRESH:
            yield Advice(f"存储卷 {volume.name} 不可写：{volume.detail}",
                         f"make volume {volume.name} writable: {volume.detail}")  # fmt: skip
    ahead = plan.outlook.forecast
    if not plan.meets_floor:
        size = _size(round(ahead.missing_bytes * MARGIN))
        yield Advice(f"增加存储 {size}（含 10% 余量）", f"add {size} of disk (a tenth to spare)")
        yield from _lower_rate(plan)
    if ahead.rate.basis != "measured":
        yield Advice(
            "录满一整天后再看一次，那时有实测数据",
            "look again after a whole day of recording, when rates are measured",
        )


def _lower_rate(plan: Plan) -> Iterator[Advice]:
    headroom = plan.outlook.forecast.headroom or 0.0
    rates = plan.outlook.rates.cameras
    lower = {name: int(rate.bits_per_second * headroom / MARGIN) for name, rate in rates.items()}
    if lower and min(lower.values()) >= GOOD_BITS_PER_SECOND:
        told = ", ".join(f"{name} {_rate(bits)}" for name, bits in lower.items())
        yield Advice(f"或将码率降至：{told}", f"or lower the bit rates to: {told}")


# -- telling --------------------------------------------------------------------------------------


def to_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as one JSON object."""
    ahead, total = plan.outlook.forecast, plan.outlook.rates.total
    return {
        "ok": plan.meets_floor,
        "made_at": to_text(plan.made_at),
        "owed_days": plan.owed_days,
        "cameras": [_camera(plan, camera) for camera in plan.outlook.cameras],
        "volumes": [
            {
                "name": volume.name,
                "path": str(volume.root),
                "condition": volume.condition.value,
                "detail": volume.detail,
                "free_bytes": room,
            }
            for volume, room in zip(plan.volumes, plan.room, strict=True)
        ],
        "basis": total.basis,
        "days_measured": total.days,
        "bits_per_second": total.bits_per_second,
        "bytes_per_day": total.bytes_per_day,
        "need_bytes": plan.need_bytes(total),
        "held_bytes": _held(plan),
        "free_bytes": ahead.free_bytes,
        "days_left": ahead.days_left,
        "first_missed": _day(ahead.full_on),
        "resumes": _day(ahead.resumes_on),
        "missing_bytes": ahead.missing_bytes,
        "advice": [{"zh": one.zh, "en": one.en} for one in advice(plan)],
    }


def _camera(plan: Plan, camera: CameraKept) -> dict[str, Any]:
    return {
        "camera": camera.camera,
        "basis": camera.rate.basis,
        "days_measured": camera.rate.days,
        "bits_per_second": camera.rate.bits_per_second,
        "bytes_per_day": camera.rate.bytes_per_day,
        "need_bytes": plan.need_bytes(camera.rate),
        "days_held": camera.days_held,
        "held_since": None if camera.since is None else to_text(camera.since),
    }


def lines(plan: Plan) -> list[str]:
    """Return the plan for people."""
    ahead, total = plan.outlook.forecast, plan.outlook.rates.total
    said = [
        f"录像须存 {plan.owed_days} 天 / footage is owed for {plan.owed_days} days",
        *(_camera_line(plan, camera) for camera in plan.outlook.cameras),
        f"合计 / in all: {_size(total.bytes_per_day)}/天 day, 需 / needs "
        f"{_size(plan.need_bytes(total))}, 已存 / held {_size(_held(plan))}, "
        f"剩余 / free {_size(ahead.free_bytes)}",
        *(
            f"存储卷 / volume {volume.name}: {volume.root}, "
            + (f"剩余 / free {_size(room)}" if room is not None else volume.detail)
            for volume, room in zip(plan.volumes, plan.room, strict=True)
        ),
        _verdict(plan),
    ]
    return said + [f"建议 / to do: {one.zh} / {one.en}" for one in advice(plan)]


def _camera_line(plan: Plan, camera: CameraKept) -> str:
    zh, en = BASIS[camera.rate.basis]
    return (
        f"摄像头 / camera {camera.camera}: {_rate(camera.rate.bits_per_second)}（{zh} / {en}）, "
        f"{_size(camera.rate.bytes_per_day)}/天 day, 需 / needs "
        f"{_size(plan.need_bytes(camera.rate))}, 已存 / held {camera.days_held} 天 days"
    )


def _verdict(plan: Plan) -> str:
    ahead = plan.outlook.forecast
    if ahead.full_on is None:
        return "可满足存储期限 / every floor will be met"
    until = "" if ahead.resumes_on is None else f" – {ahead.resumes_on}"
    return (
        f"存储不足：{ahead.full_on} 存满（{ahead.days_left} 天后），此后录像缺失{until}；"
        f"缺 {_size(ahead.missing_bytes)} / not enough: full on {ahead.full_on} "
        f"(in {ahead.days_left} days), footage is missed from then on{until}; "
        f"{_size(ahead.missing_bytes)} short"
    )


def _held(plan: Plan) -> int:
    """Return the footage that is held now and still owed."""
    return plan.outlook.forecast.held_bytes


def _size(size: int) -> str:
    if size >= 10**12:
        return f"{size / 1e12:.2f} TB"
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"


def _rate(bits_per_second: int) -> str:
    return f"{bits_per_second / 1e6:.2f} Mb/s"


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
