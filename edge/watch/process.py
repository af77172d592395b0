"""The watch: looks at a key picture of every camera as it comes and tells when one shows nothing.

One process for all cameras. It never opens a camera that is recorded (unless that has a second
stream), never delays recording, and keeps no picture but the newest of each camera, in memory. What
it learned of a camera lies in DATA/run and may be lost; what it found is a row and a record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from typing import cast

import structlog
import zmq
from av.video.frame import VideoFrame

from edge.config import CameraConfig, EdgeConfig
from edge.process import ProcessContext
from edge.watch import baseline as known_view
from edge.watch.baseline import Baseline
from edge.watch.changes import retire_views, see_to_alarm, standing_condition, write_change
from edge.watch.files import accept_file, baseline_file
from edge.watch.live import ViewPublisher
from edge.watch.looked import LookedNote, looked_file
from edge.watch.measures import Grey, changes, measured
from edge.watch.pictures import Coded, KeyDecoder, RecorderPictures, SecondStream
from edge.watch.shown import Shown
from edge.watch.verdict import judge
from edge.watch.view import Change, Seen, ViewState
from models.opencv import cv2
from retention.durable import FileLock, write_durably
from retention.records.clock import to_micros
from retention.store.database import NodeStore, StoreUnavailable

POLL_MILLISECONDS = 200
ALARM_SECONDS = 5.0
AGAIN_SECONDS = 2.0
SAVE_SECONDS = 300.0
LOCK_WAIT_SECONDS = 10.0

log = structlog.get_logger()


class CameraWatch:
    """One camera: its usual view, what stands, and what is still to be written."""

    def __init__(self, store: NodeStore, config: EdgeConfig, camera: CameraConfig) -> None:
        self._store, self._config, self._camera = store, config, camera
        self._decoder = KeyDecoder()
        self._baseline: Baseline | None = known_view.read(baseline_file(config, camera.id))
        with store.read() as connection:
            self._state = ViewState(standing_condition(connection, camera.id))
        self._before: Grey | None = None
        self._before_ns = self._before_at = 0
        self._unwritten: deque[Change] = deque()
        self._alarm_due_ns = self._save_due_ns = self._write_due_ns = 0
        self._garbage = False

    def take(self, coded: Coded) -> tuple[Shown, VideoFrame] | None:
        """Look at one key picture; returns what may be shown of it."""
        frame = self._decoder.decode(coded)
        if frame is None:
            if not self._garbage:
                log.warning("key_picture_undecodable", camera=self._camera.id)
            self._garbage = True
            return None
        self._garbage = False
        at = self._wall(coded.received_monotonic_ns)
        grey = cast(Grey, frame.to_ndarray(format="gray"))
        found = self._look(grey, at, coded.received_monotonic_ns)
        if found is not None:
            log.warning("view_changed", camera=self._camera.id, condition=found.now)
            self._unwritten.append(found)
        shown = Shown(
            camera=self._camera.id,
            received_monotonic_ns=coded.received_monotonic_ns,
            condition=self._state.standing,
            width=frame.width,
            height=frame.height,
        )
        return shown, frame

    def step(self) -> None:
        """Write what is due. What cannot be written waits, in order."""
        now_ns = self._store.clock.monotonic_ns()
        if now_ns >= self._write_due_ns:
            try:
                self._write(now_ns)
                self._accept()
            except (StoreUnavailable, OSError) as exc:
                log.error("view_not_written_yet", camera=self._camera.id, reason=str(exc))
                self._write_due_ns = now_ns + int(AGAIN_SECONDS * 1e9)
        if now_ns >= self._save_due_ns:
            self.save()
            self._save_due_ns = now_ns + int(SAVE_SECONDS * 1e9)

    def save(self) -> None:
        """Keep the usual view for the next start; to fail costs only learning it again."""
        if self._baseline is None or not self._baseline.learned:
            return
        try:
            path = baseline_file(self._config, self._camera.id)
            write_durably(path, known_view.to_bytes(self._baseline))
        except OSError as exc:
            log.warning("usual_view_not_kept", camera=self._camera.id, reason=exc.strerror)

    def _write(self, now_ns: int) -> None:
        while self._unwritten:
            write_change(self._store, self._camera, self._unwritten[0])
            self._unwritten.popleft()
            self._alarm_due_ns = now_ns
        if now_ns >= self._alarm_due_ns:
            see_to_alarm(self._store, self._camera.id)
            self._alarm_due_ns = now_ns + int(ALARM_SECONDS * 1e9)

    def _look(self, grey: Grey, at: int, monotonic_ns: int) -> Change | None:
        before, before_at = self._before, self._before_at or at
        seconds = (monotonic_ns - self._before_ns) / 1e9 if self._before_ns else 0.0
        self._before, self._before_ns, self._before_at = grey, monotonic_ns, at
        picture = measured(grey)
        changed = None if before is None else changes(grey, before)
        verdict = judge(picture, changed, self._baseline, self._state.standing)
        since = before_at if verdict.condition == "frozen" else at
        found = self._state.see(Seen(verdict, at, monotonic_ns, since))
        if verdict.condition == "clear" and self._state.standing == "clear":
            if self._baseline is None:
                self._baseline = known_view.first(picture)
            elif changed is not None:
                self._baseline = known_view.learn(self._baseline, picture, seconds, changed)
        return found

    def _accept(self) -> None:
        path = accept_file(self._config, self._camera.id)
        if not path.exists():
            return
        self._baseline = None
        # The old view first: a restart before the new one is learned must not bring it back.
        baseline_file(self._config, self._camera.id).unlink(missing_ok=True)
        path.unlink()
        log.info("view_accepted", camera=self._camera.id)

    def _wall(self, monotonic_ns: int) -> int:
        """Return the wall time at which a picture was received."""
        clock = self._store.clock
        age_us = max(0, clock.monotonic_ns() - monotonic_ns) // 1000
        return to_micros(clock.now()) - age_us


def run(context: ProcessContext) -> None:
    """Watch every camera until asked to stop."""
    config = context.config
    cv2.setNumThreads(1)  # pictures are small; the other core is the recorders'
    lock = FileLock(config.node.data / "run" / "watch.lock", wait_seconds=LOCK_WAIT_SECONDS)
    with ExitStack() as stack:
        stack.callback(lock.release)
        store = config.open_store()
        stack.callback(store.close)
        zmq_context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        stack.callback(zmq_context.destroy, linger=0)
        watches = {one.id: CameraWatch(store, config, one) for one in config.cameras}
        recorded, second = _sources(config, zmq_context, stack)
        publisher = stack.enter_context(ViewPublisher(zmq_context, config.socket("view")))
        note = LookedNote(looked_file(config), store.clock)
        retire_views(store, watches)
        while not context.stop.is_set():
            context.beat()
            _take(watches, publisher, note, recorded.wait(POLL_MILLISECONDS))
            for stream in second:
                _take(watches, publisher, note, stream.taken())
            publisher.notice()
            _note_down(note)
            for watch in watches.values():
                watch.step()
        for watch in watches.values():
            watch.save()


def _sources(
    config: EdgeConfig, context: zmq.Context[zmq.Socket[bytes]], stack: ExitStack
) -> tuple[RecorderPictures, list[SecondStream]]:
    own = [camera for camera in config.cameras if camera.sub_url is not None]
    recorded = RecorderPictures(
        context,
        [
            (camera.id, config.socket(f"packets-{camera.id}"))
            for camera in config.cameras
            if camera.sub_url is None
        ],
    )
    stack.callback(recorded.close)
    second = []
    for camera in own:
        stream = SecondStream(
            camera.id, camera.sub_url or "", camera.transport, camera.timeout_seconds
        )
        stack.callback(stream.close)
        second.append(stream)
    return recorded, second


def _take(
    watches: dict[str, CameraWatch],
    publisher: ViewPublisher,
    note: LookedNote,
    coded: Iterable[Coded],
) -> None:
    for one in coded:
        found = watches[one.camera].take(one)
        if found is not None:
            note.judged(one.camera, one.received_monotonic_ns)
            publisher.show(*found)


def _note_down(note: LookedNote) -> None:
    """Say how far the watch has come. Where that cannot be written, the custodian's alarm tells."""
    try:
        note.write()
    except OSError as exc:
        log.warning("looked_not_noted", reason=exc.strerror)
