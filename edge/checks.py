"""What a node needs before it can run: keys, folder, models, cameras. Changes nothing but keys."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.camera_check import StreamFacts, look
from edge.config import EdgeConfig
from edge.year_check import Year, year_of
from hardware.errors import HardwareError
from retention.footage.layout import VOLUME_FILE
from retention.footage.volume import read_volume
from retention.records.clock import SystemClock
from retention.records.errors import UsageError

_WORDS = {
    "keys": "密钥",
    "volume": "录像盘",
    "disk": "磁盘",
    "model": "模型",
    "policy": "核验策略",
    "calibration": "校准",
    "liveness": "活体判断",
    "face": "核验摄像头",
    "reference": "照片密钥",
    "opencv": "图像库",
    "camera": "摄像头",
    "year": "一年所需",
}


@dataclass(frozen=True, slots=True)
class CheckItem:
    """One thing that was checked."""

    what: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """Everything that was checked, in order; `streams` is what each camera was measured to send."""

    items: tuple[CheckItem, ...]
    streams: tuple[StreamFacts, ...] = ()
    year: Year | None = None

    @property
    def ok(self) -> bool:
        return all(item.ok for item in self.items)

    def to_json(self) -> dict[str, object]:
        share = 1.0 if self.year is None else self.year.open_share
        return {
            "ok": self.ok,
            "checks": [asdict(item) for item in self.items],
            "cameras": [stream.to_json(share) for stream in self.streams],
            "year": None if self.year is None else self.year.to_json(),
        }

    def lines(self) -> list[str]:
        """Return the checks for people."""
        return [
            f"{'ok ' if item.ok else 'BAD'} {_WORDS[item.what.split()[0]]} {item.what}:"
            f" {item.detail}"
            for item in self.items
        ]


def check_node(config: EdgeConfig) -> NodeCheck:
    """Check a node that is configured. Raises UsageError for keys that others may read."""
    items = [_keys(config), *_volumes(config), _disk(config), *_face(config), _opencv()]
    cameras, streams = _streams(config)
    items += cameras
    year = year_of(config, streams)
    if year is not None:
        items.append(CheckItem("year", year.enough, year.said()))
    return NodeCheck(tuple(items), tuple(streams), year)


def _keys(config: EdgeConfig) -> CheckItem:
    return CheckItem("keys", True, f"signing key {config.keys().signer().key_id}")


def _volumes(config: EdgeConfig) -> list[CheckItem]:
    """Say of every volume whose it is. One that the configuration names must be there."""
    return [_volume(config, name, root) for name, root in config.volume_roots.items()]


def _volume(config: EdgeConfig, name: str, root: Path) -> CheckItem:
    what = f"volume {name}"
    if config.recording.volumes and not root.is_dir():
        return CheckItem(what, False, f"{root}: 不存在 / is not there; is its disk mounted?")
    path = root / VOLUME_FILE
    if not path.exists():
        detail = f"{root}: 首次启动时登记 / not named yet, will be at the first start"
        return CheckItem(what, True, detail)
    try:
        found = read_volume(path)
    except (UsageError, OSError) as exc:
        return CheckItem(what, False, str(exc))
    ok = found.node == config.node.node
    return CheckItem(what, ok, f"{path}: volume {found.volume} of node {found.node}")


def _disk(config: EdgeConfig) -> CheckItem:
    folder = config.node.data
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        probe = folder / "run"
        probe.mkdir(exist_ok=True, mode=0o700)
        (probe / "writable").write_bytes(b"")
        (probe / "writable").unlink()
    except OSError as exc:
        return CheckItem("disk", False, f"{folder}: {exc.strerror}")
    return CheckItem("disk", True, f"{folder}: {free} bytes free")


def _opencv() -> CheckItem:
    try:
        from models.opencv import cv2
    except (UsageError, ImportError) as exc:
        return CheckItem("opencv", False, str(exc))
    return CheckItem("opencv", True, cv2.__version__)


def _face(config: EdgeConfig) -> list[CheckItem]:
    from edge.face_check import face_items  # it loads what only a face needs

    return face_items(config, SystemClock().now())


def _streams(config: EdgeConfig) -> tuple[list[CheckItem], list[StreamFacts]]:
    """Open every stream of every camera and measure what it sends."""
    items: list[CheckItem] = []
    found: list[StreamFacts] = []
    for camera in config.cameras:
        for stream, url in (("main", camera.url), ("sub", camera.sub_url)):
            if url is None:
                continue
            what = f"camera {camera.id}" if stream == "main" else f"camera {camera.id} sub"
            try:
                facts = look(camera, url, stream)
            except HardwareError as exc:
                items.append(CheckItem(what, False, str(exc)))
                continue
            items.append(CheckItem(what, facts.measured.bits_per_second > 0, facts.said()))
            found.append(facts)
    return items, found
