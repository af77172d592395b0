"""Whether eyes and mouth can be seen, judged from the aligned crop without a model.

An eye and a mouth are darker than the skin around them and full of horizontal edges. What covers
them (sunglasses, a mask, a dressing) takes those edges away. Both measures are ratios against the
person's own cheeks, so that the colour of the skin and the strength of the light cancel out.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from identity.quality.values import Grey, View
from models.opencv import cv2

_EYES = ((slice(44, 60), slice(28, 49)), (slice(44, 60), slice(63, 84)))
_MOUTH = (slice(84, 102), slice(40, 73))
_CHEEKS = ((slice(62, 80), slice(26, 44)), (slice(62, 80), slice(68, 86)))


class EyesVisible:
    """Edges across the less visible eye, against those of the cheeks."""

    name: ClassVar[str] = "eyes_visible"
    unit: ClassVar[str] = "ratio"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = math.inf
    source: ClassVar[str] = "ISO/IEC 29794-5, eyes visible; our own measure"
    cannot_see: ClassVar[str] = "clear lenses that mirror; closed eyes, whose lid line is an edge"

    def of(self, view: View) -> float:
        """Return the ratio of the mean edge strength of the weaker eye to that of the cheeks."""
        edges = _edges(view.grey)
        return min(float(edges[place].mean()) for place in _EYES) / _skin(edges)


class MouthVisible:
    """Edges across the mouth, against those of the cheeks."""

    name: ClassVar[str] = "mouth_visible"
    unit: ClassVar[str] = "ratio"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = math.inf
    source: ClassVar[str] = "ISO/IEC 29794-5, mouth visible; our own measure"
    cannot_see: ClassVar[str] = "a mask with a printed mouth; a beard, which has edges of its own"

    def of(self, view: View) -> float:
        """Return the ratio of the mean edge strength of the mouth to that of the cheeks."""
        edges = _edges(view.grey)
        return float(edges[_MOUTH].mean()) / _skin(edges)


def _edges(grey: Grey) -> Grey:
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    return np.abs(np.asarray(cv2.Sobel(smooth, cv2.CV_32F, 0, 1)))


def _skin(edges: Grey) -> float:
    # One grey level is added so that perfectly even skin is no division by zero.
    return float(np.mean([edges[place].mean() for place in _CHEEKS])) + 1.0
