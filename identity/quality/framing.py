"""Where the face is in the frame, how large, and how sure the detector was."""

from __future__ import annotations

import math
from typing import ClassVar

from identity.quality.values import View


class DetectionScore:
    """How sure the detector was that this is a face."""

    name: ClassVar[str] = "detection_score"
    unit: ClassVar[str] = "share"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    source: ClassVar[str] = "YuNet's own score"
    cannot_see: ClassVar[str] = "whose face it is; a printed or covered face scores high as well"

    def of(self, view: View) -> float:
        """Return the detector's score."""
        return view.face.score


class InterEyeDistance:
    """The distance between the eyes in the frame."""

    name: ClassVar[str] = "inter_eye_px"
    unit: ClassVar[str] = "px"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = math.inf
    source: ClassVar[str] = "ISO/IEC 29794-5, inter-eye distance"
    cannot_see: ClassVar[str] = "that pixels were made up by enlarging; a turned head shortens it"

    def of(self, view: View) -> float:
        """Return the distance between the eye landmarks."""
        return view.face.inter_eye_px


class InsideShare:
    """The share of the face's box that lies within the frame."""

    name: ClassVar[str] = "inside_share"
    unit: ClassVar[str] = "share"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    source: ClassVar[str] = "ISO/IEC 29794-5, margins of the face"
    cannot_see: ClassVar[str] = "a face cut off by something inside the frame"

    def of(self, view: View) -> float:
        """Return the share of the box inside."""
        x, y, width, height = view.face.box
        # Two sides that are hardly anything have no area that a float can hold.
        if min(width, height) <= 0 or width * height <= 0:
            return 0.0
        inside_x = max(0.0, min(x + width, view.frame_size[0]) - max(x, 0.0))
        inside_y = max(0.0, min(y + height, view.frame_size[1]) - max(y, 0.0))
        return float(inside_x * inside_y / (width * height))


class SizeShare:
    """How much of the frame the face fills: the larger share of its box in width or height."""

    name: ClassVar[str] = "size_share"
    unit: ClassVar[str] = "share"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = math.inf
    source: ClassVar[str] = "ISO/IEC 29794-5, head size"
    cannot_see: ClassVar[str] = "how far away the person is: a wide lens makes a near face small"

    def of(self, view: View) -> float:
        """Return the larger of box width / frame width and box height / frame height."""
        _, _, width, height = view.face.box
        return float(max(width / view.frame_size[0], height / view.frame_size[1]))


class OffCentreX:
    """How far the middle of the landmarks is from the middle of the frame, across."""

    name: ClassVar[str] = "off_centre_x"
    unit: ClassVar[str] = "share"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = math.inf
    source: ClassVar[str] = "ISO/IEC 29794-5, position of the face; the zone is our rule"
    cannot_see: ClassVar[str] = "where the person stands; it only sees where the face appears"

    def of(self, view: View) -> float:
        """Return the distance in half frame widths: 0 is the middle, 1 the edge."""
        half = view.frame_size[0] / 2
        return abs(float(view.face.landmarks[:, 0].mean()) - half) / half


class OffCentreY:
    """How far the middle of the landmarks is from the middle of the frame, up or down."""

    name: ClassVar[str] = "off_centre_y"
    unit: ClassVar[str] = "share"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = math.inf
    source: ClassVar[str] = OffCentreX.source
    cannot_see: ClassVar[str] = OffCentreX.cannot_see

    def of(self, view: View) -> float:
        """Return the distance in half frame heights: 0 is the middle, 1 the edge."""
        half = view.frame_size[1] / 2
        return abs(float(view.face.landmarks[:, 1].mean()) - half) / half
