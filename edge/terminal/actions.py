"""What can be done at the counter, once, for whoever asks: the JSON routes and the pages.

Each function takes what was sent as a model that was checked, does one thing for the caller's
counter, and returns what came of it or raises Refusal. A person is known here as person_ref only:
the number on a document is turned into it by whoever read it.
"""

from __future__ import annotations

from edge.platform.port import InsuredPerson
from edge.session.basket import total_of
from edge.session.commands import changeable
from edge.session.service import Caller
from edge.session.state import SessionState
from edge.terminal import pharmacists
from edge.terminal.models import (
    AttestationRequest,
    BasketRequest,
    ConsentTerms,
    PrescriptionTerms,
    ProxyRequest,
    SessionRequest,
    SettlementReport,
    SettlementRequest,
)
from edge.terminal.parts import Parts
from edge.terminal.people import mask_name
from edge.terminal.views import (
    AuthorisationAnswer,
    DecisionAnswer,
    authorisation_answer,
    decision_answer,
)
from edge.verifier.protocol import (
    MAX_PICTURE_BYTES,
    Enrol,
    Enrolled,
    EnrolmentRefused,
    VerifierUnavailable,
    VerifyFace,
)
from retention.records.clock import to_text
from retention.records.payloads import (
    BasketLine,
    Claim,
    ConsentGiven,
    PrescriptionAttached,
    ProxyDeclared,
)
from retention.store import people
from retention.terms.problems import Problem, Refusal

PURPOSE = "face_verification"
LONGEST_TOTAL = len("999999999999.99")  # what a record's decimal field holds
# Why the verifier may not enrol, apart from the picture.
NOT_THE_PICTURE = {"NO_CONSENT": 409, "STORAGE_UNAVAILABLE": 503}


# -- people ---------------------------------------------------------------------------------------


def give_consent(
    parts: Parts, caller: Caller, person_ref: str, terms: ConsentTerms
) -> ConsentGiven:
    """Record a separate consent."""
    given = ConsentGiven(
        consent=parts.store.ids.new(),
        person_ref=person_ref,
        purpose=terms.purpose,
        notice_version=terms.notice_version,
        method=terms.method,
        operator=terms.operator,
    )
    with parts.store.write() as connection:
        people.give_consent(parts.store, connection, given, counter=caller.counter)
    return given


def withdraw_consent(parts: Parts, caller: Caller, consent: str) -> tuple[str, ...]:
    """Withdraw a consent and return the references that were erased. Raises Refusal."""
    erased: tuple[str, ...] = ()
    with parts.store.write() as connection:
        found = people.read_consent(connection, consent)
        if found is None:
            raise Refusal(Problem(404, "CONSENT_UNKNOWN"))
        if found.withdrawn_at is None:
            erased = people.withdraw_consent(parts.store, connection, found, counter=caller.counter)
    people.fold_wal(parts.store)
    return erased


def enrol(
    parts: Parts, caller: Caller, person_ref: str, *, consent: str, source: str, picture: bytes
) -> Enrolled:
    """Make a reference of a picture. Raises Refusal: consent, picture, verifier."""
    if len(picture) > MAX_PICTURE_BYTES:
        raise Refusal(Problem(413, "TOO_LARGE", f"at most {MAX_PICTURE_BYTES} bytes of picture"))
    with parts.store.read() as connection:
        found = people.read_consent(connection, consent)
    if found is None:
        raise Refusal(Problem(404, "CONSENT_UNKNOWN"))
    standing = found.withdrawn_at is None and found.purpose == PURPOSE
    if not standing or found.person_ref != person_ref:
        raise Refusal(Problem(409, "NO_CONSENT"))
    request = Enrol(person_ref=person_ref, consent=found.id, counter=caller.counter, source=source)
    try:
        answer = parts.verifier.enrol(request, picture)
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
    return Problem(422, "IMAGE_REFUSED", answer.detail, {"reason": answer.code})


# -- the session ----------------------------------------------------------------------------------


def open_session(parts: Parts, caller: Caller, body: SessionRequest) -> SessionState:
    """Open a session for a claimed person."""
    claim = Claim(
        person_ref=parts.ref_of(body.claim.certificate),
        display_name=mask_name(body.claim.name),
        mdtrt_cert_type=body.claim.certificate.type,
        insuplc_admdvs=body.claim.insuplc_admdvs,
    )
    return parts.service.open(caller, body.operator, claim)


def attach_prescription(
    parts: Parts, caller: Caller, session: str, patient_ref: str, terms: PrescriptionTerms
) -> SessionState:
    """Attach a prescription. Raises Refusal."""
    prescription = PrescriptionAttached(
        session=session,
        rx_no=terms.rx_no,
        source=terms.source,
        patient_ref=patient_ref,
        prescriber=terms.prescriber,
        valid_until=to_text(terms.valid_until),
        document_sha256=terms.document_sha256,
    )
    return parts.service.attach_prescription(caller, prescription)


def set_basket(parts: Parts, caller: Caller, session: str, body: BasketRequest) -> SessionState:
    """Set the basket. Raises Refusal."""
    lines = tuple(BasketLine.model_validate(line.model_dump()) for line in body.lines)
    _check_lines(lines, body.total)
    return parts.service.set_basket(caller, session, lines)


def _check_lines(lines: tuple[BasketLine, ...], total: str | None) -> None:
    numbers = [line.line for line in lines]
    if len(set(numbers)) != len(numbers):
        raise Refusal(Problem(422, "INVALID_REQUEST", "lines: a line number appears twice"))
    found = total_of(lines)
    if len(found) > LONGEST_TOTAL:
        raise Refusal(Problem(422, "INVALID_REQUEST", "lines: the total is beyond all reason"))
    if total is not None and total != found:
        detail = f"total: {total} was sent, the lines add up to {found}"
        raise Refusal(Problem(422, "INVALID_REQUEST", detail))


def declare_proxy(parts: Parts, caller: Caller, session: str, body: ProxyRequest) -> SessionState:
    """Take the complete form. Raises Refusal naming every missing item."""
    parts.service.load(caller, session)
    return parts.service.declare_proxy(caller, _form(parts, session, body))


def _form(parts: Parts, session: str, body: ProxyRequest) -> ProxyDeclared:
    missing = [
        name
        for name in ProxyRequest.model_fields
        if (value := getattr(body, name)) is None or (isinstance(value, str) and not value.strip())
    ]
    if missing or body.certificate is None:
        detail = ", ".join(missing)
        raise Refusal(Problem(422, "PROXY_FORM_INCOMPLETE", detail, {"missing": missing}))
    return ProxyDeclared.model_validate(
        {
            "session": session,
            "purchaser_ref": parts.ref_of(body.certificate),
            "purchaser_display_name": mask_name(body.name or ""),
            "purchaser_cert_type": body.certificate.type,
            "relation": body.relation,
            "reason": body.reason,
            "patient_signature_sha256": body.patient_signature_sha256,
            "purchaser_signature_sha256": body.purchaser_signature_sha256,
        }
    )


# -- identity decisions and the gate --------------------------------------------------------------


def verify(parts: Parts, caller: Caller, session: str) -> SessionState:
    """Run one face attempt. Raises Refusal BUSY, VERIFIER_UNAVAILABLE, or of the session."""
    look_up(parts, caller, session)
    if not parts.camera.acquire(blocking=False):
        raise Refusal(Problem(409, "BUSY"))
    try:
        return _decided(parts, _attempt(parts, caller, session))
    finally:
        parts.camera.release()


def attest(parts: Parts, caller: Caller, session: str, body: AttestationRequest) -> SessionState:
    """Record that a pharmacist compared the document. Raises Refusal."""
    look_up(parts, caller, session)
    pharmacists.check(parts.store, body.pharmacist, body.secret.get_secret_value())
    state = parts.service.attest(caller, session, body.pharmacist, body.document_type)
    return _decided(parts, state)


def authorise(parts: Parts, caller: Caller, session: str) -> AuthorisationAnswer:
    """Ask the gate. Raises Refusal with every reason."""
    try:
        answer = authorisation_answer(parts.service.authorise(caller, session))
    except Refusal:
        parts.metrics.gate.labels("refused").inc()
        raise
    if answer is None:
        raise Refusal(Problem(409, "AUTHORISATION_MISSING"))
    parts.metrics.gate.labels("authorised").inc()
    return answer


def look_up(parts: Parts, caller: Caller, session: str) -> SessionState:
    """Return an open session of this counter. Raises Refusal."""
    state = parts.service.load(caller, session)
    refusal = changeable(state)
    if refusal is not None and refusal.problem is not None:
        raise Refusal(refusal.problem)
    return state


def decision_of(parts: Parts, state: SessionState) -> DecisionAnswer:
    """Return the decision in force, as it is shown."""
    return decision_answer(
        state, parts.service.now(state), parts.service.terms, parts.enrolled(state)
    )


def _attempt(parts: Parts, caller: Caller, session: str) -> SessionState:
    """Run one attempt, holding the camera. The verifier records what it decides."""
    state = look_up(parts, caller, session)
    if state.face_attempts >= parts.service.terms.attempts:
        return parts.service.record_not_looked(caller, session, "ATTEMPTS_EXHAUSTED")
    subject_ref, role = state.subject
    request = VerifyFace.model_validate(
        {
            "session": session,
            "counter": caller.counter,
            "claim_digest": state.opened.claim_digest,
            "subject_ref": subject_ref,
            "subject_role": role,
            "attempt": state.face_attempts + 1,
        }
    )
    try:
        decided = parts.verifier.verify(request)
    except VerifierUnavailable as exc:
        parts.service.record_not_looked(caller, session, "VERIFIER_UNAVAILABLE")
        raise Refusal(Problem(503, "VERIFIER_UNAVAILABLE")) from exc
    state = parts.service.load(caller, session)
    # An answer whose record is not in the log is no decision.
    if all(known.receipt.receipt != decided.receipt.receipt for known in state.decisions):
        raise Refusal(Problem(503, "VERIFIER_UNAVAILABLE", "the decision was not recorded"))
    return state


def _decided(parts: Parts, state: SessionState) -> SessionState:
    receipt = state.decisions[-1].receipt
    parts.metrics.decisions.labels(receipt.method, receipt.outcome).inc()
    return state


# -- settlement -----------------------------------------------------------------------------------


def settle(parts: Parts, caller: Caller, session: str, body: SettlementRequest) -> SessionState:
    """Node mode: settle once. Raises Refusal."""
    settler = parts.settler
    if settler is None or parts.config.settlement.mode != "node":
        raise Refusal(Problem(409, "SETTLEMENT_MODE", "this node's mode is external"))
    state = parts.service.load(caller, session)
    if parts.ref_of(body.certificate) != state.opened.claim.person_ref:
        raise Refusal(Problem(409, "RECEIPT_OTHER_CLAIM"))
    person = InsuredPerson(body.certificate.type, body.certificate.number, body.psn_no)
    try:
        settled = settler.settle(caller, session, person)
    except Refusal as exc:
        parts.metrics.settlements.labels("node", exc.problem.code).inc()
        raise
    parts.metrics.settlements.labels("node", "settled").inc()
    return settled


def report(parts: Parts, caller: Caller, session: str, body: SettlementReport) -> SessionState:
    """External mode: take what the pharmacy's own system settled. Raises Refusal."""
    if parts.config.settlement.mode != "external":
        raise Refusal(Problem(409, "SETTLEMENT_MODE", "this node's mode is node"))
    if body.outcome == "settled" and body.setl_id is None:
        raise Refusal(Problem(422, "INVALID_REQUEST", "setl_id: wanted with 'settled'"))
    state = parts.service.report(caller, session, body.authorisation, body.outcome, body.setl_id)
    parts.metrics.settlements.labels("external", body.outcome).inc()
    return state
