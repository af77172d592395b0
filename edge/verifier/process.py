"""The verifier process: models loaded once, a worker for every camera that films people.

The main thread has the socket: it reads requests, gives each to the worker of its counter's camera,
answers pings at once, sends the answers back, and watches the workers. It beats for the supervisor
only while every worker moves, so a hang of one is a restart of all.

When the face method cannot be loaded the process ends with one clear line and leaves an alarm: the
face method is then off, loudly, and every other way stays open (US-09). A policy that cannot be
used turns it off in the same way, without ending the process: it is back as soon as the policy is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

import structlog
import zmq

from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.verifier.answering import answer_to, look_after, read
from edge.verifier.duty import DutyWatch, camera_of
from edge.verifier.face_alarm import FaceAlarm
from edge.verifier.live import LivePublisher
from edge.verifier.looking import Camera
from edge.verifier.method import FaceMethod, FaceMethodOff, load_method
from edge.verifier.protocol import (
    MAX_PICTURE_BYTES,
    DutyRequest,
    EnrolmentRefused,
    Ping,
    Ready,
    Request,
)
from edge.verifier.service import CameraService
from edge.verifier.workers import Answers, CameraWorker, Job, Task
from hardware.camera_identity import identity_of
from hardware.frames import OpenCvFrames
from retention.records.errors import UsageError
from retention.records.fields import Frozen

log = structlog.get_logger()
TICK_MILLISECONDS = 250
LAST_WORD_MILLISECONDS = 1000
STOP_SECONDS = 5.0
SILENT_SECONDS = 30.0
MOST_AT_ONCE = 100
MOST_DEATHS, DEATHS_WITHIN_SECONDS = 5, 600.0


def run(context: ProcessContext) -> None:
    """Answer until told to stop. Raises UsageError when the face method cannot be loaded."""
    config = context.config
    store = config.open_store()
    try:
        alarm = FaceAlarm(store)
        try:
            method = load_method(config, store)
        except FaceMethodOff as exc:
            alarm.set(str(exc))
            raise UsageError(f"the face method is off: {exc}") from exc
        answers = Answers()
        try:
            with (
                zmq.Context() as zmq_context,
                LivePublisher(zmq_context, config.socket("live"), store.clock) as live,
                zmq_context.socket(zmq.ROUTER) as socket,
            ):
                socket.setsockopt(zmq.MAXMSGSIZE, MAX_PICTURE_BYTES + 4096)
                # A stop ends an attempt at once; what was decided still has to reach the terminal.
                socket.setsockopt(zmq.LINGER, LAST_WORD_MILLISECONDS)
                socket.bind(config.socket("verifier"))
                make = WorkerMaker(context, method, live, answers)
                server = Server(context, method, make, socket, answers, live, alarm)
                server.serve()
        finally:
            answers.close()
    finally:
        store.close()


def camera_for(config: EdgeConfig, request: Request) -> str:
    """Return the camera that a request is about."""
    if isinstance(request, DutyRequest):
        return camera_of(config, request.counter)
    return config.camera_of_counter(request.counter)


class WorkerMaker:
    """Makes the worker of a camera, again when one died."""

    def __init__(
        self, context: ProcessContext, method: FaceMethod, live: LivePublisher, answers: Answers
    ) -> None:
        self._context, self._method, self._live = context, method, live
        self._answers = answers

    def __call__(self, camera: str) -> CameraWorker:
        """Start the worker of a camera."""
        worker = CameraWorker(camera, self._task, self._answers, self._context.stop)
        worker.start()
        return worker

    def _task(self, worker: CameraWorker) -> Task:
        """Open what a worker needs, in its own thread."""
        config = self._context.config
        camera = config.camera(worker.camera)
        with ExitStack() as opened:
            store = opened.enter_context(closing(config.open_store()))
            # Staying connected costs a little decoding all day and saves a second at every attempt.
            frames = OpenCvFrames(
                camera.url,
                transport=camera.transport,
                timeout_seconds=camera.timeout_seconds,
                idle="decode",
            )
            opened.enter_context(closing(frames))
            frames.pause()
            looked_through = Camera(
                id=camera.id,
                identity=identity_of(camera.url, simulated=camera.simulated),
                frames=frames,
                stop=self._context.stop,
                beat=worker.beat,
            )
            service = CameraService(
                config=config,
                store=store,
                signer=config.keys().signer(),
                method=self._method,
                camera=looked_through,
                live=self._live,
                is_awaited=worker.is_awaited,
            )
            duty = DutyWatch(service)
            close = opened.pop_all().close
        return Task(lambda job: answer_to(service, duty, job), lambda: look_after(duty), close)


class Server:
    """The main thread's part: the socket, the workers, the heartbeat."""

    def __init__(
        self,
        context: ProcessContext,
        method: FaceMethod,
        make: Callable[[str], CameraWorker],
        socket: zmq.Socket[bytes],
        answers: Answers,
        live: LivePublisher,
        alarm: FaceAlarm,
    ) -> None:
        self._context, self._config, self._method = context, context.config, method
        self._make, self._socket, self._answers = make, socket, answers
        self._live, self._alarm = live, alarm
        self._deaths: deque[float] = deque()
        self._workers: dict[str, CameraWorker] = {}

    def serve(self) -> None:
        """Answer until told to stop. Raises RuntimeError when workers keep dying."""
        self._workers = {camera: self._make(camera) for camera in self._config.face_cameras}
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._answers.fd, zmq.POLLIN)
        log.info("verifier_ready", cameras=list(self._workers))
        try:
            while not self._context.stop.is_set():
                self._look_at_workers()
                self._look_at_policy()
                self._live.idle()
                poller.poll(TICK_MILLISECONDS)
                self._receive()
                self._send()
        finally:
            self._end()

    # -- messages ---------------------------------------------------------------------------------

    def _receive(self) -> None:
        # So many at once and no more: whoever floods the socket must not keep us from the rest.
        for _ in range(MOST_AT_ONCE):
            if self._context.stop.is_set():
                return
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(parts) < 3 or parts[1]:  # no REQ sent this; nobody could take an answer
                log.warning("message_without_envelope", frames=len(parts))
                continue
            refused = self._take(parts[0], parts[2:])
            if refused is not None:
                self._answer(parts[0], refused)

    def _take(self, envelope: bytes, parts: Sequence[bytes]) -> Frozen | None:
        """Give a request to its worker; return what answers it at once."""
        asked = read(parts)
        match asked:
            case Ping():
                return Ready()
            case EnrolmentRefused():
                return asked
        job = Job(envelope, asked, tuple(parts[1:]))
        if self._workers[camera_for(self._config, asked)].ask(job):
            return None
        return EnrolmentRefused(code="BUSY", detail="too many wait for this camera")

    def _send(self) -> None:
        for envelope, answer in self._answers.take():
            self._answer(envelope, answer)

    def _answer(self, envelope: bytes, answer: Frozen) -> None:
        # Whoever asked may be gone: a ROUTER drops what it cannot route.
        self._socket.send_multipart([envelope, b"", answer.model_dump_json().encode()])

    # -- workers ----------------------------------------------------------------------------------

    def _look_at_workers(self) -> None:
        for camera, worker in self._workers.items():
            if worker.finished() and not self._context.stop.is_set():
                self._replace(camera, worker)
        if all(one.silent_seconds() < SILENT_SECONDS for one in self._workers.values()):
            self._context.beat()

    def _replace(self, camera: str, dead: CameraWorker) -> None:
        log.error("worker_died", camera=camera, error=type(dead.failure).__name__)
        self._refuse_all(dead)
        now = time.monotonic()
        self._deaths.append(now)
        while now - self._deaths[0] > DEATHS_WITHIN_SECONDS:
            self._deaths.popleft()
        if len(self._deaths) > MOST_DEATHS:
            raise RuntimeError(f"the worker of camera {camera} keeps dying") from dead.failure
        self._workers[camera] = self._make(camera)

    def _refuse_all(self, worker: CameraWorker) -> None:
        """Answer what a worker leaves behind. It was not decided, or its record will tell."""
        for job in worker.unanswered():
            refused = EnrolmentRefused(code="INTERNAL_ERROR", detail="it was not carried out")
            self._answer(job.envelope, refused)

    def _look_at_policy(self) -> None:
        try:
            self._method.policies.in_force()
        except FaceMethodOff as exc:
            self._alarm.set(str(exc))
        else:
            self._alarm.set(None)

    def _end(self) -> None:
        """Let the workers finish what a stop leaves of it, and send their last answers."""
        self._context.stop.set()
        for worker in self._workers.values():
            worker.wake()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers.values():
            worker.join_answering(max(0.0, deadline - time.monotonic()))
        self._send()
        for worker in self._workers.values():
            if worker.finished():
                self._refuse_all(worker)
