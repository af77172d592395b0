"""Consents and references: who agreed to what words, and whose picture may be compared.

What can be done about them at the counter, once, for the JSON routes and the pages. No face of a
child under 14 is enrolled. A camera enrols nobody whom a pharmacist has not just attested.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from edge.session.service import Caller
from edge.session.state import SessionState
from edge.terminal import actions
from edge.terminal.models import ConsentTerms
from edge.terminal.pages import notice
from edge.terminal.parts import Parts
from edge.verifier.protocol import (
    MAX_PICTURE_BYTES,
    Enrol,
    EnrolFromCamera,
    Enrolled,
    EnrolmentRefused,
    VerifierUnavailable,
)
from retention.records.clock import to_text
from retention.records.people import AgeBand, ConsentGiven2
from retention.store import face_locks, people
from retention.terms.problems import Problem, Refusal
from retention.withdrawal import Withdrawn, withdraw

PURPOSE = "face_verification"
# Why the verifier may not enrol, apart from the picture.
NOT_THE_PICTURE = {
    "NO_CONSENT": 409,
    "CHILD_NO_FACE": 409,
    "FACE_LOCKED": 409,
    "BUSY": 409,
    "STORAGE_UNAVAILABLE": 503,
}
NOT_AVAILABLE = frozenset({"DEADLINE", "FACE_METHOD_OFF", "INTERNAL_ERROR"})


def give_consent(
    parts: Parts,
    caller: Caller,
    person_ref: str,
    terms: ConsentTerms,
    *,
    age: AgeBand = "unknown",
    guardian_ref: str | None = None,
) -> ConsentGiven2:
    """Record a separate consent. Raises Refusal: of a child without a guardian, or to words that
    nobody knows."""
    if age == "under_14" and guardian_ref is None:
        raise Refusal(Problem(422, "INVALID_REQUEST", "guardian: wanted for a child under 14"))
    given = ConsentGiven2(
        consent=parts.store.ids.new(),
        person_ref=person_ref,
        purpose=terms.purpose,
        notice_version=terms.notice_version,
        method=terms.method,
        operator=terms.operator,
        notice_sha256=_words_shown(parts, terms),
        guardian_ref=guardian_ref,
    )
    with parts.store.write() as connection:
        people.give_consent(parts.store, connection, given, counter=caller.counter)
    return given


def _words_shown(parts: Parts, terms: ConsentTerms) -> str:
    """Return the digest of the notice that was shown. Nobody agrees to words under a version of
    ours that are not ours."""
    own = notice.sha256(parts.config.verification.reference_days)
    ours = terms.notice_version == notice.VERSION
    if terms.notice_sha256 is None and ours:
        return own
    if terms.notice_sha256 is None or (ours and terms.notice_sha256 != own):
        detail = f"notice_sha256: the digest of what was shown, or version {notice.VERSION}"
        raise Refusal(Problem(422, "INVALID_REQUEST", detail))
    return terms.notice_sha256


def withdraw_consent(parts: Parts, caller: Caller, consent: str) -> Withdrawn:
    """Withdraw a consent: what it allowed is erased at once, with a proof. Raises Refusal."""
    try:
        return withdraw(parts.store, consent, parts.service.terms.signer, counter=caller.counter)
    except people.ConsentMissing as exc:
        raise Refusal(Problem(404, "CONSENT_UNKNOWN")) from exc


def withdraw_all(parts: Parts, caller: Caller, consent: str) -> tuple[Withdrawn, ...]:
    """Withdraw a consent and every other of the same person to face verification. A second time
    erases nothing more and proves the same. Raises Refusal CONSENT_UNKNOWN."""
    withdrawn = [withdraw_consent(parts, caller, consent)]
    while (found := standing(parts, withdrawn[0].person_ref)) is not None:
        withdrawn.append(withdraw_consent(parts, caller, found.id))
    return tuple(withdrawn)


def standing(parts: Parts, person_ref: str) -> people.Consent | None:
    """Return a person's newest consent to face verification that was not withdrawn."""
    with parts.store.read() as connection:
        return people.standing_consent(connection, person_ref, PURPOSE)


def consented(parts: Parts, state: SessionState) -> str:
    """Return the consent of the present subject. Raises Refusal NO_CONSENT."""
    found = standing(parts, state.subject[0])
    if found is None:
        raise Refusal(Problem(409, "NO_CONSENT"))
    return found.id


def enrol(
    parts: Parts,
    caller: Caller,
    person_ref: str,
    *,
    consent: str,
    source: str,
    picture: bytes,
    age: AgeBand = "unknown",
    portrait_at: datetime | None = None,
) -> Enrolled:
    """Make a reference of a picture. Raises Refusal: consent, child, picture, verifier."""
    if len(picture) > MAX_PICTURE_BYTES:
        raise Refusal(Problem(413, "TOO_LARGE", f"at most {MAX_PICTURE_BYTES} bytes of picture"))
    request = Enrol(
        person_ref=person_ref,
        consent=require_standing(parts, person_ref, consent, age),
        counter=caller.counter,
        source=source,
        portrait_at=None if portrait_at is None else to_text(portrait_at),
        age_band=age,
    )
    return enrolled(lambda: parts.verifier.enrol(request, picture))


def enrol_from_camera(parts: Parts, caller: Caller, session: str, consent: str) -> Enrolled:
    """Make a reference of the living person at the counter's camera. Raises Refusal.

    Only of somebody whose document a pharmacist has just compared: whoever could enrol themself
    with another's card would be that person from then on.
    """
    state = actions.look_up(parts, caller, session)
    if not attested_in_person(parts, state):
        detail = "a pharmacist compares the document before the camera enrols"
        raise Refusal(Problem(409, "NO_DECISION", detail))
    person_ref, age = state.subject[0], state.subject_age_and_sex[0]
    request = EnrolFromCamera(
        person_ref=person_ref,
        consent=require_standing(parts, person_ref, consent, age),
        session=session,
        counter=caller.counter,
        age_band=age,
    )
    with actions.looking(parts, caller):
        return enrolled(lambda: parts.verifier.enrol_from_camera(request))


def attested_in_person(parts: Parts, state: SessionState) -> bool:
    """Say whether a pharmacist attested the document of the present subject, and it still holds."""
    decision = state.decision
    attested = decision is not None and decision.receipt.method == "document_attested"
    return attested and state.accepted(parts.service.now(state))


def require_standing(parts: Parts, person_ref: str, consent: str, age: AgeBand) -> str:
    """Return the consent under which a face of this person may be kept. Raises Refusal."""
    if age == "under_14":
        raise Refusal(Problem(409, "CHILD_NO_FACE"))
    with parts.store.read() as connection:
        found = people.read_consent(connection, consent)
        locked = face_locks.is_locked(connection, person_ref)
    if found is None:
        raise Refusal(Problem(404, "CONSENT_UNKNOWN"))
    standing = found.withdrawn_at is None and found.purpose == PURPOSE
    if not standing or found.person_ref != person_ref:
        raise Refusal(Problem(409, "NO_CONSENT"))
    if locked:
        raise Refusal(Problem(409, "FACE_LOCKED"))
    return found.id


def enrolled(ask: Callable[[], Enrolled | EnrolmentRefused]) -> Enrolled:
    try:
        answer = ask()
    except VerifierUnavailable as exc:
        raise Refusal(Problem(503, "VERIFIER_UNAVAILABLE")) from exc
    if isinstance(answer, EnrolmentRefused):
        raise Refusal(_not_enrolled(answer))
    return answer


def _not_enrolled(answer: EnrolmentRefused) -> Problem:
    """Say that the picture is at fault only when it is."""
    status = NOT_THE_PICTURE.get(answer.code)
    if status is not None:
        return Problem(status, answer.code)
    if answer.code in NOT_AVAILABLE:
        return Problem(503, "VERIFIER_UNAVAILABLE", answer.code)
    return Problem(422, "IMAGE_REFUSED", answer.detail, {"reason": answer.code})
