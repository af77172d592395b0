"""Which score an amount asks for: the bands of the policy as thresholds of one comparison.

The false match rate of a band is of a whole transaction. A transaction may compare several times,
so each comparison gets its share of the rate, and thresholds follow from the calibration alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from identity.calibration import LoadedCalibration
from identity.decision import Standing
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

    Raises UnsupportedFalseMatchRate when the calibration cannot show a rate.
    """
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


def needed(bands: Sequence[BandThreshold], amount: Decimal | None) -> BandThreshold:
    """Return the band that an amount asks for; without an amount the least strict, because the
    decision then says up to which amount it holds."""
    if amount is None:
        return bands[0]
    return next(band for band in bands if band.up_to is None or amount <= band.up_to)


def strictest_reached(bands: Sequence[BandThreshold], score: float) -> BandThreshold | None:
    """Return the strictest band whose threshold a score reaches; None for none and for NaN."""
    return next((band for band in reversed(bands) if score >= band.threshold), None)
