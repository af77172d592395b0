"""Passive liveness: networks that tell from one picture of a face whether it looks taken from life.

They are one weak signal, never a control of their own: users of the published models report held
photographs at 0.99. What is returned is always the probability of *live*, never the confidence of
whichever class won.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import InferenceFailed
from models.opencv import cv2
from models.sessions import Network, require_crop, require_picture
from models.values import FaceDetection, Image

CROP_SIZE = 80
_CLASSES = 3
_LIVE = 1


@dataclass(frozen=True, slots=True, eq=False)
class PassiveModel:
    """One network, the share of the face's box that it looks at, and the digest of its file."""

    name: str
    crop_scale: float
    sha256: str
    network: Network


class PassiveModels:
    """The installed passive models as one signal. Safe to share between threads."""

    def __init__(self, models: Sequence[PassiveModel]) -> None:
        if not models:
            raise ValueError("there is no passive model")
        self._models = tuple(models)
        joined = "".join(model.sha256 for model in self._models)
        self._digest = hashlib.sha256(joined.encode("ascii")).hexdigest()

    @property
    def digest(self) -> str:
        """Return the SHA-256 over the models' digests in their order, in hexadecimal."""
        return self._digest

    def crops(self, image: Image, face: FaceDetection) -> tuple[Image, ...]:
        """Return one 80x80 BGR crop a model. Raises InferenceFailed."""
        require_picture(image, self._models[0].name)
        return tuple(crop_around(image, face, model.crop_scale) for model in self._models)

    def live_probability(self, crops: tuple[Image, ...]) -> float:
        """Return the mean probability of "live" in 0..1. Raises InferenceFailed."""
        if len(crops) != len(self._models):
            raise InferenceFailed(self._models[0].name, f"it was given {len(crops)} crops")
        chances = [_live(model, crop) for model, crop in zip(self._models, crops, strict=True)]
        return float(np.mean(chances))


def crop_around(image: Image, face: FaceDetection, scale: float) -> Image:
    """Return the surroundings of a face, `scale` times its box, moved inside the image, 80x80.

    As the publisher's own preprocessing: the scale shrinks to what the image holds, and a window
    that leaves the image is moved back, never padded. Raises InferenceFailed on an empty box.
    """
    height, width = image.shape[:2]
    x, y, box_width, box_height = face.box
    if not np.isfinite(face.box).all() or min(box_width, box_height) < 1:
        raise InferenceFailed("passive liveness", "the face has no box")
    fitting = min(scale, (height - 1) / box_height, (width - 1) / box_width)
    left, right = _inside(x + box_width / 2, box_width * fitting, width)
    top, bottom = _inside(y + box_height / 2, box_height * fitting, height)
    window = image[top : bottom + 1, left : right + 1]
    if min(window.shape[:2]) < 2:
        raise InferenceFailed("passive liveness", "the face is outside the image")
    return np.asarray(cv2.resize(window, (CROP_SIZE, CROP_SIZE)), dtype=np.uint8)


def _inside(centre: float, length: float, limit: int) -> tuple[int, int]:
    start = min(max(centre - length / 2, 0.0), max(limit - 1 - length, 0.0))
    return int(start), min(int(start + length), limit - 1)


def _live(model: PassiveModel, crop: Image) -> float:
    require_crop(crop, CROP_SIZE, model.name)
    blob = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], dtype=np.float32)
    logits = model.network.run(blob).astype(np.float64)
    if logits.shape != (_CLASSES,):
        raise InferenceFailed(model.name, f"the answer has shape {logits.shape}")
    weights = np.exp(logits - logits.max())
    return float(weights[_LIVE] / weights.sum())
