"""One looked-at frame of an attempt: what evidence and liveness both rest on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.values import FaceDetection, Image

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class LookedFrame:
    """One looked-at frame with one dominant face.

    `offset_ns` counts from the beginning of the attempt, `frame_size` is (width, height) in pixels,
    `face` in the frame's coordinates, `pixels_digest` 16 bytes over the face's pixels. `aligned`
    (112, 112, 3) BGR is there for frames that are compared or that liveness was measured on;
    `window` follows the face and `anchored` stays where it was in the first frame (both as in
    identity.liveness); `passive` are the crops of the passive models, in their order.
    """

    offset_ns: int
    frame_size: tuple[int, int]
    face: FaceDetection
    pixels_digest: bytes
    aligned: Image | None = None
    window: Grey | None = None
    anchored: Grey | None = None
    passive: tuple[Image, ...] = ()
