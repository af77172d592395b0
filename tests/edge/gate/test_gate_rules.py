"""Each rule of the gate refuses what it should, and all failures are listed together."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from edge.gate.authorise import authorise
from edge.gate.rules import RULES, GateInput, Presence, evaluate, refusals
from edge.session import commands
from edge.session.state import SessionState, advance
from edge.verifier.protocol import VerifyFace
from retention.records import payloads as p
from retention.records.clock import ManualClock, from_text, to_text
from retention.records.ids import SeededIds
from retention.records.people import AgeBand, ProxyDeclared2, SessionOpened2
from retention.records.receipts import claim_digest, sign_receipt
from retention.records.signing import Context, Ed25519Signer, verify_signature
from retention.terms.reasons import BY_CODE
from tests.edge.counter_kit import receipt_for

CLAIM = p.Claim(
    person_ref="a" * 64, display_name="张*三", mdtrt_cert_type="02", insuplc_admdvs="430100"
)


def line(**changes: Any) -> p.BasketLine:
    values = {
        "line": 1,
        "med_list_codg": "XA10",
        "name": "药",
        "quantity": "2",
        "unit_price": "1.005",
        "prescription_required": False,
        "trace_codes": (),
    }
    return p.BasketLine.model_validate(values | changes)


@pytest.fixture
def session(clock: ManualClock, ids: SeededIds) -> SessionState:
    step = p.SessionOpened(
        session=ids.new(),
        terminal=ids.new(),
        operator="op",
        claim=CLAIM,
        claim_digest=claim_digest(CLAIM),
    )
    return SessionState(step, "counter-1", to_text(clock.now()))


def decided(
    state: SessionState, signer: Ed25519Signer, clock: ManualClock, **changes: Any
) -> p.IdentityDecided:
    subject, role = state.subject
    request = VerifyFace.model_validate(
        {
            "session": state.session,
            "counter": "c",
            "claim_digest": state.opened.claim_digest,
            "subject_ref": subject,
            "subject_role": role,
            "attempt": 1,
            "amount": None,
            "comparisons": 0,
            "age_band": "unknown",
            "sex": "unknown",
        }
    )
    made = receipt_for(
        request, receipt=SeededIds(3).new(), outcome="ACCEPT", reason="MATCH", now=clock.now()
    )
    return sign_receipt(made.model_copy(update=changes), signer)


def form_of(state: SessionState, age: AgeBand = "40_59") -> ProxyDeclared2:
    return ProxyDeclared2(
        session=state.session,
        purchaser_ref="b" * 64,
        purchaser_display_name="张*",
        purchaser_cert_type="02",
        relation="daughter",
        reason="bed",
        patient_signature_sha256="d" * 64,
        purchaser_signature_sha256="d" * 64,
        purchaser_age_band=age,
        purchaser_sex="female",
    )


def of_age(state: SessionState, age: AgeBand) -> SessionState:
    """Return the session as if it had been opened for somebody of that age."""
    opened = SessionOpened2(**dict(state.opened), age_band=age, sex="unknown")
    return replace(state, opened=opened)


def with_basket(state: SessionState, *lines: p.BasketLine) -> SessionState:
    (basket,) = commands.set_basket(state, lines or (line(),)).payloads
    return advance(state, basket)


def reasons(
    state: SessionState,
    signer: Ed25519Signer,
    clock: ManualClock,
    attempts: int = 3,
    presence: Presence = "present",
) -> tuple[str, ...]:
    gate = GateInput(state, clock.now(), signer.public_key, attempts, 2, presence)
    return refusals(evaluate(gate))


def prescribed(state: SessionState, clock: ManualClock, **changes: Any) -> SessionState:
    values = {
        "session": state.session,
        "rx_no": "RX",
        "source": "electronic",
        "patient_ref": CLAIM.person_ref,
        "prescriber": "D1",
        "valid_until": to_text(clock.now() + timedelta(hours=1)),
        "document_sha256": None,
    }
    return advance(state, p.PrescriptionAttached.model_validate(values | changes))


def test_everything_in_order_gives_a_signed_authorisation_that_ends_with_the_receipt(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    accepted = with_basket(advance(session, decided(session, signer, clock)))
    clock.advance(timedelta(minutes=4))
    gate = GateInput(accepted, clock.now(), signer.public_key, 3, 2, "present")

    said = authorise(
        gate, authorisation=SeededIds(9).new(), valid_for=timedelta(minutes=10), signer=signer
    )

    assert isinstance(said, p.SessionAuthorised)
    assert from_text(said.authorisation.expires_at) - clock.now() == timedelta(minutes=6)
    verify_signature(signer.public_key, Context.AUTHORISATION, said.authorisation, said.signature)
    assert [rule.rule for rule in said.authorisation.rules] == [rule.name for rule in RULES]
    assert accepted.basket is not None
    assert accepted.basket.total == "2.01"


def test_nothing_done_is_refused_for_every_missing_thing(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    assert reasons(session, signer, clock) == ("NO_DECISION", "BASKET_EMPTY")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"outcome": "REFER"}, "RECEIPT_NOT_ACCEPT"),
        ({"outcome": "RETRY"}, "RECEIPT_NOT_ACCEPT"),
        ({"session": SeededIds(99).new()}, "RECEIPT_OTHER_SESSION"),
        ({"claim_digest": "f" * 64}, "RECEIPT_OTHER_CLAIM"),
        ({"subject_ref": "f" * 64}, "RECEIPT_OTHER_CLAIM"),
        ({"subject_role": "proxy"}, "RECEIPT_OTHER_CLAIM"),
        ({"expires_at": to_text(ManualClock().now())}, "RECEIPT_EXPIRED"),
        (
            {"decided_at": to_text(ManualClock().now() + timedelta(seconds=1))},
            "RECEIPT_EXPIRED",
        ),
    ],
)
def test_a_receipt_that_does_not_fit_is_refused(
    session: SessionState,
    signer: Ed25519Signer,
    clock: ManualClock,
    changes: dict[str, Any],
    reason: str,
) -> None:
    state = with_basket(advance(session, decided(session, signer, clock, **changes)))
    assert reasons(state, signer, clock) == (reason,)


def test_a_receipt_that_was_altered_after_signing_is_refused(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    refer = decided(session, signer, clock, outcome="REFER")
    forged = refer.model_copy(
        update={"receipt": refer.receipt.model_copy(update={"outcome": "ACCEPT"})}
    )
    state = with_basket(advance(session, forged))
    assert reasons(state, signer, clock) == ("RECEIPT_SIGNATURE",)


def test_the_last_decision_counts_not_the_best(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    accepted = advance(session, decided(session, signer, clock))
    state = with_basket(advance(accepted, decided(session, signer, clock, outcome="REFER")))
    assert reasons(state, signer, clock) == ("RECEIPT_NOT_ACCEPT",)


def test_for_a_proxy_the_purchaser_is_who_was_verified(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    patient = advance(session, decided(session, signer, clock))
    form = form_of(session)
    proxy = with_basket(advance(patient, form))
    assert reasons(proxy, signer, clock) == ("PROXY_NOT_VERIFIED",)
    verified = advance(proxy, decided(proxy, signer, clock))
    assert reasons(verified, signer, clock) == ()
    blank = replace(verified, proxy=form.model_copy(update={"reason": "  "}))
    assert reasons(blank, signer, clock) == ("PROXY_FORM_INCOMPLETE",)


def test_a_prescription_line_wants_a_prescription_and_lists_all_that_is_wrong_with_it(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    accepted = advance(session, decided(session, signer, clock))
    state = with_basket(accepted, line(prescription_required=True))
    assert reasons(state, signer, clock) == ("PRESCRIPTION_MISSING",)
    assert reasons(prescribed(state, clock), signer, clock) == ()
    wrong = prescribed(state, clock, patient_ref="e" * 64, valid_until=to_text(clock.now()))
    assert reasons(wrong, signer, clock) == ("PRESCRIPTION_EXPIRED", "PRESCRIPTION_OTHER_PATIENT")


def test_a_basket_that_does_not_add_up_or_repeats_a_trace_code_is_refused(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    accepted = advance(session, decided(session, signer, clock))
    state = with_basket(accepted, line(trace_codes=("8" * 20,)), line(trace_codes=("8" * 20,)))
    assert reasons(state, signer, clock) == ("TRACE_CODE_TWICE",)
    good = with_basket(accepted)
    assert good.basket is not None
    for change in ({"total": "1.00"}, {"basket_digest": "0" * 64}):
        bad = replace(good, basket=good.basket.model_copy(update=change))
        assert reasons(bad, signer, clock) == ("BASKET_INCONSISTENT",)


def test_an_accept_beyond_the_attempts_is_refused(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    state = with_basket(session)
    for _ in range(2):
        state = advance(state, decided(session, signer, clock))
    assert reasons(state, signer, clock, attempts=1) == ("ATTEMPTS_EXHAUSTED",)
    assert reasons(state, signer, clock, attempts=2) == ()


def test_an_accept_beyond_the_comparisons_of_a_transaction_is_refused(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    state = with_basket(session)
    for _ in range(3):
        state = advance(state, decided(session, signer, clock))
    assert reasons(state, signer, clock, attempts=5) == ("ATTEMPTS_EXHAUSTED",)
    uncompared = decided(session, signer, clock, comparison_score=None, outcome="RETRY")
    one = advance(with_basket(session), uncompared)
    two = advance(advance(one, uncompared), decided(session, signer, clock))
    assert reasons(two, signer, clock, attempts=5) == ()


def test_a_receipt_permits_no_more_than_the_amount_that_its_match_was_strong_enough_for(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    state = advance(session, decided(session, signer, clock, amount_limit="1000.00"))
    exactly = with_basket(state, line(quantity="1", unit_price="1000.00"))
    above = with_basket(state, line(quantity="1", unit_price="1000.01"))
    assert reasons(exactly, signer, clock) == ()
    assert reasons(above, signer, clock) == ("AMOUNT_TOO_HIGH",)
    for changes in (
        {"amount_limit": None},
        {"amount_limit": None, "method": "document_attested", "attested_by": "ph"},
    ):
        unlimited = advance(above, decided(session, signer, clock, **changes))
        assert reasons(unlimited, signer, clock) == ()


def test_a_receipt_of_an_earlier_version_has_no_amount_and_still_counts(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    receipt = decided(session, signer, clock).receipt
    first = {name: getattr(receipt, name) for name in p.DecisionReceipt.model_fields}
    old = sign_receipt(p.DecisionReceipt(**first), signer)
    assert type(old) is p.IdentityDecided
    assert reasons(with_basket(advance(session, old)), signer, clock) == ()


def test_for_a_child_a_guardian_who_is_of_age_is_verified(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    child = with_basket(advance(of_age(session, "under_14"), decided(session, signer, clock)))
    assert reasons(child, signer, clock) == ("CHILD_NO_FACE",)
    for age, expected in (
        ("under_14", ("GUARDIAN_UNDER_AGE",)),
        ("14_17", ("GUARDIAN_UNDER_AGE",)),
        ("18_39", ()),
        ("unknown", ()),
    ):
        guarded = advance(child, form_of(session, age))  # type: ignore[arg-type]
        assert reasons(guarded, signer, clock) == ("PROXY_NOT_VERIFIED", *expected)
        verified = advance(guarded, decided(guarded, signer, clock))
        assert reasons(verified, signer, clock) == expected


def test_somebody_older_needs_no_guardian(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    for age in ("14_17", "18_39", "80_up", "unknown"):
        state = advance(of_age(session, age), decided(session, signer, clock))  # type: ignore[arg-type]
        assert reasons(with_basket(state), signer, clock) == ()


def test_prescription_lines_wait_for_a_pharmacist_and_no_others_do(
    session: SessionState, signer: Ed25519Signer, clock: ManualClock
) -> None:
    accepted = advance(session, decided(session, signer, clock))
    other = with_basket(accepted)
    prescription = prescribed(with_basket(accepted, line(prescription_required=True)), clock)
    assert reasons(prescription, signer, clock, presence="absent") == ("PHARMACIST_ABSENT",)
    assert reasons(prescription, signer, clock, presence="present") == ()
    assert reasons(prescription, signer, clock, presence="not_required") == ()
    assert reasons(other, signer, clock, presence="absent") == ()


def test_every_rule_name_fits_a_record() -> None:
    for rule in RULES:
        p.RuleOutcome(rule=rule.name, outcome="refuse", reason="BASKET_EMPTY")
    assert len({rule.name for rule in RULES}) == len(RULES) <= 32
    assert "RECEIPT_SIGNATURE" in BY_CODE
