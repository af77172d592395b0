"""What the devices beside the counter can do for a session: confirm a person, read a card.

A device is asked by one session at a time. Whatever comes of it is recorded: confirmed, refused,
somebody else, or no answer that can be relied on. The number that a device names becomes a
person_ref here and goes no further; a card's portrait goes to the verifier and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from edge.session.commands import changeable, needs_guardian
from edge.session.service import Caller
from edge.session.state import SessionState
from edge.terminal import actions, consents
from edge.terminal.people import person_ref
from hardware.devices import (
    Device,
    DeviceAnswer,
    DeviceKind,
    DeviceUnavailable,
    Holder,
    issued,
    portrait_of,
)
from identity.methods import DEVICE_OF, DeviceMethod, by_device, without_answer
from retention.terms.problems import Problem, Refusal

if TYPE_CHECKING:
    from edge.terminal.parts import Parts
    from edge.verifier.protocol import Enrolled

log = structlog.get_logger()
CARD_SOURCE, AUTHORITY_SOURCE = "id_card_chip", "authority_portrait"
_NOTHING_TOLD: dict[DeviceKind, str] = {
    "card_reader": "no card was read",
    "authority": "no portrait is kept there",
}


@dataclass(frozen=True, slots=True)
class CardRead:
    """What a card says of its holder, for the form of a new session. Kept nowhere."""

    cert_type: str
    number: str = field(repr=False)
    name: str | None = field(repr=False)


def verify(parts: Parts, caller: Caller, session: str, method: DeviceMethod) -> SessionState:
    """Have a device confirm the person at the counter. Raises Refusal: of the session,
    METHOD_NOT_CONFIGURED, BUSY, and DEVICE_UNAVAILABLE (503) once that is recorded."""
    state = actions.look_up(parts, caller, session)
    # Nobody is asked for a finger in vain: a closed session, a child.
    if (refused := changeable(state) or needs_guardian(state)) and refused.problem is not None:
        raise Refusal(refused.problem)
    with parts.devices.asked(DEVICE_OF[method]) as device:
        answer = _answer(device)
    if answer is None:
        parts.service.vouch(caller, session, without_answer(method))
        raise Refusal(Problem(503, "DEVICE_UNAVAILABLE"))
    # Who is claimed may have changed while the device was asked: what stands then is what counts.
    subject_ref = state.subject[0]
    same = _ref_of(parts, answer) == subject_ref if answer.cert_type == _document(state) else None
    said = by_device(method, answer, is_subject=same)
    return actions.decided(parts, parts.service.vouch(caller, session, said, of=subject_ref))


def read_card(parts: Parts, caller: Caller) -> CardRead:
    """Read the card on the reader, to open a session with it. Raises Refusal."""
    answer = _card(parts)
    if answer.cert_type is None or answer.number is None:
        raise Refusal(Problem(503, "DEVICE_UNAVAILABLE"))
    log.info("card_read", counter=caller.counter)
    return CardRead(answer.cert_type, answer.number, answer.name)


def enrol_card(parts: Parts, caller: Caller, session: str, consent: str) -> Enrolled:
    """Make a reference of the portrait on the subject's card. Raises Refusal: RECEIPT_OTHER_CLAIM
    for another person's card, and all that enrolling a picture raises."""
    state = actions.look_up(parts, caller, session)
    answer = _card(parts)
    if _ref_of(parts, answer) != state.subject[0]:
        raise Refusal(Problem(409, "RECEIPT_OTHER_CLAIM", "the card is another person's"))
    return _enrolled(parts, caller, state, answer, consent, CARD_SOURCE)


def enrol_from_authority(
    parts: Parts, caller: Caller, session: str, holder: Holder, consent: str
) -> Enrolled:
    """Make a reference of the portrait that an authority keeps of the subject. It is asked of
    nobody else, and only once they agreed. Raises Refusal as `enrol_card` does."""
    state = actions.look_up(parts, caller, session)
    subject_ref, age = state.subject[0], state.subject_age_and_sex[0]
    if person_ref(parts.person_key, holder.cert_type, holder.number) != subject_ref:
        raise Refusal(Problem(409, "RECEIPT_OTHER_CLAIM", "the document is another person's"))
    consents.require_standing(parts, subject_ref, consent, age)
    answer = _told(parts, "authority", holder)
    return _enrolled(parts, caller, state, answer, consent, AUTHORITY_SOURCE)


def _enrolled(
    parts: Parts,
    caller: Caller,
    state: SessionState,
    answer: DeviceAnswer,
    consent: str,
    source: str,
) -> Enrolled:
    try:
        portrait, when = portrait_of(answer), issued(answer)
    except DeviceUnavailable as exc:
        raise Refusal(Problem(422, "IMAGE_REFUSED", exc.reason)) from exc
    return consents.enrol(
        parts,
        caller,
        state.subject[0],
        consent=consent,
        source=source,
        picture=portrait,
        age=state.subject_age_and_sex[0],
        portrait_at=when,
    )


def _card(parts: Parts) -> DeviceAnswer:
    return _told(parts, "card_reader")


def _told(parts: Parts, kind: DeviceKind, of: Holder | None = None) -> DeviceAnswer:
    """Return what a reader or an authority tells. Raises Refusal."""
    with parts.devices.asked(kind) as device:
        answer = _answer(device, of)
    if answer is None:
        raise Refusal(Problem(503, "DEVICE_UNAVAILABLE"))
    if answer.outcome != "confirmed":
        raise Refusal(Problem(409, "DEVICE_REFUSED", _NOTHING_TOLD.get(kind, "")))
    return answer


def _answer(device: Device, of: Holder | None = None) -> DeviceAnswer | None:
    """Ask a device; None when nothing can be relied on. Nothing of the person is logged."""
    try:
        return device.ask(of)
    except DeviceUnavailable as exc:
        log.error("device_unavailable", kind=exc.kind, reason=exc.reason)
        return None


def _document(state: SessionState) -> str:
    """Return the kind of document that the subject is claimed by."""
    claim, proxy = state.opened.claim, state.proxy
    return claim.mdtrt_cert_type if proxy is None else proxy.purchaser_cert_type


def _ref_of(parts: Parts, answer: DeviceAnswer) -> str | None:
    if answer.cert_type is None or answer.number is None:
        return None
    return person_ref(parts.person_key, answer.cert_type, answer.number)
