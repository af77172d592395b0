"""Would a second model help? Two scores fused honestly, for measuring only.

Each model's scores are standardised and the weight of the second is chosen on other folds than the
one that is judged, so no comparison has a say in the numbers that judge it. The difference to the
first model alone is resampled over the same people; without an interval that leaves out zero, the
answer is "not shown to be better".
"""

from __future__ import annotations

import numpy as np

from identity.evaluate import TARGETS, Compared, Json
from identity.statistics import Bools, Floats, People, Scored, accuracy_by_folds, threshold_for

_WEIGHTS = tuple(step / 10 for step in range(11))
# The rate at which weights are chosen: a fold holds too few comparisons for a rarer one.
_CHOSEN_AT = 1e-2


def fused_scores(compared: Compared, second: Floats) -> tuple[Floats, list[float]]:
    """Return a fused score per comparison, and the weight that each fold was judged with."""
    fused = np.empty(len(second))
    weights = []
    for number in np.unique(compared.folds):
        held_out = compared.folds == number
        first = _standardised(compared.scored.scores, compared.scored.mated, ~held_out)
        other = _standardised(second, compared.scored.mated, ~held_out)
        weight = _chosen(first[~held_out], other[~held_out], compared.scored.mated[~held_out])
        fused[held_out] = _mixed(first[held_out], other[held_out], weight)
        weights.append(weight)
    return fused, weights


def _standardised(scores: Floats, mated: Bools, known: Bools) -> Floats:
    """Scale so that the known non-mated scores have mean 0 and deviation 1."""
    impostor = scores[known & ~mated]
    return np.asarray((scores - impostor.mean()) / max(float(impostor.std()), 1e-9))


def _mixed(first: Floats, second: Floats, weight: float) -> Floats:
    """Return the weighted mean, scaled back to deviation 1 were the two independent."""
    length = float(np.hypot(1 - weight, weight))
    return np.asarray(((1 - weight) * first + weight * second) / length)


def _chosen(first: Floats, second: Floats, mated: Bools) -> float:
    """Return the weight with the fewest non-matches; of equals the one that separates best."""

    def judged(weight: float) -> tuple[float, float]:
        mixed = _mixed(first, second, weight)
        genuine, impostor = mixed[mated], mixed[~mated]
        missed = float((genuine < threshold_for(impostor, _CHOSEN_AT)).mean())
        spread = float(np.sqrt((genuine.var() + impostor.var()) / 2))
        return missed, -float(genuine.mean() - impostor.mean()) / max(spread, 1e-9)

    return min(_WEIGHTS, key=judged)


def fusion_report(compared: Compared, second: Floats) -> Json:
    """Return accuracy and FNMR of both models and of their fusion, with the differences."""
    fused, weights = fused_scores(compared, second)
    people = People(compared.scored)
    kinds = {"first": compared.scored.scores, "second": second, "fused": fused}
    found: Json = {
        "weights_of_second": weights,
        "weights_by": f"other folds ({compared.folds_are}), at FMR {_CHOSEN_AT:g}",
        "accuracy": {
            name: round(accuracy_by_folds(_with(compared.scored, scores), compared.folds)[0], 6)
            for name, scores in kinds.items()
        },
    }
    rows: list[Json] = []
    for target in TARGETS:
        missed = {name: _missed(compared.scored, s, float(target)) for name, s in kinds.items()}
        mated = compared.scored.mated
        low, high = people.difference(mated, missed["fused"], missed["first"])
        rows.append(
            {
                "fmr_target": float(target),
                **{f"fnmr_{name}": round(float(m[mated].mean()), 9) for name, m in missed.items()},
                "fused_minus_first_ci": [round(low, 9), round(high, 9)],
                "better": bool(high < 0),
            }
        )
    return found | {"points": rows}


def _with(scored: Scored, scores: Floats) -> Scored:
    return Scored(scores, scored.mated, scored.left, scored.right)


def _missed(scored: Scored, scores: Floats, target: float) -> Bools:
    return np.asarray(scores < threshold_for(scores[~scored.mated], target))
