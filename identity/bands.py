"""Which score an amount asks for: the bands of the policy as thresholds of one comparison.

The false match rate of a band is of a whole transaction. A transaction may compare several times,
so each comparison gets its share of the rate, and thresholds follow from the calibration alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from identity.calibration import LoadedCalibration
from identity.decision import Band, Standing
from identity.policy import IdentityPolicy


@dataclass(frozen=True, slots=True)
class BandThreshold:
    """What amounts up to `up_to` (yuan; None: any) ask for: the rate of a whole transaction and
    the score of one comparison that follows from it."""

    up_to: Decimal | None
    false_match_rate: Decimal
    threshold: float


def band_thresholds(
    policy: IdentityPolicy, calibration: LoadedCalibration, standing: Standing
) -> tuple[BandThreshold, ...]:
    """Return the bands, the least strict first. A stale reference has the strictest rate in each.

    Raises UnsupportedFalseMatchRate when the calibration cannot show a rate, and
    CalibrationOfMoreFrames when the policy fuses fewer frames than it is of.
    """
    calibration.values.require_frames(policy.matching.frames)
    stale = policy.matching.stale_false_match_rate
    rates = [
        (band.up_to, stale if standing == "stale" else band.false_match_rate)
        for band in policy.bands
    ]
    shares = policy.transaction.comparisons
    return tuple(
        BandThreshold(up_to, rate, calibration.values.threshold(rate / shares))
        for up_to, rate in rates
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """What scores mean for one attempt: the bands, which of them the amount asks for, the score
    from which on it may be the person (`grey`), and what a current reference would have needed."""

    bands: tuple[BandThreshold, ...]
    needed: BandThreshold
    grey: float
    needed_when_current: BandThreshold

    @classmethod
    def of(
        cls,
        policy: IdentityPolicy,
        calibration: LoadedCalibration,
        standing: Standing,
        amount: Decimal | None,
    ) -> Self:
        """Derive the scale. Raises what `band_thresholds` raises, and ValueError on an amount that
        is no number."""
        bands = band_thresholds(policy, calibration, standing)
        current = band_thresholds(policy, calibration, "current")
        grey = calibration.values.threshold(policy.matching.grey_false_match_rate)
        return cls(bands, _needed(bands, amount), grey, _needed(current, amount))

    def band(self, score: float) -> Band:
        """Return where a score lies; one that is not a number lies below."""
        if score >= self.needed.threshold:
            return "accept"
        return "grey" if score >= self.grey else "below"

    def reasons(self, score: float) -> tuple[str, ...]:
        """Return why a score does not do; () when it does."""
        band = self.band(score)
        if band == "accept":
            return ()
        if self.strictest_reached(score) is not None:
            return ("AMOUNT_TOO_HIGH",)
        if band == "below":
            return ("MISMATCH",)
        would_do = score >= self.needed_when_current.threshold
        return ("INCONCLUSIVE", "REFERENCE_STALE") if would_do else ("INCONCLUSIVE",)

    def strictest_reached(self, score: float) -> BandThreshold | None:
        """Return the strictest band whose threshold a score reaches, or None."""
        return next((band for band in reversed(self.bands) if score >= band.threshold), None)


def _needed(bands: Sequence[BandThreshold], amount: Decimal | None) -> BandThreshold:
    """Return the band that an amount asks for; without an amount the least strict, because the
    decision then says up to which amount it holds."""
    if amount is None:
        return bands[0]
    if not amount.is_finite():
        raise ValueError("the amount is no number")
    return next(band for band in bands if band.up_to is None or amount <= band.up_to)
