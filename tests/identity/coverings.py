"""Coverings drawn on aligned crops by code: masks, dark glasses, a dressing, a hand.

Flat drawings with the light of the picture below, so they are easier to see than real ones; a
measure that misses these is of no use, one that sees them is not thereby good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from models.opencv import cv2
from models.values import Image

_EYES = ((38.3, 51.7), (73.5, 51.5))
_MASK = ((14, 66), (56, 60), (98, 66), (96, 95), (80, 111), (56, 112), (32, 111), (16, 95))


def _covered(crop: Image, outline: Sequence[tuple[float, float]], colour: Sequence[float]) -> Image:
    points = [np.round(np.array(outline) * 16).astype(np.int32)]
    where = cv2.fillPoly(np.zeros(crop.shape[:2], np.uint8), points, 255, cv2.LINE_AA, 4)
    share = cv2.GaussianBlur(where, (0, 0), 0.7)[:, :, None] / 255.0
    below = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), (0, 0), 10)
    light = (below / max(float(below.mean()), 1.0))[:, :, None]
    grain = np.random.default_rng(0).normal(0, 3, crop.shape[:2])[:, :, None]
    filled = np.array(colour, dtype=np.float64) * (0.75 + 0.25 * light) + grain
    return np.clip(crop * (1 - share) + filled * share, 0, 255).astype(np.uint8)


def _skin(crop: Image) -> list[float]:
    return [float(value) for value in np.median(crop[62:80, 26:44].reshape(-1, 3), axis=0)]


def _folded(crop: Image) -> Image:
    mask = _covered(crop, _MASK, (200, 170, 120))
    for row in (76, 86, 96):
        cv2.line(mask, (20, row), (92, row), (160, 136, 96), 1, cv2.LINE_AA)
    return mask


def _dark_glasses(crop: Image) -> Image:
    angles = np.linspace(0, 2 * np.pi, 24)
    for x, y in _EYES:
        outline = [(x + 15 * np.cos(a), y + 2 + 10 * np.sin(a)) for a in angles]
        crop = _covered(crop, outline, (20, 20, 20))
    return crop


EYES: dict[str, Callable[[Image], Image]] = {
    "dark glasses": _dark_glasses,
    "dressing over one eye": lambda crop: _covered(
        crop, ((22, 40), (54, 40), (54, 64), (22, 64)), (225, 232, 235)
    ),
}
MOUTH: dict[str, Callable[[Image], Image]] = {
    "surgical mask with folds": _folded,
    "white mask": lambda crop: _covered(crop, _MASK, (225, 225, 225)),
    "black mask": lambda crop: _covered(crop, _MASK, (35, 35, 35)),
    "mask of the skin's colour": lambda crop: _covered(crop, _MASK, _skin(crop)),
    "hand before the mouth": lambda crop: _covered(
        crop, ((25, 80), (87, 80), (87, 108), (25, 108)), [0.95 * value for value in _skin(crop)]
    ),
}
