"""Which face counts, and whether it is still the same one a moment later.

Exactly one face may be dominant: the largest, in the marked zone, at least twice as near as any
other. A comparable second face is an answer of its own, never a choice: a system that picks the
closest match of several faces lets a bystander pass.
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


def dominant(
    found: Sequence[FaceDetection], rules: Faces, frame_size: tuple[int, int] | None = None
) -> FaceDetection | str:
    """Return the one dominant face, or the reason code NO_FACE or MULTIPLE_FACES.

    With a `frame_size` (width, height; the counter's, not that of picture files) a face that has
    company must stand in the zone; smaller faces behind it are then passed over. A face that is
    alone is dominant wherever it is: whether it stands well is a matter of the quality gate.
    """
    counted = [face for face in found if face.inter_eye_px >= float(rules.ignore_below_px)]
    if not counted:
        return "NO_FACE"
    first, *others = sorted(counted, key=lambda face: face.inter_eye_px, reverse=True)
    comparable = float(rules.comparable_size_ratio) * first.inter_eye_px
    if others and others[0].inter_eye_px >= comparable:
        return "MULTIPLE_FACES"
    if others and frame_size is not None and not stands_in_zone(first, rules, frame_size):
        return "MULTIPLE_FACES"
    return first


def stands_in_zone(face: FaceDetection, rules: Faces, frame_size: tuple[int, int]) -> bool:
    """Return whether the middle of a face lies in the marked zone of a frame (width, height)."""
    middle = face.landmarks[[0, 1, 3, 4]].mean(axis=0)
    shares = np.abs(2 * middle / np.asarray(frame_size, dtype=np.float64) - 1)
    # Asked this way round, a middle that is not a number lies outside.
    return bool(shares[0] <= float(rules.zone_width) and shares[1] <= float(rules.zone_height))


def same_track(before: FaceDetection, after: FaceDetection, seconds: float) -> bool:
    """Return whether a face can be the earlier one, by where it is and how large."""
    eyes = before.inter_eye_px
    if eyes <= 0 or after.inter_eye_px <= 0:
        return False
    moved = float(np.linalg.norm(after.landmarks.mean(axis=0) - before.landmarks.mean(axis=0)))
    ratio = after.inter_eye_px / eyes
    reachable = (_JITTER + _FASTEST_PER_SECOND * seconds) * eyes
    return moved <= reachable and 1 / _SIZE_CHANGE <= ratio <= _SIZE_CHANGE
