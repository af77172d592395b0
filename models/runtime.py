"""The runners: YuNet through OpenCV, recognition through insightface on onnxruntime.

Threads are always explicit and never spin, because recorders share the machine. The recognition
model is loaded with its preprocessing spelled out: without it insightface picks a mean and a
divisor of 127.5 for SFace, and strangers match. An answer that is not finite is an error here,
so that nothing above has to compare a NaN.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import onnxruntime
from insightface.model_zoo import get_model
from insightface.utils import face_align

from models.errors import InferenceFailed, ModelUnreadable
from models.folder import models_folder, verified_path
from models.manifest import SFACE, YUNET, ModelManifest
from models.opencv import cv2
from models.values import Detector, Embedder, Embedding, FaceDetection, Image

_SCORE_THRESHOLD = 0.7
_OVERLAP_THRESHOLD = 0.3
_MOST_FACES = 50
# Large pictures are searched at this length of the longer side: the cost of a search grows with
# its area, and YuNet misses faces that fill a large picture, so an empty result is searched again.
_SEARCH_SIDES = (960, 320)


class _Recognition(Protocol):
    """The part of insightface's ArcFaceONNX that is used."""

    input_mean: float
    input_std: float

    def get_feat(self, imgs: Image) -> Embedding: ...


class YuNetDetector:
    """Face detection. One instance may be shared between threads; calls are serialised."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._net = cv2.FaceDetectorYN.create(
                str(path), "", (320, 320), _SCORE_THRESHOLD, _OVERLAP_THRESHOLD, _MOST_FACES
            )
        except cv2.error as exc:
            raise ModelUnreadable(path, exc.err) from exc

    def detect(self, image: Image) -> Sequence[FaceDetection]:
        """Return all faces in an image, largest first. Raises InferenceFailed."""
        _require_picture(image, YUNET.name)
        longer = max(image.shape[:2])
        scales = dict.fromkeys(min(1.0, side / longer) for side in _SEARCH_SIDES)
        for scale in scales:
            faces = self._search(image, scale)
            if faces:
                return sorted(faces, key=lambda face: face.box[2] * face.box[3], reverse=True)
        return []

    def _search(self, image: Image, scale: float) -> list[FaceDetection]:
        try:
            with self._lock:
                small = image if scale == 1.0 else _shrunk(image, scale)
                self._net.setInputSize((small.shape[1], small.shape[0]))
                rows = self._net.detect(small)[1]
        except cv2.error as exc:
            raise InferenceFailed(YUNET.name, exc.err) from exc
        if rows is None:
            return []
        if not np.isfinite(rows).all():
            raise InferenceFailed(YUNET.name, "a detection is not finite")
        return [_detection(np.asarray(row, dtype=np.float32), scale) for row in rows]


def _shrunk(image: Image, scale: float) -> Image:
    size = (max(16, round(image.shape[1] * scale)), max(16, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _detection(row: Embedding, scale: float) -> FaceDetection:
    x, y, width, height = (float(value) / scale for value in row[:4])
    landmarks = (row[4:14] / np.float32(scale)).reshape(5, 2).astype(np.float32)
    return FaceDetection((x, y, width, height), landmarks, float(row[14]))


class ArcFaceEmbedder:
    """Embeddings from an insightface recognition model. Safe to share between threads."""

    def __init__(self, manifest: ModelManifest, path: Path, threads: int) -> None:
        if manifest.contract is None:
            raise ModelUnreadable(path, "its manifest has no embedding contract")
        self._name, self._contract = manifest.name, manifest.contract
        preprocessing = {"mean": float(self._contract.mean), "std": float(self._contract.std)}
        try:
            model = get_model(
                str(path),
                model_task="recognition",
                model_metadata={"preprocessing": preprocessing},
                providers=["CPUExecutionProvider"],
                sess_options=_session_options(threads),
            )
        # onnxruntime raises its own exception classes, which derive from nothing narrower.
        except Exception as exc:
            raise ModelUnreadable(path, type(exc).__name__) from exc
        self._model = cast(_Recognition, model)

    @property
    def contract_id(self) -> str:
        """Return the id of the contract under which embeddings can be compared."""
        return self._contract.contract_id

    def embed(self, image: Image, face: FaceDetection) -> Embedding:
        """Return the embedding of a face in an image. Raises InferenceFailed."""
        _require_picture(image, self._name)
        if not np.isfinite(face.landmarks).all():
            raise InferenceFailed(self._name, "a landmark is not finite")
        try:
            crop = face_align.norm_crop(image, face.landmarks, self._contract.input_size)
        except (cv2.error, np.linalg.LinAlgError, AssertionError, ValueError) as exc:
            raise InferenceFailed(self._name, "the face cannot be aligned") from exc
        return self.embed_aligned(crop)

    def embed_aligned(self, crop: Image) -> Embedding:
        """Return the embedding of a face already aligned to the input size, as BGR uint8."""
        size = self._contract.input_size
        if crop.shape != (size, size, 3) or crop.dtype != np.uint8:
            raise InferenceFailed(self._name, f"the crop is not {size}x{size} BGR uint8")
        try:
            values = np.asarray(self._model.get_feat(crop), dtype=np.float32).reshape(-1)
        # onnxruntime raises its own exception classes, which derive from nothing narrower.
        except Exception as exc:
            raise InferenceFailed(self._name, type(exc).__name__) from exc
        return unit(values, self._contract.dimensions, self._name)


def unit(values: Embedding, dimensions: int, model: str) -> Embedding:
    """Return `values` at unit length. Raises InferenceFailed on a wrong shape, NaN or zero."""
    if values.shape != (dimensions,):
        raise InferenceFailed(model, f"the embedding has shape {values.shape}")
    length = float(np.linalg.norm(values))
    if not np.isfinite(length) or length < 1e-6:
        raise InferenceFailed(model, "the embedding has no direction")
    return (values / np.float32(length)).astype(np.float32)


def _session_options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Warnings of the runtime about graph optimisation belong in no log of ours.
    options.log_severity_level = 3
    return options


def _require_picture(image: Image, model: str) -> None:
    shaped = image.ndim == 3 and image.shape[2] == 3 and min(image.shape[:2]) >= 16
    if not shaped or image.dtype != np.uint8:
        raise InferenceFailed(model, "the picture is not BGR uint8 of at least 16x16 pixels")


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """The models of one process, loaded once, with the manifests they were checked against."""

    detector: Detector
    embedder: Embedder
    detector_manifest: ModelManifest
    embedder_manifest: ModelManifest


def load_models(folder: Path | None = None, *, threads: int = 1) -> LoadedModels:
    """Verify and load the default models.

    `threads` bounds onnxruntime and, process-wide, OpenCV. Raises ModelMissing,
    ModelDigestMismatch or ModelUnreadable.
    """
    place = models_folder(folder)
    detector_path, embedder_path = verified_path(YUNET, place), verified_path(SFACE, place)
    cv2.setNumThreads(threads)
    return LoadedModels(
        detector=YuNetDetector(detector_path),
        embedder=ArcFaceEmbedder(SFACE, embedder_path, threads),
        detector_manifest=YUNET,
        embedder_manifest=SFACE,
    )
