"""Loading the models of one process: verified, with explicit threads, warmed up, once.

Every counter of a node shares what is loaded here. A liveness model that is not installed is
absent; one that is there and damaged is refused like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import insightface
import numpy as np
import onnxruntime

from models.active import active
from models.detection import detector_for
from models.folder import models_folder, verified_path
from models.manifest import ModelManifest
from models.opencv import cv2
from models.passive import CROP_SIZE, PassiveModel, PassiveModels
from models.recognition import embedder_for
from models.sessions import Network
from models.values import Detector, Embedder, PassiveLiveness

_WARM_UP_SIZE = (480, 640, 3)


def runtime() -> str:
    """Return the names and versions of what computes, for a receipt (at most 64 characters)."""
    return (
        f"onnxruntime {onnxruntime.__version__}, opencv {cv2.__version__}, "
        f"insightface {insightface.__version__}"
    )


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """The models of one process, loaded once, with the manifests they were checked against."""

    detector: Detector
    embedder: Embedder
    detector_manifest: ModelManifest
    embedder_manifest: ModelManifest
    passive: PassiveLiveness | None = None
    passive_manifests: tuple[ModelManifest, ...] = ()
    runtime: str = field(default_factory=runtime)


def load_models(folder: Path | None = None, *, threads: int = 1) -> LoadedModels:
    """Verify, load and warm up the models in use and the liveness models that are installed.

    `threads` bounds onnxruntime and, process-wide, OpenCV. Raises ModelMissing,
    ModelDigestMismatch, ModelUnreadable, ModelUnknown, ModelSourceUnusable or InferenceFailed.
    """
    place = models_folder(folder)
    used = active(place)
    detector_path = verified_path(used.detection, place)
    embedder_path = verified_path(used.embedding, place)
    cv2.setNumThreads(threads)
    loaded = LoadedModels(
        detector=detector_for(used.detection, detector_path, threads),
        embedder=embedder_for(used.embedding, embedder_path, threads),
        detector_manifest=used.detection,
        embedder_manifest=used.embedding,
        passive=_passive(place, used.passive, threads),
        passive_manifests=used.passive,
    )
    _warm_up(loaded)
    return loaded


def _passive(
    folder: Path, manifests: Sequence[ModelManifest], threads: int
) -> PassiveLiveness | None:
    models = [
        PassiveModel(
            name=item.name,
            crop_scale=float(item.input.crop_scale or "1"),
            sha256=item.prepared_sha256,
            network=Network(item.name, verified_path(item, folder), threads),
        )
        for item in manifests
    ]
    return PassiveModels(models) if models else None


def _warm_up(loaded: LoadedModels) -> None:
    """Run every model once: the first run allocates, and a person should not wait for that."""
    ramp = np.linspace(0, 255, _WARM_UP_SIZE[0] * _WARM_UP_SIZE[1] * 3, dtype=np.float32)
    picture = ramp.astype(np.uint8).reshape(_WARM_UP_SIZE)
    loaded.detector.detect(picture)
    loaded.embedder.embed_aligned(np.ascontiguousarray(picture[:112, :112]))
    if loaded.passive is not None:
        crop = np.ascontiguousarray(picture[:CROP_SIZE, :CROP_SIZE])
        loaded.passive.live_probability((crop,) * len(loaded.passive_manifests))
