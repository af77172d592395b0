"""Finding faces: YuNet through OpenCV, SCRFD of a pack through insightface."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from insightface.model_zoo import get_model

from models.errors import InferenceFailed, ModelUnreadable
from models.manifest import YUNET, ModelManifest
from models.opencv import cv2
from models.sessions import PROVIDERS, require_picture, session_options
from models.values import Detector, Embedding, FaceDetection, Image

_SCORE_THRESHOLD = 0.7
_OVERLAP_THRESHOLD = 0.3
_MOST_FACES = 50
_NO_CONFIGURATION = np.empty(0, dtype=np.uint8)
# Large pictures are searched at this length of the longer side: the cost of a search grows with
# its area, and YuNet misses faces that fill a large picture, so an empty result is searched again.
_SEARCH_SIDES = (960, 320)


class _Scrfd(Protocol):
    """The part of insightface's SCRFD that is used."""

    def detect(
        self, img: Image, *, input_size: tuple[int, int], max_num: int, det_thresh: float
    ) -> tuple[Embedding, Embedding | None]: ...


class YuNetDetector:
    """Face detection. One instance may be shared: each thread gets a network of its own.

    The file is read once: a thread that comes later gets the network that was verified, whatever
    has become of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._content = np.fromfile(path, dtype=np.uint8)
        except OSError as exc:
            raise ModelUnreadable(path, exc.strerror or "it cannot be read") from exc
        self._nets = threading.local()
        self._net()

    def detect(self, image: Image) -> Sequence[FaceDetection]:
        """Return all faces in an image, largest first. Raises InferenceFailed."""
        require_picture(image, YUNET.name)
        longer = max(image.shape[:2])
        scales = dict.fromkeys(min(1.0, side / longer) for side in _SEARCH_SIDES)
        for scale in scales:
            faces = self._search(image, scale)
            if faces:
                return sorted(faces, key=lambda face: face.box[2] * face.box[3], reverse=True)
        return []

    def _net(self) -> cv2.FaceDetectorYN:
        """Return this thread's network: FaceDetectorYN keeps the size of its input."""
        net: cv2.FaceDetectorYN | None = getattr(self._nets, "net", None)
        if net is None:
            try:
                net = cv2.FaceDetectorYN.create(
                    "onnx", self._content, _NO_CONFIGURATION, (320, 320), _SCORE_THRESHOLD,
                    _OVERLAP_THRESHOLD, _MOST_FACES,
                )  # fmt: skip
            except cv2.error as exc:
                raise ModelUnreadable(self._path, exc.err) from exc
            self._nets.net = net
        return net

    def _search(self, image: Image, scale: float) -> list[FaceDetection]:
        small = image if scale == 1.0 else _shrunk(image, scale)
        net = self._net()
        try:
            net.setInputSize((small.shape[1], small.shape[0]))
            rows = net.detect(small)[1]
        except cv2.error as exc:
            raise InferenceFailed(YUNET.name, exc.err) from exc
        if rows is None:
            return []
        if not np.isfinite(rows).all():
            raise InferenceFailed(YUNET.name, "a detection is not finite")
        return [_detection(np.asarray(row, dtype=np.float32), scale) for row in rows]


class ScrfdDetector:
    """Face detection by a pack's SCRFD model. Safe to share between threads."""

    def __init__(self, manifest: ModelManifest, path: Path, threads: int) -> None:
        self._name, self._size = manifest.name, manifest.input.size or 640
        preprocessing = {
            "mean": float(manifest.input.mean[0]),
            "std": float(manifest.input.std[0]),
        }
        try:
            model = get_model(
                str(path),
                model_task="detection",
                model_metadata={"preprocessing": preprocessing},
                providers=PROVIDERS,
                sess_options=session_options(threads),
                static_shape_sessions=False,
            )
        # onnxruntime raises its own exception classes, which derive from nothing narrower.
        except Exception as exc:
            raise ModelUnreadable(path, type(exc).__name__) from exc
        self._model = cast(_Scrfd, model)

    def detect(self, image: Image) -> Sequence[FaceDetection]:
        """Return all faces in an image, largest first. Raises InferenceFailed."""
        require_picture(image, self._name)
        try:
            boxes, points = self._model.detect(
                image, input_size=(self._size, self._size), max_num=_MOST_FACES, det_thresh=0.5
            )
        # onnxruntime raises its own exception classes, which derive from nothing narrower.
        except Exception as exc:
            raise InferenceFailed(self._name, type(exc).__name__) from exc
        if points is None or not (np.isfinite(boxes).all() and np.isfinite(points).all()):
            raise InferenceFailed(self._name, "a detection has no points or is not finite")
        faces = [_corners(row, five) for row, five in zip(boxes, points, strict=True)]
        return sorted(faces, key=lambda face: face.box[2] * face.box[3], reverse=True)


def detector_for(manifest: ModelManifest, path: Path, threads: int) -> Detector:
    """Return the runner of a detection model. Raises ModelUnreadable."""
    if manifest.pack is None:
        return YuNetDetector(path)
    return ScrfdDetector(manifest, path, threads)


def _corners(row: Embedding, points: Embedding) -> FaceDetection:
    left, top, right, bottom, score = (float(value) for value in row)
    box = (left, top, right - left, bottom - top)
    return FaceDetection(box, points.reshape(5, 2).astype(np.float32), score)


def _shrunk(image: Image, scale: float) -> Image:
    size = (max(16, round(image.shape[1] * scale)), max(16, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _detection(row: Embedding, scale: float) -> FaceDetection:
    x, y, width, height = (float(value) / scale for value in row[:4])
    landmarks = (row[4:14] / np.float32(scale)).reshape(5, 2).astype(np.float32)
    return FaceDetection((x, y, width, height), landmarks, float(row[14]))
