"""What the terminal is answered: the session as it stands, and single results.

A view is made from the folded state alone; it holds no number, no clear name and no vector.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from edge.gate.rules import evaluate, refusals
from edge.session.commands import GateTerms
from edge.session.service import Standing
from edge.session.state import WAITING, SessionState, Stage
from edge.session.tries import OFFERED_AFTER, failed_tries
from edge.terminal.models import DIGEST, UUID
from retention.records.clock import from_text
from retention.records.payloads import (
    Authorisation,
    BasketSet,
    Claim,
    IdentityDecided,
    PrescriptionAttached,
    ProxyDeclared,
    SignatureBlock,
)
from retention.records.people import (
    AgeBand,
    IdentityDecided2,
    ProxyDeclared2,
)
from retention.terms.reasons import BY_CODE
from retention.withdrawal import ErasureProof

NextStep = Literal[
    "enrol_or_attest",
    "verify",
    "attest",
    "guardian",
    "basket",
    "prescription",
    "authorise",
    "settle",
    "wait",
    "close",
    "closed",
]


def _like(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [example]})


class ReasonText(BaseModel):
    """One reason, worded by the registry."""

    model_config = _like(
        {"code": "MATCH", "title": "人证相符", "title_en": "The person matches the reference",
         "do": "", "do_en": ""}
    )  # fmt: skip

    code: str
    title: str
    title_en: str
    do: str
    do_en: str


class PairingAnswer(BaseModel):
    model_config = _like({"terminal": UUID, "counter": "counter-1", "token": "3q2-7wEXAMPLE"})

    terminal: str
    counter: str
    token: str


class ConsentAnswer(BaseModel):
    model_config = _like({"consent": UUID, "person_ref": DIGEST})

    consent: str
    person_ref: str


class NoticePoint(BaseModel):
    model_config = _like(
        {
            "title": "用途",
            "title_en": "Purpose",
            "text": "核对本人",
            "text_en": "To check who it is",
        }
    )

    title: str
    title_en: str
    text: str
    text_en: str


class NoticeAnswer(BaseModel):
    """What is to be shown before a consent to face verification is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    sha256: str
    points: tuple[NoticePoint, ...]


class WithdrawalAnswer(BaseModel):
    """What a withdrawal erased. Pictures that a legal hold covers go when it is released. `proof`
    holds the records of the erasure with their audit paths in the node's log (RFC 9162)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    consent: str
    references_erased: tuple[str, ...]
    probes_erased: tuple[str, ...]
    probes_held: int
    proof: ErasureProof


class ReferenceAnswer(BaseModel):
    model_config = _like({"reference": UUID, "expires_at": "2027-01-02T03:04:05.000000Z"})

    reference: str
    expires_at: str


class StepView(BaseModel):
    model_config = _like(
        {"sequence": 17, "kind": "session.opened", "occurred_at": "2026-01-02T03:04:05.000000Z"}
    )

    sequence: int
    kind: str
    occurred_at: str


class DecisionAnswer(BaseModel):
    """One identity decision, with its signed receipt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Literal["ACCEPT", "RETRY", "REFER"]
    reasons: tuple[ReasonText, ...]
    attempts_left: int
    next_step: NextStep
    decided: IdentityDecided2 | IdentityDecided


class AuthorisationAnswer(BaseModel):
    """Permission to settle exactly this basket once, signed by the node."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    authorisation: Authorisation
    signature: SignatureBlock
    total: str


class SettlementView(BaseModel):
    model_config = _like(
        {"stage": "settled", "mode": "external", "authorisation": UUID,
         "idempotency_key": DIGEST, "setl_id": "S20260102001", "reason": None}
    )  # fmt: skip

    stage: Stage
    mode: Literal["node", "external"] | None
    authorisation: str | None
    idempotency_key: str | None
    setl_id: str | None
    reason: str | None


class SessionView(BaseModel):
    """A session as it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: str
    counter: str
    operator: str
    state: Literal["open", "closed"]
    outcome: str | None
    next_step: NextStep
    opened_at: str
    closed_at: str | None
    claim: Claim
    subject_role: Literal["patient", "proxy"]
    age_band: AgeBand
    child: bool
    attempts_left: int
    no_face: ReasonText | None
    decision: DecisionAnswer | None
    prescription: PrescriptionAttached | None
    basket: BasketSet | None
    proxy: ProxyDeclared2 | ProxyDeclared | None
    authorisation: AuthorisationAnswer | None
    authorisation_void: ReasonText | None
    settlement: SettlementView
    steps: tuple[StepView, ...]


def reason_text(code: str) -> ReasonText:
    """Return a reason's words, from the registry."""
    reason = BY_CODE[code]
    return ReasonText(
        code=code,
        title=reason.zh,
        title_en=reason.en,
        do=reason.do_zh,
        do_en=reason.do_en,
    )


def next_step(state: SessionState, now: datetime, terms: GateTerms, standing: Standing) -> NextStep:
    """Return what the counter should do next. Advice for a page; the gate decides for itself."""
    if state.closed is not None:
        return "closed"
    if state.stage is Stage.SETTLED:
        return "close"
    if state.stage in WAITING:
        return "wait"
    live = state.live_authorisation
    if live is not None and now < from_text(live.expires_at):
        return "settle"
    if not state.accepted(now):
        return _identity_step(state, standing)
    if state.basket is None:
        return "basket"
    refused = refusals(evaluate(terms.gate(state, now, "not_required")))
    if "AMOUNT_TOO_HIGH" in refused:
        return _identity_step(state, standing)
    prescription = any(reason.startswith("PRESCRIPTION_") for reason in refused)
    return "prescription" if prescription else "authorise"


def _identity_step(state: SessionState, standing: Standing) -> NextStep:
    """Another way is offered by itself when no face may be looked at, when the machine referred,
    and after two tries that led to nothing."""
    if state.patient_is_child and state.proxy is None:
        return "guardian"
    last = state.decision.receipt if state.decision else None
    of_subject = last is not None and last.subject_ref == state.subject[0]
    referred = of_subject and last is not None and last.outcome == "REFER"
    if standing.no_face is not None or referred or failed_tries(state) >= OFFERED_AFTER:
        return "attest"
    return "verify" if standing.enrolled else "enrol_or_attest"


def session_view(
    state: SessionState, now: datetime, terms: GateTerms, standing: Standing
) -> SessionView:
    """Return the whole session as it stands."""
    void = state.void if state.authorised is not None else None
    return SessionView(
        session=state.session,
        counter=state.counter,
        operator=state.opened.operator,
        state="open" if state.closed is None else "closed",
        outcome=state.closed.outcome if state.closed else None,
        next_step=next_step(state, now, terms, standing),
        opened_at=state.opened_at,
        closed_at=state.closed.closed_at if state.closed else None,
        claim=state.opened.claim,
        subject_role="proxy" if state.proxy else "patient",
        age_band=state.patient_age_and_sex[0],
        child=state.patient_is_child,
        attempts_left=attempts_left(state, terms, standing),
        no_face=reason_text(standing.no_face) if standing.no_face else None,
        decision=decision_answer(state, now, terms, standing) if state.decisions else None,
        prescription=state.prescription,
        basket=state.basket,
        proxy=state.proxy,
        authorisation=authorisation_answer(state) if state.live_authorisation else None,
        authorisation_void=reason_text(void) if void else None,
        settlement=settlement_view(state),
        steps=tuple(
            StepView(sequence=s.sequence, kind=s.kind, occurred_at=s.occurred_at)
            for s in state.steps
        ),
    )


def attempts_left(state: SessionState, terms: GateTerms, standing: Standing) -> int:
    """Return how often the face may still be looked at; 0 also while it may not be just now."""
    return 0 if standing.no_face else max(0, terms.attempts - state.face_attempts)


def decision_answer(
    state: SessionState, now: datetime, terms: GateTerms, standing: Standing
) -> DecisionAnswer:
    """Return the decision in force."""
    decided = state.decisions[-1]
    return DecisionAnswer(
        outcome=decided.receipt.outcome,
        reasons=tuple(reason_text(code) for code in decided.receipt.reasons),
        attempts_left=attempts_left(state, terms, standing),
        next_step=next_step(state, now, terms, standing),
        decided=decided,
    )


def authorisation_answer(state: SessionState) -> AuthorisationAnswer | None:
    """Return the last authorisation that was given, with the basket's total."""
    if state.authorised is None or state.basket is None:
        return None
    return AuthorisationAnswer(
        authorisation=state.authorised.authorisation,
        signature=state.authorised.signature,
        total=state.basket.total,
    )


def settlement_view(state: SessionState) -> SettlementView:
    """Return how the settlement stands."""
    known = state.concluded or state.attempt
    concluded = state.concluded
    return SettlementView(
        stage=state.stage,
        mode=concluded.mode if concluded else ("node" if state.attempt else None),
        authorisation=known.authorisation if known else None,
        idempotency_key=known.idempotency_key if known else None,
        setl_id=concluded.setl_id if concluded else None,
        reason=concluded.reason if concluded else None,
    )
