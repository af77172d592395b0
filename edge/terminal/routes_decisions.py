"""Identity decisions and the gate."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from edge.session.commands import changeable
from edge.session.service import Caller
from edge.session.state import SessionState
from edge.terminal import pharmacists
from edge.terminal.models import AttestationRequest
from edge.terminal.parts import Parts, calling
from edge.terminal.problems import GATE, STEP, responses
from edge.terminal.views import AuthorisationAnswer, DecisionAnswer, decision_answer
from edge.terminal.views import authorisation_answer as given
from edge.verifier.protocol import VerifierUnavailable, VerifyFace
from retention.records.fields import Id
from retention.terms.problems import Problem, Refusal


def decisions_router(parts: Parts) -> APIRouter:
    """Return the routes that decide."""
    router = APIRouter(prefix="/v1/sessions/{session}", tags=["decisions"])
    service = parts.service

    @router.post(
        "/verification",
        summary="人脸核验一次 / One face attempt; the decision and its reasons",
        responses=responses(*STEP, "BUSY", "VERIFIER_UNAVAILABLE"),
    )
    def verify(session: Id, caller: Annotated[Caller, Depends(calling)]) -> DecisionAnswer:
        _look_up(parts, caller, session)
        if not parts.camera.acquire(blocking=False):
            raise Refusal(Problem(409, "BUSY"))
        try:
            return _answer(parts, _attempt(parts, caller, session))
        finally:
            parts.camera.release()

    @router.post(
        "/attestation",
        summary="药师核对证件 / A pharmacist compared the document",
        responses=responses(*STEP, "PHARMACIST_REFUSED"),
    )
    def attest(
        session: Id, body: AttestationRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> DecisionAnswer:
        _look_up(parts, caller, session)
        pharmacists.check(parts.store, body.pharmacist, body.secret.get_secret_value())
        state = service.attest(caller, session, body.pharmacist, body.document_type)
        return _answer(parts, state)

    @router.post(
        "/authorisation",
        status_code=201,
        summary="结算授权 / The gate: a signed authorisation, or every reason against it",
        responses=responses(*STEP, *GATE),
    )
    def authorise(session: Id, caller: Annotated[Caller, Depends(calling)]) -> AuthorisationAnswer:
        try:
            answer = given(service.authorise(caller, session))
        except Refusal:
            parts.metrics.gate.labels("refused").inc()
            raise
        if answer is None:
            raise Refusal(Problem(409, "AUTHORISATION_MISSING"))
        parts.metrics.gate.labels("authorised").inc()
        return answer

    return router


def _look_up(parts: Parts, caller: Caller, session: str) -> SessionState:
    """Return an open session of this counter. Raises Refusal."""
    state = parts.service.load(caller, session)
    refusal = changeable(state)
    if refusal is not None and refusal.problem is not None:
        raise Refusal(refusal.problem)
    return state


def _attempt(parts: Parts, caller: Caller, session: str) -> SessionState:
    """Run one attempt, holding the camera. The verifier records what it decides."""
    state = _look_up(parts, caller, session)
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


def _answer(parts: Parts, state: SessionState) -> DecisionAnswer:
    answer = decision_answer(
        state, parts.service.now(state), parts.service.terms, parts.enrolled(state)
    )
    receipt = answer.decided.receipt
    parts.metrics.decisions.labels(receipt.method, receipt.outcome).inc()
    return answer
