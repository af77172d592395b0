"""Pose from five landmarks: an estimate within some degrees, good enough for one instruction."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from identity.quality.values import View
from models.values import Landmarks

# The tip of the nose stands out from the plane of the eyes by about this share of their distance,
# and lies this far down between eyes and mouth in a frontal view. Both vary between people.
_NOSE_DEPTH = 0.55
_NOSE_SHARE = 0.54
_EYES_TO_MOUTH = 1.05


def nose_offset(landmarks: Landmarks) -> float:
    """Return how far the nose is from the middle of the eyes along their line, in eye distances."""
    across = landmarks[1] - landmarks[0]
    distance = float(np.linalg.norm(across))
    nose = landmarks[2] - (landmarks[0] + landmarks[1]) / 2
    return float(nose @ across) / distance**2 if distance > 0 else math.nan


def pose_degrees(landmarks: Landmarks) -> tuple[float, float]:
    """Estimate yaw and pitch in degrees from five landmarks."""
    across = landmarks[1] - landmarks[0]
    distance = float(np.linalg.norm(across))
    if distance <= 0:
        return math.nan, math.nan
    down = np.array([-across[1], across[0]]) / distance
    middle = (landmarks[0] + landmarks[1]) / 2
    mouth = float(((landmarks[3] + landmarks[4]) / 2 - middle) @ down)
    yaw = math.degrees(math.atan2(nose_offset(landmarks), _NOSE_DEPTH))
    if mouth <= 0:
        return yaw, math.nan
    share = float((landmarks[2] - middle) @ down) / mouth
    pitch = math.degrees(math.atan2((share - _NOSE_SHARE) * _EYES_TO_MOUTH, _NOSE_DEPTH))
    return yaw, pitch


class Yaw:
    """How far the head is turned; positive to the image's right."""

    name: ClassVar[str] = "yaw_degrees"
    unit: ClassVar[str] = "degrees"
    low: ClassVar[float] = -90.0
    high: ClassVar[float] = 90.0
    source: ClassVar[str] = "ISO/IEC 29794-5, head pose; from the nose as in Gee, Cipolla 1994"
    cannot_see: ClassVar[str] = "how far this person's nose stands out: an error of some degrees"

    def of(self, view: View) -> float:
        """Return the estimate in degrees."""
        return pose_degrees(view.face.landmarks)[0]


class Pitch:
    """How far the head is lowered; positive downwards."""

    name: ClassVar[str] = "pitch_degrees"
    unit: ClassVar[str] = "degrees"
    low: ClassVar[float] = -90.0
    high: ClassVar[float] = 90.0
    source: ClassVar[str] = Yaw.source
    cannot_see: ClassVar[str] = "how long this person's nose is, and an open mouth: several degrees"

    def of(self, view: View) -> float:
        """Return the estimate in degrees."""
        return pose_degrees(view.face.landmarks)[1]


class Roll:
    """How far the head leans to a shoulder; positive clockwise in the image."""

    name: ClassVar[str] = "roll_degrees"
    unit: ClassVar[str] = "degrees"
    low: ClassVar[float] = -180.0
    high: ClassVar[float] = 180.0
    source: ClassVar[str] = "ISO/IEC 29794-5, head pose; the line of the eyes"
    cannot_see: ClassVar[str] = "a camera that hangs askew: that looks the same"

    def of(self, view: View) -> float:
        """Return the angle of the line of the eyes in degrees."""
        across = view.face.landmarks[1] - view.face.landmarks[0]
        return math.degrees(math.atan2(float(across[1]), float(across[0])))
