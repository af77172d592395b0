"""The outcome of one identity check, whatever the method, and its receipt payload.

ACCEPT, RETRY or REFER: the machine never rejects a person. A decision checks itself when it is
made, so an ACCEPT by face without a score at the threshold, without the liveness signals that the
policy requires, or against a signal that failed cannot exist, however it was come by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from identity.errors import DecisionInvalid
from identity.liveness.signals import Signal, Verdict
from identity.methods import Method
from identity.quality import UNITS, FaceQuality
from retention.records.clock import to_text
from retention.records.payloads import LivenessSignal, QualityMeasure
from retention.records.people import AgeBand, ChallengeGiven, DecisionReceipt2, Sex


class Outcome(StrEnum):
    """What happens next: go on, one more try, or another way."""

    ACCEPT = "ACCEPT"
    RETRY = "RETRY"
    REFER = "REFER"


Band = Literal["accept", "grey", "below"]
Standing = Literal["current", "stale"]


@dataclass(frozen=True, slots=True)
class FaceEvidence:
    """What a face decision rests on. Scores are cosines; nothing here can rebuild a face.

    `false_match_rate_target` is of the whole transaction, `threshold` what follows from it for one
    comparison. `amount_limit` is what an ACCEPT carries (yuan; None: any amount). `comparisons`
    counts the compared attempts of the transaction, this one included. `required` are the signals
    that the policy asks for, `liveness_model` the digest of the passive models that were asked.
    """

    contract_id: str | None = None
    calibration_digest: str | None = None
    false_match_rate_target: Decimal | None = None
    threshold: float | None = None
    comparison_score: float | None = None
    neg_log10_fmr: float | None = None
    band: Band | None = None
    amount_limit: Decimal | None = None
    comparisons: int = 0
    frames_seen: int = 0
    frames_used: int = 0
    quality: FaceQuality | None = None
    liveness: tuple[Signal, ...] = ()
    required: tuple[str, ...] = ()
    liveness_model: str | None = None
    challenge: ChallengeGiven | None = None
    standing: Standing | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one check with its reasons, by the codes of the closed registry.

    Raises DecisionInvalid when made as an ACCEPT that its own evidence does not carry.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    policy_name: str
    policy_digest: str
    started_at: datetime
    decided_at: datetime
    evidence: FaceEvidence = FaceEvidence()
    reference_id: str | None = None

    def __post_init__(self) -> None:
        if not self.reasons:
            raise DecisionInvalid("a decision needs a reason")
        if self.outcome is Outcome.ACCEPT:
            _require_grounds(self)


def _require_grounds(decision: Decision) -> None:
    found = decision.evidence
    # (1) the score is a number at or above a threshold that is a number, and its band says so
    if found.comparison_score is None or found.threshold is None:
        raise DecisionInvalid("an ACCEPT by face needs a score and a threshold")
    numbers = math.isfinite(found.threshold) and math.isfinite(found.comparison_score)
    if not (numbers and found.comparison_score >= found.threshold):
        raise DecisionInvalid("an ACCEPT by face needs a score at the threshold")
    if found.band != "accept" or found.frames_used < 1 or found.comparisons < 1:
        raise DecisionInvalid("an ACCEPT by face needs a comparison in the band that accepts")
    # (2) every signal that the policy requires passed, and none that was assessed failed
    passed = {signal.name for signal in found.liveness if signal.verdict is Verdict.PASS}
    failed = {signal.name for signal in found.liveness if signal.verdict is Verdict.FAIL}
    # A turn made as asked outweighs the doubt of a passive model that was asked, and nothing else.
    excused = {"passive"} & failed if "challenge" in passed else set()
    if not found.required or set(found.required) - passed - excused:
        raise DecisionInvalid("an ACCEPT by face needs every required liveness signal to pass")
    if failed - excused:
        raise DecisionInvalid("an ACCEPT by face cannot stand against a signal that failed")
    # (3) it names the reference and the only reason is MATCH
    if decision.reference_id is None or decision.reasons != ("MATCH",):
        raise DecisionInvalid("an ACCEPT by face names its reference and MATCH alone")


def receipt_payload(
    decision: Decision,
    *,
    receipt_id: str,
    session: str,
    claim_digest: str,
    subject_ref: str,
    subject_role: Literal["patient", "proxy"],
    attempt: int,
    camera: str | None,
    valid_for: timedelta,
    age_band: AgeBand = "unknown",
    sex: Sex = "unknown",
    runtime: str | None = None,
    camera_identity: str | None = None,
    simulated: bool = False,
    probe_digest: str | None = None,
    device: str | None = None,
) -> DecisionReceipt2:
    """Return the receipt payload of a decision, bound to one session and claim.

    `camera_identity` is the kind of device that was looked through, `runtime` what ran the models,
    `probe_digest` names the sealed evidence, `device` what vouched when it was no face.
    """
    found = decision.evidence
    return DecisionReceipt2(
        receipt=receipt_id,
        session=session,
        claim_digest=claim_digest,
        subject_ref=subject_ref,
        subject_role=subject_role,
        method=Method.FACE.value,
        attempt=attempt,
        outcome=decision.outcome.value,
        reasons=decision.reasons,
        reference=decision.reference_id,
        attested_by=None,
        document_type=None,
        camera=camera,
        contract_id=found.contract_id,
        policy_name=decision.policy_name,
        policy_digest=decision.policy_digest,
        calibration_digest=found.calibration_digest,
        false_match_rate_target=_exact(found.false_match_rate_target),
        threshold=_decimal(found.threshold),
        comparison_score=_decimal(found.comparison_score),
        neg_log10_fmr=_decimal(found.neg_log10_fmr),
        frames_seen=found.frames_seen,
        frames_used=found.frames_used,
        quality=_quality(found.quality),
        liveness=tuple(_signal(signal) for signal in found.liveness),
        started_at=to_text(decision.started_at),
        decided_at=to_text(decision.decided_at),
        expires_at=to_text(decision.decided_at + valid_for),
        comparisons=found.comparisons,
        amount_limit=_exact(found.amount_limit),
        band=found.band,
        challenge=found.challenge,
        camera_identity=camera_identity,
        simulated=simulated,
        probe_digest=probe_digest,
        reference_standing=found.standing,
        liveness_model=found.liveness_model,
        runtime=runtime,
        device=device,
        age_band=age_band,
        sex=sex,
    )


def _exact(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _decimal(value: float | None) -> str | None:
    return None if value is None or not math.isfinite(value) else f"{value:.6f}"


def _quality(quality: FaceQuality | None) -> tuple[QualityMeasure, ...]:
    if quality is None or not quality.is_finite():
        return ()
    return tuple(
        QualityMeasure(
            measure=item.name, value=f"{getattr(quality, item.name):.4f}", unit=UNITS[item.name]
        )
        for item in fields(quality)
    )


def _signal(signal: Signal) -> LivenessSignal:
    return LivenessSignal(
        signal=signal.name,
        verdict=signal.verdict.value,
        value=_decimal(signal.value),
        limit=_decimal(signal.limit),
    )
