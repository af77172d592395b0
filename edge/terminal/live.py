"""The newest that the verifier publishes, for the terminal's pages. Memory only, never kept.

One thread reads the local socket for everybody: however many browsers look, a picture comes once,
and pictures are asked for only while at least one looks. Whoever is slow misses pictures.
Counters with cameras of their own look at the same time, so everything is kept by session.
What nobody refreshes any more is not shown: a verifier that died says nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
import zmq
from pydantic import ValidationError

from edge.verifier.protocol import PICTURE, STATE, LiveState
from retention.records.clock import Clock

log = structlog.get_logger(__name__)
POLL_MILLISECONDS = 100
HIGH_WATER_MARK = 4
MAX_MESSAGE_BYTES = 1024 * 1024
FRESH_NS = 3_000_000_000
KEPT_SESSIONS = 64  # what an ended attempt leaves behind goes with the oldest
HEARD_NS = 6_000_000_000  # the verifier says at least once a second that it is there


@dataclass(frozen=True, slots=True)
class Picture:
    """One JPEG of a running attempt and its number among the news."""

    session: str
    jpeg: bytes
    number: int


class LiveView:
    """Keeps the newest state and picture. `run` belongs to one thread, the rest to anybody."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: OrderedDict[str, tuple[LiveState, int]] = OrderedDict()
        self._pictures: dict[str, Picture] = {}
        self._number = 0
        self._watching = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = set()
        self._closed = False
        # A verifier that is starting has not fallen silent yet.
        self._heard_ns = clock.monotonic_ns()

    # -- the reading thread -----------------------------------------------------------------------

    def run(
        self, context: zmq.Context[zmq.Socket[bytes]], address: str, stop: threading.Event
    ) -> None:
        """Take in what comes until told to stop."""
        subscribed = False
        with context.socket(zmq.SUB) as socket:
            socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
            socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
            socket.setsockopt(zmq.SUBSCRIBE, STATE)
            socket.connect(address)
            while not stop.is_set():
                if self.watched != subscribed:
                    subscribed = not subscribed
                    socket.setsockopt(zmq.SUBSCRIBE if subscribed else zmq.UNSUBSCRIBE, PICTURE)
                if socket.poll(POLL_MILLISECONDS):
                    self.take(socket.recv_multipart())
        self.close()

    def take(self, frames: list[bytes]) -> None:
        """Keep one message; what cannot be read is logged and forgotten."""
        now_ns = self._clock.monotonic_ns()
        match frames:
            case [topic, text] if topic == STATE:
                try:
                    state = LiveState.model_validate_json(text)
                except ValidationError:
                    log.warning("live_state_unreadable")
                    return
                with self._lock:
                    self._heard_ns = now_ns
                    if state.state != "idle" and state.session is not None:
                        self._keep(state.session, state, now_ns)
                        self._tell()
            case [topic, session, jpeg] if topic == PICTURE:
                named = session.decode("ascii", "replace")
                with self._lock:
                    if named in self._states:
                        self._pictures[named] = Picture(named, jpeg, self._number + 1)
                        self._tell()
            case _:
                log.warning("live_message_unreadable", frames=len(frames))

    def _keep(self, session: str, state: LiveState, now_ns: int) -> None:
        """Keep the newest state of a session. The lock is held."""
        self._states[session] = (state, now_ns)
        self._states.move_to_end(session)
        if state.state == "ended":
            self._pictures.pop(session, None)
        while len(self._states) > KEPT_SESSIONS:
            oldest, _ = self._states.popitem(last=False)
            self._pictures.pop(oldest, None)

    def close(self) -> None:
        """Let everybody who waits go: the process ends."""
        with self._lock:
            self._closed = True
            self._tell()

    # -- the pages --------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def watched(self) -> bool:
        """Say whether anybody looks at pictures."""
        return self._watching > 0

    @property
    def verifier_heard(self) -> bool:
        """Say whether the verifier gave a sign of life lately."""
        return self._clock.monotonic_ns() - self._heard_ns < HEARD_NS

    def state_of(self, session: str) -> LiveState | None:
        """Return where the attempt of a session stands, None when none was seen lately."""
        with self._lock:
            state, at_ns = self._states.get(session, (None, 0))
        if state is None:
            return None
        return state if self._clock.monotonic_ns() - at_ns < FRESH_NS else None

    def picture_of(self, session: str, after: int) -> Picture | None:
        """Return the newest picture of a session's running attempt, if it is news."""
        with self._lock:
            picture = self._pictures.get(session)
        if picture is None or picture.number <= after:
            return None
        return picture

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Have pictures come for the length of the block."""
        with self._lock:
            self._watching += 1
        try:
            yield
        finally:
            with self._lock:
                self._watching -= 1
                if not self._watching:
                    self._pictures.clear()

    async def news(self, after: int, timeout_seconds: float) -> int:
        """Wait for anything newer than number `after`; return the newest number."""
        loop = asyncio.get_running_loop()
        waiter = (loop, loop.create_future())
        with self._lock:
            if self._number > after or self._closed:
                return self._number
            self._waiting.add(waiter)
        try:
            await asyncio.wait([waiter[1]], timeout=timeout_seconds)
        finally:
            with self._lock:
                self._waiting.discard(waiter)
        return self._number

    def _tell(self) -> None:
        """Wake everybody who waits. The lock is held."""
        self._number += 1
        waiting, self._waiting = self._waiting, set()
        for loop, future in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_finish, future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
