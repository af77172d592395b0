"""The gate before a frame is embedded: at most one instruction, and a score to choose frames by.

Most errors at a counter are capture errors, so the gate answers with the one thing the person can
do. A measure that is not a number fails its check, because every check asks for what must hold.
"""

from __future__ import annotations

from collections.abc import Callable

from identity.policy import Faces, QualityLimits
from identity.quality.values import FaceQuality

_Check = Callable[[FaceQuality, QualityLimits], bool]

# In the order in which a person can mend them: each line is (reason code, what must hold).
GATE: tuple[tuple[str, _Check], ...] = (
    ("PARTLY_OUT_OF_FRAME", lambda q, p: q.inside_share >= float(p.min_inside_share)),
    ("FACE_TOO_SMALL", lambda q, p: q.inter_eye_px >= float(p.min_inter_eye_px)),
    ("FACE_TOO_LARGE", lambda q, p: q.size_share <= float(p.max_size_share)),
    ("TOO_DARK", lambda q, p: q.brightness >= float(p.min_brightness)),
    ("TOO_BRIGHT", lambda q, p: q.brightness <= float(p.max_brightness)),
    ("TOO_BRIGHT", lambda q, p: q.clipped_share <= float(p.max_clipped_share)),
    ("POSE", lambda q, p: abs(q.yaw_degrees) <= float(p.max_yaw_degrees)),
    ("POSE", lambda q, p: abs(q.pitch_degrees) <= float(p.max_pitch_degrees)),
    ("POSE", lambda q, p: abs(q.roll_degrees) <= float(p.max_roll_degrees)),
    ("EYES_COVERED", lambda q, p: q.eyes_visible >= float(p.min_eyes_visible)),
    ("MOUTH_COVERED", lambda q, p: q.nose_visible >= float(p.min_nose_visible)),
    ("MOUTH_COVERED", lambda q, p: q.mouth_visible >= float(p.min_mouth_visible)),
    ("UNEVEN_LIGHT", lambda q, p: q.light_balance >= float(p.min_light_balance)),
    ("BLURRED", lambda q, p: q.sharpness >= float(p.min_sharpness)),
    ("BLURRED", lambda q, p: q.detection_score >= float(p.min_detection_score)),
)


def instruction(
    quality: FaceQuality, limits: QualityLimits, zone: Faces | None = None
) -> str | None:
    """Return the reason code of the first failed measure, or None when the face may be embedded.

    With a `zone` (the counter's, not that of picture files) the face must also be in it.
    """
    if zone is not None and not in_zone(quality, zone):
        return "OFF_CENTRE"
    return next((code for code, holds in GATE if not holds(quality, limits)), None)


def in_zone(quality: FaceQuality, zone: Faces) -> bool:
    """Return whether the face is within the marked zone around the middle of the frame."""
    return quality.off_centre_x <= float(zone.zone_width) and quality.off_centre_y <= float(
        zone.zone_height
    )


def score(quality: FaceQuality) -> float:
    """Return how good a frame is among those of one attempt, from 0 (worst) to 1; 0 for no number.

    The product of sharpness, frontal pose and detection: a frame that is poor in one is poor. It
    only ranks frames that passed the gate; it is no probability and no limit rests on it.
    """
    if not quality.is_finite():
        return 0.0
    sharp = quality.sharpness / (quality.sharpness + 200.0)
    turned = max(abs(quality.yaw_degrees), abs(quality.pitch_degrees))
    frontal = max(0.0, 1.0 - turned / 45.0)
    return min(1.0, max(0.0, sharp * frontal * quality.detection_score))
