"""Embeddings: insightface on onnxruntime, with the preprocessing spelled out.

Without it insightface picks a mean and a divisor of 127.5 for SFace, and strangers match. A model
with a mean and divisor of its own for each channel is run by onnxruntime directly, because
insightface knows one number for all three.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from insightface.model_zoo import get_model
from insightface.utils import face_align

from models.errors import InferenceFailed, ModelUnreadable
from models.folder import sha256_of
from models.manifest import KNOWN, ModelManifest
from models.opencv import cv2
from models.sessions import PROVIDERS, Network, require_crop, require_picture, session_options
from models.values import Embedding, FaceDetection, Image


class _Recognition(Protocol):
    """The part of insightface's ArcFaceONNX that is used."""

    input_mean: float
    input_std: float

    def get_feat(self, imgs: Image) -> Embedding: ...


class _Aligning(ABC):
    """What all embedders share: the contract, the alignment, and the checks of both ends."""

    def __init__(self, manifest: ModelManifest, path: Path) -> None:
        if manifest.contract is None:
            raise ModelUnreadable(path, "its manifest has no embedding contract")
        self._name, self._contract = manifest.name, manifest.contract
        self._contract_id = manifest.contract.contract_id

    @property
    def contract_id(self) -> str:
        """Return the id of the contract under which embeddings can be compared."""
        return self._contract_id

    def align(self, image: Image, face: FaceDetection) -> Image:
        """Return the face turned upright at the model's input size. Raises InferenceFailed."""
        require_picture(image, self._name)
        if face.landmarks.shape != (5, 2) or not np.isfinite(face.landmarks).all():
            raise InferenceFailed(self._name, "a landmark is not finite")
        try:
            crop = face_align.norm_crop(image, face.landmarks, self._contract.input_size)
        except (cv2.error, np.linalg.LinAlgError, AssertionError, ValueError) as exc:
            raise InferenceFailed(self._name, "the face cannot be aligned") from exc
        return np.asarray(crop, dtype=np.uint8)

    def embed_aligned(self, crop: Image) -> Embedding:
        """Return the embedding of a face already aligned to the input size, as BGR uint8."""
        require_crop(crop, self._contract.input_size, self._name)
        return unit(self._features(crop), self._contract.dimensions, self._name)

    def embed(self, image: Image, face: FaceDetection) -> Embedding:
        """Return the embedding of a face in an image. Raises InferenceFailed."""
        return self.embed_aligned(self.align(image, face))

    @abstractmethod
    def _features(self, crop: Image) -> Embedding:
        """Return what the model says of an aligned face, not yet of unit length."""


class ArcFaceEmbedder(_Aligning):
    """Embeddings from an insightface recognition model. Safe to share between threads."""

    def __init__(self, manifest: ModelManifest, path: Path, threads: int) -> None:
        super().__init__(manifest, path)
        preprocessing = {"mean": float(self._contract.mean), "std": float(self._contract.std)}
        try:
            model = get_model(
                str(path),
                model_task="recognition",
                model_metadata={"preprocessing": preprocessing},
                providers=PROVIDERS,
                sess_options=session_options(threads),
            )
        # onnxruntime raises its own exception classes, which derive from nothing narrower.
        except Exception as exc:
            raise ModelUnreadable(path, type(exc).__name__) from exc
        self._model = cast(_Recognition, model)

    def _features(self, crop: Image) -> Embedding:
        try:
            return np.asarray(self._model.get_feat(crop), dtype=np.float32).reshape(-1)
        # onnxruntime raises its own exception classes, which derive from nothing narrower.
        except Exception as exc:
            raise InferenceFailed(self._name, type(exc).__name__) from exc


class ChannelScaledEmbedder(_Aligning):
    """Embeddings from a model with a mean and divisor a channel. Safe to share between threads."""

    def __init__(self, manifest: ModelManifest, path: Path, threads: int) -> None:
        super().__init__(manifest, path)
        self._mean = np.array([float(value) for value in manifest.input.mean], dtype=np.float32)
        self._std = np.array([float(value) for value in manifest.input.std], dtype=np.float32)
        self._network = Network(manifest.name, path, threads)

    def _features(self, crop: Image) -> Embedding:
        rgb = crop[:, :, ::-1].astype(np.float32)
        blob = ((rgb - self._mean) / self._std).transpose(2, 0, 1)[None]
        return self._network.run(np.ascontiguousarray(blob, dtype=np.float32))


def embedder_for(
    manifest: ModelManifest, path: Path, threads: int
) -> ArcFaceEmbedder | ChannelScaledEmbedder:
    """Return the runner of an embedding model. Raises ModelUnreadable."""
    kind = ArcFaceEmbedder if len(manifest.input.mean) == 1 else ChannelScaledEmbedder
    return kind(manifest, path, threads)


def load_embedder(path: Path, *, threads: int = 1) -> ArcFaceEmbedder | ChannelScaledEmbedder:
    """Load an embedding model's file wherever it lies, if a known manifest names its digest.

    For measuring one model beside another. Raises ModelUnreadable.
    """
    try:
        digest = sha256_of(path)
    except OSError as exc:
        raise ModelUnreadable(path, exc.strerror or "it cannot be read") from exc
    embedding = [manifest for manifest in KNOWN if manifest.role == "embedding"]
    known = next((item for item in embedding if item.prepared_sha256 == digest), None)
    if known is None:
        raise ModelUnreadable(path, f"no known embedding model has its SHA-256 {digest}")
    return embedder_for(known, path, threads)


def unit(values: Embedding, dimensions: int, model: str) -> Embedding:
    """Return `values` at unit length. Raises InferenceFailed on a wrong shape, NaN or zero."""
    if values.shape != (dimensions,):
        raise InferenceFailed(model, f"the embedding has shape {values.shape}")
    length = float(np.linalg.norm(values))
    if not np.isfinite(length) or length < 1e-6:
        raise InferenceFailed(model, "the embedding has no direction")
    return (values / np.float32(length)).astype(np.float32)
