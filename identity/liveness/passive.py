"""What the passive models say of single pictures, when they are installed. One signal, no control.

Open passive models take photographs for living faces and the other way round; a low value only
makes the attempt grey and asks for a turn. Below the veto limit a turn does not help either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from identity.liveness.signals import About, Signal, at_least, not_assessed
from identity.looked import LookedFrame
from identity.policy import LivenessLimits
from models.values import Image

ABOUT = About(
    name="passive",
    unit="probability",
    source="mean of MiniFASNet V2 and V1SE (softmax index 1) over the compared frames",
    blind_to="good prints and screens, unlike light or cameras; it also suspects living people",
)

# The models want to see what is around a face. Of 100 photographs of living people they pass 94 %
# where the picture holds twice the face's box, 87 % at 1.5 times, 65 % at 1.1 times and none of 40
# others that the face fills (share of at least 0.5); with less than this nothing is asked.
LEAST_ROOM = 1.5

LiveProbability = Callable[[LookedFrame], float | None]


def asked(frames: Sequence[LookedFrame], used: Sequence[int]) -> tuple[int, ...]:
    """Return the frames that the models are asked about: the compared ones that leave room."""
    return tuple(index for index in used if frames[index].passive and _has_room(frames[index]))


def live_probability(
    model: Callable[[tuple[Image, ...]], float], frame: LookedFrame
) -> float | None:
    """Return the models' answer on one frame; None when no crops were kept of it."""
    return model(frame.passive) if frame.passive else None


def _has_room(frame: LookedFrame) -> bool:
    """Return whether the frame holds enough beside the face for the models to judge by."""
    (width, height), (_, _, face_width, face_height) = frame.frame_size, frame.face.box
    return width >= LEAST_ROOM * face_width and height >= LEAST_ROOM * face_height


def signal(
    frames: Sequence[LookedFrame],
    used: Sequence[int],
    limits: LivenessLimits,
    probability: LiveProbability | None,
) -> Signal:
    """Return the passive signal: the mean over the compared frames; not assessed without models."""
    limit = float(limits.min_live_probability)
    if probability is None:
        return not_assessed(ABOUT.name, limit)
    found = [probability(frames[index]) for index in asked(frames, used)]
    known = [value for value in found if value is not None]
    if not known or len(known) < len(used):
        return not_assessed(ABOUT.name, limit)
    return at_least(ABOUT.name, float(np.mean(known)), limit, "PASSIVE_SPOOF")
