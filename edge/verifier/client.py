"""The terminal's side of the verifier's local socket: REQ, one socket a request.

A REQ socket that missed its answer cannot be used again (the "lazy pirate"), so each request
makes its own, and a request is never sent twice: an attempt that was not answered may well have
happened, and its record will tell.
"""

from __future__ import annotations

import threading
import time
from typing import Annotated

import zmq
from pydantic import Field, TypeAdapter, ValidationError

from edge.verifier.protocol import (
    Decided,
    Enrol,
    EnrolFromCamera,
    Enrolled,
    EnrolmentRefused,
    Request,
    VerifierUnavailable,
    VerifyFace,
)
from retention.records.people import IdentityDecided2

MAX_ANSWER_BYTES = 1024 * 1024
PING_SECONDS = 1.0
POLL_MILLISECONDS = 100
LAST_WORD_MILLISECONDS = 1500

_ANSWER: TypeAdapter[Decided | Enrolled | EnrolmentRefused] = TypeAdapter(
    Annotated[Decided | Enrolled | EnrolmentRefused, Field(discriminator="answer")]
)


class VerifierClient:
    """The verifier process at a ZeroMQ address."""

    def __init__(
        self,
        address: str,
        *,
        timeout_seconds: float = 20.0,
        context: zmq.Context[zmq.Socket[bytes]],
        stop: threading.Event | None = None,
    ) -> None:
        self._address, self._timeout_seconds = address, timeout_seconds
        self._context, self._stop = context, stop or threading.Event()

    def verify(self, request: VerifyFace) -> IdentityDecided2:
        """Return the recorded decision. Raises VerifierUnavailable."""
        answer = self._ask([self._timed(request)])
        if isinstance(answer, EnrolmentRefused):
            raise VerifierUnavailable(f"refused: {answer.code}")
        if not isinstance(answer, Decided):
            raise VerifierUnavailable(f"answered {answer.answer!r} to verify")
        return answer.decided

    def enrol(self, request: Enrol, picture: bytes) -> Enrolled | EnrolmentRefused:
        """Return the stored reference or why not. Raises VerifierUnavailable."""
        return self._enrolled([self._timed(request), picture])

    def enrol_from_camera(self, request: EnrolFromCamera) -> Enrolled | EnrolmentRefused:
        """Return the stored reference or why not. Raises VerifierUnavailable."""
        return self._enrolled([self._timed(request)])

    def ask(self, request: Request) -> bytes:
        """Return the answer to a request of another kind, as JSON. Raises VerifierUnavailable."""
        return self._exchange([self._timed(request)], self._timeout_seconds)[0]

    def answers(self) -> bool:
        """Say whether anything answers there; what it says does not matter."""
        try:
            self._exchange([b'{"do":"ping"}'], PING_SECONDS)
        except VerifierUnavailable:
            return False
        return True

    def _enrolled(self, frames: list[bytes]) -> Enrolled | EnrolmentRefused:
        answer = self._ask(frames)
        if isinstance(answer, Decided):
            raise VerifierUnavailable("answered 'decided' to enrol")
        return answer

    def _timed(self, request: Request) -> bytes:
        until_ns = time.monotonic_ns() + int(self._timeout_seconds * 1e9)
        return request.model_copy(update={"until_ns": until_ns}).model_dump_json().encode()

    def _ask(self, frames: list[bytes]) -> Decided | Enrolled | EnrolmentRefused:
        answer = self._exchange(frames, self._timeout_seconds)
        try:
            return _ANSWER.validate_json(answer[0])
        except ValidationError as exc:
            raise VerifierUnavailable("an answer that cannot be read") from exc

    def _exchange(self, frames: list[bytes], timeout_seconds: float) -> list[bytes]:
        socket = self._context.socket(zmq.REQ)
        gone = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.MAXMSGSIZE, MAX_ANSWER_BYTES)
            socket.connect(self._address)
            socket.send_multipart(frames, copy=True)
            self._wait(socket, gone, time.monotonic() + timeout_seconds)
            return socket.recv_multipart()
        except zmq.ZMQError as exc:
            raise VerifierUnavailable(str(exc)) from exc
        finally:
            socket.disable_monitor()
            gone.close(linger=0)
            socket.close()

    def _wait(self, socket: zmq.Socket[bytes], gone: zmq.Socket[bytes], deadline: float) -> None:
        """Wait for the answer, unless the verifier dies (`gone` tells: nobody else will give it);
        once the node stops, only for the verifier's last word."""
        while not socket.poll(POLL_MILLISECONDS):
            if gone.poll(0) and not socket.poll(POLL_MILLISECONDS):
                raise VerifierUnavailable("it ended before it answered")
            if self._stop.is_set() and not socket.poll(LAST_WORD_MILLISECONDS):
                raise VerifierUnavailable("no answer before the node stops")
            if time.monotonic() > deadline:
                raise VerifierUnavailable("no answer in time")
