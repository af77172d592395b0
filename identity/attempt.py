"""One attempt to verify one person: frames in, one decision out. No I/O, no thread, no device.

The order is fixed: exactly one dominant face that stays the same face, the quality gate, then
embedding and, at the end, liveness before similarity. The machine ends in ACCEPT, RETRY with one
instruction, or REFER. Every fault inside (an exception, a value that is not a number, a wrong
contract, a deadline) ends in REFER; nothing but a complete attempt ends in ACCEPT.

The score is the mean of the single comparison scores of the K used frames. It is never the best
of K, because each extra look would be another chance for an impostor; and it is not renormalised,
which could only raise it. The threshold is calibrated for a single comparison.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np

from identity.calibration import LoadedCalibration
from identity.decision import Decision, FaceEvidence, Outcome
from identity.errors import UnsupportedFalseMatchRate
from identity.faces import dominant, same_track
from identity.liveness import MotionSample, Signal, Verdict, assess
from identity.methods import Method
from identity.policy import IdentityPolicy
from identity.quality import FaceQuality, instruction, measure
from identity.references import Reference
from models.opencv import cv2
from models.values import Detector, Embedder, Embedding, FaceDetection, Image
from retention.records.clock import Clock

_log = logging.getLogger(__name__)

_NS = 1e9
# A face may be lost for this long (a blink of the detector) and still be the same face.
_LOST_SECONDS = 0.6
# The share of looked-at frames with several faces from which on they are the answer.
_SEVERAL_SHARE = 0.25
# How often the end of an attempt is reconsidered once enough frames are embedded.
_ASSESS_EVERY_SECONDS = 0.4


class Frame(Protocol):
    """A captured frame: BGR uint8 pixels, its ordinal and its receive time."""

    @property
    def pixels(self) -> Image: ...

    @property
    def ordinal(self) -> int: ...

    @property
    def monotonic_ns(self) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class FaceFrame:
    """The plainest Frame."""

    pixels: Image
    ordinal: int
    monotonic_ns: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What the person sees while an attempt runs: at most one instruction code.

    `complete` says that more frames change nothing; `decide()` may be called at any time.
    """

    instruction: str | None
    frames_used: int
    frames_wanted: int
    complete: bool


@dataclass(slots=True)
class _Evidence:
    """What one unbroken track of one face has given so far."""

    samples: list[MotionSample] = field(default_factory=list)
    embeddings: list[Embedding] = field(default_factory=list)
    qualities: list[FaceQuality] = field(default_factory=list)
    embedded_at_ns: int = 0


class Attempt:
    """A sans-I/O state machine for one attempt. Not shared between threads.

    Raises CalibrationMismatch or UnsupportedFalseMatchRate when it is made with a calibration of
    another model or a policy that the calibration cannot support: a wrong set-up, not a wrong
    person. A missing, expired or foreign reference is a decision (REFER).
    """

    def __init__(
        self,
        *,
        policy: IdentityPolicy,
        calibration: LoadedCalibration,
        reference: Reference | None,
        detector: Detector,
        embedder: Embedder,
        clock: Clock,
    ) -> None:
        calibration.values.require_contract(embedder.contract_id)
        self._policy, self._calibration, self._reference = policy, calibration, reference
        self._detector, self._embedder, self._clock = detector, embedder, clock
        self._threshold = calibration.values.threshold(policy.matching.false_match_rate)
        self._grey_threshold = _grey_threshold(policy, calibration)
        self._started_at, self._started_ns = clock.now(), clock.monotonic_ns()
        self._blocked = self._reference_problem(self._started_at)
        self._faulty = self._changed = self._complete = False
        self._notes: Counter[str] = Counter()
        self._note: str | None = None
        self._looked = self._last_ordinal = self._last_look_ns = 0
        self._face: FaceDetection | None = None
        self._face_ns = self._assessed_ns = 0
        self._track = _Evidence()

    def observe(self, frame: Frame) -> Progress:
        """Take one frame in. Frames that come too fast, twice or too late are passed over."""
        if self._wants(frame):
            self._guarded(lambda: self._look(frame))
        return self._progress()

    def decide(self) -> Decision:
        """Return the decision on the frames seen so far. Never raises on what they contain."""
        decided: list[Decision] = []
        self._guarded(lambda: decided.append(self._decision()))
        if decided and not self._faulty:
            return decided[0]
        return self._decided(Outcome.REFER, ("INTERNAL_ERROR",), self._counts_only())

    # -- looking at one frame ------------------------------------------------------------------

    def _wants(self, frame: Frame) -> bool:
        if self._complete or self._faulty or self._blocked is not None:
            return False
        if self._elapsed_seconds() > float(self._policy.attempt.deadline_seconds):
            self._complete = True
            return False
        first = self._last_ordinal == 0 and self._looked == 0
        due = self._last_look_ns + self._policy.attempt.look_every_ms * 1_000_000
        return first or (frame.ordinal > self._last_ordinal and frame.monotonic_ns >= due)

    def _look(self, frame: Frame) -> None:
        self._last_ordinal, self._last_look_ns = frame.ordinal, frame.monotonic_ns
        self._looked += 1
        found = dominant(self._detector.detect(frame.pixels), self._policy.faces)
        if isinstance(found, str):
            self._remember(found)
            return
        self._follow(found, frame.monotonic_ns)
        self._take(found, frame)
        if self._has_enough():
            self._complete = self._is_lively(frame.monotonic_ns)

    def _follow(self, face: FaceDetection, now_ns: int) -> None:
        """Begin a new track when this cannot be the face of the last look."""
        seconds = (now_ns - self._face_ns) / _NS
        broken = self._face is not None and (
            seconds > _LOST_SECONDS or not same_track(self._face, face, seconds)
        )
        if broken:
            self._break_track()
        self._face, self._face_ns = face, now_ns

    def _break_track(self) -> None:
        # Once a face was compared, another one may not take its place in the same attempt.
        self._changed = self._changed or bool(self._track.embeddings)
        self._track = _Evidence()

    def _take(self, face: FaceDetection, frame: Frame) -> None:
        quality = measure(frame.pixels, face)
        grey = np.asarray(cv2.cvtColor(frame.pixels, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        self._track.samples.append(MotionSample(grey, face.landmarks, frame.monotonic_ns))
        problem = instruction(quality, self._policy.quality)
        self._remember(problem)
        if problem is None and self._embedding_is_due(frame.monotonic_ns):
            self._embed(face, frame, quality)

    def _embedding_is_due(self, now_ns: int) -> bool:
        if len(self._track.embeddings) >= self._policy.matching.frames:
            return False
        due = self._track.embedded_at_ns + self._policy.attempt.embed_every_ms * 1_000_000
        return not self._track.embeddings or now_ns >= due

    def _embed(self, face: FaceDetection, frame: Frame, quality: FaceQuality) -> None:
        embedding = self._embedder.embed(frame.pixels, face)
        _require_unit(embedding)
        # The face in the same place must also be the same face: a swap shows in the embedding.
        if self._track.embeddings and _cosine(self._track.embeddings[0], embedding) < (
            self._threshold
        ):
            self._break_track()
            return
        self._track.embeddings.append(embedding)
        self._track.qualities.append(quality)
        self._track.embedded_at_ns = frame.monotonic_ns

    def _remember(self, note: str | None) -> None:
        self._note = note
        if note is not None:
            self._notes[note] += 1

    def _has_enough(self) -> bool:
        minimum = float(self._policy.attempt.minimum_seconds)
        embedded = len(self._track.embeddings) >= self._policy.matching.frames
        return self._changed or (embedded and self._elapsed_seconds() >= minimum)

    def _is_lively(self, now_ns: int) -> bool:
        """Return whether the attempt can end; more motion may still come until the deadline."""
        if self._changed:
            return True
        if now_ns - self._assessed_ns < _ASSESS_EVERY_SECONDS * _NS:
            return False
        self._assessed_ns = now_ns
        signals = assess(self._track.samples, self._policy.liveness)
        return all(signal.verdict is Verdict.PASS for signal in signals)

    def _progress(self) -> Progress:
        stopped = self._complete or self._faulty or self._blocked is not None
        return Progress(
            instruction=self._note,
            frames_used=len(self._track.embeddings),
            frames_wanted=self._policy.matching.frames,
            complete=stopped,
        )

    # -- deciding ------------------------------------------------------------------------------

    def _decision(self) -> Decision:
        # (1) a reference that can be compared, (2) frames, (3) one and the same face
        early = self._blocked or self._too_late() or self._capture_problem()
        if early is not None:
            return self._decided(*early, self._counts_only())
        # (4) enough frames of good quality
        if len(self._track.embeddings) < self._policy.matching.frames:
            return self._decided(*self._incomplete(), self._counts_only())
        # (5) liveness vetoes (6) similarity
        evidence = self._measured()
        refusals = _liveness_reasons(evidence.liveness) + self._match_reasons(evidence)
        if refusals:
            return self._decided(Outcome.REFER, refusals, evidence)
        return self._decided(Outcome.ACCEPT, ("MATCH",), evidence)

    def _reference_problem(self, now: datetime) -> tuple[Outcome, tuple[str, ...]] | None:
        if self._reference is None:
            return Outcome.REFER, ("REFERENCE_MISSING",)
        if self._reference.terms.contract_id != self._embedder.contract_id:
            return Outcome.REFER, ("CONTRACT_MISMATCH",)
        if now >= self._reference.terms.expires_at:
            return Outcome.REFER, ("REFERENCE_EXPIRED",)
        return None

    def _too_late(self) -> tuple[Outcome, tuple[str, ...]] | None:
        limits = self._policy.attempt
        allowed = float(limits.deadline_seconds + limits.decide_within_seconds)
        return (Outcome.REFER, ("DEADLINE",)) if self._elapsed_seconds() > allowed else None

    def _capture_problem(self) -> tuple[Outcome, tuple[str, ...]] | None:
        if self._looked == 0:
            return Outcome.REFER, ("CAMERA_UNAVAILABLE",)
        if self._notes["MULTIPLE_FACES"] > _SEVERAL_SHARE * self._looked:
            return Outcome.RETRY, ("MULTIPLE_FACES",)
        if self._changed:
            return Outcome.RETRY, ("FACE_CHANGED",)
        return None

    def _incomplete(self) -> tuple[Outcome, tuple[str, ...]]:
        if not self._notes:
            return Outcome.REFER, ("DEADLINE",)
        return Outcome.RETRY, (self._notes.most_common(1)[0][0],)

    def _measured(self) -> FaceEvidence:
        assert self._reference is not None  # noqa: S101 - (1) above; for the type checker
        scores = [_cosine(self._reference.embedding, e) for e in self._track.embeddings]
        score = float(np.mean(scores))
        return FaceEvidence(
            contract_id=self._embedder.contract_id,
            calibration_digest=self._calibration.digest,
            false_match_rate_target=self._policy.matching.false_match_rate,
            threshold=self._threshold,
            comparison_score=score,
            neg_log10_fmr=self._calibration.values.neg_log10_fmr(score),
            frames_seen=self._looked,
            frames_used=len(self._track.embeddings),
            quality=self._track.qualities[-1],
            liveness=assess(self._track.samples, self._policy.liveness),
        )

    def _match_reasons(self, evidence: FaceEvidence) -> tuple[str, ...]:
        score = evidence.comparison_score
        # Asked this way round, a score that is not a number is a mismatch.
        if score is not None and score >= self._threshold:
            return ()
        if score is not None and score >= self._grey_threshold:
            return ("INCONCLUSIVE",)
        return ("MISMATCH",)

    def _counts_only(self) -> FaceEvidence:
        return FaceEvidence(
            contract_id=self._embedder.contract_id,
            calibration_digest=self._calibration.digest,
            false_match_rate_target=self._policy.matching.false_match_rate,
            threshold=self._threshold,
            frames_seen=self._looked,
            frames_used=len(self._track.embeddings),
        )

    def _decided(
        self, outcome: Outcome, reasons: tuple[str, ...], evidence: FaceEvidence
    ) -> Decision:
        return Decision(
            method=Method.FACE,
            outcome=outcome,
            reasons=reasons,
            policy_name=self._policy.name,
            policy_digest=self._policy.digest,
            started_at=self._started_at,
            decided_at=self._clock.now(),
            evidence=evidence,
            reference_id=None if self._reference is None else self._reference.terms.reference_id,
        )

    # -- shared --------------------------------------------------------------------------------

    def _elapsed_seconds(self) -> float:
        return (self._clock.monotonic_ns() - self._started_ns) / _NS

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run a step; whatever it raises makes the attempt end in REFER INTERNAL_ERROR."""
        try:
            step()
        except Exception as exc:  # noqa: BLE001 - translated: the attempt fails closed
            # Only the type is logged: messages of foreign libraries may carry values.
            _log.error("attempt_fault type=%s", type(exc).__name__)
            self._faulty = True


def _grey_threshold(policy: IdentityPolicy, calibration: LoadedCalibration) -> float:
    target = policy.matching.grey_false_match_rate
    if target <= 0:
        raise UnsupportedFalseMatchRate(target, calibration.values.smallest_target())
    return calibration.values.threshold(target)


def _liveness_reasons(signals: tuple[Signal, ...]) -> tuple[str, ...]:
    if not signals:
        return ("LIVENESS_NOT_ASSESSED",)
    reasons = [
        s.reason or "LIVENESS_NOT_ASSESSED" for s in signals if s.verdict is not Verdict.PASS
    ]
    # A picture that does not move at all is also flat; the first reason says enough.
    return tuple(dict.fromkeys(reasons))[:1]


def _require_unit(embedding: Embedding) -> None:
    length = float(np.linalg.norm(embedding))
    if not abs(length - 1.0) < 1e-3:
        raise ValueError("an embedding is not of unit length")


def _cosine(left: Embedding, right: Embedding) -> float:
    if left.shape != right.shape:
        raise ValueError("embeddings of different dimensions")
    return float(np.dot(left, right))
