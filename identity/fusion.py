"""Which frames of one attempt are compared, and how their scores become one.

The best `frames` by quality are taken, never the best by score: choosing by score would give a
stranger as many chances as there are frames. They lie apart in time, because neighbours show the
same picture twice. The fused score is the mean of the single ones, and is not renormalised, which
could only raise it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame that passed the quality gate: its index in the track, when, and how good (0..1)."""

    index: int
    offset_ns: int
    score: float


def best(candidates: Sequence[Candidate], frames: int, apart_ns: int) -> tuple[int, ...]:
    """Return the indexes of at most `frames` frames, best first chosen, rising.

    No two are closer than `apart_ns`. Of equals the earlier is taken, so that the same candidates
    always give the same choice.
    """
    chosen = list[Candidate]()
    for each in sorted(candidates, key=lambda one: (-one.score, one.offset_ns)):
        if len(chosen) == frames:
            break
        if all(abs(each.offset_ns - other.offset_ns) >= apart_ns for other in chosen):
            chosen.append(each)
    return tuple(sorted(each.index for each in chosen))


def fused(scores: Sequence[float]) -> float:
    """Return the score of an attempt: the mean. Raises ValueError without a score."""
    if not scores:
        raise ValueError("there is no score")
    return float(np.mean(scores))
