"""The newest picture of every camera, for the terminal's page. Memory only, never kept.

The watch sends pictures only while somebody subscribes, and this subscribes only while a page asks:
LOOKED_AT_NS after the last question it lets go and forgets. However many browsers look, a picture
comes once. A picture that nobody refreshes any more is not shown as if it were now: what counts is
when it left the camera, for the watch sends its newest one to whoever comes, however old.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import structlog
import zmq
from pydantic import ValidationError

from edge.watch.shown import PICTURE_TOPIC, Shown
from retention.records.clock import Clock

log = structlog.get_logger(__name__)
POLL_MILLISECONDS = 100
HIGH_WATER_MARK = 16
MAX_MESSAGE_BYTES = 1024 * 1024
LOOKED_AT_NS = 5_000_000_000
FRESH_NS = 12_000_000_000  # key pictures may be seconds apart


@dataclass(frozen=True, slots=True)
class CameraPicture:
    """A JPEG and what the watch says of it."""

    shown: Shown
    jpeg: bytes


class CameraPictures:
    """Keeps the newest pictures. `run` belongs to one thread, the rest to anybody."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._newest: dict[str, CameraPicture] = {}
        self._asked_ns: int | None = None

    # -- the reading thread -----------------------------------------------------------------------

    def run(
        self, context: zmq.Context[zmq.Socket[bytes]], address: str, stop: threading.Event
    ) -> None:
        """Take in what comes until told to stop."""
        subscribed = False
        with context.socket(zmq.SUB) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
            socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
            socket.connect(address)
            while not stop.is_set():
                if self.watched != subscribed:
                    subscribed = not subscribed
                    wanted = zmq.SUBSCRIBE if subscribed else zmq.UNSUBSCRIBE
                    socket.setsockopt(wanted, PICTURE_TOPIC)
                    if not subscribed:
                        self.forget()
                if socket.poll(POLL_MILLISECONDS):
                    self.take(socket.recv_multipart())

    def take(self, frames: list[bytes]) -> None:
        """Keep one message; what cannot be read is logged and forgotten."""
        match frames:
            case [topic, camera, text, jpeg] if topic == PICTURE_TOPIC:
                try:
                    shown = Shown.model_validate_json(text)
                except ValidationError:
                    log.warning("camera_picture_unreadable")
                    return
                with self._lock:
                    self._newest[camera.decode("ascii", "replace")] = CameraPicture(shown, jpeg)
            case _:
                log.warning("camera_picture_unreadable", frames=len(frames))

    def forget(self) -> None:
        with self._lock:
            self._newest.clear()

    # -- the page ---------------------------------------------------------------------------------

    @property
    def watched(self) -> bool:
        """Say whether a page asked lately."""
        asked_ns = self._asked_ns
        return asked_ns is not None and self._clock.monotonic_ns() - asked_ns < LOOKED_AT_NS

    def newest(self, camera: str) -> CameraPicture | None:
        """Return a camera's newest picture, None while there is no fresh one; have more come."""
        now_ns = self._clock.monotonic_ns()
        self._asked_ns = now_ns
        with self._lock:
            found = self._newest.get(camera)
        return (
            found
            if found is not None and now_ns - found.shown.received_monotonic_ns < FRESH_NS
            else None
        )
