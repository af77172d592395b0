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
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np

from identity.calibration import LoadedCalibration
from identity.decision import Band, Decision, FaceEvidence, Outcome
from identity.faces import dominant
from identity.liveness.signals import Signal, Verdict
from identity.methods import Method
from identity.policy import IdentityPolicy
from identity.quality import instruction
from identity.quality.crop import measure_in
from identity.references import Reference
from identity.track import FaceTrack, cosine
from models.values import Detector, Embedder, FaceDetection, Image
from retention.records.clock import Clock

_log = logging.getLogger(__name__)

_NS = 1e9
_NS_PER_MS = 1_000_000
# The share of looked-at frames with several faces from which on they are the answer.
_SEVERAL_SHARE = 0.25
# How often liveness is measured once enough frames are embedded, until it passes.
_ASSESS_EVERY_NS = 400 * _NS_PER_MS

_Ending = tuple[Outcome, tuple[str, ...]]


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
    """What the person sees while an attempt runs: at most one instruction, as a reason code.

    `complete` says that more frames change nothing; `decide()` may be called at any time.
    """

    instruction: str | None
    frames_used: int
    frames_wanted: int
    complete: bool


class Attempt:
    """A sans-I/O state machine for one attempt. Not shared between threads.

    Raises CalibrationMismatch or UnsupportedFalseMatchRate when it is made with a calibration of
    another model or a policy that the calibration cannot support: that is a wrong set-up, not a
    wrong person. A missing, expired or foreign reference is a decision (REFER).
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
        values = calibration.values
        values.require_contract(embedder.contract_id)
        self._policy, self._calibration, self._reference = policy, calibration, reference
        self._detector, self._embedder, self._clock = detector, embedder, clock
        self._threshold = values.threshold(policy.bands[0].false_match_rate)
        self._grey_threshold = values.threshold(policy.matching.grey_false_match_rate)
        self._started_at, self._started_ns = clock.now(), clock.monotonic_ns()
        self._blocked = self._reference_problem(self._started_at)
        self._faulty = self._changed = self._complete = False
        self._notes: Counter[str] = Counter()
        self._note: str | None = None
        self._looked = self._assessed_ns = 0
        self._last_ordinal, self._last_look_ns = -1, 0
        self._track = self._new_track()

    def observe(self, frame: Frame) -> Progress:
        """Take one frame in. Frames that come too fast, twice or too late are passed over."""
        self._guarded(lambda: self._look(frame) if self._wants(frame) else None)
        stopped = self._complete or self._faulty or self._blocked is not None
        used, wanted = len(self._track.embeddings), self._policy.matching.frames
        return Progress(self._note, used, wanted, complete=stopped)

    def decide(self) -> Decision:
        """Return the decision on the frames seen so far. Never raises on what they contain."""
        decided: list[Decision] = []
        self._guarded(lambda: decided.append(self._decision()))
        if decided and not self._faulty:
            return decided[0]
        return self._decided((Outcome.REFER, ("INTERNAL_ERROR",)), self._counts_only())

    # -- looking at one frame ------------------------------------------------------------------

    def _wants(self, frame: Frame) -> bool:
        limits = self._policy.attempt
        if self._complete or self._faulty or self._blocked is not None:
            return False
        if self._elapsed_seconds() > float(limits.deadline_seconds):
            self._complete = True
            return False
        # A frame from before the attempt, or the same frame again, is no evidence about now.
        fresh = frame.monotonic_ns >= self._started_ns and frame.ordinal > self._last_ordinal
        return (
            fresh and frame.monotonic_ns >= self._last_look_ns + limits.look_every_ms * _NS_PER_MS
        )

    def _look(self, frame: Frame) -> None:
        self._last_ordinal, self._last_look_ns = frame.ordinal, frame.monotonic_ns
        self._looked += 1
        found = dominant(self._detector.detect(frame.pixels), self._policy.faces)
        if isinstance(found, str):
            self._remember(found)
            return
        if not self._track.can_continue_with(found, frame.monotonic_ns):
            self._break_track()
        self._take(found, frame)
        self._complete = self._changed or self._is_enough(frame.monotonic_ns)

    def _take(self, face: FaceDetection, frame: Frame) -> None:
        quality = measure_in(frame.pixels, face)
        problem = instruction(quality, self._policy.quality)
        self._track.add(frame.pixels, face, frame.monotonic_ns)
        self._remember(problem)
        due = problem is None and self._embedding_is_due(frame.monotonic_ns)
        if due and not self._track.embed(quality):
            self._break_track()

    def _embedding_is_due(self, now_ns: int) -> bool:
        embedded = len(self._track.embeddings)
        if embedded >= self._policy.matching.frames:
            return False
        due = self._track.embedded_at_ns + self._policy.attempt.embed_every_ms * _NS_PER_MS
        return embedded == 0 or now_ns >= due

    def _break_track(self) -> None:
        # Once a face was compared, another one may not take its place in the same attempt.
        self._changed = self._changed or bool(self._track.embeddings)
        self._track = self._new_track()

    def _new_track(self) -> FaceTrack:
        return FaceTrack(self._embedder, self._grey_threshold)

    def _remember(self, note: str | None) -> None:
        self._note = note
        if note is not None:
            self._notes[note] += 1

    def _is_enough(self, now_ns: int) -> bool:
        """Return whether the attempt can end; until the deadline more motion may still come."""
        if not self._is_long_enough() or now_ns - self._assessed_ns < _ASSESS_EVERY_NS:
            return False
        self._assessed_ns = now_ns
        signals = self._track.signals(self._policy.liveness)
        lively = all(signal.verdict is Verdict.PASS for signal in signals)
        if lively:
            # Asked again and judged by decide(); its embeddings are then already made.
            self._track.is_one_person()
        return lively

    def _is_long_enough(self) -> bool:
        """Return whether there is enough to decide on; an attempt cut short decides nothing."""
        embedded = len(self._track.embeddings) >= self._policy.matching.frames
        return embedded and self._elapsed_seconds() >= float(self._policy.attempt.minimum_seconds)

    # -- deciding ------------------------------------------------------------------------------

    def _decision(self) -> Decision:
        # (1) a reference that can be compared, in time, and frames with one and the same face
        ending = self._blocked or self._too_late() or self._capture_problem()
        if ending is not None:
            return self._decided(ending, self._counts_only())
        # (2) enough frames of good quality, over no less than the shortest attempt
        if not self._is_long_enough():
            return self._decided(self._incomplete(), self._counts_only())
        # (3) liveness vetoes (4) similarity; both reasons are told
        evidence = self._measured()
        refusals = _liveness_reasons(evidence.liveness) + self._match_reasons(evidence)
        if refusals:
            return self._decided((Outcome.REFER, refusals), evidence)
        # (5) liveness was measured on the person who was compared
        if not self._track.is_one_person():
            return self._decided((Outcome.RETRY, ("FACE_CHANGED",)), self._counts_only())
        return self._decided((Outcome.ACCEPT, ("MATCH",)), evidence)

    def _reference_problem(self, now: datetime) -> _Ending | None:
        if self._reference is None:
            return Outcome.REFER, ("REFERENCE_MISSING",)
        if self._reference.terms.contract_id != self._embedder.contract_id:
            return Outcome.REFER, ("CONTRACT_MISMATCH",)
        if now >= self._reference.terms.expires_at:
            return Outcome.REFER, ("REFERENCE_EXPIRED",)
        return None

    def _too_late(self) -> _Ending | None:
        limits = self._policy.attempt
        allowed = float(limits.deadline_seconds + limits.decide_within_seconds)
        return (Outcome.REFER, ("DEADLINE",)) if self._elapsed_seconds() > allowed else None

    def _capture_problem(self) -> _Ending | None:
        if self._looked == 0:
            return Outcome.REFER, ("CAMERA_UNAVAILABLE",)
        if self._notes["MULTIPLE_FACES"] > _SEVERAL_SHARE * self._looked:
            return Outcome.RETRY, ("MULTIPLE_FACES",)
        return (Outcome.RETRY, ("FACE_CHANGED",)) if self._changed else None

    def _incomplete(self) -> _Ending:
        if not self._notes:
            return Outcome.REFER, ("DEADLINE",)
        return Outcome.RETRY, (self._notes.most_common(1)[0][0],)

    def _match_reasons(self, evidence: FaceEvidence) -> tuple[str, ...]:
        score = evidence.comparison_score
        # Asked this way round, a score that is not a number is a mismatch.
        if score is not None and score >= self._threshold:
            return ()
        if score is not None and score >= self._grey_threshold:
            return ("INCONCLUSIVE",)
        return ("MISMATCH",)

    def _measured(self) -> FaceEvidence:
        if self._reference is None:
            raise ValueError("there is nothing to compare with")
        scores = [cosine(self._reference.embedding, e) for e in self._track.embeddings]
        score = float(np.mean(scores))
        return self._counts_only(score, self._calibration.values.neg_log10_fmr(score), self._track)

    def _counts_only(
        self,
        score: float | None = None,
        neg_log10_fmr: float | None = None,
        track: FaceTrack | None = None,
    ) -> FaceEvidence:
        return FaceEvidence(
            contract_id=self._embedder.contract_id,
            calibration_digest=self._calibration.digest,
            false_match_rate_target=self._policy.bands[0].false_match_rate,
            threshold=self._threshold,
            comparison_score=score,
            neg_log10_fmr=neg_log10_fmr,
            frames_seen=self._looked,
            frames_used=len(self._track.embeddings),
            quality=None if track is None else track.qualities[-1],
            liveness=() if track is None else track.signals(self._policy.liveness),
            band=self._band(score),
            comparisons=0 if score is None else 1,
            required=("motion", "plane_residual"),
        )

    def _band(self, score: float | None) -> Band | None:
        if score is None:
            return None
        if score >= self._threshold:
            return "accept"
        return "grey" if score >= self._grey_threshold else "below"

    def _decided(self, ending: _Ending, evidence: FaceEvidence) -> Decision:
        return Decision(
            method=Method.FACE,
            outcome=ending[0],
            reasons=ending[1],
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

    def _guarded(self, step: Callable[[], object]) -> None:
        """Run a step; whatever it raises makes the attempt end in REFER INTERNAL_ERROR."""
        try:
            step()
        except Exception as exc:  # noqa: BLE001 - translated: the attempt fails closed
            # Only the type is logged: messages of foreign libraries may carry values.
            _log.error("attempt_fault type=%s", type(exc).__name__)
            self._faulty = True


def _liveness_reasons(signals: tuple[Signal, ...]) -> tuple[str, ...]:
    """Return the reason of the first signal that did not pass, if any."""
    if not signals:
        return ("LIVENESS_NOT_ASSESSED",)
    failed = [signal for signal in signals if signal.verdict is not Verdict.PASS]
    # A picture that does not move at all is also flat: the first reason says enough.
    return tuple((signal.reason or "LIVENESS_NOT_ASSESSED") for signal in failed[:1])
