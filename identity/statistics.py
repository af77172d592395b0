"""Error rates of comparisons with intervals that one can defend. Values in, values out.

A score at or above the threshold is a match. Comparisons share people, so a bound that counts them
as if they were independent is too narrow: intervals here come from resampling *people*, and are
never narrower than the exact binomial ones, which speak up where no error was seen at all. All
resampling is seeded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Interval = tuple[float, float]

RESAMPLES = 2000
SEED = 20240601
_TAIL = 0.025
# Resamples are weighed in parts of this many numbers, so that large protocols fit in memory.
_CELLS = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Comparisons with their scores; `left` and `right` are numbers of people."""

    scores: Floats
    mated: Bools
    left: Ints
    right: Ints

    @property
    def genuine(self) -> Floats:
        """Return the scores of the mated comparisons."""
        return self.scores[self.mated]

    @property
    def impostor(self) -> Floats:
        """Return the scores of the non-mated comparisons."""
        return self.scores[~self.mated]

    def only(self, wanted: Bools | Ints) -> Scored:
        """Return a part of the comparisons."""
        return Scored(
            self.scores[wanted], self.mated[wanted], self.left[wanted], self.right[wanted]
        )


@dataclass(frozen=True, slots=True)
class Point:
    """Both error rates at one threshold, each with a 95 % interval; NaN without comparisons."""

    threshold: float
    fmr: float
    fmr_ci: Interval
    fnmr: float
    fnmr_ci: Interval


def threshold_for(impostor: Floats, target: float) -> float:
    """Return the smallest threshold whose share of impostor scores at or above is at most `target`.

    Raises ValueError without scores.
    """
    if not len(impostor):
        raise ValueError("there is no non-mated comparison")
    allowed = math.floor(target * len(impostor) + 1e-9)
    falling = np.sort(impostor)[::-1]
    if allowed >= len(falling):
        return float(falling[-1])
    return float(np.nextafter(falling[allowed], np.inf))


def det(scored: Scored) -> tuple[Floats, Floats, Floats]:
    """Return thresholds with the false match and the false non-match rate at each, rising."""
    thresholds = np.unique(scored.scores)
    genuine, impostor = np.sort(scored.genuine), np.sort(scored.impostor)
    fmr = 1 - np.searchsorted(impostor, thresholds, side="left") / max(1, len(impostor))
    fnmr = np.searchsorted(genuine, thresholds, side="left") / max(1, len(genuine))
    return thresholds, np.asarray(fmr), np.asarray(fnmr)


def equal_error_rate(scored: Scored) -> float:
    """Return the rate at which both errors are nearest to each other."""
    _, fmr, fnmr = det(scored)
    nearest = int(np.argmin(np.abs(fmr - fnmr)))
    return float((fmr[nearest] + fnmr[nearest]) / 2)


class People:
    """Seeded resamples of the people in a set of comparisons, drawn once for all questions."""

    def __init__(self, scored: Scored, *, resamples: int = RESAMPLES, seed: int = SEED) -> None:
        numbers = np.concatenate([scored.left, scored.right])
        count = int(numbers.max()) + 1 if len(numbers) else 0
        present = np.unique(numbers)
        random = np.random.default_rng(seed)
        self._scored = scored
        # How often each person was drawn: small numbers, of as many people as a protocol has.
        self._times = np.zeros((resamples, count), dtype=np.uint16)
        for row in self._times:
            drawn = present[random.integers(0, len(present), len(present))]
            row[:] = np.bincount(drawn, minlength=count)

    def weights(self, wanted: Bools, rows: slice = slice(None)) -> Floats:
        """Return how often each wanted comparison occurs in each resample (resamples, wanted).

        A mated comparison comes with its person. A non-mated one needs both, as often as they
        meet; a person drawn twice is not compared with the own copy.
        """
        left, right = self._scored.left[wanted], self._scored.right[wanted]
        mated = self._scored.mated[wanted]
        times = self._times[rows]
        met = times[:, left] * np.where(mated, 1.0, times[:, right])
        return np.asarray(met, dtype=np.float64)

    def interval(self, wanted: Bools, errors: Bools) -> Interval:
        """Return the 95 % interval of the share of `errors` among the wanted comparisons.

        The outer one of the resampled and the exact binomial interval; (0, 1) without comparisons.
        """
        count = int(wanted.sum())
        if count == 0:
            return 0.0, 1.0
        low, high = clopper_pearson(int(errors[wanted].sum()), count)
        rates = self._rates(wanted, errors[wanted].astype(np.float64))
        if len(rates):
            low = min(low, float(np.quantile(rates, _TAIL)))
            high = max(high, float(np.quantile(rates, 1 - _TAIL)))
        return low, high

    def difference(self, wanted: Bools, ours: Bools, theirs: Bools) -> Interval:
        """Return the 95 % interval of share(ours) - share(theirs) over the same resamples."""
        apart = self._rates(wanted, ours[wanted].astype(np.float64) - theirs[wanted])
        if not len(apart):
            return -1.0, 1.0
        return float(np.quantile(apart, _TAIL)), float(np.quantile(apart, 1 - _TAIL))

    def _rates(self, wanted: Bools, errors: Floats) -> Floats:
        """Return the weighted mean of `errors` in each resample that has a comparison at all."""
        rows = max(1, _CELLS // max(1, int(wanted.sum())))
        found = []
        for start in range(0, len(self._times), rows):
            weights = self.weights(wanted, slice(start, start + rows))
            totals = weights.sum(axis=1)
            drawn = totals > 0
            found.append(weights[drawn] @ errors / totals[drawn])
        return np.concatenate(found)


def point(scored: Scored, people: People, threshold: float) -> Point:
    """Return both error rates at a threshold, with their intervals at that fixed threshold."""
    matched = scored.scores >= threshold
    non_mated = ~scored.mated
    return Point(
        threshold=threshold,
        fmr=_share(matched, non_mated),
        fmr_ci=people.interval(non_mated, matched),
        fnmr=_share(~matched, scored.mated),
        fnmr_ci=people.interval(scored.mated, ~matched),
    )


def _share(errors: Bools, wanted: Bools) -> float:
    return float(errors[wanted].mean()) if wanted.any() else math.nan


def best_threshold(scores: Floats, mated: Bools) -> float:
    """Return a threshold at which most comparisons are judged right (the lowest of equals).

    It lies halfway between two scores that occur, so that it says as little as possible about
    which comparisons it was found on.
    """
    order = np.argsort(scores, kind="stable")
    rising, genuine = scores[order], mated[order]
    # At threshold rising[i] the scores before i are non-matches and the rest are matches.
    right = np.concatenate([[0], np.cumsum(~genuine)])[:-1] + np.cumsum(genuine[::-1])[::-1]
    # Equal scores share one threshold: only the first of a run is one.
    first = np.concatenate([[True], rising[1:] > rising[:-1]])
    best = int(np.argmax(np.where(first, right, -1)))
    return float(rising[best] if best == 0 else (rising[best - 1] + rising[best]) / 2)


def accuracy_by_folds(scored: Scored, folds: Ints) -> tuple[float, float]:
    """Return the mean accuracy over folds and its standard error.

    Each fold is judged at the threshold that is best on all the others, as LFW's protocol asks.
    Raises ValueError on fewer than two folds.
    """
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise ValueError("there are fewer than two folds")
    found = []
    for number in numbers:
        held_out = folds == number
        threshold = best_threshold(scored.scores[~held_out], scored.mated[~held_out])
        right = (scored.scores[held_out] >= threshold) == scored.mated[held_out]
        found.append(float(right.mean()))
    return float(np.mean(found)), float(np.std(found, ddof=1) / math.sqrt(len(found)))


def random_folds(count: int, folds: int = 10, seed: int = SEED) -> Ints:
    """Return a seeded fold number for each comparison, of as equal sizes as possible."""
    numbers = np.arange(count, dtype=np.int64) % max(1, min(folds, count))
    return np.asarray(np.random.default_rng(seed).permutation(numbers), dtype=np.int64)


def error_versus_discard(
    quality: Floats, errors: Bools, shares: Sequence[float]
) -> list[tuple[float, float]]:
    """Return (share discarded, error rate of the rest), the lowest quality discarded first.

    Comparisons of equal quality are discarded together or not at all, so the share that is
    returned may be smaller than the one asked for. The quality of a comparison is the worse of its
    two pictures'.
    """
    order = np.argsort(quality, kind="stable")
    rising, failed = quality[order], errors[order]
    found = []
    for share in shares:
        at = min(len(rising) - 1, math.floor(share * len(rising)))
        kept_from = int(np.searchsorted(rising, rising[at], side="left"))
        found.append((kept_from / len(rising), float(failed[kept_from:].mean())))
    return found


def clopper_pearson(errors: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the exact interval of a binomial rate. Raises ValueError on impossible counts."""
    if not 0 <= errors <= trials or trials == 0:
        raise ValueError(f"{errors} of {trials} is no count of errors")
    tail, right = (1 - confidence) / 2, trials - errors
    low = float(betaincinv(errors, right + 1, tail)) if errors else 0.0
    high = float(betaincinv(errors + 1, right, 1 - tail)) if right else 1.0
    return low, high
