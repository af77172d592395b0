"""Each rule of the gate refuses what it should, and all failures are listed together."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from edge.gate.authorise import authorise
from edge.gate.rules import RULES, GateInput, evaluate, refusals
from edge.session import commands
from edge.session.state import SessionState, advance
from edge.verifier.protocol import VerifyFace
from retention.records import payloads as p
from retention.records.clock import ManualClock, from_text, to_text
from retention.records.ids import SeededIds
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
        }
    )
    made = receipt_for(
        request, receipt=SeededIds(3).new(), outcome="ACCEPT", reason="MATCH", now=clock.now()
    )
    return sign_receipt(made.model_copy(update=changes), signer)


def with_basket(state: SessionState, *lines: p.BasketLine) -> SessionState:
    (basket,) = commands.set_basket(state, lines or (line(),)).payloads
    return advance(state, basket)


def reasons(
    state: SessionState, signer: Ed25519Signer, clock: ManualClock, attempts: int = 3
) -> tuple[str, ...]:
    gate = GateInput(state, clock.now(), signer.public_key, attempts)
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
    gate = GateInput(accepted, clock.now(), signer.public_key, 3)

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
    form = p.ProxyDeclared(
        session=session.session,
        purchaser_ref="b" * 64,
        purchaser_display_name="张*",
        purchaser_cert_type="02",
        relation="daughter",
        reason="bed",
        patient_signature_sha256="d" * 64,
        purchaser_signature_sha256="d" * 64,
    )
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


def test_every_rule_name_fits_a_record() -> None:
    for rule in RULES:
        p.RuleOutcome(rule=rule.name, outcome="refuse", reason="BASKET_EMPTY")
    assert len({rule.name for rule in RULES}) == len(RULES) <= 32
    assert "RECEIPT_SIGNATURE" in BY_CODE
