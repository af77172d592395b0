"""Making a decision again from its sealed evidence: the same verdict, or which input differs.

Pure: what a receipt names goes in, a report comes out. The verdict is made by the very function
that made it first (`identity.judge`), and the receipt that follows is compared with the recorded
one field by field. An input that is not the recorded one is named even where it changed nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from identity.calibration import LoadedCalibration
from identity.decision import Decision, receipt_payload
from identity.errors import EvidenceUnreadable, IdentityError
from identity.evidence import AttemptEvidence, decode, probe_digest
from identity.judge import AlignedEmbedder, judge
from identity.policy import IdentityPolicy
from identity.references import Reference
from models.errors import ModelsError
from models.values import PassiveLiveness
from retention.records.clock import from_text
from retention.records.payloads import LivenessSignal, QualityMeasure
from retention.records.people import DecisionReceipt2

TOLERANCE = Decimal("0.0001")
"""Values that lie this close are the same: another processor adds floats up in another order. The
verdict has no tolerance."""
_TOLD_ELSEWHERE = frozenset({"quality", "liveness"})
_NUMBERS = frozenset({"threshold", "comparison_score", "neg_log10_fmr"})


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is there today of what a receipt names; None is what is there no longer. `runtime` is
    the name of what computes now."""

    reference: Reference
    policy: IdentityPolicy | None
    calibration: LoadedCalibration | None
    embedder: AlignedEmbedder
    passive: PassiveLiveness | None
    runtime: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One input or value that is not the recorded one; None: there is none."""

    what: str
    recorded: str | None
    found: str | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """`same`: outcome, reasons and values are the recorded ones. Then `differences` may still name
    an input, such as another runtime, that changed nothing. `receipt` is what was made again; None
    when it could not be made."""

    verdict: Literal["same", "differs"]
    differences: tuple[Difference, ...]
    receipt: DecisionReceipt2 | None = None


def replay(recorded: DecisionReceipt2, encoded: bytes, inputs: Inputs) -> Replayed:
    """Make a face decision again. `encoded` is its evidence as it was sealed. Never raises on what
    the evidence contains."""
    changed = tuple(_changed_inputs(recorded, encoded, inputs))
    policy, calibration = inputs.policy, inputs.calibration
    if policy is None or calibration is None:
        return Replayed("differs", changed)
    try:
        evidence = decode(encoded)
        decision = _judged(evidence, inputs, policy, calibration)
    except EvidenceUnreadable as exc:
        return Replayed("differs", (*changed, Difference("evidence", None, str(exc))))
    # What the models raise made the recorded attempt end in INTERNAL_ERROR, if it did so then.
    except (IdentityError, ModelsError, ValueError) as exc:
        failed = Difference("outcome", recorded.outcome, type(exc).__name__)
        return Replayed("differs", (*changed, failed))
    again = _receipt(recorded, decision, evidence)
    values = tuple(_changed_values(recorded, again))
    return Replayed("differs" if values else "same", (*changed, *values), again)


def _judged(
    evidence: AttemptEvidence,
    inputs: Inputs,
    policy: IdentityPolicy,
    calibration: LoadedCalibration,
) -> Decision:
    return judge(
        evidence,
        reference=inputs.reference,
        standing=evidence.standing,
        policy=policy,
        calibration=calibration,
        embedder=inputs.embedder,
        passive=inputs.passive,
        amount=evidence.amount,
        comparisons_before=evidence.comparisons_before,
    )


def _receipt(
    recorded: DecisionReceipt2, decision: Decision, evidence: AttemptEvidence
) -> DecisionReceipt2:
    """Return the receipt of the decision made again, for the same person and session."""
    valid_for: timedelta = from_text(recorded.expires_at) - from_text(recorded.decided_at)
    return receipt_payload(
        decision,
        receipt_id=recorded.receipt,
        session=recorded.session,
        claim_digest=recorded.claim_digest,
        subject_ref=recorded.subject_ref,
        subject_role=recorded.subject_role,
        attempt=recorded.attempt,
        camera=recorded.camera,
        valid_for=valid_for,
        age_band=recorded.age_band,
        sex=recorded.sex,
        runtime=recorded.runtime,
        camera_identity=evidence.camera.code,
        simulated=evidence.camera.simulated,
        probe_digest=recorded.probe_digest,
        device=recorded.device,
    )


# -- what differs ---------------------------------------------------------------------------------


def _changed_inputs(
    recorded: DecisionReceipt2, encoded: bytes, inputs: Inputs
) -> Iterator[Difference]:
    policy, calibration, terms = inputs.policy, inputs.calibration, inputs.reference.terms
    pairs = (
        # (1) this is the evidence that was sealed, (2) this the reference it was compared with
        ("probe_digest", recorded.probe_digest, probe_digest(encoded)),
        ("reference", recorded.reference, terms.reference_id),
        # (3) what decided: policy, calibration, models
        ("policy_digest", recorded.policy_digest, None if policy is None else policy.digest),
        (
            "calibration_digest",
            recorded.calibration_digest,
            None if calibration is None else calibration.digest,
        ),
        ("contract_id", recorded.contract_id, inputs.embedder.contract_id),
        ("reference_contract_id", recorded.contract_id, terms.contract_id),
        ("runtime", recorded.runtime, inputs.runtime),
    )
    yield from (Difference(*pair) for pair in pairs if pair[1] != pair[2])
    # A receipt names the passive models only when they were asked.
    found = None if inputs.passive is None else inputs.passive.digest
    if recorded.liveness_model is not None and recorded.liveness_model != found:
        yield Difference("liveness_model", recorded.liveness_model, found)


def _changed_values(recorded: DecisionReceipt2, again: DecisionReceipt2) -> Iterator[Difference]:
    named = {"policy_digest", "calibration_digest", "contract_id", "liveness_model"}
    for name in DecisionReceipt2.model_fields:
        if name in _TOLD_ELSEWHERE or name in named:
            continue
        one, other = getattr(recorded, name), getattr(again, name)
        if not (_close(one, other) if name in _NUMBERS else one == other):
            yield Difference(name, _text(one), _text(other))
    yield from _changed_lists("quality", _by_measure(recorded.quality), _by_measure(again.quality))
    yield from _changed_lists("liveness", _by_signal(recorded.liveness), _by_signal(again.liveness))


def _by_measure(measures: tuple[QualityMeasure, ...]) -> dict[str, str | None]:
    return {one.measure: one.value for one in measures}


def _by_signal(signals: tuple[LivenessSignal, ...]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for one in signals:
        found[one.signal] = one.verdict
        found[f"{one.signal}.value"] = one.value
        found[f"{one.signal}.limit"] = one.limit
    return found


def _changed_lists(
    name: str, recorded: dict[str, str | None], again: dict[str, str | None]
) -> Iterator[Difference]:
    for key in dict.fromkeys((*recorded, *again)):
        one, other = recorded.get(key), again.get(key)
        if not _close(one, other):
            yield Difference(f"{name}.{key}", one, other)


def _close(one: str | None, other: str | None) -> bool:
    if one is None or other is None or one == other:
        return one == other
    try:
        return abs(Decimal(one) - Decimal(other)) <= TOLERANCE
    except ArithmeticError:  # words, and they are not the same
        return False


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value)
