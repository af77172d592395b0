"""A decision made again from its evidence is the same, or the report names what is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.attempt import Decided
from identity.decision import receipt_payload
from identity.evidence import encode, probe_digest
from identity.policy import load_policy
from identity.references import Reference
from identity.replay import Inputs, Replayed, replay
from models.errors import InferenceFailed
from models.values import Embedding, Image
from retention.records.clock import ManualClock
from retention.records.people import DecisionReceipt2
from tests.identity import support
from tests.identity.support import ScriptedModels, Trial, face_at, unit_vector

ID = "0197a000-0000-7000-8000-00000000000a"
RUNTIME = "what ran then"


@dataclasses.dataclass
class Case:
    """A recorded decision, its evidence, and what is there today; change one thing."""

    receipt: DecisionReceipt2
    encoded: bytes
    inputs: Inputs

    def again(self, **changes: object) -> Replayed:
        return replay(self.receipt, self.encoded, dataclasses.replace(self.inputs, **changes))

    def recorded(self, **changes: object) -> Replayed:
        return replay(self.receipt.model_copy(update=changes), self.encoded, self.inputs)


def recorded(trial: Trial) -> Case:
    """Run an attempt and record it as the verifier does."""
    decided: Decided = trial.decide()
    encoded = encode(decided.evidence)
    receipt = receipt_payload(
        decided.decision,
        receipt_id=ID,
        session=ID,
        claim_digest="c" * 64,
        subject_ref="ef" * 32,
        subject_role="patient",
        attempt=1,
        camera="till",
        valid_for=timedelta(minutes=10),
        runtime=RUNTIME,
        camera_identity=trial.camera.code,
        simulated=trial.camera.simulated,
        probe_digest=probe_digest(encoded),
    )
    assert trial.models is not None
    assert trial.reference is not None
    inputs = Inputs(
        reference=trial.reference,
        policy=trial.policy,
        calibration=support.calibration(),
        embedder=trial.models,
        passive=None,
        runtime=RUNTIME,
    )
    return Case(receipt, encoded, inputs)


@pytest.fixture(scope="module")
def accepted() -> Case:
    case = recorded(Trial(load_policy(), ManualClock()))
    assert case.receipt.outcome == "ACCEPT"
    return case


def named(found: Replayed) -> set[str]:
    return {one.what for one in found.differences}


def other_person(trial: Trial) -> None:
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1])], lambda _: unit_vector(0, 6.0)
    )


def a_print(trial: Trial) -> None:
    trial.scene = support.held_print


def a_still(trial: Trial) -> None:
    trial.scene = support.still


def cut_short(trial: Trial) -> None:
    trial.frames = 8


def high_amount(trial: Trial) -> None:
    trial.amount = Decimal("5000.00")


def stale(trial: Trial) -> None:
    trial.standing = "stale"


def second_comparison(trial: Trial) -> None:
    trial.comparisons_before = 1


def as_enrolled(_: Trial) -> None:
    pass


@pytest.mark.parametrize(
    "change",
    [
        as_enrolled, other_person, a_print, a_still, cut_short, high_amount, stale,
        second_comparison,
    ],
)  # fmt: skip
def test_whatever_was_decided_is_decided_again_with_the_same_values(
    trial: Trial, change: Callable[[Trial], None]
) -> None:
    change(trial)
    case = recorded(trial)
    found = case.again()
    assert found == Replayed("same", (), case.receipt)


def test_another_runtime_that_changes_nothing_is_named_and_no_difference_in_verdict(
    accepted: Case,
) -> None:
    found = accepted.again(runtime="what runs now")
    assert (found.verdict, named(found)) == ("same", {"runtime"})
    (one,) = found.differences
    assert (one.recorded, one.found) == (RUNTIME, "what runs now")


@pytest.mark.parametrize("name", ["policy", "calibration"])
def test_an_input_that_is_not_kept_any_more_is_named(accepted: Case, name: str) -> None:
    found = accepted.again(**{name: None})
    assert found.verdict == "differs"
    (one,) = found.differences
    recorded_digest = getattr(accepted.receipt, f"{name}_digest")
    assert (one.what, one.recorded, one.found) == (f"{name}_digest", recorded_digest, None)


def test_another_policy_is_named_with_what_follows_from_it(accepted: Case) -> None:
    policy = accepted.inputs.policy
    assert policy is not None
    bands = tuple(
        band.model_copy(update={"false_match_rate": Decimal("8e-6")}) for band in policy.bands
    )
    stricter = policy.model_copy(
        update={
            "bands": bands,
            "matching": policy.matching.model_copy(
                update={"stale_false_match_rate": Decimal("8e-6")}
            ),
        }
    )
    found = accepted.again(policy=stricter)
    assert found.verdict == "differs"
    assert {"policy_digest", "threshold"} <= named(found)


class Other:
    """An embedder of another contract, or one that gives another answer."""

    def __init__(self, contract_id: str, answer: Embedding | None) -> None:
        self.contract_id, self._answer = contract_id, answer

    def embed_aligned(self, crop: Image) -> Embedding:
        if self._answer is None:
            raise InferenceFailed("other", "nothing comes out")
        return self._answer


def test_a_model_of_another_contract_is_named_and_compares_nothing(accepted: Case) -> None:
    found = accepted.again(embedder=Other("0" * 64, unit_vector(0)))
    assert found.verdict == "differs"
    assert {"contract_id", "outcome", "reasons", "comparison_score"} <= named(found)
    assert found.receipt is not None
    assert found.receipt.reasons == ("CONTRACT_MISMATCH",)


def test_a_model_that_sees_another_value_is_told_value_by_value(accepted: Case) -> None:
    found = accepted.again(embedder=Other(support.CONTRACT, unit_vector(0)))
    assert found.verdict == "differs"
    scores = {one.what: (one.recorded, one.found) for one in found.differences}
    assert scores["comparison_score"] == (accepted.receipt.comparison_score, "1.000000")


def test_a_value_within_the_tolerance_is_the_same(accepted: Case) -> None:
    score = Decimal(accepted.receipt.comparison_score or "")
    assert accepted.recorded(comparison_score=str(score + Decimal("0.00009"))).verdict == "same"
    assert accepted.recorded(comparison_score=str(score + Decimal("0.00011"))).verdict == "differs"


def test_a_model_that_fails_now_is_named_and_not_an_error(accepted: Case) -> None:
    found = accepted.again(embedder=Other(support.CONTRACT, None))
    assert found.verdict == "differs"
    assert found.receipt is None
    (one,) = found.differences
    assert (one.what, one.recorded, one.found) == ("outcome", "ACCEPT", "InferenceFailed")


def test_an_outdated_reference_is_named(accepted: Case) -> None:
    terms = dataclasses.replace(accepted.inputs.reference.terms, contract_id="0" * 64)
    reference = Reference(terms, accepted.inputs.reference.embedding)
    found = accepted.again(reference=reference)
    assert found.verdict == "differs"
    assert {"reference_contract_id", "outcome"} <= named(found)


def test_another_reference_is_named(accepted: Case) -> None:
    terms = dataclasses.replace(accepted.inputs.reference.terms, reference_id=ID)
    found = accepted.again(reference=Reference(terms, unit_vector(5)))
    assert found.verdict == "differs"
    assert {"reference", "outcome", "comparison_score"} <= named(found)


def test_other_passive_models_than_those_asked_are_named(accepted: Case) -> None:
    found = accepted.recorded(liveness_model="1" * 64)
    assert "liveness_model" in named(found)


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "REFER"},
        {"reasons": ("MISMATCH",)},
        {"frames_seen": 9999},
        {"amount_limit": "1.00"},
        {"band": "grey"},
        {"reference_standing": "stale"},
        {"comparisons": 7},
        {"camera_identity": "film"},
        {"decided_at": "2020-01-01T00:00:00.000000Z"},
        {"quality": ()},
        {"liveness": ()},
    ],
)
def test_a_receipt_that_says_anything_else_is_caught(
    accepted: Case, changes: dict[str, object]
) -> None:
    """As one that somebody rewrote would."""
    found = accepted.recorded(**changes)
    assert found.verdict == "differs"
    (name,) = changes
    assert any(one.what.split(".")[0] == name for one in found.differences)


@settings(max_examples=40)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_evidence_that_was_changed_is_named_and_never_an_error(
    accepted: Case, place: int, bit: int
) -> None:
    changed = bytearray(accepted.encoded)
    changed[place * (len(changed) - 1) // 10_000] ^= 1 << bit
    found = replay(accepted.receipt, bytes(changed), accepted.inputs)
    assert "probe_digest" in named(found)


@pytest.mark.parametrize("encoded", [b"", b"\x01", b"nothing of the kind" * 100])
def test_what_is_no_evidence_is_named_and_never_an_error(accepted: Case, encoded: bytes) -> None:
    found = replay(accepted.receipt, encoded, accepted.inputs)
    assert found.verdict == "differs"
    assert {"probe_digest", "evidence"} <= named(found)
