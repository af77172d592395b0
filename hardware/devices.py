"""Devices that vouch for a person: the certified insurance terminal, a fingerprint reader, a reader
of identity cards; and the adapter of an authority that keeps people's official portraits.

Each is reached through a small service beside it (the maker's driver, or an adapter that speaks to
it), over HTTP on this machine or the counter's network. One question, one answer: the question
carries a nonce and what it is asked for; the answer repeats them and is signed with the device
service's own Ed25519 key, so neither an old answer nor another service's is taken. What an answer
says of a person is read here and goes no further than the caller; nothing of it is logged.

No certified device could be had while this was written: the interface is real, its other end in
the tests is `hardware.simulated_devices`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from datetime import datetime
from typing import Annotated, Literal, Protocol

import httpx
from pydantic import Field, ValidationError

from hardware.errors import HardwareError
from retention.records.clock import from_text
from retention.records.errors import ProofRejected
from retention.records.fields import Code, Frozen, Moment, ShortText
from retention.records.payloads import SignatureBlock
from retention.records.signing import Context, verify_signature

DeviceKind = Literal["certified_terminal", "fingerprint", "card_reader", "authority"]
CHECK_PATH = "/v1/check"
MAX_ANSWER_BYTES = 512 * 1024
CONNECT_SECONDS = 3.0
Portrait = Annotated[str, Field(max_length=400_000)]
Number = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{6,64}$")]


class DeviceUnavailable(HardwareError):
    """The device's service did not answer in time, or answered something that is no answer."""

    def __init__(self, kind: DeviceKind, reason: str) -> None:
        super().__init__(f"Device {kind}: {reason}")
        self.kind, self.reason = kind, reason


class DeviceUntrusted(DeviceUnavailable):
    """An answer whose signature, nonce or kind is not right; it is as good as none."""


class Holder(Frozen):
    """Whose portrait an authority is asked for: the document as it was shown at the counter."""

    cert_type: Literal["01", "02", "03"]
    number: Annotated[Number, Field(repr=False)]
    name: Annotated[ShortText, Field(repr=False)]


class DeviceQuestion(Frozen):
    """What is asked: who is in front of the device now? An authority, which nobody stands before,
    is asked `of` somebody."""

    kind: DeviceKind
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    of: Holder | None = None


class DeviceAnswer(Frozen):
    """What a device says. `confirmed`: it checked the living person against the document named here
    (a card reader: it read the card; an authority: it knows the holder). `cert_type` as in the
    insurance interface (01 e-certificate, 02 identity card, 03 social security card). The portrait
    (JPEG or PNG, base64) and its date come from a card reader or an authority only."""

    kind: DeviceKind
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    device: Code
    outcome: Literal["confirmed", "refused"]
    cert_type: Literal["01", "02", "03"] | None
    number: Annotated[Number | None, Field(repr=False)]
    name: Annotated[ShortText | None, Field(repr=False)]
    issued_at: Moment | None
    portrait: Annotated[Portrait | None, Field(repr=False)]
    at: Moment


class SignedAnswer(Frozen):
    answer: DeviceAnswer
    signature: SignatureBlock


class Device(Protocol):
    """One device."""

    @property
    def kind(self) -> DeviceKind: ...

    def ask(self, of: Holder | None = None) -> DeviceAnswer:
        """Ask the person in front of the device, or an authority `of` somebody, and wait. Raises
        DeviceUnavailable."""
        ...


class HttpDevice:
    """A device's service at an address. Safe to share between threads; asks once, never twice."""

    def __init__(
        self, kind: DeviceKind, url: str, public_key: bytes, *, timeout_seconds: float
    ) -> None:
        self._kind, self._public_key = kind, public_key
        self._url = url.rstrip("/") + CHECK_PATH
        self._timeout_seconds = timeout_seconds

    @property
    def kind(self) -> DeviceKind:
        return self._kind

    def ask(self, of: Holder | None = None) -> DeviceAnswer:
        """Return the signed answer to a fresh nonce. Raises DeviceUnavailable, DeviceUntrusted."""
        question = DeviceQuestion(kind=self._kind, nonce=secrets.token_hex(16), of=of)
        content = self._post(question)
        try:
            signed = SignedAnswer.model_validate_json(content)
        except ValidationError as exc:
            raise DeviceUnavailable(self._kind, "an answer that cannot be read") from exc
        self._require_ours(question, signed)
        return signed.answer

    def _require_ours(self, question: DeviceQuestion, signed: SignedAnswer) -> None:
        try:
            verify_signature(self._public_key, Context.DEVICE, signed.answer, signed.signature)
        except ProofRejected as exc:
            raise DeviceUntrusted(self._kind, str(exc)) from exc
        answer = signed.answer
        if (answer.kind, answer.nonce) != (question.kind, question.nonce):
            raise DeviceUntrusted(self._kind, "an answer to another question")
        if answer.outcome == "confirmed" and (answer.cert_type is None or answer.number is None):
            raise DeviceUntrusted(self._kind, "it confirms nobody")
        if answer.outcome == "confirmed" and not _is_of(answer, question.of):
            raise DeviceUntrusted(self._kind, "it tells of somebody else")

    def _post(self, question: DeviceQuestion) -> bytes:
        """Send the question and return the answer's bytes, at most MAX_ANSWER_BYTES, all of it
        within the timeout: httpx bounds each read, not a service that drips."""
        try:
            return asyncio.run(self._exchange(question))
        except TimeoutError as exc:
            raise DeviceUnavailable(self._kind, "no answer in time") from exc
        except httpx.HTTPError as exc:
            raise DeviceUnavailable(self._kind, type(exc).__name__) from exc

    async def _exchange(self, question: DeviceQuestion) -> bytes:
        each = httpx.Timeout(None, connect=CONNECT_SECONDS)
        # A proxy of the environment has no business between the counter and its device; what is
        # compressed may be larger than it looks, and is not asked for and not unpacked.
        async with (
            asyncio.timeout(self._timeout_seconds),
            httpx.AsyncClient(timeout=each, trust_env=False) as client,
            client.stream(
                "POST",
                self._url,
                json=question.model_dump(),
                headers={"accept-encoding": "identity"},
            ) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise DeviceUnavailable(self._kind, f"HTTP status {response.status_code}")
            content = bytearray()
            async for part in response.aiter_raw():
                content += part
                if len(content) > MAX_ANSWER_BYTES:
                    raise DeviceUnavailable(self._kind, "an answer that is too large")
            return bytes(content)


def _is_of(answer: DeviceAnswer, asked: Holder | None) -> bool:
    """Tell whether an answer is of whom it was asked. A written check digit x is the same as X; a
    token (01) is the same only as it is."""
    if asked is None:
        return True
    if answer.number is None or answer.cert_type != asked.cert_type:
        return False
    if asked.cert_type == "01":
        return answer.number == asked.number
    return answer.number.upper() == asked.number.upper()


def portrait_of(answer: DeviceAnswer) -> bytes:
    """Return the picture that was read or is on record. Raises DeviceUnavailable without one."""
    try:
        content = base64.b64decode(answer.portrait or "", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise DeviceUnavailable(answer.kind, "the portrait cannot be read") from exc
    if not content:
        raise DeviceUnavailable(answer.kind, "it holds no portrait")
    return content


def issued(answer: DeviceAnswer) -> datetime | None:
    """Return when the card was issued, if its reader says so. Raises DeviceUnavailable."""
    try:
        return None if answer.issued_at is None else from_text(answer.issued_at)
    except ValueError as exc:
        raise DeviceUnavailable(answer.kind, "the card's date is no date") from exc
