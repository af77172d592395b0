"""Looking at one frame: cutting out of it everything that may be kept of a face."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from identity.liveness.windows import take
from identity.looked import LookedFrame
from models.values import FaceDetection, Image


def look_at(
    pixels: Image,
    face: FaceDetection,
    anchor: FaceDetection,
    offset_ns: int,
    align: Callable[[Image, FaceDetection], Image],
) -> LookedFrame:
    """Return one looked-at frame with all its images but the passive crops.

    `anchor` is the face of the track's first frame, `offset_ns` counts from the attempt's
    beginning. Raises InferenceFailed when the face cannot be aligned.
    """
    window, anchored = take(pixels, face, anchor)
    return LookedFrame(
        offset_ns=offset_ns,
        frame_size=(int(pixels.shape[1]), int(pixels.shape[0])),
        face=face,
        pixels_digest=_digest(pixels, face),
        aligned=align(pixels, face),
        window=window,
        anchored=anchored,
    )


def require_finite(face: FaceDetection) -> None:
    """Raise ValueError unless a detection is all numbers."""
    if not np.isfinite([*face.box, face.score, *face.landmarks.reshape(-1)]).all():
        raise ValueError("a detection is not finite")


def _digest(pixels: Image, face: FaceDetection) -> bytes:
    """Return 16 bytes over the pixels within the face's box."""
    x, y, width, height = face.box
    left, top = max(0, int(x)), max(0, int(y))
    right, bottom = max(left, int(x + width)), max(top, int(y + height))
    part = pixels[top:bottom, left:right].tobytes()
    return hashlib.blake2b(part, digest_size=16).digest()
