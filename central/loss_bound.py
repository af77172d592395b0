"""What a sample says of the whole: an upper bound on the share that is lost.

Of `trials` samples drawn at random, `missing` were lost. With 95 % confidence no more than the
bound of all is lost (Clopper and Pearson 1934, one-sided): the share at which so few losses would
be seen in one of twenty such samples. Samples are drawn without replacement from what is finite,
which makes the truth a little better than the bound. No library does this in the standard one, so
the binomial tail is summed here, and tested against published values.
"""

from __future__ import annotations

from math import exp, lgamma, log, log1p

CONFIDENCE = 0.95
STEPS = 60  # halvings of the unit interval: past the precision of a float


def loss_bound(missing: int, trials: int) -> float:
    """Return the share (0 to 1) that is lost at most; 1.0 when nothing can be said."""
    if not 0 <= missing <= trials:
        raise ValueError(f"{missing} missing of {trials}")
    if missing == trials:
        return 1.0
    if missing == 0:
        return float(1 - (1 - CONFIDENCE) ** (1 / trials))
    low, high = missing / trials, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if at_most(missing, trials, middle) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def at_most(missing: int, trials: int, share: float) -> float:
    """Return the chance of at most `missing` losses in `trials`, when `share` is lost."""
    if share >= 1.0:
        return 0.0 if missing < trials else 1.0
    return sum(
        exp(
            lgamma(trials + 1) - lgamma(count + 1) - lgamma(trials - count + 1)
            + count * log(share) + (trials - count) * log1p(-share)
        )
        for count in range(missing + 1)
    )  # fmt: skip
