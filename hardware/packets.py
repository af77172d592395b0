"""Compressed packets from a camera, to be recorded as they are.

``open_packets`` knows three kinds of address: ``rtsp(s)://`` (what the camera sent, undecoded),
``v4l2:///dev/…`` (a USB camera, encoded here) and ``file:///…`` (a film played as if it were a
camera, for demo and tests). A camera's address may hold its password: errors carry the address
without it, and FFmpeg's own log is switched off here. OpenCV and numpy are loaded for USB cameras
only, so that a recorder process stays small.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from hardware.errors import (
    ALLOWED_CODECS,
    CameraEnded,
    CameraUnavailable,
    HardwareError,
    UnsupportedCodec,
)
from hardware.pace import REST_SECONDS, Pace

Transport = Literal["tcp", "udp"]
# Enough to see the parameter sets and one key picture; FFmpeg would look for five seconds.
_ANALYSE_MICROSECONDS = 500_000
_MOST_HELD = 8
_SILENT = "no answer in time"


@dataclass(frozen=True, slots=True)
class EncodePlan:
    """What a camera that sends no compressed video is encoded to (H.264)."""

    width: int = 1280
    height: int = 720
    frames_per_second: float = 15.0
    bits_per_second: int = 2_000_000


@dataclass(frozen=True, slots=True)
class ReceivedPacket:
    """A packet as the camera sent it, and this machine's monotonic time when it was read."""

    packet: Packet[VideoStream]
    received_monotonic_ns: int


class PacketSource(Protocol):
    """Where a recorder gets packets. ``stream`` is the template for a copying output."""

    @property
    def codec_name(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def stream(self) -> VideoStream: ...
    @property
    def extradata(self) -> bytes: ...

    def packets(self) -> Iterator[ReceivedPacket]: ...

    def close(self) -> None: ...


class OpenedVideo:
    """What an opened video says of itself: sizes in pixels."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream

    @property
    def codec_name(self) -> str:
        """Return "h264" or "hevc"."""
        return self._stream.codec_context.name

    @property
    def width(self) -> int:
        return self._stream.codec_context.width

    @property
    def height(self) -> int:
        return self._stream.codec_context.height

    @property
    def stream(self) -> VideoStream:
        """Return the stream to pass to ``add_stream_from_template`` of an output."""
        return self._stream

    @property
    def extradata(self) -> bytes:
        """Return the parameter sets as FFmpeg keeps them; empty when there are none."""
        return bytes(self._stream.codec_context.extradata or b"")


class RtspPackets(OpenedVideo):
    """An opened camera. Made by ``open_packets``; use from one thread."""

    def __init__(
        self,
        url: str,
        container: InputContainer,
        stream: VideoStream,
        timeout_seconds: float,
        pace: Pace | None = None,
    ) -> None:
        super().__init__(stream)
        self._url, self._container = url, container
        self._timeout_ns = round(timeout_seconds * 1_000_000_000)
        self._pace = pace

    def packets(self) -> Iterator[ReceivedPacket]:
        """Yield packets in the order received, first the ones read while opening.

        Raises ``CameraUnavailable`` when nothing arrives for the timeout or the connection
        breaks, ``CameraEnded`` when the camera ends the stream.
        """
        reason: HardwareError = CameraEnded(self._url)
        try:
            received = self._received()
            yield from _first_with_times(received)
            yield from received
        except av.error.FFmpegError as exc:
            if not isinstance(exc, av.error.EOFError):
                reason = _unavailable(self._url, exc)
        # Raised out here, because FFmpeg's error would stay attached, address and all.
        raise reason

    def close(self) -> None:
        """Leave the camera; safe to call twice."""
        self._container.close()

    def _received(self) -> Iterator[ReceivedPacket]:
        """Yield what is read, until nothing comes for the timeout.

        FFmpeg then hands out the picture that its parser still held, as if nothing had happened,
        and would wait as long once more before it said so.
        """
        began_ns = time.monotonic_ns()
        for packet in self._container.demux(self._stream):
            if packet.size == 0:
                return
            read_ns, dts = time.monotonic_ns(), packet.dts  # a writer moves the packet's times
            yield ReceivedPacket(packet, read_ns)
            if read_ns - began_ns >= self._timeout_ns:
                raise CameraUnavailable(self._url, _SILENT)
            if self._pace is not None and self._pace.rest_after(dts, read_ns - began_ns):
                time.sleep(REST_SECONDS)
            began_ns = time.monotonic_ns()


def _first_with_times(received: Iterator[ReceivedPacket]) -> Iterator[ReceivedPacket]:
    """Yield the first pictures up to one with times, with the times that FFmpeg loses.

    Its H.264 parser remembers the times of the last four pieces only, so the first picture,
    which came in many pieces, has none. It is held back until the next one tells.
    """
    held: list[ReceivedPacket] = []
    for each in received:
        if each.packet.pts is None and len(held) < _MOST_HELD:
            held.append(each)
            continue
        if each.packet.pts is not None:
            for back, early in enumerate(reversed(held), start=1):
                step = early.packet.duration or each.packet.duration or 1
                early.packet.pts = early.packet.dts = each.packet.pts - back * step
        yield from held
        yield each
        return
    yield from held


def open_packets(
    url: str,
    *,
    transport: Transport = "tcp",
    timeout_seconds: float = 5.0,
    encode: EncodePlan | None = None,
    collect: bool = False,
) -> PacketSource:
    """Open a camera for its packets.

    ``timeout_seconds`` bounds opening, and later the longest silence. ``encode`` is for a USB
    camera, ``transport`` for RTSP. ``collect`` lets packets that come by TCP wait in the kernel
    for up to ``pace.REST_SECONDS``, to read several at once. Raises ``CameraUnavailable`` and
    ``UnsupportedCodec``; neither shows the address's password.
    """
    scheme = url.partition("://")[0]
    if scheme in ("rtsp", "rtsps"):
        return open_rtsp(url, transport=transport, timeout_seconds=timeout_seconds, collect=collect)
    if scheme == "v4l2":
        from hardware.v4l2 import open_v4l2  # OpenCV: only where such a camera is recorded

        return open_v4l2(url, encode or EncodePlan(), timeout_seconds=timeout_seconds)
    if scheme == "file":
        from hardware.replay import open_film

        return open_film(url)
    raise CameraUnavailable(url, "the address is neither rtsp://, v4l2:// nor file://")


def open_rtsp(
    url: str,
    *,
    transport: Transport = "tcp",
    timeout_seconds: float = 5.0,
    collect: bool = False,
) -> RtspPackets:
    """Open an RTSP camera. Raises as ``open_packets``."""
    options = {
        "rtsp_transport": transport,
        "timeout": str(round(timeout_seconds * 1_000_000)),
        "analyzeduration": str(_ANALYSE_MICROSECONDS),
        "fpsprobesize": "0",
        "allowed_media_types": "video",
    }
    container, stream = open_video(url, options, timeout_seconds)
    pace = None
    if collect and transport == "tcp" and stream.time_base is not None:
        pace = Pace(stream.time_base)
    return RtspPackets(url, container, stream, timeout_seconds, pace)


def open_video(
    url: str, options: dict[str, str], timeout_seconds: float
) -> tuple[InputContainer, VideoStream]:
    """Open an address and find its video. Raises as ``open_packets``."""
    av.logging.set_level(None)
    container: InputContainer | None = None
    reason: HardwareError | None = None
    try:
        container = av.open(url, options=options, timeout=(timeout_seconds, timeout_seconds))
        return container, _video(url, container)
    except av.error.FFmpegError as exc:
        reason = _unavailable(url, exc)
    except HardwareError as exc:
        reason = exc
    # Raised out here, because FFmpeg's error would stay attached, address and all.
    if container is not None:
        container.close()
    raise reason


def camera_time_us(packet: Packet[VideoStream]) -> int | None:
    """Return the camera's own UTC of a picture, microseconds since 1970, if it told.

    RTSP cameras tell it in RTCP sender reports (RFC 3550, 6.4.1); FFmpeg hands it on as side data
    `prft` (AVProducerReferenceTime: int64 wall clock, int flags).
    """
    if not packet.has_sidedata("prft"):
        return None
    wall_clock_us: int = struct.unpack_from("=q", bytes(packet.get_sidedata("prft")))[0]
    return wall_clock_us


def _video(url: str, container: InputContainer) -> VideoStream:
    if not container.streams.video:
        raise CameraUnavailable(url, "it offers no video")
    stream = container.streams.video[0]
    found = stream.codec_context.name if stream.codec_context is not None else "unknown"
    if found not in ALLOWED_CODECS:
        raise UnsupportedCodec(found)
    return stream


def _unavailable(url: str, error: av.error.FFmpegError) -> CameraUnavailable:
    """Translate an FFmpeg error; its own text may hold the whole address, so is not kept."""
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        return CameraUnavailable(url, _SILENT)
    return CameraUnavailable(url, error.strerror or type(error).__name__)
