"""The verdict on one attempt: a pure function of its evidence and of what it was asked under.

The live attempt calls it once its evidence is complete, `identity.replay` calls it again on the
sealed copy: the same inputs give the same verdict and the same values (invariant 11). The order is
fixed, and liveness vetoes similarity; nothing but a complete attempt ends in ACCEPT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

from identity.attempt_evidence import AttemptEvidence
from identity.bands import Scale
from identity.calibration import LoadedCalibration
from identity.decision import Decision, FaceEvidence, Outcome, Standing
from identity.endings import Ending, blocked, of_the_capture, quality_in
from identity.fusion import fused
from identity.liveness import challenge as challenge_signal
from identity.liveness.panel import Panel, refusals, telling
from identity.liveness.signals import Signal
from identity.policy import IdentityPolicy
from identity.references import Reference
from identity.vectors import cosine, require_unit
from models.values import Embedding, Image, PassiveLiveness
from retention.records.people import ChallengeGiven


class AlignedEmbedder(Protocol):
    """What a verdict asks of an embedder."""

    @property
    def contract_id(self) -> str: ...

    def embed_aligned(self, crop: Image) -> Embedding: ...


def judge(
    evidence: AttemptEvidence,
    *,
    reference: Reference | None,
    standing: Standing,
    policy: IdentityPolicy,
    calibration: LoadedCalibration,
    embedder: AlignedEmbedder,
    passive: PassiveLiveness | None,
    amount: Decimal | None,
    comparisons_before: int,
    panel: Panel | None = None,
    enrolling: bool = False,
) -> Decision:
    """Return the decision on this evidence.

    `panel` may bring liveness measurements of these very frames that were made as they came. When
    `enrolling`, nothing is compared: once capture and liveness hold, it ends in REFER with
    REFERENCE_MISSING alone. Raises what the models raise, and UnsupportedFalseMatchRate.
    """
    case = _Case(
        evidence, reference, standing, policy, calibration, embedder, passive,
        comparisons_before, enrolling, Scale.of(policy, calibration, standing, amount),
    )  # fmt: skip
    ending = case.before_comparing()
    return case.compared(panel) if ending is None else case.decided(ending, case.counts())


@dataclass(frozen=True, slots=True)
class _Case:
    """One attempt before its judge."""

    evidence: AttemptEvidence
    reference: Reference | None
    standing: Standing
    policy: IdentityPolicy
    calibration: LoadedCalibration
    embedder: AlignedEmbedder
    passive: PassiveLiveness | None
    comparisons_before: int
    enrolling: bool
    scale: Scale

    def before_comparing(self) -> Ending | None:
        """Return how it ends when there is nothing to compare, by the first step that says so."""
        found = self.evidence
        # (1) nothing failed inside
        if found.fault:
            return Outcome.REFER, ("INTERNAL_ERROR",)
        # (2) a reference that can be compared, and comparisons left
        ending = blocked(
            self.reference, self.embedder.contract_id, found.started_at, self.policy,
            self.comparisons_before,
        )  # fmt: skip
        if ending is not None and not self.enrolling:
            return ending
        # (3) a capture that does
        return of_the_capture(found, self.policy)

    def compared(self, panel: Panel | None) -> Decision:
        """Return the decision on a complete attempt."""
        found = self.evidence
        embeddings = {index: self._embedding(index) for index in self._resting_on()}
        used = [embeddings[index] for index in found.used]
        signals = (panel or self._panel()).signals(
            found.frames, found.used, embeddings=used, challenge=self._challenge()
        )
        reference = None if self.enrolling else self.reference
        score = None
        if reference is not None:
            score = fused([cosine(reference.embedding, each) for each in used])
        measured = self._measured(score, signals)
        # (4) liveness vetoes (5) similarity; both reasons are told
        reasons = refusals(signals, self.policy.liveness)
        if score is not None:
            reasons += self.scale.reasons(score)
        if reasons:
            return self.decided((Outcome.REFER, reasons), measured)
        # (6) liveness was measured on the person who was compared
        if any(cosine(used[0], each) < self.scale.grey for each in embeddings.values()):
            return self.decided((Outcome.RETRY, ("FACE_CHANGED",)), self.counts())
        if reference is None:
            return self.decided((Outcome.REFER, ("REFERENCE_MISSING",)), measured)
        return self.decided((Outcome.ACCEPT, ("MATCH",)), measured)

    # -- comparing -----------------------------------------------------------------------------

    def _resting_on(self) -> tuple[int, ...]:
        """Return the frames that anything rests on: compared, or told liveness by."""
        found = self.evidence
        return tuple(sorted({*found.used, *telling(found.frames, self._challenge())}))

    def _embedding(self, index: int) -> Embedding:
        aligned = self.evidence.frames[index].aligned
        if aligned is None:
            raise ValueError("a frame that counts has no aligned face")
        embedding = self.embedder.embed_aligned(aligned)
        require_unit(embedding)
        return embedding

    def _challenge(self) -> challenge_signal.ChallengeRun | None:
        """Return the challenge under the limits of this policy, whatever was kept with it."""
        run = self.evidence.challenge
        return None if run is None else replace(run, limits=self.policy.liveness)

    def _panel(self) -> Panel:
        compared = self.reference if not self.enrolling else None
        return Panel(
            limits=self.policy.liveness,
            camera=self.evidence.camera,
            passive=self.passive,
            seen_before=frozenset(self.evidence.replayed).__contains__,
            reference_embedding=None if compared is None else compared.of_a_picture,
        )

    # -- what the decision says ----------------------------------------------------------------

    def counts(self) -> FaceEvidence:
        """Return what an attempt rests on that ended before anything was compared."""
        wanted, found = self.scale.needed, self.evidence
        return FaceEvidence(
            contract_id=self.embedder.contract_id,
            calibration_digest=self.calibration.digest,
            false_match_rate_target=wanted.false_match_rate,
            threshold=wanted.threshold,
            comparisons=self.comparisons_before,
            frames_seen=found.looked,
            frames_used=len(found.used),
            required=self._required(),
            challenge=self._given(None),
            standing=self.standing,
        )

    def _measured(self, score: float | None, signals: Sequence[Signal]) -> FaceEvidence:
        found = self.evidence
        measured = replace(
            self.counts(),
            quality=quality_in(found.frames[found.used[-1]]),
            liveness=tuple(signals),
            liveness_model=self._liveness_model(signals),
            challenge=self._given(signals),
        )
        if score is None:
            return measured
        # An ACCEPT holds for the strictest band that the score reached.
        accepted = self.scale.band(score) == "accept"
        reached = self.scale.strictest_reached(score)
        band = reached if accepted and reached is not None else self.scale.needed
        return replace(
            measured,
            false_match_rate_target=band.false_match_rate,
            threshold=band.threshold,
            comparison_score=score,
            neg_log10_fmr=self.calibration.values.neg_log10_fmr(score),
            band=self.scale.band(score),
            amount_limit=band.up_to if accepted else None,
            comparisons=self.comparisons_before + 1,
        )

    def _required(self) -> tuple[str, ...]:
        limits = self.policy.liveness
        asked = ("challenge",) if limits.challenge == "always" else ()
        return tuple(dict.fromkeys((*limits.required, *asked)))

    def _liveness_model(self, signals: Sequence[Signal]) -> str | None:
        asked = any(each.name == "passive" and each.value is not None for each in signals)
        return self.passive.digest if asked and self.passive is not None else None

    def _given(self, signals: Sequence[Signal] | None) -> ChallengeGiven | None:
        """Return what the receipt says of a challenge; one that could not be judged went wrong
        when a clock did, else it was not finished."""
        run = self._challenge()
        if run is None:
            return None
        outcome: challenge_signal.Outcome = "failed" if self.evidence.clock_back else "not_finished"
        for each in signals or ():
            if each.name == "challenge":
                outcome = challenge_signal.outcome_of(each)
        return ChallengeGiven(seed=run.seed.hex(), sides=run.sides, outcome=outcome)

    def decided(self, ending: Ending, evidence: FaceEvidence) -> Decision:
        """Return the decision with this ending."""
        return Decision(
            outcome=ending[0],
            reasons=ending[1],
            policy_name=self.policy.name,
            policy_digest=self.policy.digest,
            started_at=self.evidence.started_at,
            decided_at=self.evidence.decided_at,
            evidence=evidence,
            reference_id=None if self.reference is None else self.reference.terms.reference_id,
        )
