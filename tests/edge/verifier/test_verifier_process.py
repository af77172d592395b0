"""The verifier process over its real socket: a clear end without models, a last word on a stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import zmq

from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.verifier import method, process
from edge.verifier.client import VerifierClient
from edge.verifier.face_alarm import SUBJECT, FaceAlarm
from edge.verifier.method import load_method
from edge.verifier.protocol import VerifierUnavailable
from edge.verifier.workers import MOST_WAITING
from identity import policy as module_of_policies
from identity.attempt import FaceFrame
from identity.policy import load_policy
from identity.policy_files import sign
from models.manifest import SFACE, YUNET
from models.runtime import LoadedModels
from retention.keyfiles import KeyDirectory
from retention.records.clock import SystemClock
from retention.records.errors import UsageError
from retention.records.payloads import IdentityDecided
from retention.store import alarms
from retention.store.alarms import Alarm
from tests.edge.counter_kit import config_for
from tests.edge.verifier.kit import SOMEBODY, Bench, method_of, request
from tests.identity import support
from tests.identity.support import ScriptedModels, face_at, unit_vector

DEADLINE_SECONDS = 20.0


class Watched:
    """A camera of the process: a still head, some thirty frames a second, until closed. `hold`
    keeps it from giving a picture, `fault` is raised instead of one."""

    def __init__(self) -> None:
        self.asked, self.closed = threading.Event(), False
        self.hold = threading.Event()
        self.hold.set()
        self.fault: BaseException | None = None
        self.looks = 0

    healthy = True

    def latest(self, after_ordinal: int, timeout_seconds: float) -> FaceFrame | None:
        self.looks += 1
        self.asked.set()
        assert self.hold.wait(DEADLINE_SECONDS)
        if self.fault is not None:
            raise self.fault
        threading.Event().wait(0.03)
        return FaceFrame(support.turning_head(0)[0], after_ordinal + 1, time.monotonic_ns())

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Cameras(dict[str, Watched]):
    """The cameras of the process by address, however often they are opened."""

    def __call__(self, url: str, **_: Any) -> Watched:
        return self[url]

    def __missing__(self, url: str) -> Watched:
        self[url] = Watched()
        return self[url]


TILL, SECOND = "rtsp://127.0.0.1:1/stream", "rtsp://127.0.0.1:1/second"


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch) -> Cameras:
    """Replace cameras and models of the process."""
    made = Cameras()
    models = ScriptedModels(
        lambda _: [face_at(support.turning_head(0)[1])], lambda _: unit_vector(0)
    )
    monkeypatch.setattr(process, "load_method", lambda _, store: method_of(models, store.clock))
    monkeypatch.setattr(process, "OpenCvFrames", made)
    return made


@pytest.fixture
def camera(cameras: Cameras) -> Watched:
    return cameras[TILL]


@pytest.fixture
def two(tmp_path: Path) -> EdgeConfig:
    """A node with two counters, each with its own camera."""
    ids = {"till": TILL, "second": SECOND}
    return config_for(
        tmp_path,
        cameras=[{"id": id_, "scene_role": "purchase", "url": ids[id_]} for id_ in ids],
        verification={"camera": "till", "counters": {"counter-2": "second"}},
    )


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


def test_who_floods_the_socket_keeps_nobody_from_the_heartbeat(
    config: EdgeConfig,
    camera: Watched,
    zmq_context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    with running(config) as (stop, beats), zmq_context.socket(zmq.DEALER) as flood:
        until(lambda: bool(beats))
        flood.setsockopt(zmq.LINGER, 0)
        flood.connect(config.socket("verifier"))
        over = threading.Event()

        def rush() -> None:
            while not over.is_set():
                with suppress(zmq.Again):
                    flood.send_multipart([b"", b"{}"], zmq.NOBLOCK)

        rushing = threading.Thread(target=rush)
        rushing.start()
        try:
            known = len(beats)
            until(lambda: len(beats) > known + 20)
        finally:
            over.set()
            rushing.join(DEADLINE_SECONDS)
        assert not stop.is_set()


class Asking:
    """A terminal that asks in a thread of its own."""

    def __init__(self, client: VerifierClient, **changes: object) -> None:
        self._client, self._request = client, request(**changes)
        self.answer: IdentityDecided | VerifierUnavailable | None = None
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self.answer = self._client.verify(self._request)
        except VerifierUnavailable as exc:
            self.answer = exc

    def result(self) -> IdentityDecided | VerifierUnavailable:
        self._thread.join(DEADLINE_SECONDS)
        assert self.answer is not None, "nothing was answered"
        return self.answer

    @property
    def is_answered(self) -> bool:
        return self.answer is not None


def decisions(config: EdgeConfig) -> int:
    with closing(config.open_store()) as store, store.read() as connection:
        query = "SELECT count(*) FROM log WHERE kind = 'identity.decided'"
        found: int = connection.execute(query).fetchone()[0]
        return found


def test_a_stop_during_an_attempt_answers_before_it_ends(
    config: EdgeConfig, client: VerifierClient, camera: Watched
) -> None:
    enrolled(config)
    with running(config) as (stop, _):
        asking = Asking(client)
        assert camera.asked.wait(DEADLINE_SECONDS)
        stop.set()
        decided = asking.result()
        assert isinstance(decided, IdentityDecided)
        assert decided.receipt.outcome != "ACCEPT"
    assert decisions(config) == 1


def test_two_counters_are_verified_at_the_same_time_and_pings_are_answered_meanwhile(
    two: EdgeConfig, client: VerifierClient, cameras: Cameras
) -> None:
    enrolled(two)
    for camera in (cameras[TILL], cameras[SECOND]):
        camera.hold.clear()
    with running(two) as (stop, _):
        until(client.answers)
        asking = [Asking(client, counter=counter) for counter in ("counter-1", "counter-2")]
        for camera in (cameras[TILL], cameras[SECOND]):
            assert camera.asked.wait(DEADLINE_SECONDS)
        assert client.answers()
        assert not any(one.is_answered for one in asking)
        stop.set()
        for camera in (cameras[TILL], cameras[SECOND]):
            camera.hold.set()
        receipts = [one.result() for one in asking]
        seen = {one.receipt.camera for one in receipts if isinstance(one, IdentityDecided)}
        assert seen == {"till", "second"}
    assert decisions(two) == 2


def test_more_than_may_wait_for_a_camera_are_told_that_it_is_busy(
    config: EdgeConfig, client: VerifierClient, camera: Watched
) -> None:
    enrolled(config)
    camera.hold.clear()
    with running(config) as (stop, _):
        first = Asking(client)
        assert camera.asked.wait(DEADLINE_SECONDS)
        waiting = [Asking(client) for _ in range(MOST_WAITING + 1)]
        until(lambda: any(one.is_answered for one in waiting))
        (refused,) = [one.answer for one in waiting if one.is_answered]
        assert isinstance(refused, VerifierUnavailable)
        assert "BUSY" in str(refused)
        stop.set()
        camera.hold.set()
        assert isinstance(first.result(), IdentityDecided)
        left = [one.result() for one in waiting if one.answer is not refused]
        assert all(isinstance(one, VerifierUnavailable) for one in left)
    assert decisions(config) == 1


def test_what_waited_too_long_is_not_looked_at(
    config: EdgeConfig, camera: Watched, zmq_context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    enrolled(config)
    camera.hold.clear()
    patient = VerifierClient(config.socket("verifier"), context=zmq_context)
    with running(config):
        first = Asking(patient)
        assert camera.asked.wait(DEADLINE_SECONDS)
        with zmq_context.socket(zmq.REQ) as late:
            late.connect(config.socket("verifier"))
            late.send(request(until_ns=time.monotonic_ns() + 1).model_dump_json().encode())
            assert not late.poll(50), "it waits for the camera"
            camera.hold.set()
            first.result()
            looks = camera.looks
            assert late.poll(int(DEADLINE_SECONDS * 1000))
            assert b'"DEADLINE"' in late.recv()
        assert camera.looks == looks
    assert decisions(config) == 1


def test_a_worker_that_dies_refuses_its_requests_and_another_takes_over(
    config: EdgeConfig, client: VerifierClient, camera: Watched
) -> None:
    enrolled(config)
    camera.hold.clear()
    camera.fault = RuntimeError("told so")
    with running(config):
        asking = [Asking(client)]
        assert camera.asked.wait(DEADLINE_SECONDS)
        asking.append(Asking(client))
        camera.hold.set()
        until(lambda: asking[0].is_answered)
        camera.fault = None
        for one in asking:
            result = one.result()
            assert isinstance(result, VerifierUnavailable) or result.receipt.outcome != "ACCEPT"
        assert isinstance(asking[0].answer, VerifierUnavailable)
        known = client.verify(request(subject_ref=SOMEBODY))
        assert known.receipt.reasons == ("REFERENCE_MISSING",)


def test_a_worker_that_keeps_dying_is_the_end_of_the_process(
    config: EdgeConfig, client: VerifierClient, camera: Watched
) -> None:
    enrolled(config)
    camera.fault = RuntimeError("told so")
    ends = list[BaseException]()

    def work() -> None:
        try:
            process.run(ProcessContext(config, threading.Event(), lambda: None))
        except RuntimeError as exc:
            ends.append(exc)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    impatient = VerifierClient(
        config.socket("verifier"), context=client._context, timeout_seconds=2.0
    )
    while thread.is_alive():
        Asking(impatient).result()
    assert "keeps dying" in str(ends[0])
    assert ends[0].__cause__ is camera.fault
    assert decisions(config) == 0


def test_a_worker_that_hangs_stops_the_heartbeat(
    config: EdgeConfig, client: VerifierClient, camera: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "SILENT_SECONDS", 0.6)
    enrolled(config)
    with running(config) as (_, beats):
        until(lambda: len(beats) > 2)
        camera.hold.clear()
        asking = Asking(client)
        assert camera.asked.wait(DEADLINE_SECONDS)
        known = -1
        deadline = time.monotonic() + DEADLINE_SECONDS
        while known != len(beats):
            assert time.monotonic() < deadline, "it goes on beating"
            known = len(beats)
            threading.Event().wait(1.2)
        assert client.answers()
        camera.hold.set()
        asking.result()
        until(lambda: len(beats) > known)


def test_a_policy_that_cannot_be_used_turns_the_face_method_off_until_it_can(
    tmp_path: Path, client: VerifierClient, camera: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = KeyDirectory(tmp_path / "authority").signer()
    place = tmp_path / "policy.toml"
    shipped = Path(module_of_policies.__file__).with_name("policies") / "counter-default.toml"
    place.write_bytes(shipped.read_bytes())
    key = signer.public_key.hex()
    config = config_for(
        tmp_path,
        cameras=[{"id": "till", "scene_role": "purchase", "url": TILL, "simulated": True}],
        verification={"camera": "till", "policy": place, "policy_key": key},
    )
    models = ScriptedModels(lambda _: [], lambda _: unit_vector(0))
    loaded = LoadedModels(models, models, YUNET, SFACE)
    monkeypatch.setattr(method, "load_models", lambda _: loaded)
    monkeypatch.setattr(method, "load_calibration", lambda _: support.calibration())
    monkeypatch.setattr(process, "load_method", load_method)

    def refuses() -> None:
        until(lambda: is_off(config))
        with pytest.raises(VerifierUnavailable, match="FACE_METHOD_OFF"):
            client.verify(request())

    def answers() -> None:
        until(lambda: not is_off(config))
        assert isinstance(client.verify(request()), IdentityDecided)

    with running(config):
        until(client.answers)
        refuses()  # its signature is not there yet
        place.with_name("policy.toml.sig").write_bytes(sign(load_policy(), signer))
        answers()
        place.write_bytes(shipped.read_bytes().replace(b'"1e-4"', b'"1e-3"'))
        refuses()
        place.write_bytes(shipped.read_bytes())
        answers()
    assert decisions(config) == 2


def is_off(config: EdgeConfig) -> bool:
    with closing(config.open_store()) as store, store.read() as connection:
        return alarms.is_open(connection, Alarm.FACE_METHOD_OFF, SUBJECT)


def enrolled(config: EdgeConfig) -> None:
    """Give consent and keep a reference of the head that every camera shows."""
    with closing(config.open_store()) as store:
        bench = Bench.__new__(Bench)
        bench.config, bench.store, bench.clock = config, store, SystemClock()  # type: ignore[assignment]
        bench.enrolled()


def test_without_models_it_ends_with_one_clear_line(tmp_path: Path) -> None:
    verification = {"camera": "till", "models": tmp_path / "nowhere"}
    config = config_for(tmp_path, verification=verification)
    with pytest.raises(UsageError, match="the face method is off") as caught:
        process.run(ProcessContext(config, threading.Event(), lambda: None))
    assert "models install" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert is_off(config)


def test_the_alarm_of_a_face_method_that_was_off_is_cleared_when_it_works(
    config: EdgeConfig, client: VerifierClient, camera: Watched
) -> None:
    with closing(config.open_store()) as store:
        FaceAlarm(store).set("no models")
    assert is_off(config)
    with running(config):
        until(client.answers)
        until(lambda: not is_off(config))


def test_a_contract_without_calibration_is_one_clear_line(
    config: EdgeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ScriptedModels(lambda _: [], lambda _: unit_vector(0), contract_id="77" * 32)
    loaded = LoadedModels(models, models, YUNET, SFACE)
    monkeypatch.setattr(method, "load_models", lambda _: loaded)
    with pytest.raises(UsageError, match="the face method is off: Calibration"):
        process.run(ProcessContext(config, threading.Event(), lambda: None))
