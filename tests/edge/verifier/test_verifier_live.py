"""What the verifier shows of an attempt: to whoever looks, without delay, and nothing after it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import zmq

from edge.config import EdgeConfig
from edge.verifier import live as module
from edge.verifier.live import IDLE_EVERY_NS, WIDTH, LivePublisher, jpeg_of
from edge.verifier.protocol import PICTURE, STATE, LiveState
from models.opencv import cv2
from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.store.database import NodeStore
from tests.edge.verifier.kit import Bench, request
from tests.identity import support

SESSION = SeededIds(7).new()
WAIT_MILLISECONDS = 20_000
_places = itertools.count()


class Reader:
    """A subscriber of some topics."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, *topics: bytes):
        self.socket = context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVHWM, 10)
        for topic in topics:
            self.socket.setsockopt(zmq.SUBSCRIBE, topic)
        self.socket.connect(address)

    def next(self) -> list[bytes]:
        assert self.socket.poll(WAIT_MILLISECONDS), "nothing was published"
        return self.socket.recv_multipart()

    def state(self) -> LiveState:
        topic, text = self.next()
        assert topic == STATE
        return LiveState.model_validate_json(text)

    def nothing(self) -> bool:
        return not self.socket.poll(50)


@pytest.fixture
def address() -> str:
    return f"inproc://live-{next(_places)}"


@pytest.fixture
def publisher(
    zmq_context: zmq.Context[zmq.Socket[bytes]], address: str, clock: ManualClock
) -> Iterator[LivePublisher]:
    with LivePublisher(zmq_context, address, clock) as made:
        yield made


Subscribe = Callable[..., Reader]


@pytest.fixture
def subscribe(
    publisher: LivePublisher, zmq_context: zmq.Context[zmq.Socket[bytes]], address: str
) -> Iterator[Subscribe]:
    """Return a reader that the publisher has heard of."""
    with ExitStack() as stack:

        def subscribed(*topics: bytes) -> Reader:
            reader = Reader(zmq_context, address, *topics)
            stack.callback(reader.socket.close)
            publisher._socket.poll(200)
            return reader

        yield subscribed


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How wide the pictures were that were encoded."""
    widths: list[int] = []

    def counted(pixels: Any) -> bytes:
        widths.append(pixels.shape[1])
        return b"a picture"

    monkeypatch.setattr(module, "jpeg_of", counted)
    return widths


def looking(**changes: object) -> LiveState:
    values: dict[str, object] = {"state": "looking", "session": SESSION, "attempt": 1}
    return LiveState.model_validate(values | changes)


def head() -> np.ndarray:
    return support.turning_head(0)[0]


def test_without_a_reader_of_pictures_none_is_encoded(
    publisher: LivePublisher, subscribe: Subscribe, clock: ManualClock, encoded: list[int]
) -> None:
    publisher.look(looking(), head())
    reader = subscribe(STATE)
    clock.advance(timedelta(seconds=1))
    publisher.look(looking(instruction="POSE", frames_used=2, frames_wanted=4), head())
    assert reader.state().instruction == "POSE"
    assert encoded == []


def test_pictures_come_while_somebody_looks_and_stop_when_the_last_one_leaves(
    publisher: LivePublisher, subscribe: Subscribe, clock: ManualClock, encoded: list[int]
) -> None:
    first, second = (subscribe(PICTURE) for _ in range(2))
    publisher.look(looking(), head())
    assert first.next() == second.next() == [PICTURE, SESSION.encode(), b"a picture"]
    assert len(encoded) == 1
    first.socket.close()
    clock.advance(timedelta(seconds=1))
    publisher.look(looking(), head())
    assert second.next()[0] == PICTURE
    second.socket.close()
    assert publisher._socket.poll(WAIT_MILLISECONDS), "the end of a subscription is told"
    known = len(encoded)
    clock.advance(timedelta(seconds=1))
    publisher.look(looking(), head())
    assert len(encoded) == known


def test_it_shows_at_most_eight_looks_a_second(
    publisher: LivePublisher, subscribe: Subscribe, clock: ManualClock, encoded: list[int]
) -> None:
    subscribe(PICTURE)
    for _ in range(60):
        clock.advance(timedelta(seconds=1 / 30))
        publisher.look(looking(), head())
    assert 14 <= len(encoded) <= 16


def test_each_counter_has_its_own_pace(
    publisher: LivePublisher, subscribe: Subscribe, clock: ManualClock, encoded: list[int]
) -> None:
    other = SeededIds(9).new()
    reader = subscribe(STATE)
    for _ in range(3):
        publisher.look(looking(), None)
        publisher.look(looking(session=other), None)
    assert [reader.state().session for _ in range(2)] == [SESSION, other]
    assert reader.nothing()
    publisher.ended(SESSION, 1)
    publisher.look(looking(session=other), None)
    publisher.look(looking(attempt=2), None)
    said = [reader.state() for _ in range(2)]
    assert [(one.session, one.state) for one in said] == [(SESSION, "ended"), (SESSION, "looking")]


def test_threads_of_several_counters_share_the_socket(
    publisher: LivePublisher, subscribe: Subscribe, clock: ManualClock, encoded: list[int]
) -> None:
    reader = subscribe(STATE, PICTURE)
    sessions = [SeededIds(seed).new() for seed in range(4)]

    def show(session: str) -> None:
        for number in range(200):
            publisher.look(looking(session=session, attempt=number), head())
            publisher.ended(session, number)

    threads = [threading.Thread(target=show, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_MILLISECONDS / 1000)
        assert not thread.is_alive()
    while reader.socket.poll(50):
        frames = reader.socket.recv_multipart()
        assert (frames[0], len(frames)) in {(STATE, 2), (PICTURE, 3)}


def test_a_reader_that_takes_nothing_blocks_nobody_and_misses_what_it_missed(
    publisher: LivePublisher, subscribe: Subscribe, clock: ManualClock, encoded: list[int]
) -> None:
    reader = subscribe(STATE, PICTURE)
    for number in range(500):
        clock.advance(timedelta(seconds=1))
        publisher.look(looking(attempt=number), head())
    got = 0
    while reader.socket.poll(20):
        reader.socket.recv_multipart()
        got += 1
    assert 0 < got < 500


def test_an_idle_verifier_says_once_a_second_that_it_is_there(
    publisher: LivePublisher, subscribe: Subscribe, clock: ManualClock
) -> None:
    reader = subscribe(STATE)
    publisher.idle()
    assert reader.state() == LiveState(state="idle")
    publisher.idle()
    assert reader.nothing()
    clock.advance(timedelta(microseconds=IDLE_EVERY_NS / 1000))
    publisher.idle()
    assert reader.state().session is None


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (640, 480), (320, 240), (4000, 1)])
def test_a_picture_is_a_jpeg_no_wider_than_the_page_needs(width: int, height: int) -> None:
    encoded = jpeg_of(np.full((height, width, 3), 90, np.uint8))
    assert encoded is not None
    shown = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape[1] == min(width, WIDTH)
    assert shown.shape[0] == max(1, round(height * shown.shape[1] / width))


def test_what_cannot_be_encoded_is_not_shown_and_ends_nothing() -> None:
    assert jpeg_of(np.zeros((4, 4, 3), np.complex64)) is None


# -- an attempt -----------------------------------------------------------------------------------


class Seen(LivePublisher):
    """Remembers what an attempt publishes."""

    def __init__(self) -> None:
        self.looks: list[tuple[LiveState, bool]] = []
        self.ends: list[tuple[str, int]] = []

    def look(self, state: LiveState, pixels: Any) -> None:
        self.looks.append((state, pixels is not None))

    def ended(self, session: str, attempt: int) -> None:
        self.ends.append((session, attempt))


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def bench(config: EdgeConfig, store: NodeStore, clock: ManualClock, seen: Seen) -> Bench:
    made = Bench(config, store, clock)
    made.service._live = seen
    return made


def test_an_attempt_shows_its_progress_and_ends_once(bench: Bench, seen: Seen) -> None:
    bench.enrolled()
    receipt = bench.verify(session=SESSION, attempt=2)
    assert receipt.outcome == "ACCEPT"
    states = [state for state, _ in seen.looks]
    assert {(state.session, state.attempt, state.state) for state in states} == {
        (SESSION, 2, "looking")
    }
    used = [state.frames_used for state in states]
    assert used == sorted(used)
    assert {state.frames_wanted for state in states} == {4}
    left = [state.seconds_left for state in states]
    assert left == sorted(left, reverse=True)
    assert 0 <= left[-1] < left[0] <= 4
    assert seen.ends == [(SESSION, 2)]


def test_the_frame_that_is_decided_on_is_not_shown(bench: Bench, seen: Seen) -> None:
    bench.enrolled()
    bench.verify()
    assert len(seen.looks) == bench.frames.asked - 1


def test_a_camera_without_pictures_shows_that_it_waits(bench: Bench, seen: Seen) -> None:
    bench.enrolled()
    bench.frames.dead = True
    bench.verify()
    assert {shown for _, shown in seen.looks} == {False}
    assert len(seen.ends) == 1


def test_a_fault_ends_the_showing_too(bench: Bench, seen: Seen) -> None:
    bench.enrolled()

    def broken(_: int) -> None:
        raise RuntimeError("told so")

    bench.frames.on_frame = broken
    with pytest.raises(RuntimeError):
        bench.ask(request(session=SESSION).model_dump_json().encode())
    assert seen.ends == [(SESSION, 1)]


def test_live_state_can_carry_no_score_and_no_picture() -> None:
    allowed = {
        "state", "session", "attempt", "instruction", "frames_used", "frames_wanted",
        "seconds_left",
    }  # fmt: skip
    assert set(LiveState.model_fields) == allowed


def test_a_watched_attempt_leaves_no_picture_in_records_or_on_disk(
    bench: Bench, publisher: LivePublisher, subscribe: Subscribe, config: EdgeConfig
) -> None:
    bench.enrolled()
    bench.service._live = publisher
    reader = subscribe(PICTURE)
    bench.verify()
    picture = reader.next()[2]
    assert picture.startswith(b"\xff\xd8")
    (record,) = bench.records("identity.decided")
    kept = [path.read_bytes() for path in config.node.data.rglob("*") if path.is_file()]
    assert any(record in content for content in kept)
    for content in (record, *kept):
        # Half a megabyte of sealed evidence holds three given bytes by chance, a whole head never.
        assert picture[:16] not in content
        assert picture[200:232] not in content
