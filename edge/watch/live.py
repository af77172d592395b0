"""What the watch shows of the cameras: small pictures, in memory, while somebody looks.

A picture published here is never written to a disk, a record or a log, and leaves this process only
over a local socket. It is encoded only while somebody is subscribed (XPUB tells); whoever is slow
misses pictures, and nobody delays the watch. Message: topic `J`, camera id, JSON, JPEG.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import structlog
import zmq
from av.video.frame import VideoFrame

from edge.watch.shown import PICTURE_TOPIC, Shown
from models.opencv import cv2

log = structlog.get_logger()
HIGH_WATER_MARK = 16
WIDTH, QUALITY = 480, 70


class ViewPublisher:
    """Publishes the newest picture of every camera. Used by one thread; never blocks."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self._socket = context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(address)
        self._newest: dict[str, tuple[Shown, VideoFrame]] = {}
        self._watched = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    @property
    def watched(self) -> bool:
        """Say whether anybody was subscribed when that was noticed last."""
        return self._watched

    def show(self, shown: Shown, frame: VideoFrame) -> None:
        """Remember a camera's newest picture and send it if somebody looks."""
        self._newest[shown.camera] = (shown, frame)
        if self._watched:
            self._send(shown, frame)

    def notice(self) -> None:
        """Take in who came and went; whoever comes gets the newest pictures at once."""
        before = self._watched
        while True:
            try:
                told = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            if told[1:] == PICTURE_TOPIC:
                self._watched = told[:1] == b"\x01"
        if self._watched and not before:
            for shown, frame in self._newest.values():
                self._send(shown, frame)

    def _send(self, shown: Shown, frame: VideoFrame) -> None:
        jpeg = jpeg_of(frame)
        if jpeg is not None:
            # An XPUB at its high-water mark drops; it neither blocks nor fails.
            self._socket.send_multipart(
                [PICTURE_TOPIC, shown.camera.encode(), shown.model_dump_json().encode(), jpeg],
                zmq.NOBLOCK,
            )


def jpeg_of(frame: VideoFrame) -> bytes | None:
    """Return a small JPEG; None when it cannot be made, for the watch goes on without."""
    width = min(WIDTH, frame.width)
    height = max(2, round(frame.height * width / frame.width))
    pixels = frame.to_ndarray(format="bgr24", width=width, height=height)
    try:
        done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    except cv2.error as exc:
        log.error("picture_not_shown", error=type(exc).__name__)
        return None
    return encoded.tobytes() if done else None
