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
from identity.errors import DecisionInvalid


class Method(StrEnum):
    """How a decision came about, as receipts name it."""

    FACE = "face"
    DOCUMENT_ATTESTED = "document_attested"
    CERTIFIED_TERMINAL = "certified_terminal"
    FINGERPRINT = "fingerprint"


DeviceMethod = Literal[Method.CERTIFIED_TERMINAL, Method.FINGERPRINT]
DEVICE_OF: dict[DeviceMethod, DeviceKind] = {
    Method.CERTIFIED_TERMINAL: "certified_terminal",
    Method.FINGERPRINT: "fingerprint",
}
"""The device that a method needs."""
_CONFIRMED: dict[DeviceMethod, str] = {
    Method.CERTIFIED_TERMINAL: "TERMINAL_CONFIRMED",
    Method.FINGERPRINT: "FINGERPRINT_MATCHED",
}


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a way other than face says of the person at the counter."""

    method: Method
    outcome: Literal["ACCEPT", "REFER"]
    reason: str
    attested_by: str | None = None
    document_type: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        if self.outcome == "ACCEPT" and not (self.attested_by or self.device):
            raise DecisionInvalid("an ACCEPT that is vouched for names who or what vouches")


def by_pharmacist(pharmacist: str, document_type: str) -> Vouched:
    """A pharmacist compared the person with a document, and found them to be the same."""
    return Vouched(
        Method.DOCUMENT_ATTESTED,
        "ACCEPT",
        "DOCUMENT_ATTESTED",
        attested_by=pharmacist,
        document_type=document_type,
    )


def by_device(method: DeviceMethod, answer: DeviceAnswer, *, is_subject: bool | None) -> Vouched:
    """Weigh a device's answer. `is_subject`: whom it confirmed is whom the claim is about; None
    when it read another kind of document, so that nobody can tell and nobody is called another."""
    if answer.outcome != "confirmed" or is_subject is None:
        return Vouched(method, "REFER", "DEVICE_REFUSED", device=answer.device)
    if not is_subject:
        return Vouched(method, "REFER", "MISMATCH", device=answer.device)
    return Vouched(method, "ACCEPT", _CONFIRMED[method], device=answer.device)


def without_answer(method: DeviceMethod) -> Vouched:
    """The device gave no answer that can be relied on."""
    return Vouched(method, "REFER", "DEVICE_UNAVAILABLE")
