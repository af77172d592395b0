"""Is the motion more than that of one plane? A print or a screen, however tilted, is one plane.

Dense flow between two frames is fitted with one homography; what that leaves unexplained is depth.
Five landmarks cannot tell a tilted photograph from a turning head; dense flow can. Without a turn
there is nothing to tell them apart by: a plane speaks against a face only when it was seen to tilt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from identity.liveness.signals import About, Signal, at_least, not_assessed
from identity.liveness.windows import COLUMNS, EYES_PX, GRID, ROWS, even, flow, nose_offset
from identity.looked import LookedFrame
from identity.policy import LivenessLimits
from models.opencv import cv2

ABOUT = About(
    name="planarity",
    unit="eye distances",
    source="median distance of dense flow from the best single homography, over three pairs",
    blind_to="a video of a turning head, a mask, a print bent while it turns",
)

# A flow vector counts when the way back ends within this many pixels of where it began.
_ROUND_TRIP_PX = 0.75
_LEAST_POINTS_SHARE = 0.35
_PAIRS = 3
_LEAST_NS_APART = 250_000_000
# Beyond this turn (of the nose, in eye distances) too much of the face has gone out of sight for
# the flow to follow; pairs that turned less are then more telling.
FOLLOWABLE_TURN = 0.15

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Depth:
    """What two frames say: `residual` the median distance from one plane, in eye distances."""

    residual: float


Measure = Callable[[LookedFrame, LookedFrame], Depth | None]


def pairs(frames: Sequence[LookedFrame]) -> tuple[Pair, ...]:
    """Return the pairs of frames between which the head turned most, yet flow can follow."""
    if len(frames) < 2:
        return ()
    turned = np.array([nose_offset(frame.face.landmarks) for frame in frames])
    at = np.array([frame.offset_ns for frame in frames], dtype=np.int64)
    earlier, later = np.triu_indices(len(frames), 1)
    apart = at[later] - at[earlier] >= _LEAST_NS_APART
    earlier, later = earlier[apart], later[apart]
    off = np.abs(np.abs(turned[earlier] - turned[later]) - FOLLOWABLE_TURN)
    best = np.lexsort((later, earlier, off))[:_PAIRS]
    return tuple((int(earlier[k]), int(later[k])) for k in best if np.isfinite(off[k]))


def depth(before: LookedFrame, after: LookedFrame) -> Depth | None:
    """Measure two frames; None without windows, or when too little of the flow can be trusted."""
    if before.window is None or after.window is None:
        return None
    a, b = even(before.window), even(after.window)
    forth, back = flow(a, b), flow(b, a)
    start = GRID.astype(np.float64)
    moved = forth[ROWS, COLUMNS].astype(np.float64)
    end = start + moved
    where = end.astype(np.float32)
    returned = cv2.remap(back, where[:, 0], where[:, 1], cv2.INTER_LINEAR).reshape(-1, 2)
    trusted = np.linalg.norm(moved + returned, axis=1) < _ROUND_TRIP_PX
    if trusted.sum() < _LEAST_POINTS_SHARE * len(start):
        return None
    plane, _ = cv2.findHomography(start[trusted], end[trusted], 0)
    if plane is None:
        return None
    explained = cv2.perspectiveTransform(start[trusted][None], plane)[0]
    off = np.linalg.norm(explained - end[trusted], axis=1)
    return Depth(residual=float(np.median(off)) / EYES_PX)


def signal(
    frames: Sequence[LookedFrame], limits: LivenessLimits, measure: Measure = depth
) -> Signal:
    """Return the planarity signal of an attempt."""
    limit = float(limits.min_plane_residual)
    chosen = pairs(frames)
    known = [d for d in (measure(frames[i], frames[j]) for i, j in chosen) if d is not None]
    if not known or len(known) * 2 <= len(chosen):
        return not_assessed(ABOUT.name, limit)
    value = float(np.median([each.residual for each in known]))
    return at_least(ABOUT.name, value, limit, "PLANAR_MOTION")
