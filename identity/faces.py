"""Which face counts, and whether it is still the same one a moment later.

Exactly one face may be dominant. A comparable second face is an answer of its own, never a choice:
a system that picks the closest match of several faces lets a bystander pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from identity.policy import Faces
from models.values import FaceDetection

# Between two looks a face moves by at most this many eye distances a second, plus some jitter.
_FASTEST_PER_SECOND = 4.0
_JITTER = 0.35
_SIZE_CHANGE = 1.5


def dominant(found: Sequence[FaceDetection], rules: Faces) -> FaceDetection | str:
    """Return the one dominant face, or the reason code NO_FACE or MULTIPLE_FACES."""
    counted = [face for face in found if face.inter_eye_px >= float(rules.ignore_below_px)]
    if not counted:
        return "NO_FACE"
    by_size = sorted(counted, key=lambda face: face.inter_eye_px, reverse=True)
    comparable = float(rules.comparable_size_ratio) * by_size[0].inter_eye_px
    if len(by_size) > 1 and by_size[1].inter_eye_px >= comparable:
        return "MULTIPLE_FACES"
    return by_size[0]


def same_track(before: FaceDetection, after: FaceDetection, seconds: float) -> bool:
    """Return whether a face can be the earlier one, by where it is and how large."""
    eyes = before.inter_eye_px
    if eyes <= 0 or after.inter_eye_px <= 0:
        return False
    moved = float(np.linalg.norm(after.landmarks.mean(axis=0) - before.landmarks.mean(axis=0)))
    ratio = after.inter_eye_px / eyes
    reachable = (_JITTER + _FASTEST_PER_SECOND * seconds) * eyes
    return moved <= reachable and 1 / _SIZE_CHANGE <= ratio <= _SIZE_CHANGE
