"""From a false-match-rate target to a threshold, through counted comparisons only.

A calibration holds, per step of the score, how many comparisons of *different* people reached it,
and an upper 95 % bound of that count that respects that the same people occur in many comparisons
(bootstrap over people; see identity.calibrate). No picture, name or vector is in it.

The threshold of a target is the smallest step whose upper bound is at most the target. A target
at which fewer than 30 of the counted comparisons remain is refused ("rule of 30"): beyond that the
tail is a guess, and a guess is not a threshold.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from identity.errors import CalibrationMismatch, CalibrationUnreadable, UnsupportedFalseMatchRate

RULE_OF_30 = 30
STEPS_PER_UNIT = 1000
_FOLDER = Path(__file__).with_name("calibrations")

StepCount = Annotated[int, Field(ge=0, le=2**53 - 1)]


class Calibration(BaseModel):
    """Counted scores of non-mated comparisons.

    `at_or_above[i]` counts comparisons with score >= (first_step + i) / 1000, and `upper_95[i]` is
    the upper bound of that count. Below the first step every comparison counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["countersight-calibration-1"]
    contract_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    comparison: Literal["cosine, one picture against one picture"]
    made_from: Annotated[str, Field(max_length=400)]
    made_with: Annotated[str, Field(max_length=200)]
    pictures: StepCount
    subjects: StepCount
    comparisons: Annotated[int, Field(ge=1)]
    first_step: int
    at_or_above: Annotated[tuple[StepCount, ...], Field(min_length=1, max_length=2001)]
    upper_95: Annotated[tuple[StepCount, ...], Field(min_length=1, max_length=2001)]

    @model_validator(mode="after")
    def _counts_fit_together(self) -> Calibration:
        if len(self.at_or_above) != len(self.upper_95):
            raise ValueError("at_or_above and upper_95 differ in length")
        for counts in (self.at_or_above, self.upper_95):
            if any(later > earlier for earlier, later in itertools.pairwise(counts)):
                raise ValueError("counts must not rise with the score")
        pairs = zip(self.at_or_above, self.upper_95, strict=True)
        if any(count > self.comparisons or bound < count for count, bound in pairs):
            raise ValueError("a bound is below its count, or a count above all comparisons")
        return self

    def require_contract(self, contract_id: str) -> None:
        """Raise CalibrationMismatch unless this calibration is of that embedding contract."""
        if self.contract_id != contract_id:
            raise CalibrationMismatch(self.contract_id, contract_id)

    def threshold(self, target: Decimal) -> float:
        """Return the smallest score whose upper-bounded false match rate is at most `target`.

        Raises UnsupportedFalseMatchRate when the data cannot show it.
        """
        allowed = math.floor(target * self.comparisons)
        # Counts fall with the score, so the first index whose bound is small enough is the answer.
        index = bisect.bisect_left(self.upper_95, -allowed, key=lambda bound: -bound)
        supported = index < len(self.upper_95) and self.at_or_above[index] >= RULE_OF_30
        if not 0 < target < 1 or not supported:
            raise UnsupportedFalseMatchRate(target, self.smallest_target())
        return (self.first_step + index) / STEPS_PER_UNIT

    def smallest_target(self) -> Decimal:
        """Return the smallest false match rate that this calibration supports."""
        return Decimal(self.upper_95[self._last_supported()]) / self.comparisons

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
        bound = self.upper_95[min(index, self._last_supported())]
        return max(0.0, -math.log10(bound / self.comparisons))

    def _last_supported(self) -> int:
        supported = [i for i, count in enumerate(self.at_or_above) if count >= RULE_OF_30]
        return supported[-1] if supported else 0


@dataclass(frozen=True, slots=True)
class LoadedCalibration:
    """A calibration with the SHA-256 of the file it was read from, and that file's content (None
    when it was not read from one)."""

    values: Calibration
    digest: str
    content: bytes | None = field(default=None, repr=False, compare=False)


def parse_calibration(content: bytes, source: str) -> LoadedCalibration:
    """Read a calibration. Raises CalibrationUnreadable."""
    try:
        values = Calibration.model_validate_json(content)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise CalibrationUnreadable(source, f"{where}: {first['msg']}") from exc
    return LoadedCalibration(values, hashlib.sha256(content).hexdigest(), content)


def load_calibration(contract_id: str, path: Path | None = None) -> LoadedCalibration:
    """Load the calibration of an embedding contract, by default the committed one.

    Raises CalibrationUnreadable or CalibrationMismatch.
    """
    place = path if path is not None else _FOLDER / f"{contract_id[:16]}.json"
    try:
        content = place.read_bytes()
    except OSError as exc:
        raise CalibrationUnreadable(str(place), exc.strerror or "it cannot be read") from exc
    loaded = parse_calibration(content, str(place))
    loaded.values.require_contract(contract_id)
    return loaded
