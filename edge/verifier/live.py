"""What the counter may see of an attempt while it runs: the publishing side, in the verifier.

Invariant 9, face data stays on the node: a picture published here is in memory only. It is never
written to disk, never part of a record, a log or an answer of /v1, and it leaves this process only
over a local socket, while an attempt runs and while somebody looks. No score is published at all.

Live state may be lost: the socket keeps two looks for a slow reader and drops the rest, sending
never blocks, and a picture is encoded only while somebody is subscribed to pictures (XPUB tells).
The frame that completes an attempt is not shown: nothing stands between it and the decision.

One socket for all counters: what is published names its session, and each has its own pace. The
workers of the cameras share it under a lock; a ZeroMQ socket itself belongs to one thread.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import numpy as np
import structlog
import zmq
from numpy.typing import NDArray

from edge.verifier.protocol import PICTURE, STATE, LiveState
from models.opencv import cv2
from retention.records.clock import Clock

log = structlog.get_logger()
HIGH_WATER_MARK = 8  # two looks of two counters: each is a state and perhaps a picture
SHOW_EVERY_NS = 125_000_000
IDLE_EVERY_NS = 1_000_000_000
WIDTH, QUALITY = 640, 70


class LivePublisher:
    """Publishes the verifier's live state. Safe to share between threads; never blocks."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, clock: Clock) -> None:
        self._clock = clock
        self._socket = context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(address)
        self._lock = threading.Lock()
        self._watched = False
        self._idle_ns = -IDLE_EVERY_NS
        # When each session that is being looked at was shown last; gone when its attempt ends.
        self._shown_ns: dict[str | None, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._socket.close()

    def idle(self) -> None:
        """Say that the verifier is there, at most once a second."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._idle_ns >= IDLE_EVERY_NS:
            self._idle_ns = now_ns
            self._send([STATE, _text(LiveState(state="idle"))])

    def look(self, state: LiveState, pixels: NDArray[np.uint8] | None) -> None:
        """Show one look of a running attempt, at most eight times a second."""
        now_ns, session = self._clock.monotonic_ns(), state.session
        with self._lock:
            if now_ns - self._shown_ns.get(session, -SHOW_EVERY_NS) < SHOW_EVERY_NS:
                return
            self._shown_ns[session] = now_ns
        self._send([STATE, _text(state)])
        if pixels is None or session is None or not self._is_watched():
            return
        encoded = jpeg_of(pixels)
        if encoded is not None:
            self._send([PICTURE, session.encode(), encoded])

    def ended(self, session: str, attempt: int) -> None:
        """Say that an attempt ended, whatever came of it."""
        with self._lock:
            self._shown_ns.pop(session, None)
        self._send([STATE, _text(LiveState(state="ended", session=session, attempt=attempt))])

    def _is_watched(self) -> bool:
        """Take in who came and went. XPUB tells the first subscription of a topic and its last
        end, also of a reader that died."""
        with self._lock:
            while not self._socket.closed:
                try:
                    told = self._socket.recv(zmq.NOBLOCK)
                except zmq.Again:
                    return self._watched
                if told[1:] == PICTURE:
                    self._watched = told[:1] == b"\x01"
            return False

    def _send(self, frames: list[bytes]) -> None:
        # An XPUB at its high-water mark drops; it neither blocks nor fails. A worker that is slow
        # to stop may come after the socket was closed.
        with self._lock:
            if not self._socket.closed:
                self._socket.send_multipart(frames, zmq.NOBLOCK)


def jpeg_of(pixels: NDArray[np.uint8]) -> bytes | None:
    """Return a small JPEG of BGR pixels; None when it cannot be made, for an attempt goes on
    without being watched."""
    height, width = pixels.shape[:2]
    scale = min(1.0, WIDTH / width)
    size = (round(width * scale), max(1, round(height * scale)))
    try:
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
        done, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    except cv2.error as exc:
        log.error("picture_not_shown", error=type(exc).__name__)
        return None
    return encoded.tobytes() if done else None


def _text(state: LiveState) -> bytes:
    return state.model_dump_json().encode()
