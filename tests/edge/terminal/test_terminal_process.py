"""The terminal process: loopback and TLS listeners, a clear end, and the verifier's socket."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import zmq

from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.simulators.pharmacy import PharmacyClient, ProblemResponse
from edge.terminal import pairing
from edge.terminal.process import PortInUse, run
from edge.terminal.tls import fingerprint_of
from edge.verifier.client import VerifierClient
from edge.verifier.protocol import (
    Decided,
    Enrol,
    Enrolled,
    EnrolmentRefused,
    VerifierUnavailable,
    VerifyFace,
)
from retention.records.clock import ManualClock, SystemClock
from retention.records.ids import SeededIds
from retention.records.receipts import sign_receipt
from retention.records.signing import Ed25519Signer
from retention.store import log
from tests.edge.counter_kit import Said, config_for, receipt_for

DEADLINE_SECONDS = 20.0


def until(found: Callable[[], Any]) -> Any:
    """Return what is found before the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        pause.wait(0.02)
    pytest.fail("not in time")


@contextmanager
def running(config: EdgeConfig) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Run the process's function in a thread; yield its addresses and its beats."""
    stop, beats, ends = threading.Event(), list[int](), list[BaseException]()
    context = ProcessContext(config, stop, lambda: beats.append(1))

    def work() -> None:
        try:
            run(context)
        except BaseException as exc:  # noqa: BLE001 - looked at by the test
            ends.append(exc)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    file = config.node.data / "run" / "terminal.json"
    try:
        until(lambda: file.exists() or ends)
        assert not ends, ends
        yield json.loads(file.read_text()), beats
    finally:
        stop.set()
        thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()
    assert not ends, ends


def test_it_serves_loopback_and_tls_with_its_own_certificate_beats_and_stops(
    tmp_path: Path,
) -> None:
    tables = {"port": 0, "lan_host": "127.0.0.1", "lan_port": 0}
    config = config_for(tmp_path, terminal=tables)
    with running(config) as (addresses, beats):
        plain = "http://{}:{}".format(*addresses["loopback"])
        lan = "https://{}:{}".format(*addresses["lan"])
        certificate = tmp_path / "tls" / "terminal.crt"
        store = config.open_store()
        try:
            code = pairing.new_code(store, "counter-1", SystemClock())
        finally:
            store.close()
        with PharmacyClient(lan, verify_tls=str(certificate)) as counter:
            until(lambda: _alive(lan, str(certificate)))
            counter.pair(code)
            assert counter.open()["state"] == "open"
        assert httpx.get(plain + "/healthz", trust_env=False, timeout=30).json() == {
            "status": "alive"
        }
        assert httpx.get(plain + "/readyz", trust_env=False, timeout=30).json()["verifier"] is False
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(lan + "/healthz", trust_env=False, timeout=30)
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(lan.replace("https", "http") + "/healthz", trust_env=False, timeout=30)
        until(lambda: beats)
        assert len(fingerprint_of(certificate)) == 95


def test_a_stop_during_an_attempt_is_answered_and_recorded(
    tmp_path: Path, zmq_context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    config = config_for(tmp_path, terminal={"port": 0})
    answers: list[ProblemResponse] = []

    def ask(counter: PharmacyClient, session: str) -> None:
        with pytest.raises(ProblemResponse) as no:
            counter.verify(session)
        answers.append(no.value)

    with ExitStack() as stack:
        store = config.open_store()
        stack.callback(store.close)
        code = pairing.new_code(store, "counter-1", SystemClock())
        seen = stack.enter_context(
            verifier_that(config.socket("verifier"), lambda _: None, zmq_context)
        )
        with running(config) as (addresses, _):
            address = "http://{}:{}".format(*addresses["loopback"])
            counter = stack.enter_context(PharmacyClient(address))
            counter.pair(code)
            session = counter.open()["session"]
            asking = threading.Thread(target=ask, args=(counter, session), daemon=True)
            asking.start()
            until(lambda: seen)
        asking.join(DEADLINE_SECONDS)
        assert [(no.status, no.code) for no in answers] == [(503, "VERIFIER_UNAVAILABLE")]
        with store.read() as connection:
            steps = [one.kind for one in log.of_session(connection, session)]
        assert steps == ["session.opened", "identity.decided"]


def _alive(url: str, certificate: str) -> bool:
    with PharmacyClient(url, verify_tls=certificate) as client:
        return client.call("GET", "/healthz")["status"] == "alive"


def test_a_port_in_use_is_one_clear_line_and_a_failing_exit(tmp_path: Path, said: Said) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = config_for(tmp_path, terminal={"port": port})
        context = ProcessContext(config, threading.Event(), lambda: None)
        with pytest.raises(PortInUse) as ended:
            run(context)
    assert ended.value.code == 1
    assert [(entry["event"], entry["port"]) for entry in said] == [("port_unavailable", port)]


# -- the verifier's socket ------------------------------------------------------------------------


@contextmanager
def verifier_that(
    address: str,
    answer: Callable[[list[bytes]], bytes | None],
    context: zmq.Context[zmq.Socket[bytes]],
) -> Iterator[list[list[bytes]]]:
    """Answer requests at an address; None means silence."""
    seen: list[list[bytes]] = []
    stop = threading.Event()
    router = context.socket(zmq.ROUTER)
    router.bind(address)

    def work() -> None:
        while not stop.is_set():
            if not router.poll(20):
                continue
            identity, _, *frames = router.recv_multipart()
            seen.append(frames)
            said = answer(frames)
            if said is not None:
                router.send_multipart([identity, b"", said])

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(30)
        router.close()


@pytest.fixture
def client(tmp_path: Path, zmq_context: zmq.Context[zmq.Socket[bytes]]) -> VerifierClient:
    return VerifierClient(f"ipc://{tmp_path}/v", timeout_seconds=0.3, context=zmq_context)


def test_the_terminal_loads_no_vision() -> None:
    """Nothing in it looks at a picture, so no node pays for the models' packages twice."""
    code = (
        "import sys, edge.terminal.process; "
        "print([m for m in ('numpy', 'cv2', 'onnxruntime', 'insightface') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.strip() == "[]", ran.stderr


REQUEST = VerifyFace(
    session=SeededIds().new(),
    counter="counter-1",
    claim_digest="a" * 64,
    subject_ref="b" * 64,
    subject_role="patient",
    attempt=1,
    amount=None,
    comparisons=0,
    age_band="unknown",
    sex="unknown",
)
ENROL = Enrol(person_ref="b" * 64, consent=SeededIds().new(), counter="c", source="s")


def test_a_decision_comes_back_as_it_was_signed(
    client: VerifierClient,
    tmp_path: Path,
    signer: Ed25519Signer,
    clock: ManualClock,
    zmq_context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    made = receipt_for(
        REQUEST, receipt=SeededIds(2).new(), outcome="ACCEPT", reason="MATCH", now=clock.now()
    )
    decided = sign_receipt(made, signer)
    said = Decided(decided=decided).model_dump_json().encode()
    with verifier_that(f"ipc://{tmp_path}/v", lambda _: said, zmq_context) as seen:
        assert client.verify(REQUEST) == decided
        assert client.answers()
        with pytest.raises(VerifierUnavailable):
            client.enrol(ENROL, b"picture")
    asked = VerifyFace.model_validate_json(seen[0][0])
    assert asked.model_copy(update={"until_ns": None}) == REQUEST
    assert asked.until_ns is not None
    assert abs(asked.until_ns - time.monotonic_ns()) < DEADLINE_SECONDS * 1e9
    assert seen[2][1] == b"picture"


@pytest.mark.parametrize(
    "answer",
    [
        Enrolled(reference=SeededIds().new(), expires_at="2027-01-01T00:00:00.000000Z"),
        EnrolmentRefused(code="NO_FACE", detail="none"),
    ],
)
def test_an_enrolment_comes_back(
    client: VerifierClient,
    tmp_path: Path,
    answer: Enrolled | EnrolmentRefused,
    zmq_context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    said = answer.model_dump_json().encode()
    with verifier_that(f"ipc://{tmp_path}/v", lambda _: said, zmq_context):
        assert client.enrol(ENROL, b"picture") == answer
        with pytest.raises(VerifierUnavailable):
            client.verify(REQUEST)


def test_silence_absence_and_garbage_are_unavailable_and_the_next_request_works(
    client: VerifierClient, tmp_path: Path, zmq_context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    with pytest.raises(VerifierUnavailable, match="no answer"):
        client.verify(REQUEST)
    refusal = EnrolmentRefused(code="NO_FACE", detail="none")
    turns = iter([None, b"\xff garbage", b"{}", refusal.model_dump_json().encode()])
    with verifier_that(f"ipc://{tmp_path}/v", lambda _: next(turns), zmq_context):
        for _ in range(3):
            with pytest.raises(VerifierUnavailable):
                client.enrol(ENROL, b"")
        assert client.enrol(ENROL, b"") == refusal
