"""Is the motion more than that of one sheet? A print or a screen, however tilted, is one plane.

Dense flow between two frames is fitted with one homography; what that leaves unexplained is depth.
Five landmarks cannot tell a tilted photograph from a turning head; dense flow can. Paper can also
be bent, but only in one direction at a time, and a face is rounded in two with a nose in the
middle: so what a sheet bent across the best of twelve directions leaves unexplained must reach a
limit too. Without a turn there is nothing to tell a sheet from a face by: it speaks against a face
only when it was seen to tilt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from identity.liveness.signals import About, Signal, failed, not_assessed, passed
from identity.liveness.windows import (
    COLUMNS,
    EYES_PX,
    GRID,
    HEIGHT,
    ROWS,
    WIDTH,
    even,
    flow,
    nose_offsets,
)
from identity.looked import LookedFrame
from identity.policy import LivenessLimits
from models.opencv import cv2

ABOUT = About(
    name="planarity",
    unit="eye distances",
    source="median distance of dense flow from the best plane and the best bent sheet, three pairs",
    blind_to="a film of a turning head, a mask, paper pressed into the shape of a face",
)

# A flow vector counts when the way back ends within this many pixels of where it began.
_ROUND_TRIP_PX = 0.75
_LEAST_POINTS_SHARE = 0.35
_PAIRS = 3
_LEAST_NS_APART = 250_000_000
# Beyond the first turn (of the nose, in eye distances) too much of the face has gone out of sight
# for the flow to follow, so pairs nearest to it tell most. Where it is too much already, because
# this nose moves little, the second is tried.
FOLLOWABLE_TURNS = (0.15, 0.09)

Pair = tuple[int, int]
Points = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float64]

# The directions across which a sheet may be bent.
_BENDS = tuple(np.pi * step / 12 for step in range(12))
_TRACE = 1e-9
# A sheet speaks against a face when it was seen to tilt by this much, and what it leaves
# unexplained is small beside its tilt. A head that turns leaves as much as it tilts.
_LEAST_TILT, _SHEET_SHARE = 0.008, 0.4


@dataclass(frozen=True, slots=True)
class Depth:
    """What the flow between two frames says; medians, in eye distances.

    `residual` is the distance from the best plane, `sheet_residual` that from the best sheet of
    paper (bent in one direction), `tilt` how far the best plane itself is from a mere shift, roll
    and scaling.
    """

    residual: float
    sheet_residual: float
    tilt: float


Measure = Callable[[LookedFrame, LookedFrame], Depth | None]


def pairs(frames: Sequence[LookedFrame], turn: float = FOLLOWABLE_TURNS[0]) -> tuple[Pair, ...]:
    """Return the pairs of frames between which the head turned most nearly by `turn`."""
    if len(frames) < 2:
        return ()
    turned = nose_offsets(frames)
    at = np.array([frame.offset_ns for frame in frames], dtype=np.int64)
    earlier, later = np.triu_indices(len(frames), 1)
    apart = at[later] - at[earlier] >= _LEAST_NS_APART
    earlier, later = earlier[apart], later[apart]
    off = np.abs(np.abs(turned[earlier] - turned[later]) - turn)
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
    return _depth_of(start[trusted], end[trusted])


def _depth_of(start: Points, end: Points) -> Depth | None:
    """Measure flow vectors, given by their ends in pixels, (n, 2) each."""
    plane, _ = cv2.findHomography(start, end, 0)
    if plane is None or not np.isfinite(plane).all():
        return None
    explained = cv2.perspectiveTransform(start[None], plane)[0]
    places = (start - (WIDTH / 2, HEIGHT / 2)) / EYES_PX
    x, y = places.T
    left = ((end - explained) / EYES_PX).reshape(-1)
    moved = (explained / EYES_PX - places).reshape(-1)
    one, zero = np.ones_like(x), np.zeros_like(x)
    similar = _stacked([(one, zero), (zero, one), (x, y), (-y, x)])
    return Depth(
        residual=_median_length(left),
        sheet_residual=_sheet_residual(x, y, left),
        tilt=_median_length(_unexplained(similar, moved)),
    )


def _sheet_residual(x: Floats, y: Floats, left: Floats) -> float:
    """Return what the best bent sheet leaves of what the best plane left, of points (x, y).

    The sheet's height is a curve of the fourth degree across one direction; how a plane changes,
    to the first order, is taken out of both sides first.
    """
    one, zero = np.ones_like(x), np.zeros_like(x)
    plane = [(one, zero), (x, zero), (y, zero), (zero, one), (zero, x), (zero, y)]
    base = np.linalg.qr(_stacked([*plane, (x * x, x * y), (x * y, y * y)]))[0]
    target = left - base @ (base.T @ left)
    lengths = []
    for angle in _BENDS:
        across = x * np.cos(angle) + y * np.sin(angle)
        powers = [across**2, across**3, across**4]
        bent = _stacked([each for p in powers for each in ((p, zero), (zero, p))])
        lengths.append(_median_length(_unexplained(bent - base @ (base.T @ bent), target)))
    return min(lengths)


def _stacked(terms: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Return terms as columns, (2 n, terms): across and down of each point in turn."""
    columns = np.empty((2 * len(terms[0][0]), len(terms)))
    for number, (across, down) in enumerate(terms):
        columns[0::2, number], columns[1::2, number] = across, down
    return columns


def _unexplained(columns: Floats, values: Floats) -> Floats:
    """Return what least squares leave; a trace keeps columns that say the same from dividing by
    nothing."""
    square = columns.T @ columns + _TRACE * np.eye(columns.shape[1])
    return np.asarray(values - columns @ np.linalg.solve(square, columns.T @ values))


def _median_length(vectors: Floats) -> float:
    return float(np.median(np.linalg.norm(vectors.reshape(-1, 2), axis=1)))


def signal(
    frames: Sequence[LookedFrame], limits: LivenessLimits, measure: Measure = depth
) -> Signal:
    """Return the planarity signal of an attempt."""
    plane_limit, sheet_limit = float(limits.min_plane_residual), float(limits.min_sheet_residual)
    known = next(filter(None, (_most(frames, turn, measure) for turn in FOLLOWABLE_TURNS)), None)
    if known is None:
        return not_assessed(ABOUT.name, plane_limit)
    middle = _middle(known)
    if not (middle.residual >= plane_limit):
        return _short_of(plane_limit, middle.residual, middle)
    if not (middle.sheet_residual >= sheet_limit):
        return _short_of(sheet_limit, middle.sheet_residual, middle)
    return passed(ABOUT.name, middle.residual, plane_limit)


def is_flat(depth: Depth, limits: LivenessLimits) -> bool:
    """Return whether two frames show no more depth than a sheet of paper."""
    return not (
        depth.residual >= float(limits.min_plane_residual)
        and depth.sheet_residual >= float(limits.min_sheet_residual)
    )


def _most(frames: Sequence[LookedFrame], turn: float, measure: Measure) -> Sequence[Depth] | None:
    """Return what the pairs of a turn say, if most of them can be measured."""
    chosen = pairs(frames, turn)
    known = [d for d in (measure(frames[i], frames[j]) for i, j in chosen) if d is not None]
    return known if known and len(known) * 2 > len(chosen) else None


def _middle(known: Sequence[Depth]) -> Depth:
    return Depth(
        residual=float(np.median([each.residual for each in known])),
        sheet_residual=float(np.median([each.sheet_residual for each in known])),
        tilt=float(np.median([each.tilt for each in known])),
    )


def _short_of(limit: float, value: float, seen: Depth) -> Signal:
    """Return FAIL for a sheet that was seen to tilt; else a turn is missing and nothing is said."""
    if seen.tilt >= _LEAST_TILT and seen.sheet_residual < _SHEET_SHARE * seen.tilt:
        return failed(ABOUT.name, "PLANAR_MOTION", value, limit)
    return not_assessed(ABOUT.name, limit, value=value if np.isfinite(value) else None)
