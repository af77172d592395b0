"""One attempt on a filmed scene, made by the product's own `Attempt` with the shipped models.

Whoever stands there hears what is asked for and may answer. The clock is the film's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from hardware.camera_identity import CameraIdentity
from identity.attempt import Attempt, FaceFrame
from identity.calibration import LoadedCalibration, load_calibration
from identity.decision import Outcome
from identity.evidence import AttemptEvidence
from identity.liveness.panel import refusals
from identity.liveness.passive import asked as asked_of_passive
from identity.liveness.signals import Signal
from identity.policy import IdentityPolicy
from identity.references import Reference, ReferenceTerms
from models.runtime import LoadedModels
from models.values import Embedding, FaceDetection, Image, PassiveLiveness
from retention.records.clock import ManualClock
from retention.records.ids import ConsentId, ReferenceId
from tests.identity.attacks.filming import RATE

REAL_CAMERA = CameraIdentity("rtsp", "rtsp", simulated=False, virtual=False)
_TURNS = ("TURN_LEFT", "TURN_RIGHT")

Next = Callable[[], Image]
Answer = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one attempt. `refusals` are those of liveness; where it was not asked, those
    of the attempt. `score` is None when nothing was compared, `passive` what the passive models
    would have said."""

    signals: tuple[Signal, ...]
    refusals: tuple[str, ...]
    accepted: bool
    asked: bool
    challenge: str | None
    score: float | None
    seconds: float
    passive: float | None
    digests: frozenset[bytes]

    @property
    def live(self) -> bool:
        return not self.refusals


class _Overheard:
    """Passive models whose crops are kept, and who decide nothing: they pass everybody."""

    def __init__(self, models: PassiveLiveness) -> None:
        self.digest, self._models = models.digest, models

    def crops(self, image: Image, face: FaceDetection) -> tuple[Image, ...]:
        return self._models.crops(image, face)

    def live_probability(self, crops: tuple[Image, ...]) -> float:
        return 1.0


@dataclass
class Looker:
    """Looks at scenes with one set of models and one policy.

    The passive models are not installed by default: what they would have said (`Seen.passive`)
    changes nothing.
    """

    models: LoadedModels
    policy: IdentityPolicy
    camera: CameraIdentity = REAL_CAMERA

    def look(
        self,
        following: Next,
        *,
        seed: bytes,
        reference: Embedding,
        answer: Answer = lambda instruction, seconds: None,
        seen_before: Callable[[bytes], bool] = lambda digest: False,
    ) -> Seen:
        """Look until it is settled. `answer` hears an instruction once, and when it was given."""
        clock, passive = ManualClock(), self.models.passive
        heard = replace(self.models, passive=None if passive is None else _Overheard(passive))
        attempt = Attempt(
            policy=self.policy,
            calibration=self._calibration,
            reference=_reference(reference, self.models.embedder.contract_id),
            models=heard,
            clock=clock,
            camera=self.camera,
            seed=seed,
            seen_before=seen_before,
        )
        asked: str | None = None
        for ordinal in range(RATE * 60):
            progress = attempt.observe(FaceFrame(following(), ordinal, clock.monotonic_ns()))
            if progress.complete:
                break
            wish = progress.instruction
            if wish in _TURNS and wish != asked:
                answer(wish, ordinal / RATE)
            # Another instruction (come closer) does not take the turn back.
            if wish is None or wish in _TURNS:
                asked = wish
            clock.advance(timedelta(seconds=1 / RATE))
        decided = attempt.decide()
        decision, evidence = decided.decision, decided.evidence
        found = decision.evidence
        return Seen(
            signals=found.liveness,
            refusals=refusals(found.liveness, self.policy.liveness)
            if found.liveness
            else decision.reasons,
            accepted=decision.outcome is Outcome.ACCEPT,
            asked=evidence.challenge is not None,
            challenge=None if found.challenge is None else found.challenge.outcome,
            score=found.comparison_score,
            seconds=evidence.elapsed_ns / 1e9,
            passive=self._passive_value(evidence),
            digests=frozenset(frame.pixels_digest for frame in evidence.frames),
        )

    @property
    def _calibration(self) -> LoadedCalibration:
        return load_calibration(self.models.embedder.contract_id)

    def _passive_value(self, evidence: AttemptEvidence) -> float | None:
        """Return what the passive models say of the compared frames."""
        models, frames = self.models.passive, evidence.frames
        asked = asked_of_passive(frames, evidence.used)
        if models is None or not asked:
            return None
        return float(np.mean([models.live_probability(frames[index].passive) for index in asked]))


def _reference(embedding: Embedding, contract_id: str) -> Reference:
    """Return a reference made of a document's picture."""
    terms = ReferenceTerms(
        reference_id=ReferenceId("0197a000-0000-7000-8000-000000000001"),
        person_ref="ef" * 32,
        contract_id=contract_id,
        source="document_photo",
        consent_id=ConsentId("0197a000-0000-7000-8000-000000000002"),
        expires_at=datetime(2100, 1, 1, tzinfo=UTC),
    )
    return Reference(terms, embedding)


def played(frames: Sequence[Image]) -> Next:
    """Return a film that is played again and again."""
    endless = (frame for _ in range(1000) for frame in frames)
    return lambda: next(endless)
