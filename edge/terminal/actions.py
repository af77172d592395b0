"""What can be done at the counter, once, for whoever asks: the JSON routes and the pages.

Each function takes what was sent as a model that was checked, does one thing for the caller's
counter, and returns what came of it or raises Refusal. A person is known here as person_ref only:
the number on a document is turned into it by whoever read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge.platform.port import InsuredPerson
from edge.session.basket import total_of
from edge.session.commands import changeable
from edge.session.service import Caller
from edge.session.state import SessionState
from edge.terminal import pharmacists
from edge.terminal.models import (
    AttestationRequest,
    BasketRequest,
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
from edge.verifier.protocol import VerifierUnavailable, VerifyFace
from retention.records.clock import to_text
from retention.records.payloads import BasketLine, Claim, PrescriptionAttached
from retention.records.people import ProxyDeclared2
from retention.terms.problems import Problem, Refusal

LONGEST_TOTAL = len("999999999999.99")  # what a record's decimal field holds

# -- the session -----------------------------------------------------------------------------------


@contextmanager
def looking(parts: Parts, caller: Caller) -> Iterator[None]:
    """Have the counter's camera for oneself. Raises Refusal BUSY."""
    camera = parts.camera_of(caller.counter)
    if not camera.acquire(blocking=False):
        raise Refusal(Problem(409, "BUSY"))
    try:
        yield
    finally:
        camera.release()


def open_session(parts: Parts, caller: Caller, body: SessionRequest) -> SessionState:
    """Open a session for a claimed person."""
    claim = Claim(
        person_ref=parts.ref_of(body.claim.certificate),
        display_name=mask_name(body.claim.name),
        mdtrt_cert_type=body.claim.certificate.type,
        insuplc_admdvs=body.claim.insuplc_admdvs,
    )
    age_band, sex = parts.age_and_sex_of(body.claim.certificate)
    return parts.service.open(caller, body.operator, claim, age_band, sex)


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


def _form(parts: Parts, session: str, body: ProxyRequest) -> ProxyDeclared2:
    missing = [
        name
        for name in ProxyRequest.model_fields
        if (value := getattr(body, name)) is None or (isinstance(value, str) and not value.strip())
    ]
    if missing or body.certificate is None:
        detail = ", ".join(missing)
        raise Refusal(Problem(422, "PROXY_FORM_INCOMPLETE", detail, {"missing": missing}))
    age_band, sex = parts.age_and_sex_of(body.certificate)
    return ProxyDeclared2.model_validate(
        {
            "session": session,
            "purchaser_ref": parts.ref_of(body.certificate),
            "purchaser_display_name": mask_name(body.name or ""),
            "purchaser_cert_type": body.certificate.type,
            "relation": body.relation,
            "reason": body.reason,
            "patient_signature_sha256": body.patient_signature_sha256,
            "purchaser_signature_sha256": body.purchaser_signature_sha256,
            "purchaser_age_band": age_band,
            "purchaser_sex": sex,
        }
    )


# -- identity decisions and the gate --------------------------------------------------------------


def verify(parts: Parts, caller: Caller, session: str) -> SessionState:
    """Run one face attempt. Raises Refusal BUSY, VERIFIER_UNAVAILABLE, or of the session."""
    state = look_up(parts, caller, session)
    reason = parts.service.standing(state).no_face
    if reason is not None:  # said without waiting for the camera
        return decided(parts, parts.service.record_not_looked(caller, session, reason))
    with looking(parts, caller):
        return decided(parts, _attempt(parts, caller, session))


def say_child(parts: Parts, caller: Caller, session: str) -> SessionState:
    """Record that the insured person is under 14. Raises Refusal."""
    look_up(parts, caller, session)
    return decided(parts, parts.service.say_child(caller, session))


def attest(
    parts: Parts,
    caller: Caller,
    session: str,
    body: AttestationRequest,
    *,
    of: str | None = None,
) -> SessionState:
    """Record that a pharmacist compared the document, `of` this person and nobody else. Raises
    Refusal."""
    look_up(parts, caller, session)
    checked = pharmacists.check(parts.store, body.pharmacist, body.secret.get_secret_value())
    state = parts.service.attest(caller, session, checked, body.document_type, of=of)
    return decided(parts, state)


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
        state, parts.service.now(state), parts.service.terms, parts.standing(state)
    )


def _attempt(parts: Parts, caller: Caller, session: str) -> SessionState:
    """Run one attempt, holding the camera. The verifier records what it decides."""
    state = look_up(parts, caller, session)
    reason = parts.service.standing(state).no_face
    if reason is not None:  # another terminal was faster
        return parts.service.record_not_looked(caller, session, reason)
    subject_ref, role = state.subject
    age_band, sex = state.subject_age_and_sex
    request = VerifyFace.model_validate(
        {
            "session": session,
            "counter": caller.counter,
            "claim_digest": state.opened.claim_digest,
            "subject_ref": subject_ref,
            "subject_role": role,
            "attempt": state.face_attempts + 1,
            "amount": state.basket.total if state.basket else None,
            "comparisons": state.comparisons,
            "age_band": age_band,
            "sex": sex,
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


def decided(parts: Parts, state: SessionState) -> SessionState:
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
