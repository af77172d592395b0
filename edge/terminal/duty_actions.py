"""The pharmacist on duty, at the counter: what can be done, once, for routes and pages.

A pharmacist signs in by their own face or by their own secret, and either is as good as the other.
The secret is checked here and needs no other process, so nobody is locked out by a camera. A
reference is enrolled only with the pharmacist's own secret, under a consent of its own purpose:
whoever could enrol a face under another's id would be that pharmacist from then on.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from edge import duty as duties
from edge.session.service import Caller
from edge.terminal import consents, pharmacists
from edge.terminal.pages import duty_notice
from edge.terminal.parts import Parts
from edge.verifier.duty_protocol import DutyLooked, SignInByFace
from edge.verifier.protocol import (
    MAX_PICTURE_BYTES,
    Enrol,
    EnrolFromCamera,
    Enrolled,
    EnrolmentRefused,
    VerifierUnavailable,
)
from identity import presence
from identity.presence import SECRET_CONFIRMED, Confirmed
from retention.records.people import ConsentGiven2
from retention.store import duty, face_locks, people
from retention.store.credentials import Checked
from retention.store.duty import DutyRow
from retention.terms.problems import Problem, Refusal
from retention.withdrawal import Withdrawn

METHOD = "own_secret"
State = Literal["present", "doubtful", "absent"]
Counted = Literal["present", "doubtful", "absent", "nobody"]
_BEST_FIRST: tuple[State, ...] = ("present", "doubtful", "absent")
_ANSWER: TypeAdapter[DutyLooked | EnrolmentRefused] = TypeAdapter(
    Annotated[DutyLooked | EnrolmentRefused, Field(discriminator="answer")]
)


@dataclass(frozen=True, slots=True)
class OnDuty:
    """One pharmacist on duty, as the counter shows it. `state` is what counts now: `absent` also
    for whom nobody has seen in time. `confirm_by` is when the secret has to be given again."""

    pharmacist: str
    counter: str
    method: Literal["face", "secret"]
    state: State
    signed_in_at: datetime
    since: datetime
    seen_at: datetime
    reasons: tuple[str, ...]
    confirm_by: datetime | None
    confirm_now: bool


# -- seeing ---------------------------------------------------------------------------------------


def on_duty(parts: Parts) -> tuple[OnDuty, ...]:
    """Return who is signed in, present or not. Raises StoreUnavailable."""
    with parts.store.read() as connection:
        rows = duty.on_duty(connection)
    return tuple(_shown(parts, row) for row in rows)


def is_present(parts: Parts) -> bool:
    """Tell whether a pharmacist is present in the pharmacy, as the gate asks it."""
    with parts.store.read() as connection:
        return duty.present(connection, None, parts.store.clock, parts.config.presence)


def standing_of(there: tuple[OnDuty, ...]) -> Counted:
    """Return what those on duty come to, for the pharmacy as a whole: the best of them counts."""
    found = {one.state for one in there}
    return next((state for state in _BEST_FIRST if state in found), "nobody")


def _shown(parts: Parts, row: DutyRow) -> OnDuty:
    clock, limits = parts.store.clock, parts.config.presence
    standing = duties.standing_of(row, clock)
    left = presence.confirm_in_seconds(standing, clock.monotonic_ns(), limits)
    return OnDuty(
        pharmacist=row.pharmacist,
        counter=row.counter,
        method=row.method,
        state=row.state if duty.is_present(row, clock, limits) else "absent",
        signed_in_at=row.signed_in_at,
        since=row.since,
        seen_at=row.seen_at,
        reasons=row.reasons,
        confirm_by=None if left is None else clock.now() + timedelta(seconds=left),
        confirm_now=presence.is_confirmation_near(standing, clock.monotonic_ns(), limits),
    )


# -- signing in and out ---------------------------------------------------------------------------


def sign_in_by_secret(parts: Parts, caller: Caller, pharmacist: str, secret: str) -> OnDuty:
    """Sign in, or confirm being there, with the pharmacist's own secret. Raises Refusal.

    It also ends a lock of their own face: they have just said who they are.
    """
    checked = pharmacists.check(parts.store, pharmacist, secret)
    store = parts.store
    with store.write() as connection:
        pharmacists.require(connection, checked)
        row = duty.read(connection, pharmacist)
        if row is not None and row.counter == caller.counter:
            duties.apply(store, connection, row, Confirmed(), parts.config.presence)
        else:
            reasons = (SECRET_CONFIRMED,)
            duty.sign_in(store, connection, pharmacist, caller.counter, "secret", reasons)
        _unlock(parts, caller, connection, pharmacist)
    return _of(parts, pharmacist)


def _unlock(parts: Parts, caller: Caller, connection: sqlite3.Connection, pharmacist: str) -> None:
    """End a lock of the pharmacist's face; the record names the suspicion that had locked it."""
    person_ref = duties.pharmacist_ref(parts.person_key, pharmacist)
    for lock in face_locks.locked(connection):
        if lock.person_ref == person_ref:
            face_locks.unlock(
                parts.store,
                connection,
                person_ref,
                pharmacist,
                lock.receipt,
                counter=caller.counter,
            )


def sign_in_by_face(parts: Parts, caller: Caller, pharmacist: str) -> OnDuty:
    """Sign in, or confirm being there, by one look of the verifier. Raises Refusal."""
    request = SignInByFace(counter=caller.counter, pharmacist=pharmacist)
    try:
        looked = _ANSWER.validate_json(parts.verifier.ask(request))
    except (VerifierUnavailable, ValidationError) as exc:
        raise Refusal(Problem(503, "VERIFIER_UNAVAILABLE")) from exc
    if isinstance(looked, EnrolmentRefused):
        busy = looked.code == "BUSY"
        raise Refusal(Problem(409, "BUSY") if busy else Problem(503, "VERIFIER_UNAVAILABLE"))
    if not looked.accepted:
        raise Refusal(_not_seen(looked.reasons))
    return _of(parts, pharmacist)


def _not_seen(reasons: tuple[str, ...]) -> Problem:
    if "PHARMACIST_REFUSED" in reasons:
        return Problem(403, "PHARMACIST_REFUSED")
    if "VERIFIER_UNAVAILABLE" in reasons:
        return Problem(503, "VERIFIER_UNAVAILABLE")
    return Problem(409, "PHARMACIST_NOT_SEEN", "", {"reason": reasons[0]})


def sign_out(parts: Parts, caller: Caller, pharmacist: str) -> None:
    """End a pharmacist's duty at the caller's counter. Raises Refusal NOT_ON_DUTY."""
    with parts.store.write() as connection:
        row = duty.read(connection, pharmacist)
        if row is None or row.counter != caller.counter:
            raise Refusal(Problem(404, "NOT_ON_DUTY"))
        duty.sign_out(parts.store, connection, row, "asked")


def _of(parts: Parts, pharmacist: str) -> OnDuty:
    with parts.store.read() as connection:
        row = duty.read(connection, pharmacist)
    if row is None:  # signed out again in the same moment
        raise Refusal(Problem(404, "NOT_ON_DUTY"))
    return _shown(parts, row)


# -- the pharmacist's own reference ---------------------------------------------------------------


def enrol(
    parts: Parts, caller: Caller, pharmacist: str, secret: str, picture: bytes | None
) -> Enrolled:
    """Record the pharmacist's own consent and make their reference: of a picture, or of them at the
    camera now. Raises Refusal. The consent stands when the picture is not usable, and is found
    again by the next try."""
    if picture is not None and len(picture) > MAX_PICTURE_BYTES:
        raise Refusal(Problem(413, "TOO_LARGE", f"at most {MAX_PICTURE_BYTES} bytes of picture"))
    checked = pharmacists.check(parts.store, pharmacist, secret)
    person_ref = duties.pharmacist_ref(parts.person_key, pharmacist)
    consent = _consent(parts, caller, checked, person_ref)
    if picture is None:
        asked = EnrolFromCamera(counter=caller.counter, person_ref=person_ref, consent=consent)
        return consents.enrolled(lambda: parts.verifier.enrol_from_camera(asked))
    request = Enrol(
        counter=caller.counter, person_ref=person_ref, consent=consent, source="own_picture"
    )
    return consents.enrolled(lambda: parts.verifier.enrol(request, picture))


def _consent(parts: Parts, caller: Caller, checked: Checked, person_ref: str) -> str:
    words = duty_notice.sha256(parts.config.verification.reference_days)
    with parts.store.write() as connection:
        pharmacists.require(connection, checked)
        found = people.standing_consent(connection, person_ref, duties.PURPOSE)
        if found is not None and found.notice_version == duty_notice.VERSION:
            return found.id
        given = ConsentGiven2(
            consent=parts.store.ids.new(),
            person_ref=person_ref,
            purpose=duties.PURPOSE,
            notice_version=duty_notice.VERSION,
            method=METHOD,
            operator=checked.name,
            notice_sha256=words,
            guardian_ref=None,
        )
        people.give_consent(parts.store, connection, given, counter=caller.counter)
    return given.consent


def withdraw(parts: Parts, caller: Caller, pharmacist: str) -> tuple[Withdrawn, ...]:
    """Withdraw every consent of a pharmacist to being looked for; their references are gone at
    once. Asks for no secret: who lost it may withdraw too. Raises Refusal CONSENT_UNKNOWN when
    there was none."""
    person_ref = duties.pharmacist_ref(parts.person_key, pharmacist)
    withdrawn: list[Withdrawn] = []
    while (consent := _standing(parts, person_ref)) is not None:
        withdrawn.append(consents.withdraw_consent(parts, caller, consent))
    if not withdrawn:
        raise Refusal(Problem(404, "CONSENT_UNKNOWN"))
    return tuple(withdrawn)


def _standing(parts: Parts, person_ref: str) -> str | None:
    with parts.store.read() as connection:
        found = people.standing_consent(connection, person_ref, duties.PURPOSE)
    return None if found is None else found.id
