"""What a camera really sends, and what a year of it needs: measured on the stream, not believed.

A stream is opened as its recorder opens it and measured over whole groups of pictures, at least
SAMPLE_SECONDS of media time. The camera's clock is known from RTCP sender reports only; the offset
is its own time of a picture minus ours when it arrived, so it holds the delay of the network too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from edge.config import CameraConfig
from edge.recorder.process import encode_plan
from hardware.errors import CameraEnded
from hardware.packets import PacketSource, ReceivedPacket, camera_time_us, open_packets

SAMPLE_SECONDS = 2.0
WANTED_KEYS = 3
LONGEST_SAMPLE_SECONDS = 12.0
"""A camera may send a key picture only every ten seconds."""
YEAR_DAYS = 366
DAY_SECONDS = 86_400
TERABYTE = 1_000_000_000_000
REPLAYED_IN_BROWSERS = ("h264",)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a sample of packets shows. `key_seconds` is None with fewer than two key pictures;
    `clock_offset_ms` is None where the camera does not tell its time."""

    pictures_per_second: float
    bits_per_second: int
    key_seconds: float | None
    clock_offset_ms: int | None


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """One stream of a camera: how it arrives, what it is, what it shows of itself."""

    camera: str
    stream: str
    transport: str
    codec: str
    width: int
    height: int
    measured: Measured

    @property
    def replayable(self) -> bool:
        """Tell whether browsers play it; other codecs are recorded and exported all the same."""
        return self.codec in REPLAYED_IN_BROWSERS

    @property
    def year_bytes(self) -> int:
        """Return what 366 days around the clock need."""
        return self.measured.bits_per_second * DAY_SECONDS * YEAR_DAYS // 8

    def to_json(self, open_share: float) -> dict[str, object]:
        """Return the facts; a sub-stream is not recorded and so needs nothing."""
        found = self.measured
        needs = {
            "year_bytes_24h": self.year_bytes,
            "year_bytes_opening": round(self.year_bytes * open_share),
        }
        return {
            "camera": self.camera,
            "stream": self.stream,
            "transport": self.transport,
            "codec": self.codec,
            "width": self.width,
            "height": self.height,
            "pictures_per_second": round(found.pictures_per_second, 2),
            "bits_per_second": found.bits_per_second,
            "key_seconds": None if found.key_seconds is None else round(found.key_seconds, 2),
            "clock_offset_ms": found.clock_offset_ms,
            "replayable_in_browser": self.replayable,
            **(needs if self.stream == "main" else {}),
        }

    def said(self) -> str:
        """Return the facts for people."""
        found = self.measured
        rate = f"{found.pictures_per_second:.1f} 帧/秒 pictures/s"
        bits = f"{found.bits_per_second / 1_000_000:.2f} Mb/s"
        keys = (
            "关键帧间隔未知 / key-picture distance unknown"
            if found.key_seconds is None
            else f"关键帧间隔 / key picture every {found.key_seconds:.1f} s"
        )
        clock = (
            "摄像头未告知时间 / clock not told"
            if found.clock_offset_ms is None
            else f"时钟偏差 / clock {found.clock_offset_ms / 1000:+.3f} s"
        )
        parts = [f"{self.codec} {self.width}x{self.height} ({self.transport})"]
        parts += [rate, bits, keys, clock]
        if self.stream == "main":
            parts.append(f"366 天全天 / 366 days at 24 h {self.year_bytes / TERABYTE:.2f} TB")
        if not self.replayable:
            parts.append("浏览器不能回放 / recorded, but browsers cannot replay it")
        return ", ".join(parts)


def look(camera: CameraConfig, url: str, stream: str) -> StreamFacts:
    """Open a stream of a camera and measure it. Raises HardwareError."""
    source = open_packets(
        url,
        transport=camera.transport,
        timeout_seconds=camera.timeout_seconds,
        encode=encode_plan(camera),
    )
    try:
        taken = take(source)
        return StreamFacts(
            camera=camera.id,
            stream=stream,
            transport=transport_of(camera, url),
            codec=source.codec_name,
            width=source.width,
            height=source.height,
            measured=measure(taken, source.stream.time_base or Fraction(0), wall_offset_us()),
        )
    finally:
        source.close()


def take(source: PacketSource) -> list[ReceivedPacket]:
    """Return packets of SAMPLE_SECONDS and WANTED_KEYS key pictures, if they come in time. Raises
    HardwareError, but a film that is over is measured as far as it went."""
    time_base = source.stream.time_base or Fraction(0)
    until = time.monotonic() + LONGEST_SAMPLE_SECONDS
    taken: list[ReceivedPacket] = []
    keys = 0
    try:
        for received in source.packets():
            if time.monotonic() > until:
                break
            if received.packet.dts is None:
                continue
            taken.append(received)
            keys += received.packet.is_keyframe
            seconds = float((received.packet.dts - (taken[0].packet.dts or 0)) * time_base)
            if seconds >= SAMPLE_SECONDS and keys >= WANTED_KEYS:
                break
    except CameraEnded:
        if len(taken) < 2:
            raise
    return taken


def measure(taken: Iterable[ReceivedPacket], time_base: Fraction, wall_offset: int) -> Measured:
    """Measure packets in order; `wall_offset` is wall time minus monotonic time, microseconds."""
    packets = list(taken)
    times = [float((one.packet.dts or 0) * time_base) for one in packets]
    keys = [at for at, one in enumerate(packets) if one.packet.is_keyframe]
    # The first group may have been joined in its middle: it is left out where there are more.
    whole = keys[1:] if len(keys) > 2 else keys
    first, last = (whole[0], whole[-1]) if len(whole) > 1 else (0, len(packets) - 1)
    seconds = times[last] - times[first] if packets else 0.0
    bits = sum(one.packet.size * 8 for one in packets[first:last])
    told = [
        (camera_us, one.received_monotonic_ns // 1000 + wall_offset)
        for one in packets
        if (camera_us := camera_time_us(one.packet)) is not None
    ]
    offset_us = max((camera - ours for camera, ours in told), default=None)
    return Measured(
        pictures_per_second=(last - first) / seconds if seconds > 0 else 0.0,
        bits_per_second=round(bits / seconds) if seconds > 0 else 0,
        key_seconds=seconds / (len(whole) - 1) if len(whole) > 1 else None,
        clock_offset_ms=None if offset_us is None else round(offset_us / 1000),
    )


def wall_offset_us() -> int:
    """Return wall time minus monotonic time now."""
    return (time.time_ns() - time.monotonic_ns()) // 1000


def transport_of(camera: CameraConfig, url: str) -> str:
    """Return how packets travel: `tcp`, `udp`, `usb` or `film`."""
    scheme = url.partition("://")[0]
    return {"v4l2": "usb", "file": "film"}.get(scheme, camera.transport)
