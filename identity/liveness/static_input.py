"""Does anything move at all? A picture that keeps quite still is no person.

Rests on the flow between the fixed windows of the first frame and of the two frames whose
landmarks are furthest from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from identity.liveness.signals import About, Signal, at_least, not_assessed
from identity.liveness.windows import COLUMNS, EYES_PX, ROWS, flow
from identity.looked import LookedFrame
from identity.policy import LivenessLimits

ABOUT = About(
    name="motion",
    unit="eye distances",
    source="median dense flow of the face against the first frame",
    blind_to="anything that moves: a print in a hand, a video, a mask",
)

Shift = Callable[[LookedFrame, LookedFrame], float | None]


def furthest(frames: Sequence[LookedFrame]) -> tuple[int, ...]:
    """Return which frames to hold against the first one, by landmarks alone."""
    if len(frames) < 2:
        return ()
    first = frames[0].face.landmarks
    shifts = [float(np.abs(frame.face.landmarks - first).mean()) for frame in frames]
    return tuple(int(index) for index in np.argsort(shifts, kind="stable")[-2:] if index > 0)


def shift(first: LookedFrame, later: LookedFrame) -> float | None:
    """Return how far the face moved within the picture, in eye distances; None without windows."""
    if first.anchored is None or later.anchored is None:
        return None
    moved = flow(first.anchored, later.anchored)[ROWS, COLUMNS]
    return float(np.median(np.linalg.norm(moved, axis=1))) / EYES_PX


def signal(frames: Sequence[LookedFrame], limits: LivenessLimits, shift: Shift = shift) -> Signal:
    """Return the motion signal of an attempt."""
    limit = float(limits.min_motion)
    found = [shift(frames[0], frames[index]) for index in furthest(frames)]
    known = [value for value in found if value is not None]
    if not known:
        return not_assessed(ABOUT.name, limit)
    return at_least(ABOUT.name, max(known), limit, "STATIC_INPUT")
