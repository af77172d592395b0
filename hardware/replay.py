"""A film from a file, played as if a camera sent it. For demo and tests, and it warns elsewhere.

`file:///path/film.mp4` keeps the film's own pace; `?speed=4` plays it four times as fast and
`?speed=0` as fast as it can be read. When the film is over the camera has ended its stream.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from hardware.errors import CameraEnded, CameraUnavailable, HardwareError, warn_simulated
from hardware.packets import OpenedVideo, ReceivedPacket, open_video

READ_SECONDS = 5.0


class FilmPackets(OpenedVideo):
    """An opened film. Made by ``open_film``; use from one thread."""

    def __init__(
        self, url: str, container: InputContainer, stream: VideoStream, speed: float
    ) -> None:
        warn_simulated("A film in place of a camera")
        super().__init__(stream)
        self._url, self._container, self._speed = url, container, speed
        self._closed = threading.Event()

    def packets(self) -> Iterator[ReceivedPacket]:
        """Yield the film's packets when they are due. Raises ``CameraEnded`` at its end."""
        began, first = time.monotonic(), None
        reason: HardwareError = CameraEnded(self._url)
        try:
            for packet in self._container.demux(self._stream):
                if packet.size == 0:
                    break
                if packet.dts is not None and self._speed:
                    first = packet.dts if first is None else first
                    seconds = float((packet.dts - first) * (self._stream.time_base or 0))
                    self._closed.wait(max(0.0, began + seconds / self._speed - time.monotonic()))
                yield ReceivedPacket(packet, time.monotonic_ns())
        except av.error.FFmpegError as exc:
            reason = CameraUnavailable(self._url, exc.strerror or type(exc).__name__)
        raise reason

    def close(self) -> None:
        """Close the film; safe to call twice."""
        self._closed.set()
        self._container.close()


def open_film(url: str) -> FilmPackets:
    """Open `file:///…` for its packets. Raises ``CameraUnavailable``, ``UnsupportedCodec``."""
    parts = urlsplit(url)
    said = parse_qs(parts.query).get("speed", ["1"])[-1]
    try:
        speed = float(said)
    except ValueError as exc:
        raise CameraUnavailable(url, f"speed={said[:20]!r} is no number") from exc
    if not 0 <= speed <= 1000:
        raise CameraUnavailable(url, "speed is from 0 to 1000")
    container, stream = open_video(unquote(parts.path), {}, READ_SECONDS)
    return FilmPackets(url, container, stream, speed)
