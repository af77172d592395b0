"""The quality gate: one class per measure, one instruction at most, one score to rank frames by.

Nothing here knows whose face it is. `measure` takes the aligned crop that is embedded as well, so
a frame is aligned once.
"""

from __future__ import annotations

from identity.quality.covering import EyesVisible, MouthVisible, NoseVisible
from identity.quality.framing import (
    DetectionScore,
    InsideShare,
    InterEyeDistance,
    OffCentreX,
    OffCentreY,
    SizeShare,
)
from identity.quality.gate import GATE, in_zone, instruction, score
from identity.quality.light import Brightness, ClippedShare, LightBalance, Sharpness
from identity.quality.pose import Pitch, Roll, Yaw, nose_offset, pose_degrees
from identity.quality.values import FaceQuality, Measure, View
from models.values import FaceDetection, Image

__all__ = [
    "CROP_MEASURES",
    "GATE",
    "MEASURES",
    "UNITS",
    "FaceQuality",
    "Measure",
    "View",
    "in_zone",
    "instruction",
    "measure",
    "nose_offset",
    "pose_degrees",
    "score",
]

# In the order of FaceQuality's fields, which is the order of a receipt.
MEASURES: tuple[Measure, ...] = (
    DetectionScore(),
    InterEyeDistance(),
    Yaw(),
    Pitch(),
    Roll(),
    Sharpness(),
    Brightness(),
    ClippedShare(),
    LightBalance(),
    EyesVisible(),
    NoseVisible(),
    MouthVisible(),
    InsideShare(),
    SizeShare(),
    OffCentreX(),
    OffCentreY(),
)

# Those that need nothing but the aligned crop.
CROP_MEASURES: tuple[Measure, ...] = MEASURES[5:12]

UNITS: dict[str, str] = {each.name: each.unit for each in MEASURES}


def measure(aligned: Image, face: FaceDetection, frame_size: tuple[int, int]) -> FaceQuality:
    """Measure one face: its aligned crop (112, 112, 3) BGR, its detection in a frame of (w, h)."""
    view = View.of(aligned, face, frame_size)
    return FaceQuality(**{each.name: each.of(view) for each in MEASURES})
