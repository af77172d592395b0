"""What a session may do next: pure functions from (state, command, now) to a ruling.

A ruling is the payloads to append and, when the answer is no, the problem to answer with; some
refusals are themselves facts and are appended. No clock, no database and no network in here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from edge.gate.authorise import authorise
from edge.gate.rules import GateInput, Presence
from edge.session.basket import total_of
from edge.session.state import MINOR, WAITING, SessionState, Stage
from identity.policy import TransactionLimits
from retention.records import payloads as p
from retention.records.canonical import digest_of
from retention.records.clock import to_text
from retention.records.errors import ProofRejected
from retention.records.fields import Frozen
from retention.records.people import ProxyDeclared2
from retention.records.receipts import basket_digest, check_authorisation
from retention.records.signing import Signer
from retention.terms.problems import Problem
from retention.terms.reasons import BY_CODE

Outcome = Literal["settled", "self_paid", "abandoned", "refused"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What to append, and the problem when the answer is no."""

    payloads: tuple[Frozen, ...] = ()
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class GateTerms:
    """What sessions are judged by: the node's key, its limits, those of the policy in force."""

    signer: Signer
    public_key: bytes
    attempts: int
    valid_for: timedelta
    transaction: TransactionLimits

    def gate(self, state: SessionState, now: datetime, presence: Presence) -> GateInput:
        """Return what the gate looks at."""
        comparisons = self.transaction.comparisons
        return GateInput(state, now, self.public_key, self.attempts, comparisons, presence)


def refuse(code: str, detail: str = "", status: int = 409, **facts: object) -> Ruling:
    """Return a ruling that appends nothing."""
    return Ruling(problem=Problem(status, code, detail, dict(facts)))


def settlement_key(session: str, basket: str) -> str:
    """Return the idempotency key: the same session and basket always have the same one."""
    return digest_of({"session": session, "basket_digest": basket})


def changeable(state: SessionState) -> Ruling | None:
    """Return the refusal when steps can no longer be added, else None."""
    if state.closed is not None:
        return refuse("SESSION_CLOSED")
    if state.stage is Stage.SETTLED:
        return refuse("ALREADY_SETTLED")
    if state.stage in WAITING:
        return refuse("SETTLEMENT_UNKNOWN")
    return None


# -- what the purchase is -------------------------------------------------------------------------


def set_basket(state: SessionState, lines: tuple[p.BasketLine, ...]) -> Ruling:
    """Set the basket. The same lines again change nothing, so they void nothing."""
    if (refusal := changeable(state)) is not None:
        return refusal
    digest = basket_digest(lines)
    if state.basket is not None and state.basket.basket_digest == digest:
        return Ruling()
    revision = state.basket.revision + 1 if state.basket else 1
    basket = p.BasketSet(
        session=state.session,
        revision=revision,
        lines=lines,
        total=total_of(lines),
        basket_digest=digest,
    )
    return Ruling((basket,))


def attach_prescription(state: SessionState, prescription: p.PrescriptionAttached) -> Ruling:
    """Attach a prescription, or replace the one there is. Whether it fits is the gate's word."""
    if (refusal := changeable(state)) is not None:
        return refusal
    return Ruling() if state.prescription == prescription else Ruling((prescription,))


def declare_proxy(state: SessionState, form: ProxyDeclared2) -> Ruling:
    """Say that somebody else collects. The claim stays; the subject is now the purchaser. For a
    child only a guardian who is of age, or of unknown age, does."""
    if (refusal := changeable(state)) is not None:
        return refusal
    if form.purchaser_ref == state.opened.claim.person_ref:
        return refuse("INVALID_REQUEST", "the purchaser is the patient", 422)
    if state.patient_is_child and form.purchaser_age_band in MINOR:
        return refuse("GUARDIAN_UNDER_AGE", status=422)
    return Ruling() if state.proxy == form else Ruling((form,))


def needs_guardian(state: SessionState) -> Ruling | None:
    """Return the refusal to verify a child in person, else None."""
    alone = state.patient_is_child and state.proxy is None
    return refuse("CHILD_NO_FACE") if alone else None


# -- the gate -------------------------------------------------------------------------------------


def ask_gate(
    state: SessionState, now: datetime, terms: GateTerms, authorisation: str, presence: Presence
) -> Ruling:
    """Give a signed authorisation, or refuse with every reason. A live one is given again."""
    if (refusal := changeable(state)) is not None:
        return refusal
    live = state.live_authorisation
    if live is not None and to_text(now) < live.expires_at:
        return Ruling()
    said = authorise(
        terms.gate(state, now, presence),
        authorisation=authorisation,
        valid_for=terms.valid_for,
        signer=terms.signer,
    )
    if isinstance(said, p.SessionAuthorised):
        return Ruling((said,))
    return Ruling((said,), _all_reasons(said.reasons, said.rules))


def _all_reasons(reasons: tuple[str, ...], rules: tuple[p.RuleOutcome, ...]) -> Problem:
    listed = [
        {"code": code, "title": BY_CODE[code].zh, "title_en": BY_CODE[code].en,
         "do": BY_CODE[code].do_zh, "do_en": BY_CODE[code].do_en}
        for code in reasons
    ]  # fmt: skip
    table = [rule.model_dump(mode="json") for rule in rules]
    return Problem(409, reasons[0], "", {"reasons": listed, "rules": table})


def check_permission(state: SessionState, now: datetime, terms: GateTerms) -> str | None:
    """Return why the session may not settle now, as a reason code, or None when it may."""
    if state.authorised is None or state.basket is None:
        return "AUTHORISATION_MISSING"
    if state.authorised.authorisation.authorisation in state.used:
        return "AUTHORISATION_USED"
    if state.void is not None:
        return state.void
    try:
        check_authorisation(
            state.authorised,
            public_key=terms.public_key,
            basket=state.basket.basket_digest,
            now=now,
        )
    except ProofRejected as exc:
        return str(exc) if str(exc) in BY_CODE else "RECEIPT_SIGNATURE"
    return None


# -- settlement -----------------------------------------------------------------------------------


def start_settlement(state: SessionState, now: datetime, terms: GateTerms, msgid: str) -> Ruling:
    """Say that the platform is about to be asked. To be committed before it is asked."""
    if (refusal := changeable(state)) is not None:
        return refusal
    code = check_permission(state, now, terms)
    if code is not None or state.authorised is None or state.basket is None:
        return _settlement_refused(state, code or "AUTHORISATION_MISSING")
    attempt = p.SettlementAttempted(
        session=state.session,
        authorisation=state.authorised.authorisation.authorisation,
        idempotency_key=settlement_key(state.session, state.basket.basket_digest),
        msgid=msgid,
        transaction="settle",
    )
    return Ruling((attempt,))


def start_reversal(state: SessionState, msgid: str) -> Ruling:
    """Say that the result is unknown and that the reversal is about to be asked for."""
    attempt = state.attempt
    if attempt is None or state.stage not in WAITING:
        return refuse("AUTHORISATION_MISSING")
    reversal = attempt.model_copy(update={"msgid": msgid, "transaction": "reverse"})
    if state.stage is Stage.REVERSING:
        return Ruling((reversal,))
    unknown = conclusion(attempt, "unknown", None, "no answer that can be relied on")
    return Ruling((unknown, reversal))


def conclusion(
    attempt: p.SettlementAttempted,
    outcome: Literal["settled", "refused", "unknown", "reversed"],
    setl_id: str | None,
    reason: str | None,
) -> p.SettlementConcluded:
    """Return the record of how a node-mode attempt ended."""
    return p.SettlementConcluded(
        session=attempt.session,
        authorisation=attempt.authorisation,
        idempotency_key=attempt.idempotency_key,
        mode="node",
        outcome=outcome,
        setl_id=setl_id,
        reason=reason[:200] if reason else None,
    )


def report_settlement(
    state: SessionState,
    now: datetime,
    terms: GateTerms,
    authorisation: str,
    outcome: Literal["settled", "refused"],
    setl_id: str | None,
) -> Ruling:
    """External mode: consume an authorisation exactly once. The same report again is no news."""
    earlier = state.concluded
    if earlier is not None and earlier.authorisation == authorisation:
        same = (earlier.outcome, earlier.setl_id) == (outcome, setl_id)
        return Ruling() if same else refuse("AUTHORISATION_USED")
    if authorisation in state.used:
        return refuse("AUTHORISATION_USED")
    if state.stage is Stage.SETTLED:
        return refuse("ALREADY_SETTLED")
    given = state.authorised
    if given is None or given.authorisation.authorisation != authorisation:
        return _settlement_refused(state, "AUTHORISATION_MISSING")
    code = check_permission(state, now, terms)
    if code is not None:
        return _settlement_refused(state, code)
    concluded = p.SettlementConcluded(
        session=state.session,
        authorisation=authorisation,
        idempotency_key=settlement_key(state.session, given.authorisation.basket_digest),
        mode="external",
        outcome=outcome,
        setl_id=setl_id,
        reason=None,
    )
    return Ruling((concluded,))


def _settlement_refused(state: SessionState, code: str) -> Ruling:
    """A settlement that was asked for and not permitted is a fact worth keeping."""
    if state.closed is not None:
        return refuse(code)
    rule = p.RuleOutcome(rule="authorisation_valid", outcome="refuse", reason=code)
    refused = p.SessionRefused(
        session=state.session,
        basket_digest=state.basket.basket_digest if state.basket else None,
        rules=(rule,),
        reasons=(code,),
    )
    return Ruling((refused,), Problem(409, code))


# -- the end --------------------------------------------------------------------------------------


def close(state: SessionState, now: datetime, outcome: Outcome) -> Ruling:
    """Close the session. `settled` says what the settlement says; a call in flight is awaited."""
    if state.closed is not None:
        same = state.closed.outcome == outcome
        return Ruling() if same else refuse("SESSION_CLOSED")
    if state.stage is Stage.SETTLING:
        return refuse("SETTLEMENT_UNKNOWN")
    if (outcome == "settled") != (state.stage is Stage.SETTLED):
        return refuse("OUTCOME_MISMATCH")
    closed = p.SessionClosed(
        session=state.session,
        outcome=outcome,
        opened_at=state.opened_at,
        closed_at=to_text(now),
    )
    return Ruling((closed,))
