"""The rules of the gate: one table, each rule pure, all failures listed together.

A rule returns None (pass), NOT_APPLICABLE, or the reason code of a refusal. Nothing here decides
in parts: an authorisation is given only when no rule refuses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from edge.session.basket import total_of
from edge.session.state import SessionState
from retention.records.clock import from_text
from retention.records.errors import ProofRejected
from retention.records.payloads import PrescriptionAttached, RuleOutcome
from retention.records.people import DecisionReceipt2
from retention.records.receipts import basket_digest, check_receipt
from retention.terms.reasons import BY_CODE

NOT_APPLICABLE: Final = "not_applicable"
Presence = Literal["present", "absent", "not_required"]
"""Whether a pharmacist on duty is there, as the node knows it at the moment of the gate."""


@dataclass(frozen=True, slots=True)
class GateInput:
    """Everything that the gate looks at. `attempts` and `comparisons` are how often one person may
    be looked at and compared in a session."""

    state: SessionState
    now: datetime
    public_key: bytes
    attempts: int
    comparisons: int
    presence: Presence


@dataclass(frozen=True, slots=True)
class Rule:
    """A name for the record, and the check."""

    name: str
    check: Callable[[GateInput], str | None]


def _decision_present(gate: GateInput) -> str | None:
    return None if gate.state.decision else "NO_DECISION"


def _decision_valid(gate: GateInput) -> str | None:
    """The receipt is ours, of this session and claim, ACCEPT, and fresh."""
    state = gate.state
    if state.decision is None:
        return NOT_APPLICABLE
    try:
        check_receipt(
            state.decision,
            public_key=gate.public_key,
            session=state.session,
            claim=state.opened.claim_digest,
            now=gate.now,
        )
    except ProofRejected as exc:
        code = str(exc)
        return code if code in BY_CODE else "RECEIPT_SIGNATURE"
    return None


def _subject_matches(gate: GateInput) -> str | None:
    """The person checked is the one at the counter: the purchaser when somebody else collects."""
    state = gate.state
    if state.decision is None:
        return NOT_APPLICABLE
    receipt = state.decision.receipt
    if (receipt.subject_ref, receipt.subject_role) == state.subject:
        return None
    return "PROXY_NOT_VERIFIED" if state.proxy else "RECEIPT_OTHER_CLAIM"


def _proxy_form_complete(gate: GateInput) -> str | None:
    form = gate.state.proxy
    if form is None:
        return NOT_APPLICABLE
    complete = form.purchaser_display_name and form.relation and form.reason.strip()
    return None if complete else "PROXY_FORM_INCOMPLETE"


def _attempts_within_limit(gate: GateInput) -> str | None:
    """More looks or comparisons than are permitted are more chances for a stranger."""
    decision = gate.state.decision
    if decision is None or decision.receipt.method != "face":
        return NOT_APPLICABLE
    state = gate.state
    within = state.face_attempts <= gate.attempts and state.comparisons <= gate.comparisons
    return None if within else "ATTEMPTS_EXHAUSTED"


def _child_has_guardian(gate: GateInput) -> str | None:
    """For a child under 14 a guardian is registered and verified, and no face of the child."""
    if not gate.state.patient_is_child:
        return NOT_APPLICABLE
    return None if gate.state.proxy else "CHILD_NO_FACE"


def _guardian_of_age(gate: GateInput) -> str | None:
    if not gate.state.patient_is_child or gate.state.proxy is None:
        return NOT_APPLICABLE
    return "GUARDIAN_UNDER_AGE" if gate.state.purchaser_is_minor else None


def _amount_within_limit(gate: GateInput) -> str | None:
    """A larger amount needs a stronger check: the receipt says up to which amount it is good."""
    basket, decision = gate.state.basket, gate.state.decision
    if basket is None or decision is None or not isinstance(decision.receipt, DecisionReceipt2):
        return NOT_APPLICABLE
    limit = decision.receipt.amount_limit
    if limit is None:
        return None
    return None if Decimal(basket.total) <= Decimal(limit) else "AMOUNT_TOO_HIGH"


def _basket_present(gate: GateInput) -> str | None:
    return None if gate.state.basket else "BASKET_EMPTY"


def _basket_adds_up(gate: GateInput) -> str | None:
    basket = gate.state.basket
    if basket is None:
        return NOT_APPLICABLE
    same = (total_of(basket.lines), basket_digest(basket.lines)) == (
        basket.total,
        basket.basket_digest,
    )
    return None if same else "BASKET_INCONSISTENT"


def _trace_codes_once(gate: GateInput) -> str | None:
    """One pack has one trace code, so no code is scanned twice within a basket."""
    basket = gate.state.basket
    if basket is None:
        return NOT_APPLICABLE
    counted = Counter(code for line in basket.lines for code in line.trace_codes)
    return "TRACE_CODE_TWICE" if any(count > 1 for count in counted.values()) else None


def _pharmacist_present(gate: GateInput) -> str | None:
    """Medicines on prescription are dispensed while a pharmacist is there; others always."""
    if gate.presence == "not_required" or not gate.state.needs_prescription:
        return NOT_APPLICABLE
    return None if gate.presence == "present" else "PHARMACIST_ABSENT"


def _needed_prescription(gate: GateInput) -> PrescriptionAttached | str:
    """Return the prescription to look at, or what to say when there is none to look at."""
    if not gate.state.needs_prescription:
        return NOT_APPLICABLE
    return gate.state.prescription or "PRESCRIPTION_MISSING"


def _prescription_present(gate: GateInput) -> str | None:
    found = _needed_prescription(gate)
    return found if isinstance(found, str) else None


def _prescription_in_time(gate: GateInput) -> str | None:
    found = _needed_prescription(gate)
    if isinstance(found, str):
        return NOT_APPLICABLE
    return None if gate.now < from_text(found.valid_until) else "PRESCRIPTION_EXPIRED"


def _prescription_of_patient(gate: GateInput) -> str | None:
    found = _needed_prescription(gate)
    if isinstance(found, str):
        return NOT_APPLICABLE
    same = found.patient_ref == gate.state.opened.claim.person_ref
    return None if same else "PRESCRIPTION_OTHER_PATIENT"


RULES: tuple[Rule, ...] = (
    Rule("decision_present", _decision_present),
    Rule("decision_valid", _decision_valid),
    Rule("subject_matches", _subject_matches),
    Rule("attempts_within_limit", _attempts_within_limit),
    Rule("proxy_form_complete", _proxy_form_complete),
    Rule("child_has_guardian", _child_has_guardian),
    Rule("guardian_of_age", _guardian_of_age),
    Rule("basket_present", _basket_present),
    Rule("basket_adds_up", _basket_adds_up),
    Rule("trace_codes_once", _trace_codes_once),
    Rule("amount_within_limit", _amount_within_limit),
    Rule("prescription_present", _prescription_present),
    Rule("prescription_in_time", _prescription_in_time),
    Rule("prescription_of_patient", _prescription_of_patient),
    Rule("pharmacist_present", _pharmacist_present),
)


def evaluate(gate: GateInput) -> tuple[RuleOutcome, ...]:
    """Return what every rule says, in the order of the table."""
    return tuple(_outcome(rule.name, rule.check(gate)) for rule in RULES)


def refusals(outcomes: tuple[RuleOutcome, ...]) -> tuple[str, ...]:
    """Return the reasons of all refusals, each once, in order."""
    return tuple(dict.fromkeys(o.reason for o in outcomes if o.reason is not None))


def _outcome(rule: str, said: str | None) -> RuleOutcome:
    if said is None:
        return RuleOutcome(rule=rule, outcome="pass", reason=None)
    if said == NOT_APPLICABLE:
        return RuleOutcome(rule=rule, outcome="not_applicable", reason=None)
    return RuleOutcome(rule=rule, outcome="refuse", reason=said)
