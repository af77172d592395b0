"""The two small grey windows that are kept of every looked-at frame.

Both are cut at a fixed scale (64 pixels between the eyes), so that every length measured in them
is a share of the eye distance. Flow between them is dense (DIS); local contrast is made even
first where the way of light must not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from identity.looked import Grey, LookedFrame
from models.opencv import cv2
from models.values import FaceDetection, Image, Landmarks

EYES_PX = 64.0
WIDTH, HEIGHT = 176, 208
_GRID_STEP = 6
# The region: an ellipse around the middle of the face that leaves out hair, neck and backdrop.
_HALF_WIDTH, _HALF_HEIGHT = 0.8, 1.0

Flow = npt.NDArray[np.float32]


def take(pixels: Image, face: FaceDetection, anchor: FaceDetection) -> tuple[Grey, Grey]:
    """Cut both windows, (208, 176) grey uint8, out of a BGR frame.

    The first follows `face`; the second stays where `anchor`, the face of the attempt's first
    frame, was.
    """
    return _cut(pixels, face.landmarks), _cut(pixels, anchor.landmarks)


def nose_offsets(frames: Sequence[LookedFrame]) -> npt.NDArray[np.float64]:
    """Return how far each frame's nose is from the middle of the eyes along their line, (n,), in
    eye distances.

    Positive to the image's right; not a number when the eyes coincide.
    """
    if not frames:
        return np.empty(0)
    points = np.stack([frame.face.landmarks for frame in frames]).astype(np.float64)
    across = points[:, 1] - points[:, 0]
    nose = points[:, 2] - (points[:, 0] + points[:, 1]) / 2
    squared = np.sum(across * across, axis=1)
    apart = np.where(squared > 0, squared, np.nan)
    return np.asarray(np.sum(nose * across, axis=1) / apart, dtype=np.float64)


def even(window: Grey) -> Grey:
    """Make local contrast even, so that glare that wanders over a print is not motion."""
    values = window.astype(np.float32)
    centred = values - cv2.GaussianBlur(values, (0, 0), 8)
    spread = np.sqrt(cv2.GaussianBlur(centred**2, (0, 0), 8)) + 6
    return np.asarray(np.clip(128 + 40 * centred / spread, 0, 255), dtype=np.uint8)


def flow(before: Grey, after: Grey) -> Flow:
    """Return the dense flow (208, 176, 2) from one window to another, in pixels."""
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    found = estimator.calc(before, after, None)  # type: ignore[call-overload]
    return np.asarray(found, dtype=np.float32)


def _cut(pixels: Image, landmarks: Landmarks) -> Grey:
    scale = EYES_PX / max(float(np.linalg.norm(landmarks[1] - landmarks[0])), 1e-6)
    middle = landmarks[[0, 1, 3, 4]].mean(axis=0)
    matrix = np.array(
        [
            [scale, 0.0, WIDTH / 2 - scale * middle[0]],
            [0.0, scale, HEIGHT / 2 - scale * middle[1]],
        ]
    )
    window = cv2.warpAffine(pixels, matrix, (WIDTH, HEIGHT))
    return np.asarray(cv2.cvtColor(window, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def _grid() -> npt.NDArray[np.int64]:
    rows, columns = np.mgrid[0:HEIGHT:_GRID_STEP, 0:WIDTH:_GRID_STEP]
    across = (columns - WIDTH / 2) / (_HALF_WIDTH * EYES_PX)
    down = (rows - HEIGHT / 2) / (_HALF_HEIGHT * EYES_PX)
    inside = across**2 + down**2 <= 1
    return np.stack([columns[inside], rows[inside]], axis=1).astype(np.int64)


GRID = _grid()
"""The points (x, y) of a window at which flow is read, (n, 2)."""

COLUMNS, ROWS = GRID[:, 0], GRID[:, 1]
