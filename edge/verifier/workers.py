"""One worker a camera: a thread of its own, so that several counters verify at the same time.

A worker has its own queue, database connection and frames; models, policy and the live socket are
shared. It carries out one request at a time. A request waits only until its `until_ns`, and only so
many wait: the rest is BUSY. When nothing is asked, the worker looks after the pharmacist on duty.

A worker that dies takes nothing with it but its requests: each is answered with a refusal, never
with a decision, and a new worker takes over (`edge.verifier.process`).
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from edge.verifier.protocol import Request
from retention.records.fields import Frozen

MOST_WAITING = 4
IDLE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Job:
    """One request and where its answer goes; `attached` are the frames that came with it."""

    envelope: bytes
    request: Request
    attached: tuple[bytes, ...] = ()


class Answers:
    """The way back to the thread that has the socket; `fd` becomes readable when one waits.

    A worker never touches the socket, so one that hangs cannot keep the process from ending.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[bytes, Frozen]] = queue.SimpleQueue()
        self._lock, self._closed = threading.Lock(), False
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def put(self, envelope: bytes, answer: Frozen) -> None:
        """Hand an answer over; after the end it goes nowhere. Any thread."""
        with self._lock:
            if not self._closed:
                self._waiting.put((envelope, answer))
                os.eventfd_write(self.fd, 1)

    def take(self) -> list[tuple[bytes, Frozen]]:
        """Return the answers that wait. Never blocks."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.fd)
        taken = []
        while not self._waiting.empty():
            taken.append(self._waiting.get_nowait())
        return taken

    def close(self) -> None:
        """Give the descriptor back."""
        with self._lock:
            self._closed = True
            os.close(self.fd)


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker does: answer a request, and look after things when none waits."""

    answer: Callable[[Job], Frozen]
    idle: Callable[[], None]
    close: Callable[[], None]


class CameraWorker(threading.Thread):
    """The thread of one camera. `make` is called in it, with `beat` and `is_awaited`."""

    def __init__(
        self,
        camera: str,
        make: Callable[[CameraWorker], Task],
        answers: Answers,
        stop: threading.Event,
    ) -> None:
        # Not waited for at the end of the process: a camera may hang in the kernel.
        super().__init__(name=f"verifier {camera}", daemon=True)
        self.camera = camera
        self.failure: BaseException | None = None
        self._make, self._answers, self._stop_asked = make, answers, stop
        self._queue: queue.Queue[Job | None] = queue.Queue(MOST_WAITING)
        self._current: Job | None = None
        self._beaten_ns = time.monotonic_ns()
        self._answered = threading.Event()

    # -- any thread -------------------------------------------------------------------------------

    def ask(self, job: Job) -> bool:
        """Queue a job; False when too many wait already."""
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            return False
        return True

    def is_awaited(self) -> bool:
        """Tell whether somebody waits for this camera."""
        return not self._queue.empty()

    def silent_seconds(self) -> float:
        """Return how long ago the last step was done."""
        return (time.monotonic_ns() - self._beaten_ns) / 1e9

    def wake(self) -> None:
        """Have an idle worker notice a stop at once."""
        with suppress(queue.Full):
            self._queue.put_nowait(None)

    def finished(self) -> bool:
        """Tell whether it answers nothing any more."""
        return self._answered.is_set() or not self.is_alive()

    def join_answering(self, timeout_seconds: float) -> None:
        """Wait until it is `finished`; leaving its camera may take longer."""
        self._answered.wait(timeout_seconds)

    def unanswered(self) -> list[Job]:
        """Return the jobs that nobody will answer. Only when it is `finished`."""
        left = [] if self._current is None else [self._current]
        self._current = None
        while not self._queue.empty():
            job = self._queue.get_nowait()
            if job is not None:
                left.append(job)
        return left

    # -- its own thread ---------------------------------------------------------------------------

    def beat(self) -> None:
        """Say that a step was done."""
        self._beaten_ns = time.monotonic_ns()

    def run(self) -> None:
        task: Task | None = None
        try:
            task = self._make(self)
            while not self._stop_asked.is_set():
                self.beat()
                self._step(task)
        except BaseException as exc:  # noqa: BLE001 - carried over to the main thread
            self.failure = exc
        finally:
            self._answered.set()
            if task is not None:
                task.close()

    def _step(self, task: Task) -> None:
        try:
            job = self._queue.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            task.idle()
            return
        if job is None:
            return
        self._current = job
        self._answers.put(job.envelope, task.answer(job))
        self._current = None
