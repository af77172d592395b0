"""Every decision becomes a receipt payload, whatever the method, and nothing of a face is in it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from identity.decision import Decision, receipt_payload
from identity.errors import DecisionInvalid
from identity.methods import Method, Vouched, by_pharmacist
from identity.quality import GATE, UNITS
from retention.records.clock import from_text
from retention.records.payloads import DecisionReceipt
from retention.terms.reasons import BY_CODE
from tests.identity.support import Trial

ID = "0197a000-0000-7000-8000-00000000000a"


def receipt_of(decision: Decision) -> DecisionReceipt:
    return receipt_payload(
        decision,
        receipt_id=ID,
        session=ID,
        claim_digest="01" * 32,
        subject_ref="ef" * 32,
        subject_role="patient",
        attempt=1,
        camera="purchase",
        valid_for=timedelta(minutes=10),
    )


def test_a_face_decision_names_all_it_depended_on(trial: Trial) -> None:
    attempt = trial.start()
    trial.run(attempt)
    receipt = receipt_of(attempt.decide().decision)
    assert (receipt.outcome, receipt.reasons, receipt.method) == ("ACCEPT", ("MATCH",), "face")
    assert receipt.policy_digest == trial.policy.digest
    assert receipt.calibration_digest == "cd" * 32
    assert (receipt.band, receipt.amount_limit, receipt.comparisons) == ("accept", None, 1)
    assert receipt.false_match_rate_target == "0.00002"
    # A transaction may compare twice, so each comparison has half of its rate.
    assert receipt.threshold == "0.500000"
    verdicts = {signal.signal: signal.verdict for signal in receipt.liveness}
    assert "fail" not in verdicts.values()
    assert {verdicts[name] for name in trial.policy.liveness.required} == {"pass"}
    assert len(receipt.quality) == len(UNITS)
    assert from_text(receipt.expires_at) - from_text(receipt.decided_at) == timedelta(minutes=10)


def test_a_referred_attempt_has_a_receipt_too(trial: Trial) -> None:
    receipt = receipt_of(trial.start().decide().decision)
    assert (receipt.outcome, receipt.comparison_score, receipt.liveness) == ("REFER", None, ())


@pytest.mark.parametrize("method", [m for m in Method if m is not Method.FACE])
def test_an_accept_that_is_vouched_for_names_who_vouches(method: Method) -> None:
    with pytest.raises(DecisionInvalid, match="who or what vouches"):
        Vouched(method, "ACCEPT", "DOCUMENT_ATTESTED")
    assert Vouched(method, "REFER", "DEVICE_UNAVAILABLE").device is None
    said = by_pharmacist("pharmacist-1", "id_card")
    assert (said.outcome, said.attested_by) == ("ACCEPT", "pharmacist-1")


def test_methods_are_those_a_receipt_can_name() -> None:
    named = DecisionReceipt.model_fields["method"].annotation
    assert set(getattr(named, "__args__", ())) == {method.value for method in Method}


DECIDED = [
    "MATCH",
    "MISMATCH",
    "INCONCLUSIVE",
    "AMOUNT_TOO_HIGH",
    "REFERENCE_STALE",
    "STATIC_INPUT",
    "PLANAR_MOTION",
    "CHALLENGE_FAILED",
    "REPLAYED_FRAMES",
    "PASSIVE_SPOOF",
    "VIRTUAL_CAMERA",
    "LIVENESS_NOT_ASSESSED",
    "DEADLINE",
    "FACE_CHANGED",
    "INTERNAL_ERROR",
    "CAMERA_UNAVAILABLE",
    "REFERENCE_MISSING",
    "REFERENCE_EXPIRED",
    "CONTRACT_MISMATCH",
    "ATTEMPTS_EXHAUSTED",
    "DOCUMENT_ATTESTED",
]
INSTRUCTIONS = sorted(
    {"NO_FACE", "MULTIPLE_FACES", "OFF_CENTRE", "TURN_LEFT", "TURN_RIGHT"}
    | {code for code, _ in GATE}
)


def test_every_reason_of_an_attempt_is_registered() -> None:
    assert {*DECIDED, *INSTRUCTIONS} <= set(BY_CODE)


@pytest.mark.parametrize("code", INSTRUCTIONS)
def test_an_instruction_can_be_read_at_a_glance(code: str) -> None:
    told = BY_CODE[code]
    assert 0 < len(told.do_zh) <= 14
    assert told.do_en


@pytest.mark.parametrize("code", ["PLANAR_MOTION", "PASSIVE_SPOOF"])
def test_whoever_is_suspected_is_told_nothing_but_to_use_another_way(code: str) -> None:
    told = BY_CODE[code]
    assert told.zh == "需要换一种方式核验"
    assert "另一种" in told.do_zh or "换一种方式" in told.do_zh
