"""Simulated devices beside the counter, with faults on command. For the demo and tests only.

    python -P -m hardware.simulated_devices --port 8600 --key HEX

One HTTP service answers for all kinds. Who stands in front of it is set with `POST /control`:
`{"kind": …, "person": {…} | null, "fault": … | null, "seconds": …}`. Without a person it refuses.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, ValidationError

from hardware.devices import (
    CHECK_PATH,
    MAX_ANSWER_BYTES,
    DeviceAnswer,
    DeviceKind,
    DeviceQuestion,
    SignedAnswer,
)
from hardware.errors import warn_simulated
from retention.records.clock import Clock, SystemClock, to_text
from retention.records.fields import Frozen, Moment, ShortText
from retention.records.signing import Context, Ed25519Signer

Fault = Literal[
    "timeout", "refuse", "other_person", "forged", "other_nonce", "other_kind", "nobody",
    "garbage", "huge", "error", "cut_off", "drip", "redirect",
]  # fmt: skip
LONGEST_REQUEST = 1_000_000


class Somebody(Frozen):
    """Who is in front of a device; `portrait` is a picture file in base64 (card reader)."""

    cert_type: Literal["01", "02", "03"] = "02"
    number: Annotated[str, Field(repr=False)]
    name: Annotated[ShortText | None, Field(repr=False)] = None
    issued_at: Moment | None = None
    portrait: Annotated[str | None, Field(repr=False)] = None


class Control(Frozen):
    """Who is in front of a device from now on, and how it misbehaves."""

    kind: DeviceKind
    person: Somebody | None = None
    fault: Fault | None = None
    seconds: Annotated[float, Field(ge=0, le=60)] = 5.0


@dataclass
class SimulatedDevices:
    """What the service knows. Safe between threads; knows nothing of HTTP."""

    signer: Ed25519Signer
    clock: Clock = field(default_factory=SystemClock)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        warn_simulated("Device service")
        self._lock = threading.Lock()
        self._set: dict[DeviceKind, Control] = {}
        self.asked: list[DeviceKind] = []

    def control(self, wanted: Control) -> None:
        """Set who is in front of a device and how it misbehaves."""
        with self._lock:
            self._set[wanted.kind] = wanted

    def answer(self, question: DeviceQuestion) -> bytes:
        """Return the body of an answer, as the fault in force has it."""
        with self._lock:
            self.asked.append(question.kind)
        now = self.state_of(question.kind)
        if now.fault == "timeout":
            self.stop.wait(now.seconds)
        if now.fault == "garbage":
            return b'{"answer": '
        if now.fault == "huge":
            return b" " * (MAX_ANSWER_BYTES + 1)
        signed = self._signed(self._said(question, now))
        if now.fault == "forged":
            refused = signed.answer.model_copy(update={"device": "another-device"})
            signed = signed.model_copy(update={"answer": refused})
        return signed.model_dump_json().encode()

    def state_of(self, kind: DeviceKind) -> Control:
        """Return who is in front of a device now, and its fault in force."""
        with self._lock:
            return self._set.get(kind, Control(kind=kind))

    def _said(self, question: DeviceQuestion, now: Control) -> DeviceAnswer:
        person = None if now.fault == "refuse" else now.person
        asked = question.of
        if question.kind == "authority" and (
            person is None or asked is None or person.number.upper() != asked.number.upper()
        ):
            person = None  # nobody of that number is on record
        nobody = person is None or now.fault == "nobody"
        shown = None if nobody else person
        is_reader = question.kind in ("card_reader", "authority")
        return DeviceAnswer(
            kind="fingerprint" if now.fault == "other_kind" else question.kind,
            nonce="0" * 32 if now.fault == "other_nonce" else question.nonce,
            device=f"simulated-{question.kind.replace('_', '-')}",
            outcome="refused" if person is None else "confirmed",
            cert_type=None if shown is None else shown.cert_type,
            number=None if shown is None else _number_of(shown, now.fault),
            name=None if shown is None else shown.name,
            issued_at=None if shown is None or not is_reader else shown.issued_at,
            portrait=None if shown is None or not is_reader else shown.portrait,
            at=to_text(self.clock.now()),
        )

    def _signed(self, answer: DeviceAnswer) -> SignedAnswer:
        return SignedAnswer(answer=answer, signature=self.signer.sign(Context.DEVICE, answer))


class DeviceService:
    """The simulated devices behind HTTP on loopback. Use as a context manager."""

    def __init__(self, devices: SimulatedDevices, port: int = 0) -> None:
        self.devices = devices
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(devices))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> DeviceService:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.devices.stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self) -> None:
        """Serve in this thread until interrupted."""
        self._server.serve_forever()


def _handler(devices: SimulatedDevices) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Two paths: the question of a counter, and the control of a test."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            body = self.rfile.read(min(length, LONGEST_REQUEST))
            try:
                if self.path == "/control":
                    devices.control(Control.model_validate_json(body))
                    self._send(200, b"{}")
                elif self.path == CHECK_PATH:
                    self._check(DeviceQuestion.model_validate_json(body))
                else:
                    self._send(404, b"{}")
            except ValidationError:
                self._send(422, b"{}")

        def _check(self, question: DeviceQuestion) -> None:
            now = devices.state_of(question.kind)
            if now.fault == "error":
                self._send(503, b"{}")
                return
            content = devices.answer(question)
            try:
                if now.fault == "redirect":
                    self._head(307, 0, location=CHECK_PATH)
                elif now.fault == "drip":
                    self._drip(content, now.seconds)
                else:
                    self._send(200, content, short=now.fault == "cut_off")
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # nobody waits any more

        def _send(self, status: int, content: bytes, *, short: bool = False) -> None:
            self._head(status, len(content))
            self.wfile.write(content[: len(content) // 2] if short else content)
            self.close_connection = self.close_connection or short

        def _drip(self, content: bytes, seconds: float) -> None:
            """Send a whole and true answer, a byte at a time."""
            self._head(200, len(content))
            for place in range(len(content)):
                devices.stop.wait(seconds / len(content))
                self.wfile.write(content[place : place + 1])

        def _head(self, status: int, length: int, location: str | None = None) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(length))
            if location is not None:
                self.send_header("location", location)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: a request names a person."""

    return Handler


def _number_of(person: Somebody, fault: Fault | None) -> str:
    return "X" * 18 if fault == "other_person" else person.number


def somebody(number: str, *, name: str | None = None, portrait: bytes | None = None) -> Somebody:
    """Return a person with an identity card, for `Control.person`."""
    text = None if portrait is None else base64.b64encode(portrait).decode()
    return Somebody(number=number, name=name, portrait=text)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted; the first line on standard output says where and with which key."""
    parser = argparse.ArgumentParser(prog="python -P -m hardware.simulated_devices")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", help="32 bytes in hexadecimal; a fresh key without it")
    given = parser.parse_args(argv)
    try:
        private = (
            Ed25519PrivateKey.generate()
            if given.key is None
            else Ed25519PrivateKey.from_private_bytes(bytes.fromhex(given.key))
        )
        service = DeviceService(SimulatedDevices(Ed25519Signer(private)), given.port)
    except (ValueError, OSError) as exc:
        sys.stderr.write(f"simulated devices: {exc}\n")
        return 2
    said = {"url": service.url, "public_key": service.devices.signer.public_key.hex()}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    try:
        service.serve()
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
