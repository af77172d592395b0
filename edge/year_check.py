"""What a year of the cameras needs, against the room on the volumes. Writes nothing.

Cameras record around the clock, so that is what the verdict goes by; the figure for the opening
hours is for pharmacies that switch their cameras off. Footage that is already held counts as room:
it is part of the year, or its place becomes free.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from edge.camera_check import TERABYTE, YEAR_DAYS, StreamFacts
from edge.config import EdgeConfig
from edge.custodian.opening import hours_of
from retention.footage.closures import closed_spans
from retention.footage.coverage import Span
from retention.store.database import StoreUnavailable, open_read_only
from retention.store.opening import Opening

WEEK_US = 7 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class Year:
    """Bytes for 366 days of every camera that was measured; `cameras` of how many."""

    bytes_24h: int
    open_share: float
    room_bytes: int
    held_bytes: int
    measured: int
    cameras: int

    @property
    def bytes_opening(self) -> int:
        return round(self.bytes_24h * self.open_share)

    @property
    def days(self) -> int:
        """Return how many days of all cameras around the clock the room takes."""
        return (self.room_bytes + self.held_bytes) * YEAR_DAYS // max(1, self.bytes_24h)

    @property
    def enough(self) -> bool:
        return self.days >= YEAR_DAYS

    def to_json(self) -> dict[str, object]:
        return {
            "days": YEAR_DAYS,
            "bytes_24h": self.bytes_24h,
            "bytes_opening": self.bytes_opening,
            "open_share": round(self.open_share, 4),
            "room_bytes": self.room_bytes,
            "held_bytes": self.held_bytes,
            "days_of_room": self.days,
            "enough": self.enough,
            "cameras_measured": self.measured,
            "cameras": self.cameras,
        }

    def said(self) -> str:
        """Return the verdict for people."""
        parts = [f"366 天全天 / 366 days at 24 h: {_tb(self.bytes_24h)}"]
        if self.open_share < 1:
            share = f"{self.open_share:.0%}"
            parts.append(f"营业时间 / opening hours ({share}): {_tb(self.bytes_opening)}")
        parts.append(f"可用 / room: {_tb(self.room_bytes)}, 已存 / held: {_tb(self.held_bytes)}")
        parts.append(
            f"可存 / lasts {self.days} 天 days: "
            + ("足够 / enough" if self.enough else "不足 / too little")
        )
        if self.measured < self.cameras:
            parts.append(f"仅计 / only {self.measured} of {self.cameras} 路 / cameras measured")
        return "; ".join(parts)


def year_of(config: EdgeConfig, streams: Sequence[StreamFacts]) -> Year | None:
    """Add up the recorded streams; None when none could be measured."""
    recorded = [one for one in streams if one.stream == "main" and one.measured.bits_per_second]
    if not recorded:
        return None
    return Year(
        bytes_24h=sum(one.year_bytes for one in recorded),
        open_share=open_share(hours_of(config)),
        room_bytes=room_bytes(config),
        held_bytes=held_bytes(config),
        measured=len(recorded),
        cameras=len(config.cameras),
    )


def open_share(hours: tuple[str, ...]) -> float:
    """Return which part of a week is open."""
    week = Span(4 * WEEK_US, 5 * WEEK_US)
    closed = closed_spans([Opening(0, hours)], (), week)
    return 1 - sum(span.end - span.start for span in closed) / WEEK_US


def room_bytes(config: EdgeConfig) -> int:
    """Return the free bytes of the volumes, each file system once. DATA/footage is made when it is
    not there, so its parent counts; a disk that is not mounted has no room."""
    free: dict[int, int] = {}
    for root in config.volume_roots.values():
        candidates = (root,) if config.recording.volumes else (root, *root.parents)
        there = next((one for one in candidates if one.is_dir()), None)
        if there is not None:
            with contextlib.suppress(OSError):  # said by the check of the volume itself
                free[os.stat(there).st_dev] = shutil.disk_usage(there).free
    return sum(free.values())


def held_bytes(config: EdgeConfig) -> int:
    """Return the bytes of footage that the index knows, 0 before there is one."""
    try:
        connection = open_read_only(config.node.data / "node.sqlite3")
    except StoreUnavailable:
        return 0
    with contextlib.closing(connection):
        (found,) = connection.execute("SELECT coalesce(sum(bytes), 0) FROM segments").fetchone()
    held: int = found
    return held


def _tb(size: int) -> str:
    return f"{size / TERABYTE:.2f} TB"
