"""Whether eyes, nose and mouth can be seen, judged from the aligned crop without a model.

In the aligned crop these parts are where they must be. An eye has lids, iris and white, a nose
has nostrils, a mouth has the line between the lips: dark beside bright within a few pixels. What
covers them (dark glasses, a dressing, a mask, a hand) is even. Each measure is a contrast in the
sense of Michelson, (bright - dark) / (bright + dark), so the strength of the light and the colour
of the skin cancel out. They are heuristics: how often they are right is in
docs/design/evaluation.md, and a limit of zero switches each of them off.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from identity.quality.values import Grey, View
from models.opencv import cv2

Floats = npt.NDArray[np.float64]

# Rows and columns of the aligned crop.
_EYES = ((slice(47, 58), slice(29, 48)), (slice(46, 57), slice(65, 84)))
_NOSE = (slice(66, 80), slice(44, 69))
_MOUTH = (slice(82, 104), slice(42, 71))
# A few grey levels below the sum, so that noise in a black patch is no contrast.
_NOISE = 10.0


class EyesVisible:
    """The contrast in the less visible eye."""

    name: ClassVar[str] = "eyes_visible"
    unit: ClassVar[str] = "ratio"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    source: ClassVar[str] = "ISO/IEC 29794-5, eyes visible; our own measure"
    cannot_see: ClassVar[str] = "dark glasses that mirror something: that is contrast too"

    def of(self, view: View) -> float:
        """Return the contrast of the eye that has less of it."""
        smooth = _smooth(view.grey)
        return min(float(_contrast(smooth[eye].reshape(-1), 0.1, 0.9)) for eye in _EYES)


class NoseVisible:
    """The contrast around the tip of the nose and the nostrils."""

    name: ClassVar[str] = "nose_visible"
    unit: ClassVar[str] = "ratio"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    source: ClassVar[str] = "ISO/IEC 29794-5, face occlusion prevention; our own measure"
    cannot_see: ClassVar[str] = "a patterned or folded cloth; a dressing that leaves the nostrils"

    def of(self, view: View) -> float:
        """Return the contrast."""
        return float(_contrast(_smooth(view.grey)[_NOSE].reshape(-1), 0.05, 0.95))


class MouthVisible:
    """The contrast from above the upper lip to below the lower one, in the median column."""

    name: ClassVar[str] = "mouth_visible"
    unit: ClassVar[str] = "ratio"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    source: ClassVar[str] = "ISO/IEC 29794-5, mouth occlusion prevention; our own measure"
    cannot_see: ClassVar[str] = "a mask with a printed mouth or sharp folds; a beard has contrast"

    def of(self, view: View) -> float:
        """Return the contrast; the median, so that one crease or one shadow does not decide."""
        return float(np.median(_contrast(_smooth(view.grey)[_MOUTH], 0.1, 0.9)))


def _smooth(grey: Grey) -> Grey:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), dtype=np.uint8)


def _contrast(grey: Grey, low: float, high: float) -> Floats:
    """Return the contrast between two quantiles of the grey levels of each column."""
    rising = np.sort(grey, axis=0).astype(np.float64)
    dark, bright = (rising[round(share * (len(rising) - 1))] for share in (low, high))
    return np.asarray((bright - dark) / (bright + dark + _NOISE))
