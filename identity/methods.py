"""The ways in which a person can be verified. Face is one of them, and never the only one.

Whatever vouches for a person, a pharmacist with a document or a device with a signed answer, ends
in a `Vouched`: one outcome with one reason and the name of who vouched. All accepted ways are equal
in what they permit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from hardware.devices import DeviceAnswer, DeviceKind


class Method(StrEnum):
    """How a decision came about, as receipts name it."""

    FACE = "face"
    DOCUMENT_ATTESTED = "document_attested"
    CERTIFIED_TERMINAL = "certified_terminal"
    FINGERPRINT = "fingerprint"


@dataclass(frozen=True, slots=True)
class MethodTerms:
    """What a method is called, who or what vouches for its result, and the device it needs."""

    method: Method
    zh: str
    en: str
    vouched_by: str
    device: DeviceKind | None = None
    accepted: str = "MATCH"


METHODS: tuple[MethodTerms, ...] = (
    MethodTerms(Method.FACE, "人脸核验", "Face", "this node's models and policy"),
    MethodTerms(
        Method.DOCUMENT_ATTESTED,
        "药师核对证件",
        "Document compared by a pharmacist",
        "a pharmacist with a credential of their own",
        accepted="DOCUMENT_ATTESTED",
    ),
    MethodTerms(
        Method.CERTIFIED_TERMINAL,
        "医保业务综合服务终端",
        "Certified terminal",
        "the terminal's own signed result",
        device="certified_terminal",
        accepted="TERMINAL_CONFIRMED",
    ),
    MethodTerms(
        Method.FINGERPRINT,
        "指纹核验",
        "Fingerprint",
        "the reader's own signed result",
        device="fingerprint",
        accepted="FINGERPRINT_MATCHED",
    ),
)
BY_METHOD: dict[Method, MethodTerms] = {terms.method: terms for terms in METHODS}
DeviceMethod = Literal[Method.CERTIFIED_TERMINAL, Method.FINGERPRINT]


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a way other than face says of the person at the counter."""

    method: Method
    outcome: Literal["ACCEPT", "REFER"]
    reason: str
    attested_by: str | None = None
    document_type: str | None = None
    device: str | None = None


def by_pharmacist(pharmacist: str, document_type: str) -> Vouched:
    """A pharmacist compared the person with a document, and found them to be the same."""
    return Vouched(
        Method.DOCUMENT_ATTESTED,
        "ACCEPT",
        BY_METHOD[Method.DOCUMENT_ATTESTED].accepted,
        attested_by=pharmacist,
        document_type=document_type,
    )


def by_device(method: DeviceMethod, answer: DeviceAnswer, *, is_subject: bool) -> Vouched:
    """Weigh a device's answer. `is_subject`: whom it confirmed is whom the claim is about."""
    if answer.outcome != "confirmed":
        return Vouched(method, "REFER", "DEVICE_REFUSED", device=answer.device)
    if not is_subject:
        return Vouched(method, "REFER", "MISMATCH", device=answer.device)
    return Vouched(method, "ACCEPT", BY_METHOD[method].accepted, device=answer.device)


def without_answer(method: DeviceMethod) -> Vouched:
    """The device gave no answer that can be relied on."""
    return Vouched(method, "REFER", "DEVICE_UNAVAILABLE")
