"""What a quality measure is, and the values of all measures of one face.

A measure is a small class that says its name, unit and range, where the idea comes from and what
it cannot see. It looks at one `View`: the aligned crop, the detection and the size of the frame.
It never looks at another frame and never keeps anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from models.opencv import cv2
from models.values import FaceDetection, Image

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """The measures of one face; units and ranges are those of the classes in MEASURES.

    Degrees are positive to the image's right and downwards. Everything about light, sharpness and
    covering is measured on the aligned 112x112 crop, so it does not depend on the face's size.
    """

    detection_score: float
    inter_eye_px: float
    yaw_degrees: float
    pitch_degrees: float
    roll_degrees: float
    sharpness: float
    brightness: float
    clipped_share: float
    light_balance: float
    eyes_visible: float
    nose_visible: float
    mouth_visible: float
    inside_share: float
    size_share: float
    off_centre_x: float
    off_centre_y: float

    def is_finite(self) -> bool:
        """Return whether every measure is a number."""
        return all(math.isfinite(getattr(self, item.name)) for item in fields(self))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One face to measure: crop (112, 112, 3) BGR and its grey, detection, frame size (w, h)."""

    aligned: Image
    grey: Grey
    face: FaceDetection
    frame_size: tuple[int, int]

    @classmethod
    def of(cls, aligned: Image, face: FaceDetection, frame_size: tuple[int, int]) -> View:
        """Return the view of an aligned crop."""
        grey = np.asarray(cv2.cvtColor(aligned, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        return cls(aligned, grey, face, frame_size)


class Measure(Protocol):
    """One quality measure; `low` and `high` bound what `of` returns (NaN when not measurable)."""

    name: ClassVar[str]
    unit: ClassVar[str]
    low: ClassVar[float]
    high: ClassVar[float]
    source: ClassVar[str]
    cannot_see: ClassVar[str]

    def of(self, view: View) -> float:
        """Return the value for one face."""
