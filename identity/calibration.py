"""From a false-match-rate target to a threshold, through counted comparisons only.

A calibration is of the *fused* score: the mean of the cosines of the K frames of one attempt with
one reference. It holds, per step of the score, how many comparisons of *different* people reached
it, an upper 95 % bound of that count that respects that the same people occur in many comparisons
(bootstrap over people; see identity.calibrate), and a model of the upper tail (generalised Pareto,
fitted by maximum likelihood). No picture, name or vector is in it.

The threshold of a target is the smallest step at which both the counted bound and the tail model
are at most the target: the larger threshold wins. A target at which fewer than 30 of the counted
comparisons remain is refused ("rule of 30"): beyond that the tail is a guess, and a guess is not a
threshold. A file whose tail and counts contradict each other is refused, and so is one by which
strangers would score so low that a threshold of 0.1, or the file's first step, met the largest rate
that a policy may ask for: whatever a file says, no such threshold comes of it.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from identity.errors import (
    CalibrationMismatch,
    CalibrationOfMoreFrames,
    CalibrationUnreadable,
    UnsupportedFalseMatchRate,
)

RULE_OF_30 = 30
# A model that is off by more than this many decades where there are counts is not a model of them.
LARGEST_GAP = 0.3
STEPS_PER_UNIT = 1000
# Of vectors that are spread evenly over 512 dimensions more than one pair in a hundred reaches 0.1.
_LOWEST_STEP = 100
_LARGEST_RATE = Decimal("1e-3")
_SINGLE_PICTURES = b"countersight-calibration-1"
_FOLDER = Path(__file__).with_name("calibrations")

StepCount = Annotated[int, Field(ge=0, le=2**53 - 1)]
# Cosines lie in -1..1, so other steps mean nothing.
Step = Annotated[int, Field(ge=-STEPS_PER_UNIT, le=STEPS_PER_UNIT)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tail(_Part):
    """A generalised Pareto model of the scores from `from_step` / 1000 on.

    `largest_gap` is the largest distance, in decades, between the model's rate and the counted one
    at any step with at least 30 comparisons.
    """

    from_step: Step
    exceedances: Annotated[int, Field(ge=RULE_OF_30)]
    shape: Annotated[Decimal, Field(ge=-1, le=1)]
    scale: Annotated[Decimal, Field(ge=Decimal("0.000001"), le=1)]
    largest_gap: Annotated[Decimal, Field(ge=0)]

    def share_above(self, step: int) -> float:
        """Return the modelled share of the exceedances that reach a step at or past the first."""
        shape, z = float(self.shape), (step - self.from_step) / STEPS_PER_UNIT / float(self.scale)
        if abs(shape) < 1e-9:
            return math.exp(-z)
        inside = 1 + shape * z
        return 0.0 if inside <= 0 else float(inside ** (-1 / shape))


class Calibration(_Part):
    """Counted scores of non-mated comparisons of one attempt's `frames` frames with one picture.

    `at_or_above[i]` counts comparisons with score >= (first_step + i) / 1000, and `upper_95[i]` is
    the upper bound of that count. Below the first step every comparison counts.
    """

    format: Literal["countersight-calibration-2"]
    contract_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    comparison: Literal["cosine, mean over the frames of one attempt, against one picture"]
    frames: Annotated[int, Field(ge=1, le=12)]
    made_from: Annotated[str, Field(max_length=400)]
    made_with: Annotated[str, Field(max_length=400)]
    pictures: StepCount
    subjects: StepCount
    comparisons: Annotated[int, Field(ge=1, le=2**53 - 1)]
    first_step: Step
    at_or_above: Annotated[tuple[StepCount, ...], Field(min_length=1, max_length=2001)]
    upper_95: Annotated[tuple[StepCount, ...], Field(min_length=1, max_length=2001)]
    tail: Tail

    @model_validator(mode="after")
    def _counts_fit_together(self) -> Calibration:
        if len(self.at_or_above) != len(self.upper_95):
            raise ValueError("at_or_above and upper_95 differ in length")
        for key, counts in (("at_or_above", self.at_or_above), ("upper_95", self.upper_95)):
            if any(later > earlier for earlier, later in itertools.pairwise(counts)):
                raise ValueError(f"{key}: counts must not rise with the score")
        pairs = zip(self.at_or_above, self.upper_95, strict=True)
        if any(count > self.comparisons or bound < count for count, bound in pairs):
            raise ValueError("upper_95: below its count, or at_or_above: above all comparisons")
        if self.subjects > self.pictures or self.comparisons > math.comb(self.pictures, 2):
            raise ValueError("pictures: so few do not make so many comparisons or people")
        return self

    @model_validator(mode="after")
    def _no_threshold_is_low(self) -> Calibration:
        index = max(0, _LOWEST_STEP - self.first_step)
        known = self.at_or_above[index] if index < len(self.at_or_above) else 0
        if known <= _LARGEST_RATE * self.comparisons:
            raise ValueError(
                f"at_or_above: {known} of {self.comparisons} comparisons reach the step "
                f"{self.first_step + index}; scores of different people do not lie so low"
            )
        return self

    @model_validator(mode="after")
    def _tail_fits_the_counts(self) -> Calibration:
        index = self.tail.from_step - self.first_step
        if not 0 <= index < len(self.at_or_above):
            raise ValueError("tail.from_step: nothing was counted there")
        if self.tail.exceedances != self.at_or_above[index]:
            raise ValueError("tail.exceedances: not those that were counted")
        gap = largest_gap(self.tail, self.first_step, self.at_or_above)
        if gap > LARGEST_GAP or abs(gap - float(self.tail.largest_gap)) > 0.01:
            raise ValueError("tail: the model and the counts contradict each other")
        return self

    @cached_property
    def _bounds(self) -> tuple[int, ...]:
        """The larger of counted bound and tail model, as counts; they do not rise."""
        start = self.tail.from_step - self.first_step
        modelled = (
            # What is a whole number but for rounding is taken as that number.
            math.ceil(self.tail.exceedances * self.tail.share_above(self.first_step + i) - 1e-6)
            if i >= start
            else 0
            for i in range(len(self.upper_95))
        )
        return tuple(max(pair) for pair in zip(self.upper_95, modelled, strict=True))

    def require_frames(self, frames: int) -> None:
        """Raise CalibrationOfMoreFrames when fewer frames are fused than this calibration is of.

        More are allowed: each further frame only makes a stranger's score vary less.
        """
        if frames < self.frames:
            raise CalibrationOfMoreFrames(frames, self.frames)

    def require_contract(self, contract_id: str) -> None:
        """Raise CalibrationMismatch unless this calibration is of that embedding contract."""
        if self.contract_id != contract_id:
            raise CalibrationMismatch(self.contract_id, contract_id)

    def threshold(self, target: Decimal) -> float:
        """Return the smallest score whose false match rate, bounded and modelled, is at most
        `target` (of one comparison; the policy divides a transaction's rate by its comparisons).

        Raises UnsupportedFalseMatchRate when the data cannot show it.
        """
        allowed = math.floor(target * self.comparisons)
        # Counts fall with the score, so the first index whose bound is small enough is the answer.
        index = bisect.bisect_left(self._bounds, -allowed, key=lambda bound: -bound)
        supported = index < len(self._bounds) and self.at_or_above[index] >= RULE_OF_30
        if not 0 < target < 1 or not supported:
            raise UnsupportedFalseMatchRate(target, self.smallest_target())
        return (self.first_step + index) / STEPS_PER_UNIT

    def smallest_target(self) -> Decimal:
        """Return the smallest false match rate that this calibration supports."""
        return Decimal(self._bounds[self._last_supported()]) / self.comparisons

    def neg_log10_fmr(self, score: float) -> float:
        """Return -log10 of the upper-bounded false match rate at a score.

        Never falls as the score rises; stops at the smallest supported rate, because more than
        the data shows is not claimed. Raises ValueError on a score that is not finite.
        """
        if not math.isfinite(score):
            raise ValueError("the score is not finite")
        index = math.floor(score * STEPS_PER_UNIT + 1e-6) - self.first_step
        if index < 0:
            return 0.0
        bound = self._bounds[min(index, self._last_supported())]
        return max(0.0, -math.log10(bound / self.comparisons))

    def _last_supported(self) -> int:
        supported = [i for i, count in enumerate(self.at_or_above) if count >= RULE_OF_30]
        return supported[-1] if supported else 0


def largest_gap(tail: Tail, first_step: int, at_or_above: Sequence[int]) -> float:
    """Return the largest distance in decades between the tail model and the counts.

    Only steps with at least 30 comparisons are looked at; a model that ends before them is
    infinitely far.
    """
    start = tail.from_step - first_step
    gaps = [0.0]
    for index in range(start, len(at_or_above)):
        if at_or_above[index] < RULE_OF_30:
            break
        modelled = tail.exceedances * tail.share_above(first_step + index)
        gaps.append(abs(math.log10(modelled / at_or_above[index])) if modelled else math.inf)
    return max(gaps)


@dataclass(frozen=True, slots=True)
class LoadedCalibration:
    """A calibration with the SHA-256 of the file it was read from, and that file's content (None
    when it was not read from one)."""

    values: Calibration
    digest: str
    content: bytes | None = field(default=None, repr=False, compare=False)


def parse_calibration(content: bytes, source: str) -> LoadedCalibration:
    """Read a calibration. Raises CalibrationUnreadable."""
    if _SINGLE_PICTURES in content[:100]:
        raise CalibrationUnreadable(
            source, "it is of format 1 (single pictures); make one of fused frames with "
            "identity.calibrate",
        )  # fmt: skip
    try:
        values = Calibration.model_validate_json(content)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        # What is wrong with the file as a whole names its keys itself.
        key, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise CalibrationUnreadable(source, f"{key}: {said}" if key else said) from exc
    return LoadedCalibration(values, hashlib.sha256(content).hexdigest(), content)


def load_calibration(contract_id: str) -> LoadedCalibration:
    """Load the committed calibration of an embedding contract.

    Raises CalibrationUnreadable or CalibrationMismatch.
    """
    place = _FOLDER / f"{contract_id[:16]}.json"
    try:
        content = place.read_bytes()
    except OSError as exc:
        raise CalibrationUnreadable(str(place), exc.strerror or "it cannot be read") from exc
    loaded = parse_calibration(content, str(place))
    loaded.values.require_contract(contract_id)
    return loaded
