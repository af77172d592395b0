"""The custodian: coverage of closed sessions, a sweep over the footage root every hour, and the
duties of keeping (`duties_of` lists them all).

Only disposal deletes, and only what `retention.policy` lets go. A session's coverage is recorded
once, when its post-roll is over, every camera's footage of it is sealed or explained, and the watch
had the time to tell of its pictures; recorders are asked to seal for it, and after two segment
lengths it is recorded as it stands.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
import zmq

from edge.config import EdgeConfig
from edge.custodian.capacity import CapacityWatch
from edge.custodian.coverage import cover, owed_span, unsettled
from edge.custodian.duties import Duty, Rota
from edge.custodian.keeping import Keeping
from edge.custodian.opening import ClosedSales, adopt_hours
from edge.custodian.silence import watch_silence
from edge.custodian.unwatched import Unwatched
from edge.duty import lapse
from edge.process import ProcessContext
from edge.processes import recorder_lock
from edge.recorder.places import Places
from retention.durable import FileLock
from retention.footage.layout import FootageError
from retention.footage.summary import VIEW_TOLD_US
from retention.footage.sweep import sweep
from retention.footage.volumes import Volumes
from retention.records.clock import to_micros
from retention.scrub import Scrub
from retention.store import footage
from retention.store.database import NodeStore

STEP_SECONDS = 0.5
SWEEP_SECONDS, SWEEP_AGAIN_SECONDS = 3600.0, 60.0
FIRST_SWEEP_SECONDS = 5.0  # A fresh volume is named by the first recorder.
ASK_AGAIN_SECONDS = 2.0
LOOK_SECONDS, TIME_SECONDS, COUNT_SECONDS, HOURS_SECONDS = 2.0, 60.0, 3600.0, 86_400.0
DISPOSAL_SECONDS = 6 * 3600.0  # One summary a camera and pass travels to central.
FIRST_DISPOSAL_SECONDS = 30.0
LOCK_WAIT_SECONDS = 10.0

log = structlog.get_logger()


class SealAsker:
    """Asks recorders to seal; a recorder that is not there misses nothing by not being asked."""

    def __init__(self, config: EdgeConfig) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        try:
            for camera in config.cameras:
                self._open(camera.id, config.socket(f"recorder-{camera.id}"))
        except (zmq.ZMQError, OSError):
            self.close()  # a context with a socket left in it never ends
            raise

    def ask(self, camera: str) -> None:
        try:
            self._sockets[camera].send(b"seal", zmq.NOBLOCK)
        except zmq.Again:
            log.info("recorder_not_there", camera=camera)

    def close(self) -> None:
        self._context.destroy(linger=0)

    def _open(self, camera: str, address: str) -> None:
        socket = self._sockets[camera] = self._context.socket(zmq.PUSH)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.SNDHWM, 2)
        socket.connect(address)


class Custodian:
    """`step` looks for closed sessions; `sweep` looks at the disk."""

    def __init__(self, config: EdgeConfig, store: NodeStore, asker: SealAsker) -> None:
        self._config, self._store, self._asker = config, store, asker
        self._volumes = config.volumes(store)
        self._asked_at: dict[str, int] = {}

    def step(self) -> int:
        """Record the coverage that is due; returns how many sessions are still waiting.

        Raises StoreUnavailable.
        """
        now = to_micros(self._store.clock.now())
        with self._store.read() as connection:
            sessions = footage.uncovered_sessions(connection)
        waiting = [session for session in sessions if not self._cover(session, now)]
        return len(waiting)

    def sweep(self, context: ProcessContext) -> None:
        """Compare disk and index, on the node's own volumes only.

        Raises VolumeRefused when none can be reached, OSError, StoreUnavailable,
        DirectorySyncFailed.
        """
        reachable = self._volumes.mounted()
        if not reachable:
            raise self._volumes.nowhere()
        self._recover_retired(context)
        failed: Exception | None = None
        for volume in reachable:
            try:
                new = sweep(self._store, volume.root, context.beat, volume.name)
            except (OSError, FootageError) as exc:  # A broken disk hides nothing on the others.
                failed = exc
            else:
                log.info("footage_swept", volume=volume.name, new_incidents=new)
        if failed is not None:
            raise failed

    def _recover_retired(self, context: ProcessContext) -> None:
        """Do for a camera that was taken out of the configuration what its recorder would do."""
        with self._store.read() as connection:
            retired = footage.known_cameras(connection) - {one.id for one in self._config.cameras}
        for camera in sorted(retired):
            lock = FileLock(recorder_lock(self._config, camera), wait_seconds=LOCK_WAIT_SECONDS)
            places = Places(self._store, self._volumes, camera, context.beat)
            try:
                places.recover_only()
            finally:
                places.close()
                lock.release()

    def _cover(self, session: footage.SessionSpan, now: int) -> bool:
        config = self._config
        span = owed_span(session, config.session)
        if now <= span.end:
            return False
        latest = span.end + int(2 * config.recording.segment_seconds * 1_000_000)
        with self._store.read() as connection:
            waiting = unsettled(connection, config.cameras, span)
        if waiting and now <= latest:
            self._ask(session.id, waiting, now)
            return False
        if now <= span.end + VIEW_TOLD_US:
            return False
        with self._store.write() as connection:
            covered = cover(connection, config.cameras, session, span)
            footage.mark_covered(self._store, connection, covered)
        self._asked_at.pop(session.id, None)
        return True

    def _ask(self, session: str, cameras: list[str], now: int) -> None:
        if now - self._asked_at.get(session, 0) < ASK_AGAIN_SECONDS * 1_000_000:
            return
        self._asked_at[session] = now
        for camera in cameras:
            self._asker.ask(camera)


def duties_of(
    context: ProcessContext, store: NodeStore, volumes: Volumes, custodian: Custodian
) -> tuple[Duty, ...]:
    """Return what the custodian does: name, deed, seconds between, and before the first time."""
    config, beat = context.config, context.beat
    keeping = Keeping(config, store, volumes, beat)
    room = CapacityWatch(config, store, volumes)
    sales = ClosedSales(store)
    scrub = Scrub(store, volumes, config.retention.scrub_bytes_per_second)

    def unasked(act: Callable[[], object]) -> Callable[[], None]:
        def acted() -> None:
            act()

        return acted

    return (
        Duty("hours", unasked(lambda: adopt_hours(store, config)), HOURS_SECONDS),
        Duty("time", keeping.advance_time, TIME_SECONDS),
        Duty("coverage", unasked(custodian.step), STEP_SECONDS),
        Duty("silence", lambda: watch_silence(store, config), LOOK_SECONDS),
        Duty("unwatched", Unwatched(store, config).step, LOOK_SECONDS),
        Duty("sales", unasked(sales.step), LOOK_SECONDS),
        Duty("presence", unasked(lambda: lapse(store, config.presence)), LOOK_SECONDS),
        Duty("erasure", keeping.erase, TIME_SECONDS),
        Duty("probes", keeping.sweep_probes, TIME_SECONDS),
        Duty("fold", keeping.fold, COUNT_SECONDS),
        Duty("subjects", keeping.count_subjects, COUNT_SECONDS),
        Duty("room", room.step, STEP_SECONDS, FIRST_SWEEP_SECONDS),
        Duty(
            "sweep",
            lambda: custodian.sweep(context),
            SWEEP_SECONDS,
            FIRST_SWEEP_SECONDS,
            SWEEP_AGAIN_SECONDS,
        ),
        Duty("disposal", keeping.dispose_footage, DISPOSAL_SECONDS, FIRST_DISPOSAL_SECONDS, 60.0),
        Duty("records", keeping.dispose_records, DISPOSAL_SECONDS, FIRST_DISPOSAL_SECONDS, 60.0),
        Duty("scrub", unasked(lambda: scrub.step(beat)), STEP_SECONDS, FIRST_DISPOSAL_SECONDS),
    )


def run(context: ProcessContext) -> None:
    """Run the custodian until asked to stop."""
    lock = FileLock(
        context.config.node.data / "run" / "custodian.lock", wait_seconds=LOCK_WAIT_SECONDS
    )
    store = context.config.open_store()
    asker = SealAsker(context.config)
    volumes = context.config.volumes(store)
    custodian = Custodian(context.config, store, asker)
    try:
        rota = Rota(duties_of(context, store, volumes, custodian), store.clock)
        while not context.stop.is_set():
            context.beat()
            rota.step(context.beat)
            context.stop.wait(STEP_SECONDS)
    finally:
        asker.close()
        store.close()
        lock.release()
