"""What goes into a vision model and what comes out, and the protocols between.

An Image is BGR uint8 of shape (height, width, 3). An Embedding is float32 of shape (128,) and
unit length. Landmarks follow the ArcFace order as seen in the image: left eye, right eye, nose,
left mouth corner, right mouth corner, in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
Embedding: TypeAlias = npt.NDArray[np.float32]
Landmarks: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FaceDetection:
    """One face: box (x, y, width, height) and landmarks (5, 2) in pixels, score in 0..1."""

    box: tuple[float, float, float, float]
    landmarks: Landmarks
    score: float

    @property
    def inter_eye_px(self) -> float:
        """Return the distance between the eyes in pixels."""
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))


class Detector(Protocol):
    """Finds faces."""

    def detect(self, image: Image) -> Sequence[FaceDetection]:
        """Return all faces in an image, largest first. Raises InferenceFailed."""


class Embedder(Protocol):
    """Turns one detected face into a unit vector that means something under `contract_id`."""

    @property
    def contract_id(self) -> str:
        """Return the id of the contract under which embeddings can be compared."""

    def align(self, image: Image, face: FaceDetection) -> Image:
        """Return the face turned upright, 112x112 BGR. Raises InferenceFailed."""

    def embed_aligned(self, crop: Image) -> Embedding:
        """Return the embedding of an aligned face. Raises InferenceFailed."""

    def embed(self, image: Image, face: FaceDetection) -> Embedding:
        """Return `embed_aligned(align(image, face))`. Raises InferenceFailed."""


class PassiveLiveness(Protocol):
    """Tells from single pictures of a face whether it looks taken from life: one weak signal."""

    @property
    def digest(self) -> str:
        """Return the SHA-256 over the digests of the models, in hexadecimal."""

    def crops(self, image: Image, face: FaceDetection) -> tuple[Image, ...]:
        """Return what the models take, one 80x80 BGR crop each. Raises InferenceFailed."""

    def live_probability(self, crops: tuple[Image, ...]) -> float:
        """Return the models' mean probability of "live", in 0..1. Raises InferenceFailed."""
