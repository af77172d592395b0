"""Finding faces in the frames of a counter, cheaply, without losing sight of a second face.

The cost of a search grows with the area that is searched. So every look searches the *whole* frame
at a reduced size, for who is there at all, and then a region around the largest face at the frame's
own size (or less, when the face is near), for the landmarks that everything else rests on. Both
pictures have the same size, so that the network is never set up anew. The region follows the
reduced search; where that finds nobody, the region of the look before is searched once more, and
only without that the whole frame at full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.opencv import cv2
from models.values import Detector, FaceDetection, Image

# The longer side of both searches. Faces of 20 pixels between the eyes in a frame of 1280, the
# smallest that count, have 5 here, which is about the least the detector finds.
_SIDE = 320
# The region's height, in heights of the face's box.
_REGION_FACES = 2.2
# Two detections are one face when the middles of their landmarks are closer than this share of the
# distance of the eyes.
_SAME_FACE = 0.6


@dataclass(frozen=True, slots=True)
class _Region:
    left: int
    top: int
    width: int
    height: int


class FaceFinder:
    """Finds the faces of consecutive frames of one camera. Not shared between threads."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._last: FaceDetection | None = None

    def find(self, frame: Image) -> Sequence[FaceDetection]:
        """Return all faces of a BGR frame, largest first, in the frame's coordinates.

        Raises InferenceFailed, and what OpenCV raises on a frame that is none.
        """
        height, width = frame.shape[:2]
        if max(height, width) <= _SIDE:
            found = list(self._detector.detect(frame))
        else:
            found = self._in_two_searches(frame, _reduced(width, height))
        found.sort(key=lambda face: face.inter_eye_px, reverse=True)
        self._last = found[0] if found else None
        return found

    def _in_two_searches(self, frame: Image, size: tuple[int, int]) -> list[FaceDetection]:
        whole = _Region(0, 0, frame.shape[1], frame.shape[0])
        coarse = self._search(frame, whole, size)
        nearest = max(coarse, key=lambda face: face.inter_eye_px, default=self._last)
        if nearest is None:
            return list(self._detector.detect(frame))
        fine = self._search(frame, _around(nearest, whole, size), size)
        if not coarse and not fine:
            return list(self._detector.detect(frame))
        return [*fine, *(face for face in coarse if not any(_is_same(face, f) for f in fine))]

    def _search(self, frame: Image, region: _Region, size: tuple[int, int]) -> list[FaceDetection]:
        part = frame[
            region.top : region.top + region.height, region.left : region.left + region.width
        ]
        shrinks = region.width > size[0]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        small = np.asarray(cv2.resize(part, size, interpolation=how), dtype=np.uint8)
        scale = region.width / size[0], region.height / size[1]
        return [_placed(face, region, scale) for face in self._detector.detect(small)]


def _reduced(width: int, height: int) -> tuple[int, int]:
    share = _SIDE / max(width, height)
    return max(16, round(width * share)), max(16, round(height * share))


def _around(face: FaceDetection, whole: _Region, size: tuple[int, int]) -> _Region:
    """Return the region around a face, of the frame's shape and within the frame."""
    x, y, box_width, box_height = face.box
    high = max(_REGION_FACES * max(box_width, box_height), float(size[1]))
    height = int(min(whole.height, high))
    width = min(whole.width, round(height * whole.width / whole.height))
    left = round(x + box_width / 2 - width / 2)
    top = round(y + box_height / 2 - height / 2)
    return _Region(
        min(max(0, left), whole.width - width), min(max(0, top), whole.height - height),
        width, height,
    )  # fmt: skip


def _placed(face: FaceDetection, region: _Region, scale: tuple[float, float]) -> FaceDetection:
    x, y, width, height = face.box
    factor = np.array(scale, dtype=np.float32)
    landmarks = face.landmarks * factor + np.array([region.left, region.top], dtype=np.float32)
    box = (
        x * scale[0] + region.left, y * scale[1] + region.top,
        width * scale[0], height * scale[1],
    )  # fmt: skip
    return FaceDetection(box, landmarks.astype(np.float32), face.score)


def _is_same(one: FaceDetection, other: FaceDetection) -> bool:
    apart = float(np.linalg.norm(one.landmarks.mean(axis=0) - other.landmarks.mean(axis=0)))
    return apart < _SAME_FACE * max(one.inter_eye_px, other.inter_eye_px)
