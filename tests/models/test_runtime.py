"""The loaded models agree with plain runtimes, and fail loudly on what they cannot use."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from models.errors import InferenceFailed, ModelMissing, ModelUnreadable
from models.folder import models_folder
from models.manifest import SFACE, YUNET
from models.opencv import cv2
from models.runtime import ArcFaceEmbedder, LoadedModels, YuNetDetector, load_models, unit
from models.values import FaceDetection, Image


@pytest.fixture
def crop() -> Image:
    noise = np.random.default_rng(3).integers(0, 255, (14, 14, 3), dtype=np.uint8)
    return cv2.resize(noise, (112, 112), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def test_the_embedding_is_that_of_plain_onnxruntime_and_of_opencv(
    loaded: LoadedModels, crop: Image
) -> None:
    embedder = loaded.embedder
    assert isinstance(embedder, ArcFaceEmbedder)
    ours = embedder.embed_aligned(crop)
    path = str(models_folder() / SFACE.file_name)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rgb = crop[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32)
    plain = session.run(None, {"data": rgb})[0].reshape(-1)
    opencv = cv2.FaceRecognizerSF.create(path, "").feature(crop).reshape(-1)
    for other in (plain, opencv):
        np.testing.assert_allclose(ours, other / np.linalg.norm(other), atol=1e-5)
    assert ours.dtype == np.float32
    assert float(np.linalg.norm(ours)) == pytest.approx(1.0, abs=1e-6)


def test_the_wrong_normalisation_is_a_different_contract_and_a_different_embedding(
    loaded: LoadedModels, crop: Image
) -> None:
    assert SFACE.contract is not None
    wrong = dataclasses.replace(SFACE.contract, mean="127.5", std="127.5")
    assert wrong.contract_id != SFACE.contract_id
    other = ArcFaceEmbedder(
        dataclasses.replace(SFACE, contract=wrong), models_folder() / SFACE.file_name, 1
    )
    embedder = loaded.embedder
    assert isinstance(embedder, ArcFaceEmbedder)
    assert float(embedder.embed_aligned(crop) @ other.embed_aligned(crop)) < 0.9


def test_every_field_of_the_contract_changes_its_id() -> None:
    contract = SFACE.contract
    assert contract is not None
    ids = {contract.contract_id}
    for field in dataclasses.fields(contract):
        value = getattr(contract, field.name)
        changed: Any = value + 1 if isinstance(value, int) else value + "x"
        ids.add(dataclasses.replace(contract, **{field.name: changed}).contract_id)
    assert len(ids) == len(dataclasses.fields(contract)) + 1


def test_an_empty_picture_holds_no_face(loaded: LoadedModels) -> None:
    assert list(loaded.detector.detect(np.full((240, 320, 3), 128, np.uint8))) == []


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((240, 320), np.uint8),
        np.zeros((240, 320, 3), np.float32),
        np.zeros((0, 0, 3), np.uint8),
    ],
)
def test_a_picture_of_another_shape_is_refused(
    loaded: LoadedModels, picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> None:
    with pytest.raises(InferenceFailed):
        loaded.detector.detect(picture)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_landmarks_that_are_not_finite_are_refused(loaded: LoadedModels, value: float) -> None:
    face = FaceDetection((0, 0, 50, 50), np.full((5, 2), value, np.float32), 0.9)
    with pytest.raises(InferenceFailed):
        loaded.embedder.embed(np.zeros((100, 100, 3), np.uint8), face)


@pytest.mark.parametrize("values", [np.zeros(128), np.full(128, np.nan), np.ones(64)])
def test_no_direction_no_embedding(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    with pytest.raises(InferenceFailed):
        unit(values.astype(np.float32), 128, "m")


def test_missing_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=YUNET.name):
        load_models(tmp_path)


def test_a_file_no_runtime_can_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "junk.onnx"
    path.write_bytes(b"junk")
    with pytest.raises(ModelUnreadable, match=r"junk\.onnx"):
        ArcFaceEmbedder(SFACE, path, 1)
    with pytest.raises(ModelUnreadable, match=r"junk\.onnx"):
        YuNetDetector(path)
