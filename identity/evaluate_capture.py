"""Turning the pictures of a protocol into embeddings, quality and times, each picture once.

A picture that gives no face to compare is a failure to acquire, never a non-match. In pictures
with several faces the one around the middle is taken, because that is whose name the picture
bears; the counter never chooses like this, so how often it would have refused is counted as well.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from identity.errors import ImageRefused
from identity.faces import dominant
from identity.images import load_image
from identity.policy import IdentityPolicy
from identity.quality import CROP_MEASURES, View, instruction, measure
from models.errors import InferenceFailed
from models.values import Detector, Embedder, Embedding, FaceDetection, Image

# Where the landmarks are in an aligned crop; no measure of pose or framing means anything there.
_ALIGNED = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
     [70.7299, 92.2041]], dtype=np.float32
)  # fmt: skip
_ALIGNED_SIDE = 112


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What one picture gave; `reason` is a reason code when it gave nothing to compare."""

    reason: str | None = None
    embedding: Embedding | None = None
    second: Embedding | None = None
    quality: dict[str, float] | None = None


@dataclass(slots=True)
class Captured:
    """The pictures by name, what the counter would have answered, and milliseconds per step."""

    pictures: dict[str, Taken] = field(default_factory=dict)
    counter_answers: Counter[str] = field(default_factory=Counter)
    timing_ms: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure one step of one picture."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - started) * 1000
            self.timing_ms.setdefault(step, []).append(spent)


class Capturer:
    """Reads, finds, aligns, measures and embeds pictures."""

    def __init__(
        self,
        *,
        images: Path,
        aligned: bool,
        policy: IdentityPolicy,
        detector: Detector,
        embedder: Embedder,
        second: Embedder | None = None,
        mirrored: bool = False,
    ) -> None:
        self._images, self._aligned, self._policy = images, aligned, policy
        self._detector, self._embedder, self._second = detector, embedder, second
        self._mirrored = mirrored

    def take_all(self, names: Sequence[str], progress: Callable[[int, int], None]) -> Captured:
        """Take every picture. Raises ImageRefused when --aligned is asked of other pictures."""
        captured = Captured()
        for done, name in enumerate(names, start=1):
            captured.pictures[name] = self._take(self._images / name, captured)
            progress(done, len(names))
        return captured

    def _take(self, path: Path, captured: Captured) -> Taken:
        try:
            with captured.timed("read"):
                picture = load_image(path)
        except ImageRefused:
            return Taken("IMAGE_REFUSED")
        if self._aligned:
            return self._take_aligned(picture, path, captured)
        return self._take_raw(picture, captured)

    def _take_aligned(self, picture: Image, path: Path, captured: Captured) -> Taken:
        side = _ALIGNED_SIDE
        if picture.shape[:2] != (side, side):
            found = f"{picture.shape[1]}x{picture.shape[0]}"
            raise ImageRefused(str(path), f"{found}; --aligned takes {side}x{side} only")
        face = FaceDetection((0.0, 0.0, float(side), float(side)), _ALIGNED, 1.0)
        with captured.timed("quality"):
            view = View.of(picture, face, (side, side))
            quality = {each.name: each.of(view) for each in CROP_MEASURES}
        return self._embedded(picture, quality, captured)

    def _take_raw(self, picture: Image, captured: Captured) -> Taken:
        size = (picture.shape[1], picture.shape[0])
        try:
            with captured.timed("detect"):
                faces = self._detector.detect(picture)
            named = labelled_face(faces, size)
            if named is None:
                captured.counter_answers["NO_FACE"] += 1
                return Taken("NO_FACE")
            with captured.timed("align"):
                crop = self._embedder.align(picture, named)
        except InferenceFailed:
            return Taken("INTERNAL_ERROR")
        with captured.timed("quality"):
            found = measure(crop, named, size)
        one = dominant(faces, self._policy.faces)
        limits = self._policy.quality.for_pictures()
        answer = one if isinstance(one, str) else instruction(found, limits)
        captured.counter_answers[answer or "OK"] += 1
        return self._embedded(crop, asdict(found), captured)

    def _embedded(self, crop: Image, quality: dict[str, float], captured: Captured) -> Taken:
        second = None
        try:
            with captured.timed("embed"):
                embedding = self._embedding(crop)
            if self._second is not None:
                with captured.timed("embed_second"):
                    second = self._second.embed_aligned(crop)
        except InferenceFailed:
            return Taken("INTERNAL_ERROR")
        return Taken(None, embedding, second, quality)

    def _embedding(self, crop: Image) -> Embedding:
        """Return the embedding; for measuring, that of the crop and its mirror image together."""
        embedding = self._embedder.embed_aligned(crop)
        if not self._mirrored:
            return embedding
        both = embedding + self._embedder.embed_aligned(np.ascontiguousarray(crop[:, ::-1]))
        return np.asarray(both / np.linalg.norm(both), dtype=np.float32)


def labelled_face(
    faces: Sequence[FaceDetection], frame_size: tuple[int, int]
) -> FaceDetection | None:
    """Return the face that a picture's label means: around its middle, else the largest."""
    x, y = frame_size[0] / 2, frame_size[1] / 2
    by_size = sorted(faces, key=lambda face: face.inter_eye_px, reverse=True)
    around = [face for face in by_size if _holds(face, x, y)]
    return next(iter(around or by_size), None)


def _holds(face: FaceDetection, x: float, y: float) -> bool:
    left, top, width, height = face.box
    return left <= x <= left + width and top <= y <= top + height
