"""Measuring a face of a whole picture, for those who do not align it for other reasons."""

from __future__ import annotations

import numpy as np
from insightface.utils import face_align

from identity.quality import measure
from identity.quality.values import FaceQuality
from models.values import FaceDetection, Image


def measure_in(image: Image, face: FaceDetection) -> FaceQuality:
    """Align a face to 112x112 as it is embedded, and measure it."""
    aligned = np.asarray(face_align.norm_crop(image, face.landmarks), dtype=np.uint8)
    return measure(aligned, face, (image.shape[1], image.shape[0]))
