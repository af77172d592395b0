"""The terminal's side of the verifier's socket: what it makes of a verifier that goes away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from edge.verifier.client import VerifierClient
from edge.verifier.protocol import EnrolFromCamera, Enrolled, VerifierUnavailable
from tests.edge.verifier.kit import CONSENT, COUNTER, PERSON

DEADLINE_SECONDS = 20.0
ASKED = EnrolFromCamera(counter=COUNTER, person_ref=PERSON, consent=CONSENT)
ANSWER = Enrolled(reference=CONSENT, expires_at="2027-01-01T00:00:00.000000Z")

Context = zmq.Context[zmq.Socket[bytes]]
Serving = Callable[[zmq.Socket[bytes]], None]


def ask(context: Context, address: str, serve: Serving) -> object:
    """Ask a verifier that does what `serve` does with its socket, and then is gone."""
    router = context.socket(zmq.ROUTER)
    router.bind(address)

    def work() -> None:
        assert router.poll(int(DEADLINE_SECONDS * 1000))
        serve(router)
        router.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        # It would wait for an hour: what ends the waiting is that nobody is there any more.
        client = VerifierClient(address, context=context, timeout_seconds=3600)
        return client.enrol_from_camera(ASKED)
    finally:
        thread.join(DEADLINE_SECONDS)


def take(router: zmq.Socket[bytes]) -> None:
    router.recv_multipart()


def answer(router: zmq.Socket[bytes]) -> None:
    envelope = router.recv_multipart()[0]
    router.send_multipart([envelope, b"", ANSWER.model_dump_json().encode()])


def test_a_verifier_that_dies_is_known_at_once(zmq_context: Context, tmp_path: Path) -> None:
    with pytest.raises(VerifierUnavailable, match="ended before it answered"):
        ask(zmq_context, f"ipc://{tmp_path}/verifier", take)


def test_what_it_said_last_is_taken_though_it_is_gone(zmq_context: Context, tmp_path: Path) -> None:
    for attempt in range(20):
        assert ask(zmq_context, f"ipc://{tmp_path}/verifier-{attempt}", answer) == ANSWER
