"""The verifier process over its real socket: a clear end without models, a last word on a stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.verifier import method, process
from edge.verifier.client import VerifierClient
from identity.attempt import FaceFrame
from models.manifest import SFACE, YUNET
from models.runtime import LoadedModels
from retention.records.clock import SystemClock
from retention.records.errors import UsageError
from tests.edge.counter_kit import config_for
from tests.edge.verifier.kit import method_of, request
from tests.identity import support
from tests.identity.support import ScriptedModels, face_at, unit_vector

DEADLINE_SECONDS = 20.0


class Watched:
    """The camera of the process: a still head, some thirty frames a second, until closed."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.asked, self.closed = threading.Event(), False

    healthy = True

    def latest(self, after_ordinal: int, timeout_seconds: float) -> FaceFrame | None:
        self.asked.set()
        threading.Event().wait(0.03)
        return FaceFrame(support.turning_head(0)[0], after_ordinal + 1, time.monotonic_ns())

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Replace camera and models of the process."""
    watched = Watched()
    models = ScriptedModels(
        lambda _: [face_at(support.turning_head(0)[1])], lambda _: unit_vector(0)
    )
    monkeypatch.setattr(process, "load_method", lambda _, store: method_of(models, store.clock))
    monkeypatch.setattr(process, "OpenCvFrames", lambda *_, **__: watched)
    return watched


@contextmanager
def running(config: EdgeConfig) -> Iterator[tuple[threading.Event, list[int]]]:
    """Run the process's function in a thread; yield its stop and its beats."""
    stop, beats, ends = threading.Event(), list[int](), list[BaseException]()

    def work() -> None:
        try:
            process.run(ProcessContext(config, stop, lambda: beats.append(1)))
        except BaseException as exc:  # noqa: BLE001 - looked at by the test
            ends.append(exc)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield stop, beats
    finally:
        stop.set()
        thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()
    assert not ends, ends


@pytest.fixture
def client(config: EdgeConfig, zmq_context: zmq.Context[zmq.Socket[bytes]]) -> VerifierClient:
    return VerifierClient(config.socket("verifier"), context=zmq_context)


def until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not found():
        assert time.monotonic() < deadline, "not in time"


def test_rubbish_on_the_socket_ends_nothing(
    config: EdgeConfig,
    client: VerifierClient,
    camera: Watched,
    zmq_context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    with running(config) as (_, beats):
        until(client.answers)
        for frames in ([b""], [b"\xff"], [b"{}", b"x"], [b"{}"] * 50, [b"[" * 200_000]):
            with zmq_context.socket(zmq.REQ) as raw:
                raw.connect(config.socket("verifier"))
                raw.send_multipart(frames)
                assert raw.poll(int(DEADLINE_SECONDS * 1000))
                assert b'"INVALID_REQUEST"' in raw.recv()
        with zmq_context.socket(zmq.DEALER) as silent:  # no envelope: dropped by REP itself
            silent.connect(config.socket("verifier"))
            silent.send(b"rubbish")
            known = len(beats)
            until(lambda: len(beats) > known + 2)
        # libzmq may lose one answer after a message like that; the next ones come.
        until(client.answers)
    assert camera.closed


def test_a_stop_during_an_attempt_answers_before_it_ends(
    config: EdgeConfig, client: VerifierClient, camera: Watched
) -> None:
    store = config.open_store()
    try:
        _enrol(config, store)
        with running(config) as (stop, _):
            answers: list[Any] = []
            asking = threading.Thread(
                target=lambda: answers.append(client.verify(request())), daemon=True
            )
            asking.start()
            assert camera.asked.wait(DEADLINE_SECONDS)
            stop.set()
            asking.join(DEADLINE_SECONDS)
            (decided,) = answers
            assert decided.receipt.outcome != "ACCEPT"
        with store.read() as connection:
            query = "SELECT count(*) FROM log WHERE kind = 'identity.decided'"
            assert connection.execute(query).fetchone()[0] == 1
    finally:
        store.close()


def _enrol(config: EdgeConfig, store: Any) -> None:
    from tests.edge.verifier.kit import Bench

    bench = Bench.__new__(Bench)
    bench.config, bench.store, bench.clock = config, store, SystemClock()  # type: ignore[assignment]
    bench.enrolled()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"models": "nowhere"}, "models install"),
        ({"policy": "nothing.toml"}, "nothing.toml"),
    ],
)
def test_without_models_or_policy_it_ends_with_one_clear_line(
    tmp_path: Path,
    broken: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    places = {name: tmp_path / value for name, value in broken.items()}
    config = config_for(tmp_path, verification={"camera": "till"} | places)
    with pytest.raises(UsageError, match="the face method is off") as caught:
        process.run(ProcessContext(config, threading.Event(), lambda: None))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_contract_without_calibration_is_one_clear_line(
    config: EdgeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ScriptedModels(lambda _: [], lambda _: unit_vector(0), contract_id="77" * 32)
    loaded = LoadedModels(models, models, YUNET, SFACE)
    monkeypatch.setattr(method, "load_models", lambda _: loaded)
    with pytest.raises(UsageError, match="the face method is off: Calibration"):
        process.run(ProcessContext(config, threading.Event(), lambda: None))
