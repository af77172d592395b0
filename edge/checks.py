"""What a node needs before it can run: keys, folder, models, cameras. Changes nothing but keys."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass

from edge.config import CameraConfig, EdgeConfig
from hardware.errors import HardwareError
from hardware.packets import open_packets
from retention.footage.layout import VOLUME_FILE
from retention.footage.volume import read_volume
from retention.records.errors import UsageError

SAMPLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class CheckItem:
    """One thing that was checked."""

    what: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """Everything that was checked, in order."""

    items: tuple[CheckItem, ...]

    @property
    def ok(self) -> bool:
        return all(item.ok for item in self.items)

    def to_json(self) -> dict[str, object]:
        return {"ok": self.ok, "checks": [asdict(item) for item in self.items]}


def check_node(config: EdgeConfig) -> NodeCheck:
    """Check a node that is configured. Raises UsageError for keys that others may read."""
    items = [_keys(config), _volume(config), _disk(config), *_models(config)]
    items.append(_opencv())
    items += [_camera(camera) for camera in config.cameras]
    return NodeCheck(tuple(items))


def _keys(config: EdgeConfig) -> CheckItem:
    return CheckItem("keys", True, f"signing key {config.keys().signer().key_id}")


def _volume(config: EdgeConfig) -> CheckItem:
    path = config.footage_root / VOLUME_FILE
    if not path.exists():
        return CheckItem("volume", True, f"{path}: not named yet, will be at the first start")
    try:
        found = read_volume(path)
    except (UsageError, OSError) as exc:
        return CheckItem("volume", False, str(exc))
    ok = found.node == config.node.node
    return CheckItem("volume", ok, f"{path}: volume {found.volume} of node {found.node}")


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


def _models(config: EdgeConfig) -> list[CheckItem]:
    from models.errors import ModelsError
    from models.folder import models_folder, verified_path
    from models.manifest import MANIFESTS

    folder = models_folder(config.verification.models)
    items = []
    for manifest in MANIFESTS:
        try:
            path = verified_path(manifest, folder)
            items.append(CheckItem(f"model {manifest.name}", True, str(path)))
        except ModelsError as exc:
            items.append(CheckItem(f"model {manifest.name}", False, str(exc)))
    return items


def _camera(camera: CameraConfig) -> CheckItem:
    """Open a camera and measure what it sends for SAMPLE_SECONDS."""
    what = f"camera {camera.id}"
    try:
        source = open_packets(
            camera.url, transport=camera.transport, timeout_seconds=camera.timeout_seconds
        )
    except HardwareError as exc:
        return CheckItem(what, False, str(exc))
    count = bits = 0
    first: int | None = None
    last = 0
    try:
        until = time.monotonic() + SAMPLE_SECONDS
        for received in source.packets():
            packet = received.packet
            count, bits = count + 1, bits + packet.size * 8
            last = packet.dts or last
            first = packet.dts if first is None else first
            if time.monotonic() > until:
                break
        seconds = float((last - (first or 0)) * (source.stream.time_base or 0)) or SAMPLE_SECONDS
        detail = (
            f"{source.codec_name} {source.width}x{source.height}, "
            f"{(count - 1) / seconds:.1f} pictures/s, {round(bits / seconds)} bits/s"
        )
    except HardwareError as exc:
        return CheckItem(what, False, str(exc))
    finally:
        source.close()
    return CheckItem(what, True, detail)
