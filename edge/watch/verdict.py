"""Is this picture usable? One picture, measured, against what the camera usually shows. Pure.

The conditions in the order in which they are asked, each with the measure that decides and its
limit. A picture that fails one is not asked the next: black is not also out of focus. A condition
that is open is left only beyond a margin, so that a value on the limit does not flicker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge.watch.baseline import ALIKE, LEAST_STEADY_CELLS, Baseline
from edge.watch.measures import LEAST_ENERGY, Floats, Mask, Picture, by_cell, likeness
from edge.watch.shown import Condition

BLACK_LIGHT = 20.0
"""The brightest twentieth of a black picture is darker than this, in grey levels of 255."""
SAME_PICTURE = 0.05
"""A repeated picture that the encoder treats alike comes out the same to the last grey level."""
STOPPED, NO_MORE_THAN_CODING = 2.5, 6.0
"""Coded differently it is not quite the same: then it counts that what changes in every picture of
this camera (its clock) has stopped, and that nowhere is more change than coding makes."""
LEAST_STRUCTURED = 0.04
IN_PLACE = 0.25
"""Mean likeness of the steady cells, strong ones counting more. On three drawn scenes somebody who
fills seven tenths of the picture's width left 0.37 or more; a turn by 8 % of the width left 0.00
(docs/design/watch.md)."""
NEARLY_SAME, STILL_SEEN = 0.9, 0.04
WEAKEST_LINES = 0.3
FLAT = 0.6
IN_FOCUS = 0.3
MARGIN = 1.4
MOST_ALIKE = 0.5
ENERGY_LEFT = 0.05
MOST_WEIGHT = 9.0
"""A name that is written over the picture has the strongest lines of all, and never moves."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a picture is, and the measure that says so with its value and limit."""

    condition: Condition
    measure: str
    value: float
    limit: float


CLEAR = Verdict("clear", "in_place", 1.0, IN_PLACE)


def judge(
    picture: Picture,
    changed: Floats | None,
    baseline: Baseline | None,
    standing: Condition = "clear",
) -> Verdict:
    """Return what one picture is.

    `changed` is by block against the picture before it, None for the first; `standing` is the
    condition that is open, whose limit is wider by MARGIN.
    """

    def limit_of(condition: Condition, limit: float) -> float:
        return limit * MARGIN if standing == condition else limit

    # (1) no light
    limit = limit_of("black", BLACK_LIGHT)
    if picture.light < limit:
        return Verdict("black", "light", picture.light, limit)
    # (2) the same picture again
    repeated = None if changed is None else _repeated(changed, baseline, limit_of)
    if repeated is not None:
        return repeated
    # (3) nothing to see, whatever was there before
    limit = limit_of("covered", LEAST_STRUCTURED)
    if picture.structured < limit and (baseline is None or not baseline.tells):
        return Verdict("covered", "structured", picture.structured, limit)
    if baseline is None or not baseline.tells:
        return CLEAR
    return _against(picture, baseline, standing)


def _repeated(
    changed: Floats, baseline: Baseline | None, limit_of: Callable[[Condition, float], float]
) -> Verdict | None:
    most = float(changed.max())
    if most <= SAME_PICTURE:
        return Verdict("frozen", "change", most, SAME_PICTURE)
    if baseline is None or not baseline.lively.any():
        return None
    limit = limit_of("frozen", STOPPED)
    lively = float(changed[baseline.lively].max())
    if lively <= limit and most <= limit_of("frozen", NO_MORE_THAN_CODING):
        return Verdict("frozen", "lively_change", lively, limit)
    return None


def _against(picture: Picture, baseline: Baseline, standing: Condition) -> Verdict:
    """Compare with the usual view, in the cells that are always the same."""
    cells = baseline.cells
    fine = likeness(picture.fine, baseline.usual.fine)[cells] > ALIKE
    coarse = likeness(picture.coarse, baseline.usual.coarse)[cells] > ALIKE
    in_place, still_seen = _in_place(picture, baseline, cells)
    sharpness = _sharpness(picture, baseline, cells, fine | coarse)
    # (4) what is there is where it was, but its fine lines are gone
    limit = IN_FOCUS * (MARGIN if standing == "out_of_focus" else 1)
    whole = in_place >= IN_PLACE or float(coarse.mean()) >= MOST_ALIKE
    if whole and sharpness < limit:
        return Verdict("out_of_focus", "sharpness", sharpness, limit)
    # (5) the scene is not where it was: something flat hides it, or another one is seen
    limit = IN_PLACE * (MARGIN if standing in ("covered", "moved") else 1)
    if in_place >= limit:
        return Verdict("clear", "in_place", in_place, limit)
    least = np.maximum(LEAST_ENERGY, ENERGY_LEFT * baseline.energy[cells])
    lost = (picture.energy[cells] < least)[~fine]
    if lost.size and float(lost.mean()) >= FLAT:
        return Verdict("covered", "in_place", in_place, limit)
    # (6) somebody stands right before it: what is left to see of the scene is exactly where it was
    if still_seen >= STILL_SEEN:
        return Verdict("clear", "in_place", in_place, limit)
    return Verdict("moved", "in_place", in_place, limit)


def _in_place(picture: Picture, baseline: Baseline, cells: Mask) -> tuple[float, float]:
    """Return how alike the steady cells are, strong ones counting more, and which share of them is
    nearly the same.

    Upright and level lines are asked apart, and the worse answer counts: a camera that is panned
    along its shelves keeps the level ones in place.
    """
    answers: list[tuple[float, float]] = []
    usual = baseline.usual.fine
    strengths = [by_cell(usual[axis] ** 2) for axis in (0, 1)]
    for axis, strength in enumerate(strengths):
        told = cells & (strength > WEAKEST_LINES)
        if told.sum() < LEAST_STEADY_CELLS:
            continue
        alike = likeness(picture.fine[axis : axis + 1], usual[axis : axis + 1])[told]
        found = strength[told]
        weight = np.sqrt(np.minimum(found, MOST_WEIGHT * np.median(found)))
        mean = float((alike * weight).sum() / weight.sum())
        answers.append((max(0.0, mean), float((alike > NEARLY_SAME).mean())))
    return min(answers, default=(1.0, 1.0))


def _sharpness(
    picture: Picture,
    baseline: Baseline,
    cells: Mask,
    matching: Mask,
) -> float:
    """Return how sharp the matching cells are against their usual sharpness; 1 when none match.

    Fine lines over coarse ones, so that less light or contrast alone changes nothing.
    """
    if not matching.any():
        return 1.0
    now = (picture.detail / np.maximum(picture.energy, 1e-3))[cells][matching]
    usual = (baseline.detail / np.maximum(baseline.energy, 1e-3))[cells][matching]
    return float(np.median(now / np.maximum(usual, 1e-6)))
