"""Comparing picture files: quality and similarity only, without liveness and without a receipt.

For the command line and for measuring. It can never stand in for an attempt at the counter, which
is why its result is a type of its own and not a Decision.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from identity.bands import Scale
from identity.calibration import LoadedCalibration
from identity.faces import dominant
from identity.policy import IdentityPolicy
from identity.quality import FaceQuality, instruction, measure
from identity.vectors import cosine, require_unit
from models.values import Detector, Embedder, Embedding, Image

_STEPS = ("detect", "align", "quality", "embed")


@dataclass(frozen=True, slots=True)
class PictureProblem:
    """Why one picture cannot be compared; `picture` counts from 0, the reference."""

    picture: int
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result for one reference and its probes.

    `score` is the mean over the probes, as soon as every picture has one dominant face; while a
    picture has a problem of quality it is for information, and the outcome stays RETRY. `threshold`
    and the `false_match_rate` of a transaction are those of the amount asked about, else of the
    least strict band. A match holds for amounts up to `amount_limit`, or for any amount.
    """

    outcome: str
    reasons: tuple[str, ...]
    problems: tuple[PictureProblem, ...]
    score: float | None
    neg_log10_fmr: float | None
    false_match_rate: Decimal
    threshold: float
    amount_limit: Decimal | None
    any_amount: bool
    quality: tuple[FaceQuality | None, ...]
    timing_ms: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    reason: str | None
    quality: FaceQuality | None
    embedding: Embedding | None


class Comparer:
    """Compares pictures under one policy, calibration and set of models.

    Raises CalibrationMismatch or UnsupportedFalseMatchRate when they do not fit together.
    """

    def __init__(
        self,
        *,
        policy: IdentityPolicy,
        calibration: LoadedCalibration,
        detector: Detector,
        embedder: Embedder,
        amount: Decimal | None = None,
    ) -> None:
        values = calibration.values
        values.require_contract(embedder.contract_id)
        self._policy, self._values = policy, values
        self._detector, self._embedder = detector, embedder
        self._scale = Scale.of(policy, calibration, "current", amount)

    def compare(self, reference: Image, probes: Sequence[Image]) -> Comparison:
        """Compare BGR pictures. Raises InferenceFailed, and ValueError without a probe."""
        if not probes:
            raise ValueError("there is no probe to compare")
        timing = dict.fromkeys(_STEPS, 0.0)
        results = [self._one(picture, timing) for picture in (reference, *probes)]
        problems = tuple(
            PictureProblem(index, result.reason)
            for index, result in enumerate(results)
            if result.reason is not None
        )
        embeddings = [result.embedding for result in results if result.embedding is not None]
        score = None
        if len(embeddings) == len(results):
            score = float(np.mean([cosine(embeddings[0], other) for other in embeddings[1:]]))
        outcome, reasons = self._judged(score, problems)
        reached = None
        if score is not None and outcome == "ACCEPT":
            reached = self._scale.strictest_reached(score)
        return Comparison(
            outcome=outcome,
            reasons=reasons,
            problems=problems,
            score=score,
            neg_log10_fmr=None if score is None else self._values.neg_log10_fmr(score),
            false_match_rate=self._scale.needed.false_match_rate,
            threshold=self._scale.needed.threshold,
            amount_limit=None if reached is None else reached.up_to,
            any_amount=reached is not None and reached.up_to is None,
            quality=tuple(result.quality for result in results),
            timing_ms={step: round(spent, 1) for step, spent in timing.items()},
        )

    def _one(self, picture: Image, timing: dict[str, float]) -> _Looked:
        started = time.perf_counter()
        face = dominant(self._detector.detect(picture), self._policy.faces)
        timing["detect"] += (time.perf_counter() - started) * 1000
        if isinstance(face, str):
            return _Looked(face, None, None)
        started = time.perf_counter()
        aligned = self._embedder.align(picture, face)
        timing["align"] += (time.perf_counter() - started) * 1000
        started = time.perf_counter()
        quality = measure(aligned, face, (picture.shape[1], picture.shape[0]))
        timing["quality"] += (time.perf_counter() - started) * 1000
        started = time.perf_counter()
        embedding = self._embedder.embed_aligned(aligned)
        require_unit(embedding)
        timing["embed"] += (time.perf_counter() - started) * 1000
        problem = instruction(quality, self._policy.quality.for_pictures())
        return _Looked(problem, quality, embedding)

    def _judged(
        self, score: float | None, problems: Sequence[PictureProblem]
    ) -> tuple[str, tuple[str, ...]]:
        if score is None or problems:
            return "RETRY", tuple(dict.fromkeys(problem.reason for problem in problems))
        reasons = self._scale.reasons(score)
        return ("REFER", reasons) if reasons else ("ACCEPT", ("MATCH",))
