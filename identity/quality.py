"""The first quality gate: a few measures of one face, and at most one instruction.

Most errors at a counter are capture errors, so the gate answers with the one thing the person can
do. Pose comes from five landmarks and is an estimate within some degrees; sharpness is measured on
the aligned 112x112 crop, so it does not depend on how large the face is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from insightface.utils import face_align

from identity.policy import QualityLimits
from models.opencv import cv2
from models.values import FaceDetection, Image, Landmarks

# The tip of the nose stands out from the plane of the eyes by about this share of their distance,
# and lies this far down between eyes and mouth in a frontal view. Both vary between people.
_NOSE_DEPTH = 0.55
_NOSE_SHARE = 0.54
_EYES_TO_MOUTH = 1.05


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """The measures of one face.

    Degrees are positive to the image's right and downwards; sharpness is the variance of the
    Laplacian (grey levels squared) and brightness the mean grey level (0..255) of the aligned
    crop; `inside_share` is the share of the face's box that lies within the frame.
    """

    detection_score: float
    inter_eye_px: float
    yaw_degrees: float
    pitch_degrees: float
    sharpness: float
    brightness: float
    inside_share: float

    def is_finite(self) -> bool:
        """Return whether every measure is a number."""
        return all(math.isfinite(getattr(self, item.name)) for item in fields(self))


UNITS = {
    "detection_score": "share",
    "inter_eye_px": "px",
    "yaw_degrees": "degrees",
    "pitch_degrees": "degrees",
    "sharpness": "grey2",
    "brightness": "grey",
    "inside_share": "share",
}


def measure(image: Image, face: FaceDetection) -> FaceQuality:
    """Measure one face in a BGR picture."""
    grey = cv2.cvtColor(face_align.norm_crop(image, face.landmarks), cv2.COLOR_BGR2GRAY)
    yaw, pitch = pose_degrees(face.landmarks)
    return FaceQuality(
        detection_score=face.score,
        inter_eye_px=face.inter_eye_px,
        yaw_degrees=yaw,
        pitch_degrees=pitch,
        sharpness=float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        brightness=float(grey[20:105, 20:92].mean()),
        inside_share=_inside_share(image, face),
    )


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


def _inside_share(image: Image, face: FaceDetection) -> float:
    x, y, width, height = face.box
    if width <= 0 or height <= 0:
        return 0.0
    inside_x = max(0.0, min(x + width, image.shape[1]) - max(x, 0.0))
    inside_y = max(0.0, min(y + height, image.shape[0]) - max(y, 0.0))
    return float(inside_x * inside_y / (width * height))


_Check = Callable[[FaceQuality, QualityLimits], bool]

# In the order in which a person can mend them: each line is (reason code, what must hold).
GATE: tuple[tuple[str, _Check], ...] = (
    ("PARTLY_OUT_OF_FRAME", lambda q, p: q.inside_share >= float(p.min_inside_share)),
    ("FACE_TOO_SMALL", lambda q, p: q.inter_eye_px >= float(p.min_inter_eye_px)),
    ("TOO_DARK", lambda q, p: q.brightness >= float(p.min_brightness)),
    ("TOO_BRIGHT", lambda q, p: q.brightness <= float(p.max_brightness)),
    ("POSE", lambda q, p: abs(q.yaw_degrees) <= float(p.max_yaw_degrees)),
    ("POSE", lambda q, p: abs(q.pitch_degrees) <= float(p.max_pitch_degrees)),
    ("BLURRED", lambda q, p: q.sharpness >= float(p.min_sharpness)),
    ("BLURRED", lambda q, p: q.detection_score >= float(p.min_detection_score)),
)


def instruction(quality: FaceQuality, limits: QualityLimits) -> str | None:
    """Return the reason code of the first failed measure, or None when the face may be embedded.

    A measure that is not a number fails its check, because every check asks for what must hold.
    """
    return next((code for code, holds in GATE if not holds(quality, limits)), None)
