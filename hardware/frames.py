"""Pictures to look at: the newest one only, decoded by OpenCV in a thread of its own.

A reader thread keeps the connection drained, so that whoever asks gets what is in front of
the camera now and not what was there seconds ago. It reconnects by itself, waiting longer
each time. A picture that nobody fetched is overwritten: evidence is recorded elsewhere.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware.errors import without_credentials

Pixels = NDArray[np.uint8]
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
# FFmpeg writes addresses to standard error; its log inside OpenCV is switched off (AV_LOG_QUIET).
_LOG_LEVEL, _QUIET = "OPENCV_FFMPEG_LOGLEVEL", "-8"
# FFmpeg would otherwise look at five seconds of pictures before it hands out the first.
_LOW_LATENCY = "fflags;nobuffer|flags;low_delay|analyzeduration;500000|fpsprobesize;0"
_BACK_OFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_opening = threading.Lock()


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """A decoded picture (BGR uint8, HxWx3), its number, and when it was read (monotonic)."""

    pixels: Pixels
    ordinal: int
    monotonic_ns: int


class FrameSource(Protocol):
    """Where pictures come from. ``latest`` waits for one newer than ``after_ordinal``."""

    @property
    def healthy(self) -> bool: ...

    def latest(self, after_ordinal: int, timeout_seconds: float) -> CapturedFrame | None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


class OpenCvFrames:
    """A camera read through ``cv2.VideoCapture``.

    ``idle`` says what ``pause`` does: "close" leaves the camera (no work at all, about a
    second to come back), "decode" stays connected and only skips the colour conversion.
    ``healthy`` is true while pictures keep coming, or while paused.
    """

    def __init__(
        self,
        url: str,
        *,
        transport: Literal["tcp", "udp"] = "tcp",
        timeout_seconds: float = 5.0,
        idle: Literal["close", "decode"] = "close",
    ) -> None:
        self._url, self._transport, self._timeout = url, transport, timeout_seconds
        self._closes_when_idle = idle == "close"
        self._changed = threading.Condition()
        self._stop, self._wanted = threading.Event(), threading.Event()
        self._wanted.set()
        self._newest: CapturedFrame | None = None
        self._ordinal = 0
        self._read_ns: int | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"frames {without_credentials(url)}", daemon=True
        )
        self._thread.start()

    @property
    def healthy(self) -> bool:
        if self._stop.is_set() or not self._thread.is_alive():
            return False
        if not self._wanted.is_set():
            return True
        read_ns = self._read_ns
        return read_ns is not None and time.monotonic_ns() - read_ns < self._timeout * 1e9

    def latest(self, after_ordinal: int, timeout_seconds: float) -> CapturedFrame | None:
        """Return the newest picture numbered above ``after_ordinal``, or None after the wait.

        Numbers start at 1, so 0 asks for any picture. Raises what ended the reader, if
        anything unforeseen did.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._failure is not None
                    or self._stop.is_set()
                    or (self._newest is not None and self._newest.ordinal > after_ordinal)
                ),
                timeout_seconds,
            )
            if self._failure is not None:
                raise self._failure
            newest = self._newest
        return newest if newest is not None and newest.ordinal > after_ordinal else None

    def pause(self) -> None:
        """Stop looking; the picture held now is forgotten."""
        self._wanted.clear()
        with self._changed:
            self._newest = None

    def resume(self) -> None:
        """Look again."""
        self._wanted.set()

    def close(self) -> None:
        """Leave the camera and end the thread; safe to call twice."""
        self._stop.set()
        self._wanted.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(self._timeout + 5.0)

    def _run(self) -> None:
        attempt = 0
        try:
            while not self._stop.is_set():
                self._wanted.wait()
                if self._stop.is_set():
                    break
                got_pictures = self._read_until_it_fails()
                attempt = 0 if got_pictures else attempt + 1
                self._stop.wait(_BACK_OFF_SECONDS[min(attempt, len(_BACK_OFF_SECONDS) - 1)])
        except BaseException as exc:
            self._failure = exc
            with self._changed:
                self._changed.notify_all()
            raise

    def _read_until_it_fails(self) -> bool:
        capture = self._open()
        got_pictures = False
        try:
            while not self._stop.is_set():
                if not self._wanted.is_set() and self._closes_when_idle:
                    return True
                if not capture.isOpened() or not capture.grab():
                    return got_pictures
                self._read_ns = time.monotonic_ns()
                if self._wanted.is_set():
                    got_pictures = self._keep(capture) or got_pictures
            return got_pictures
        finally:
            capture.release()

    def _keep(self, capture: cv2.VideoCapture) -> bool:
        read_ns = time.monotonic_ns()
        found, pixels = capture.retrieve()
        if not found:
            return False
        self._ordinal += 1
        with self._changed:
            if self._wanted.is_set():
                self._newest = CapturedFrame(cast(Pixels, pixels), self._ordinal, read_ns)
                self._changed.notify_all()
        return True

    def _open(self) -> cv2.VideoCapture:
        """Open the camera; OpenCV takes FFmpeg's options only from the environment."""
        milliseconds = round(self._timeout * 1000)
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds,
            cv2.CAP_PROP_N_THREADS, 1,
        ]  # fmt: skip
        wanted = f"rtsp_transport;{self._transport}|{_LOW_LATENCY}"
        with _opening:
            os.environ.setdefault(_LOG_LEVEL, _QUIET)
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
            before = os.environ.get(_OPTIONS)
            os.environ[_OPTIONS] = wanted
            try:
                return cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, limits)
            finally:
                if before is None:
                    del os.environ[_OPTIONS]
                else:
                    os.environ[_OPTIONS] = before
