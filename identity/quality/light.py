"""Sharpness and light, measured on the aligned crop."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from identity.quality.values import Grey, View
from models.opencv import cv2

# The face without hair, neck and backdrop, in the aligned crop (rows, columns).
_FACE = (slice(20, 105), slice(20, 92))
# Two patches of cheek, beside the nose and as far from the middle as each other.
_CHEEK_ROWS = slice(62, 84)
_CHEEK_COLUMNS = (slice(28, 46), slice(66, 84))
_BLACK, _WHITE = 4, 251
# Below this brightness noise would be raised along with the edges.
_MIDDLE, _DARKEST = 128.0, 40.0


class Sharpness:
    """The variance of the Laplacian, brought to a brightness of 128.

    A darker picture of the same face has weaker edges. Without the factor, pictures of dark skin
    were called blurred 2.6 times as often as those of light skin (docs/design/evaluation.md).
    """

    name: ClassVar[str] = "sharpness"
    unit: ClassVar[str] = "grey2"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = math.inf
    source: ClassVar[str] = "ISO/IEC 29794-5, sharpness; Pech-Pacheco 2000"
    cannot_see: ClassVar[str] = "noise, which looks sharp; smooth young skin, which looks soft"

    def of(self, view: View) -> float:
        """Return the variance over the crop in grey levels squared."""
        level = max(float(view.grey[_FACE].mean()), _DARKEST)
        return float(cv2.Laplacian(view.grey, cv2.CV_64F).var()) * _MIDDLE / level


class Brightness:
    """The mean grey level of the face."""

    name: ClassVar[str] = "brightness"
    unit: ClassVar[str] = "grey"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 255.0
    source: ClassVar[str] = "ISO/IEC 29794-5, luminance mean"
    cannot_see: ClassVar[str] = "whether the light or the skin is dark, so its limits are wide"

    def of(self, view: View) -> float:
        """Return the mean grey level, 0 to 255."""
        return float(view.grey[_FACE].mean())


class ClippedShare:
    """The share of the face that is black or burnt out, where nothing can be seen any more."""

    name: ClassVar[str] = "clipped_share"
    unit: ClassVar[str] = "share"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    source: ClassVar[str] = "ISO/IEC 29794-5, under- and over-exposure prevention"
    cannot_see: ClassVar[str] = "parts that a camera clipped and a later step made grey again"

    def of(self, view: View) -> float:
        """Return the share of pixels at either end of the scale."""
        face = view.grey[_FACE]
        return float(((face <= _BLACK) | (face >= _WHITE)).mean())


class LightBalance:
    """How evenly the two cheeks are lit."""

    name: ClassVar[str] = "light_balance"
    unit: ClassVar[str] = "share"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    source: ClassVar[str] = "ISO/IEC 29794-5, illumination uniformity; a ratio, so skin cancels out"
    cannot_see: ClassVar[str] = "light from above or below; a dressing on one cheek looks the same"

    def of(self, view: View) -> float:
        """Return the darker cheek's grey level as a share of the brighter one's."""
        sides = [_level(view.grey, columns) for columns in _CHEEK_COLUMNS]
        return min(sides) / max(sides)


def _level(grey: Grey, columns: slice) -> float:
    # One grey level is added so that a black patch is dark and not a division by zero.
    return float(np.median(grey[_CHEEK_ROWS, columns])) + 1.0
