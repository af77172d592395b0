"""The recorder process: connect, record, explain every outage, try again until told to stop.

The thin shell around `Recording`: it owns the camera's lock, the connection and the back-off. A
failing camera or disk never ends this process; only a directory that cannot be made durable does.
"""

from __future__ import annotations

import errno
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing

import structlog

from edge import stopping
from edge.config import CameraConfig
from edge.process import ProcessContext
from edge.processes import recorder_lock
from edge.recorder.arrival import settled
from edge.recorder.backoff import Backoff
from edge.recorder.parameters import FormatChanged
from edge.recorder.recording import Recording
from edge.recorder.sockets import KeyPictures, SealRequests
from edge.recorder.writer import StreamRefused
from hardware.errors import CameraUnavailable, HardwareError, UnsupportedCodec
from hardware.packets import EncodePlan, PacketSource, open_packets
from retention.durable import FileLock
from retention.footage.layout import FootageError
from retention.footage.sink import DirectorySyncFailed
from retention.records.payloads import GapCause
from retention.store.database import StoreError

LOCK_WAIT_SECONDS = 10.0
UNSUPPORTED_WAIT_SECONDS = 60.0

log = structlog.get_logger()
OpenSource = Callable[[CameraConfig], PacketSource]


def open_camera(camera: CameraConfig) -> PacketSource:
    """Connect to a configured camera. Raises HardwareError."""
    return open_packets(
        camera.url,
        transport=camera.transport,
        timeout_seconds=camera.timeout_seconds,
        encode=encode_plan(camera),
        collect=True,
    )


def encode_plan(camera: CameraConfig) -> EncodePlan:
    """Return what a USB camera is to be encoded to."""
    return EncodePlan(
        camera.encode_width,
        camera.encode_height,
        camera.encode_fps,
        camera.encode_bits_per_second,
    )


def run(context: ProcessContext, open_source: OpenSource = open_camera) -> None:
    """Record the camera that `context.argument` names until asked to stop."""
    camera = context.config.camera(context.argument or "")
    # (1) one recorder a camera: nobody else's `.part` is ever taken for a crashed one
    lock = FileLock(recorder_lock(context.config, camera.id), wait_seconds=LOCK_WAIT_SECONDS)
    store = context.config.open_store()
    try:
        recording = Recording(
            store,
            context.config.volumes(store),
            camera.id,
            camera.scene_role,
            segment_seconds=context.config.recording.segment_seconds,
            beat=context.beat,
        )
        with (
            closing(recording),
            SealRequests(context.config.socket(f"recorder-{camera.id}")) as requests,
            KeyPictures(
                requests.context, context.config.socket(f"packets-{camera.id}")
            ) as key_pictures,
        ):
            Recorder(context, camera, recording, requests, key_pictures, open_source).run()
    finally:
        store.close()
        lock.release()


def disk_cause(exc: Exception) -> GapCause:
    """Return whether a disk is full or broken; a full one may speak through the database."""
    seen: BaseException | None = exc
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return GapCause.DISK_FULL
        if isinstance(seen, sqlite3.Error) and _code(seen) == sqlite3.SQLITE_FULL:
            return GapCause.DISK_FULL
        seen = seen.__cause__
    return GapCause.DISK_FAILED


def _code(error: sqlite3.Error) -> int | None:
    """Return SQLite's error code; only errors that SQLite itself raised have one."""
    found: int | None = getattr(error, "sqlite_errorcode", None)
    return found


class Recorder:
    """One camera's loop."""

    def __init__(
        self,
        context: ProcessContext,
        camera: CameraConfig,
        recording: Recording,
        requests: SealRequests,
        key_pictures: KeyPictures,
        open_source: OpenSource,
    ) -> None:
        self._context, self._camera, self._recording = context, camera, recording
        self._requests, self._key_pictures = requests, key_pictures
        self._open_source = open_source
        self._backoff = Backoff(random.Random())  # noqa: S311 - jitter, not a secret
        self._must_recover, self._first = True, True
        self._owed_gap: GapCause | None = None
        self._last_trouble = ""

    def run(self) -> None:
        """Try until stopped, then say that the footage ends here on purpose."""
        stop = self._context.stop
        while not stop.is_set():
            self._context.beat()
            wait = self._try()
            self._requests.asked()
            self._wait(wait)
        cause = stopping.gap_cause(self._context.config.node.data)
        self._guarded(lambda: self._recording.finish(cause))

    def _try(self) -> float:
        """Make one attempt; returns the seconds to wait before the next."""
        if self._must_recover and not self._guarded(self._recover):
            return self._backoff.next_seconds()
        try:
            source = self._open_source(self._camera)
        except UnsupportedCodec as exc:
            self._lost(GapCause.UNSUPPORTED_CODEC, exc)
            return UNSUPPORTED_WAIT_SECONDS
        except HardwareError as exc:
            self._lost(GapCause.CAMERA_UNREACHABLE, exc)
            return self._backoff.next_seconds()
        try:
            self._record(source)
        finally:
            source.close()
        return self._backoff.next_seconds()

    def _recover(self) -> None:
        self._recording.recover()
        if self._first:
            self._recording.note_unexplained_end()
        if self._owed_gap is not None:
            self._recording.open_gap(self._owed_gap)
        self._owed_gap = None
        self._must_recover = self._first = False

    def _record(self, source: PacketSource) -> None:
        try:
            self._copy(source)
        except DirectorySyncFailed:
            raise
        except CameraUnavailable as exc:
            self._lost(GapCause.STREAM_STALLED, exc)
        except HardwareError as exc:
            self._lost(GapCause.CAMERA_UNREACHABLE, exc)
        except FormatChanged as exc:
            self._lost(GapCause.STREAM_CHANGED, exc)
        except StreamRefused as exc:
            self._failed("segment_refused", GapCause.STREAM_CHANGED, exc)
        except (OSError, FootageError, StoreError, sqlite3.Error) as exc:
            cause = disk_cause(exc)
            self._failed(cause.value, cause, exc)

    def _copy(self, source: PacketSource) -> None:
        stop, beat = self._context.stop, self._context.beat
        take, asked = self._recording.take, self._requests.asked
        publish = self._key_pictures.publish
        recorded = False
        for received in settled(source.packets(), self._recording.connected(source)):
            take(received, seal_asked=asked)
            if received.packet.is_keyframe:
                publish(received, source, self._recording.run)
            beat()
            if not recorded and self._recording.recording:
                recorded, self._last_trouble = True, ""
                self._backoff.reset()
            if stop.is_set():
                return

    def _lost(self, cause: GapCause, exc: Exception) -> None:
        """The camera is gone: seal what there is and open the gap."""
        self._say("footage_interrupted", cause, str(exc))
        self._guarded(lambda: self._recording.finish(cause))
        self._guarded(self._recording.summarise)  # hours pass without a seal while it is gone

    def _failed(self, event: str, cause: GapCause, exc: Exception) -> None:
        """The open segment is lost to recovery; the gap is written as soon as it can be."""
        reason = str(exc)
        if isinstance(exc, OSError):  # its own text may name another file with every try
            reason = f"{self._camera.id}: {exc.strerror}"
        self._say(event, cause, reason)
        self._recording.abandon()
        self._must_recover = True
        try:
            self._recording.open_gap(cause)
        except (StoreError, sqlite3.Error) as refused:
            self._owed_gap = cause
            log.error("gap_not_written_yet", camera=self._camera.id, reason=str(refused))

    def _guarded(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except DirectorySyncFailed:
            raise
        except StreamRefused as exc:  # libav cannot even finish the file: recovery will
            self._failed("segment_refused", GapCause.STREAM_CHANGED, exc)
            return False
        except (OSError, FootageError, StoreError, sqlite3.Error) as exc:
            cause = disk_cause(exc)
            self._failed(cause.value, cause, exc)
            return False
        return True

    def _say(self, event: str, cause: GapCause, reason: str) -> None:
        """One line per trouble, not one per try."""
        if reason != self._last_trouble:
            self._last_trouble = reason
            log.warning(event, camera=self._camera.id, cause=cause.value, reason=reason)

    def _wait(self, seconds: float) -> None:
        """Wait, but keep beating, so that a long wait is not taken for a hang."""
        while seconds > 0 and not self._context.stop.wait(min(seconds, 1.0)):
            self._context.beat()
            seconds -= 1.0
