"""Liveness from motion alone: does anything move, and is the motion more than that of one plane?

Two signals over the frames of an attempt. *Motion*: the face region must move at all. *Plane
residual*: dense optical flow between two frames is fitted with one homography; a printed photograph
or a screen, however tilted, is explained by it, a turning head is not. Five landmarks cannot tell
the two apart; dense flow can.

These signals stop the simplest attacks and no others. A bent or cut print, a mask, a face video on
a curved display and an injected stream can pass. They are no presentation attack detection in the
sense of ISO/IEC 30107-3, and no certification is claimed. What cannot be computed counts as not
assessed, and not assessed is never accepted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from identity.liveness.signals import Signal, Verdict
from identity.policy import LivenessLimits
from identity.quality import nose_offset
from models.opencv import cv2
from models.values import Image, Landmarks

Grey = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

# Frames are compared at a fixed scale: this many pixels between the eyes, in this window.
_EYES_PX = 64.0
_WIDTH, _HEIGHT = 176, 208
_GRID_STEP = 6
# The region: an ellipse around the middle of the face that leaves out hair, neck and backdrop.
_HALF_WIDTH, _HALF_HEIGHT = 0.8, 1.0
# A flow vector counts when the way back ends within this many pixels of where it began.
_ROUND_TRIP_PX = 0.75
_LEAST_POINTS_SHARE = 0.35
_PAIRS = 3
_LEAST_SECONDS_APART = 0.25
# Beyond this turn (of the nose, in eye distances) too much of the face has gone out of sight for
# the flow to follow; pairs that turned less are then more telling.
_FOLLOWABLE_TURN = 0.15


@dataclass(frozen=True, slots=True, eq=False)
class MotionSample:
    """What is kept of one looked-at frame: two small grey windows, landmarks, nanoseconds.

    `window` follows the face; `anchored` stays where the face was in the track's first frame.
    """

    window: Grey
    anchored: Grey
    landmarks: Landmarks
    monotonic_ns: int


def take_sample(
    pixels: Image, landmarks: Landmarks, monotonic_ns: int, anchor: Landmarks
) -> MotionSample:
    """Cut both windows out of a BGR frame; `anchor` are the landmarks of the first frame."""
    return MotionSample(_cut(pixels, landmarks), _cut(pixels, anchor), landmarks, monotonic_ns)


def assess(samples: Sequence[MotionSample], limits: LivenessLimits) -> tuple[Signal, Signal]:
    """Return the motion signal and the plane signal of an attempt."""
    pairs = telling_pairs(samples)
    return (
        _judged("motion", motion(samples), float(limits.min_motion), "STATIC_INPUT"),
        _judged(
            "plane_residual",
            _median([plane_residual(samples[i], samples[j]) for i, j in pairs]),
            float(limits.min_plane_residual),
            "PLANAR_MOTION",
        ),
    )


def _judged(name: str, value: float | None, limit: float, reason: str) -> Signal:
    if value is None or not math.isfinite(value):
        return Signal(name, Verdict.NOT_ASSESSED, None, limit, "LIVENESS_NOT_ASSESSED")
    if value >= limit:
        return Signal(name, Verdict.PASS, value, limit, None)
    return Signal(name, Verdict.FAIL, value, limit, reason)


def telling_pairs(samples: Sequence[MotionSample]) -> list[tuple[int, int]]:
    """Return the pairs of frames between which the head turned most, yet flow can follow."""
    turned = [nose_offset(sample.landmarks) for sample in samples]
    apart = _LEAST_SECONDS_APART * 1e9
    candidates = [
        (-abs(abs(turned[i] - turned[j]) - _FOLLOWABLE_TURN), i, j)
        for j in range(len(samples))
        for i in range(j)
        if samples[j].monotonic_ns - samples[i].monotonic_ns >= apart
    ]
    return [(i, j) for _, i, j in sorted(candidates, reverse=True)[:_PAIRS]]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) * 2 > len(values) else None


def motion(samples: Sequence[MotionSample]) -> float | None:
    """Return how far the face moved within the picture at most, in eye distances.

    Measured by flow in one fixed window between the first frame and the two whose landmarks are
    furthest from it; None with fewer than two frames.
    """
    if len(samples) < 2:
        return None
    first = samples[0]
    shifts = [float(np.abs(s.landmarks - first.landmarks).mean()) for s in samples]
    furthest = np.argsort(shifts)[-2:]
    flows = [_flow(first.anchored, samples[i].anchored) for i in furthest]
    return max(
        float(np.median(np.linalg.norm(flow[_ROWS, _COLUMNS], axis=1))) / _EYES_PX for flow in flows
    )


def plane_residual(before: MotionSample, after: MotionSample) -> float | None:
    """Return the median distance of the flow from the best single homography, in eye distances.

    None when too little of the flow can be trusted.
    """
    a, b = _even(before.window), _even(after.window)
    forth, back = _flow(a, b), _flow(b, a)
    start = _GRID.astype(np.float64)
    moved = forth[_ROWS, _COLUMNS].astype(np.float64)
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
    return float(np.median(np.linalg.norm(explained - end[trusted], axis=1))) / _EYES_PX


def _cut(pixels: Image, landmarks: Landmarks) -> Grey:
    """Return the fixed-scale window around the face, in grey."""
    scale = _EYES_PX / max(float(np.linalg.norm(landmarks[1] - landmarks[0])), 1e-6)
    middle = landmarks[[0, 1, 3, 4]].mean(axis=0)
    matrix = np.array(
        [
            [scale, 0.0, _WIDTH / 2 - scale * middle[0]],
            [0.0, scale, _HEIGHT / 2 - scale * middle[1]],
        ]
    )
    window = cv2.warpAffine(pixels, matrix, (_WIDTH, _HEIGHT))
    return np.asarray(cv2.cvtColor(window, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def _even(window: Grey) -> Grey:
    """Make local contrast even, so that glare that wanders over a print is not motion."""
    values = window.astype(np.float32)
    centred = values - cv2.GaussianBlur(values, (0, 0), 8)
    spread = np.sqrt(cv2.GaussianBlur(centred**2, (0, 0), 8)) + 6
    return np.asarray(np.clip(128 + 40 * centred / spread, 0, 255), dtype=np.uint8)


def _flow(before: Grey, after: Grey) -> Points:
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = estimator.calc(before, after, None)  # type: ignore[call-overload]
    return np.asarray(flow)


def _grid() -> npt.NDArray[np.int64]:
    rows, columns = np.mgrid[0:_HEIGHT:_GRID_STEP, 0:_WIDTH:_GRID_STEP]
    across = (columns - _WIDTH / 2) / (_HALF_WIDTH * _EYES_PX)
    down = (rows - _HEIGHT / 2) / (_HALF_HEIGHT * _EYES_PX)
    inside = across**2 + down**2 <= 1
    return np.stack([columns[inside], rows[inside]], axis=1).astype(np.int64)


_GRID = _grid()
_COLUMNS, _ROWS = _GRID[:, 0], _GRID[:, 1]
