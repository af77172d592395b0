"""How well the shipped models and thresholds do on labelled pictures. Values in, a report out.

Comparisons that could not be made are failures to acquire and never count as non-matches; the
generalised rates put both together. A rate is only as good as the number of comparisons behind it:
`resolved` says whether a target allows even one false match, and every rate has its interval.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from identity.calibration import Calibration
from identity.errors import NothingCompared, UnsupportedFalseMatchRate
from identity.evaluate_capture import Captured, Taken
from identity.evaluate_protocol import Pair, Protocol
from identity.statistics import (
    Bools,
    Floats,
    Ints,
    People,
    Scored,
    accuracy_by_folds,
    best_threshold,
    equal_error_rate,
    error_versus_discard,
    point,
    random_folds,
    threshold_for,
)

TARGETS = (Decimal("1e-1"), Decimal("1e-2"), Decimal("1e-3"))
# Where the calibration's own thresholds are asked; those that it does not support are left out.
CALIBRATED = (Decimal("1e-3"), Decimal("1e-4"), Decimal("2e-5"))
DISCARD = tuple(step / 20 for step in range(11))
_SECOND = "second"

Json = dict[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """The comparisons that could be made, in the protocol's order."""

    scored: Scored
    pairs: tuple[Pair, ...]
    folds: Ints
    folds_are: str
    second: Floats | None
    quality: dict[str, Floats]


def compare(protocol: Protocol, captured: Captured) -> Compared:
    """Score every pair both of whose pictures gave a face.

    Raises NothingCompared when no mated or no non-mated comparison is left.
    """
    taken = captured.pictures
    made = [_is_made(taken[pair.left], taken[pair.right]) for pair in protocol.pairs]
    pairs = tuple(pair for pair, is_made in zip(protocol.pairs, made, strict=True) if is_made)
    mated = np.array([pair.mated for pair in pairs], dtype=np.bool_)
    if not mated.any() or mated.all():
        raise NothingCompared(sum(made), len(made))
    scored = Scored(
        _scores(pairs, taken, "first"),
        mated,
        np.array([protocol.person[pair.left] for pair in pairs], dtype=np.int64),
        np.array([protocol.person[pair.right] for pair in pairs], dtype=np.int64),
    )
    if protocol.folds is None:
        folds = random_folds(len(pairs))
        named = f"{len(np.unique(folds))} folds drawn with a seed"
    else:
        folds = protocol.folds[np.array(made)]
        named = f"the protocol's {len(np.unique(protocol.folds))} folds"
    has_second = taken[pairs[0].left].second is not None
    second = _scores(pairs, taken, _SECOND) if has_second else None
    return Compared(scored, pairs, folds, named, second, _qualities(pairs, taken))


def _is_made(left: Taken, right: Taken) -> bool:
    return left.embedding is not None and right.embedding is not None


def _scores(pairs: tuple[Pair, ...], taken: dict[str, Taken], which: str) -> Floats:
    def of(name: str) -> Floats:
        found = taken[name].second if which == _SECOND else taken[name].embedding
        return np.asarray(found, dtype=np.float64)

    return np.array([float(of(pair.left) @ of(pair.right)) for pair in pairs], dtype=np.float64)


def _qualities(pairs: tuple[Pair, ...], taken: dict[str, Taken]) -> dict[str, Floats]:
    """Return per measure the worse of each pair's two pictures; higher is better throughout."""
    names = list(taken[pairs[0].left].quality or {})

    def good(name: str, picture: str) -> float:
        return goodness(name, (taken[picture].quality or {})[name])

    return {
        name: np.array([min(good(name, pair.left), good(name, pair.right)) for pair in pairs])
        for name in names
    }


def goodness(name: str, value: float) -> float:
    """Return a measure's value turned so that higher is better; what is no number is the worst."""
    if not math.isfinite(value):
        return -math.inf
    if name.endswith("_degrees") or name.startswith(("off_centre", "size_share", "clipped")):
        return -abs(value)
    if name == "brightness":
        return -abs(value - 128.0)
    return value


def report(
    protocol: Protocol, captured: Captured, compared: Compared, calibration: Calibration | None
) -> Json:
    """Return what `identity evaluate` says; every number in it is finite or None."""
    scored, people = compared.scored, People(compared.scored)
    mean, error = accuracy_by_folds(scored, compared.folds)
    points = [_at_target(compared, protocol, people, target, calibration) for target in TARGETS]
    return {
        "protocol": protocol.kind,
        "pictures": len(captured.pictures),
        "people": len(np.unique(list(protocol.person.values()))),
        "mated": int(scored.mated.sum()),
        "non_mated": int((~scored.mated).sum()),
        **acquisition(protocol, captured, compared),
        "accuracy": round(mean, 6),
        "accuracy_standard_error": round(error, 6),
        "accuracy_by": f"best threshold of the others, over {compared.folds_are}",
        "best_threshold": round(best_threshold(scored.scores, scored.mated), 6),
        "equal_error_rate": round(equal_error_rate(scored), 6),
        "points": points,
        "calibrated": calibrated(scored, people, calibration),
        "interval": "95 %: the outer one of a seeded bootstrap over people and the exact binomial",
        "error_versus_discard": discard_curves(compared, float(str(points[-1]["threshold"]))),
        "timing_ms": timing(captured),
    }


def acquisition(protocol: Protocol, captured: Captured, compared: Compared) -> Json:
    """Return failures to acquire: by picture, by comparison, and why."""
    reasons = Counter(taken.reason for taken in captured.pictures.values() if taken.reason)
    return {
        "fta": round(sum(reasons.values()) / len(captured.pictures), 6),
        "fta_reasons": dict(sorted(reasons.items())),
        "fta_comparisons": round(1 - len(compared.pairs) / len(protocol.pairs), 6),
        "counter_answers": dict(sorted(captured.counter_answers.items())),
    }


def _at_target(
    compared: Compared,
    protocol: Protocol,
    people: People,
    target: Decimal,
    calibration: Calibration | None,
) -> Json:
    scored = compared.scored
    threshold = threshold_for(scored.impostor, float(target))
    return {
        "fmr_target": float(target),
        **_rates(scored, people, threshold),
        "gfrr": _generalised(protocol, compared, scored.scores >= threshold),
        "resolved": bool(float(target) * len(scored.impostor) >= 1),
        "calibrated_threshold": _supported(calibration, target),
    }


def _rates(scored: Scored, people: People, threshold: float) -> Json:
    found = point(scored, people, threshold)
    return {
        "threshold": round(threshold, 9),
        "fmr": round(found.fmr, 9),
        "fmr_ci": [round(value, 9) for value in found.fmr_ci],
        "fnmr": round(found.fnmr, 9),
        "fnmr_ci": [round(value, 9) for value in found.fnmr_ci],
    }


def _generalised(protocol: Protocol, compared: Compared, matched: Bools) -> float:
    """Return the share of all mated pairs that do not end in a match, for whatever reason."""
    asked = sum(pair.mated for pair in protocol.pairs)
    return round(1 - int((matched & compared.scored.mated).sum()) / asked, 9)


def calibrated(scored: Scored, people: People, calibration: Calibration | None) -> list[Json]:
    """Return both error rates at the thresholds that the calibration derives."""
    found: list[Json] = []
    for target in CALIBRATED:
        threshold = _supported(calibration, target)
        if threshold is not None:
            found.append({"fmr_target": float(target), **_rates(scored, people, threshold)})
    return found


def _supported(calibration: Calibration | None, target: Decimal) -> float | None:
    if calibration is None:
        return None
    try:
        return calibration.threshold(target)
    except UnsupportedFalseMatchRate:
        return None


def discard_curves(compared: Compared, threshold: float) -> dict[str, list[list[float]]]:
    """Return FNMR at a fixed threshold against the share of mated pairs discarded, per measure."""
    mated = compared.scored.mated
    failed = ~(compared.scored.scores[mated] >= threshold)
    curves = {}
    for name, quality in compared.quality.items():
        found = error_versus_discard(quality[mated], failed, DISCARD)
        curves[name] = [[round(share, 6), round(rate, 6)] for share, rate in dict(found).items()]
    return curves


def timing(captured: Captured) -> Json:
    """Return median and 95th percentile in milliseconds per step, and how often it was done."""
    return {
        step: {
            "median": round(float(np.median(spent)), 3),
            "p95": round(float(np.quantile(spent, 0.95)), 3),
            "count": len(spent),
        }
        for step, spent in captured.timing_ms.items()
    }
