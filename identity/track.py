"""What one unbroken track of one face has given: motion samples, embeddings, quality.

A track is one face in one place. Whether it is also one *person* is asked of the embeddings, for
every frame that anything rests on: the compared frames, and the frames between which liveness was
measured. Without the latter a living face could lend its motion to a photograph held up after it.
"""

from __future__ import annotations

import numpy as np

from identity.faces import same_track
from identity.liveness.motion import MotionSample, assess, take_sample, telling_pairs
from identity.liveness.signals import Signal
from identity.policy import LivenessLimits
from identity.quality import FaceQuality
from models.values import Embedder, Embedding, FaceDetection, Image

_NS = 1e9
# A face may be lost for this long (a blink of the detector) and still be the same face.
_LOST_SECONDS = 0.6
# What is kept of a frame to each side of a face's box, in the box's longer side. Alignment reaches
# beyond the box; with less than this the embedding differs from that of the whole frame.
_CROP_MARGIN = 0.5


class FaceTrack:
    """The evidence of one track. `person_threshold` is the score two of its frames must reach."""

    def __init__(self, embedder: Embedder, person_threshold: float) -> None:
        self._embedder, self._person_threshold = embedder, person_threshold
        self.embeddings: list[Embedding] = []
        self.qualities: list[FaceQuality] = []
        self.embedded_at_ns = 0
        self._face: FaceDetection | None = None
        self._face_ns = 0
        self._samples: list[MotionSample] = []
        self._crops: list[tuple[Image, FaceDetection]] = []
        self._known: dict[int, Embedding] = {}
        self._assessed: tuple[int, tuple[Signal, Signal]] | None = None

    def can_continue_with(self, face: FaceDetection, now_ns: int) -> bool:
        """Return whether this face can be the one of the last look."""
        if self._face is None:
            return True
        seconds = (now_ns - self._face_ns) / _NS
        return seconds <= _LOST_SECONDS and same_track(self._face, face, seconds)

    def add(self, pixels: Image, face: FaceDetection, now_ns: int) -> None:
        """Keep one looked-at frame for liveness."""
        anchor = self._samples[0].landmarks if self._samples else face.landmarks
        self._samples.append(take_sample(pixels, face.landmarks, now_ns, anchor))
        self._crops.append(_crop(pixels, face))
        self._face, self._face_ns = face, now_ns

    def embed(self, quality: FaceQuality) -> bool:
        """Embed the latest frame for comparison; return False when it shows another person."""
        embedding = self._embedding_of(len(self._samples) - 1)
        if not self._is_same_person(embedding):
            return False
        self.embeddings.append(embedding)
        self.qualities.append(quality)
        self.embedded_at_ns = self._face_ns
        return True

    def signals(self, limits: LivenessLimits) -> tuple[Signal, Signal]:
        """Return the liveness signals of the frames so far; measured once for the same frames."""
        frames = len(self._samples)
        if self._assessed is None or self._assessed[0] != frames:
            self._assessed = frames, assess(self._samples, limits)
        return self._assessed[1]

    def is_one_person(self) -> bool:
        """Return whether the frames that liveness was measured on show the compared person."""
        telling = {index for pair in telling_pairs(self._samples) for index in pair}
        return all(self._is_same_person(self._embedding_of(index)) for index in sorted(telling))

    def _embedding_of(self, index: int) -> Embedding:
        if index not in self._known:
            embedding = self._embedder.embed(*self._crops[index])
            require_unit(embedding)
            self._known[index] = embedding
        return self._known[index]

    def _is_same_person(self, embedding: Embedding) -> bool:
        return not self.embeddings or (
            cosine(self.embeddings[0], embedding) >= self._person_threshold
        )


def _crop(pixels: Image, face: FaceDetection) -> tuple[Image, FaceDetection]:
    """Return a copy of the surroundings of a face, and the face in its coordinates."""
    x, y, width, height = face.box
    reach = _CROP_MARGIN * max(width, height)
    left, top = max(0, int(x - reach)), max(0, int(y - reach))
    right, bottom = int(x + width + reach) + 1, int(y + height + reach) + 1
    shift = np.array([left, top], dtype=np.float32)
    moved = FaceDetection((x - left, y - top, width, height), face.landmarks - shift, face.score)
    return pixels[top:bottom, left:right].copy(), moved


def require_unit(embedding: Embedding) -> None:
    """Raise ValueError unless an embedding is finite and of unit length."""
    if not abs(float(np.linalg.norm(embedding)) - 1.0) < 1e-3:
        raise ValueError("an embedding is not of unit length")


def cosine(left: Embedding, right: Embedding) -> float:
    """Return the cosine of two unit embeddings. Raises ValueError on any other input."""
    if left.shape != right.shape:
        raise ValueError("embeddings of different dimensions")
    # A reference that is longer than one would raise every score: lengths are asked, not assumed.
    require_unit(left)
    require_unit(right)
    return float(np.dot(left, right))
