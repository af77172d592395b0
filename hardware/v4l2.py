"""A USB camera: pictures through OpenCV (V4L2), encoded here, handed on as any camera's packets.

One process can stream from such a device, so it is recorded and not looked through beside that.
The time of a picture is when it was read from the driver, on this machine's monotonic clock.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import av
from av.video.stream import VideoStream

from hardware.encoder import TICKS_A_SECOND, H264Encoder, Pixels, open_encoder
from hardware.errors import CameraUnavailable, HardwareError
from hardware.packets import EncodePlan, ReceivedPacket

# OpenCV waits ten seconds for a picture unless its environment says otherwise when it is loaded.
_TIMEOUT_VARIABLE = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"


class PictureDevice(Protocol):
    """What gives raw pictures (BGR uint8, HxWx3). ``read`` raises ``CameraUnavailable``."""

    @property
    def plan(self) -> EncodePlan: ...

    def read(self) -> Pixels: ...

    def close(self) -> None: ...


class V4l2Device:
    """A device opened through ``cv2.VideoCapture``; ``plan`` holds what it really gives."""

    def __init__(self, url: str, path: Path, plan: EncodePlan, timeout_seconds: float) -> None:
        if not path.exists():
            raise CameraUnavailable(url, "there is no such device")
        if not os.access(path, os.R_OK | os.W_OK):
            raise CameraUnavailable(url, "this user may not use the device (group video?)")
        _load_opencv(timeout_seconds)
        import cv2  # only where there is such a camera

        self._url = url
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            self._capture.release()
            raise CameraUnavailable(url, "the device is in use or gives no video")
        # Uncompressed pictures of this size do not fit through USB 2.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, plan.width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, plan.height)
        self._capture.set(cv2.CAP_PROP_FPS, plan.frames_per_second)
        self.plan = EncodePlan(
            round(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            round(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            self._capture.get(cv2.CAP_PROP_FPS) or plan.frames_per_second,
            plan.bits_per_second,
        )

    def read(self) -> Pixels:
        taken, pixels = self._capture.read()
        if not taken:
            raise CameraUnavailable(self._url, "no picture in time")
        return pixels  # type: ignore[return-value]  # OpenCV's type names no dtype

    def close(self) -> None:
        self._capture.release()


def _load_opencv(timeout_seconds: float) -> None:
    """Load OpenCV with our timeout, unless the environment names one or it is loaded already."""
    if "cv2" in sys.modules or _TIMEOUT_VARIABLE in os.environ:
        return
    os.environ[_TIMEOUT_VARIABLE] = str(max(1, math.ceil(timeout_seconds)))
    try:
        importlib.import_module("cv2")
    finally:
        del os.environ[_TIMEOUT_VARIABLE]


class EncodedPackets:
    """A device's pictures as H.264. Made by ``open_v4l2``; use from one thread."""

    def __init__(
        self,
        url: str,
        device: PictureDevice,
        encoder: H264Encoder,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._url, self._device, self._encoder = url, device, encoder
        self._monotonic_ns = monotonic_ns

    @property
    def codec_name(self) -> str:
        return "h264"

    @property
    def width(self) -> int:
        return self._encoder.width

    @property
    def height(self) -> int:
        return self._encoder.height

    @property
    def stream(self) -> VideoStream:
        """Return the stream to pass to ``add_stream_from_template`` of an output."""
        return self._encoder.stream

    @property
    def extradata(self) -> bytes:
        return self._encoder.extradata

    @property
    def encoder(self) -> str:
        """Return the name of the encoder that was found to work."""
        return self._encoder.kind.name

    def packets(self) -> Iterator[ReceivedPacket]:
        """Yield packets as pictures are taken. Raises ``CameraUnavailable``."""
        first_ns, last = 0, -1
        while True:
            pixels = self._device.read()
            now_ns = self._monotonic_ns()
            first_ns = first_ns or now_ns
            last = max(last + 1, (now_ns - first_ns) * TICKS_A_SECOND // 1_000_000_000)
            for packet in self._encoded(pixels, last):
                # An encoder may hold pictures back; the packet's own time says when it was taken.
                taken_ns = first_ns + (packet.pts or 0) * 1_000_000_000 // TICKS_A_SECOND
                yield ReceivedPacket(packet, taken_ns)

    def close(self) -> None:
        """Leave the device; safe to call twice."""
        self._device.close()
        self._encoder.close()

    def _encoded(self, pixels: Pixels, at: int) -> list[av.Packet[VideoStream]]:
        try:
            return self._encoder.encode(pixels, at)
        except av.error.FFmpegError as exc:
            raise CameraUnavailable(
                self._url, f"{self.encoder} failed: {exc.strerror or type(exc).__name__}"
            ) from exc


def open_v4l2(url: str, plan: EncodePlan, *, timeout_seconds: float = 5.0) -> EncodedPackets:
    """Open `v4l2:///dev/video0`. Raises ``CameraUnavailable``, ``NoEncoder``."""
    av.logging.set_level(None)
    device = V4l2Device(url, Path(unquote(urlsplit(url).path)), plan, timeout_seconds)
    try:
        return EncodedPackets(url, device, open_encoder(device.plan))
    except HardwareError:
        device.close()
        raise
