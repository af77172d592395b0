"""The loaded models agree with plain runtimes, and fail loudly on what they cannot use."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from hardware.simulated_people import load_people
from models.detection import YuNetDetector
from models.errors import InferenceFailed, ModelMissing, ModelUnreadable
from models.folder import models_folder
from models.manifest import MOBILEFACENET, SFACE, YUNET
from models.opencv import cv2
from models.recognition import ArcFaceEmbedder, embedder_for, load_embedder, unit
from models.runtime import LoadedModels, load_models
from models.sessions import session_options
from models.values import FaceDetection, Image
from tests.models import tiny


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


def test_embedding_is_aligning_and_then_embedding(loaded: LoadedModels) -> None:
    picture = np.random.default_rng(4).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    points = np.array([[130, 100], [190, 100], [160, 130], [135, 165], [185, 165]], np.float32)
    face = FaceDetection((110, 70, 100, 130), points, 0.9)
    crop = loaded.embedder.align(picture, face)
    assert crop.shape == (112, 112, 3)
    assert crop.dtype == np.uint8
    np.testing.assert_array_equal(
        loaded.embedder.embed(picture, face), loaded.embedder.embed_aligned(crop)
    )


def test_threads_share_one_load_and_get_the_same_answers(loaded: LoadedModels) -> None:
    picture = load_people().pixels("person-a", 1)
    sizes = [picture, cv2.resize(picture, None, fx=0.5, fy=0.5).astype(np.uint8)] * 4

    def found(image: Image) -> tuple[tuple[float, ...], bytes]:
        face = loaded.detector.detect(image)[0]
        return face.box, loaded.embedder.embed(image, face).tobytes()

    expected = [found(image) for image in sizes]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(found, sizes)) == expected


def test_a_model_with_a_mean_for_each_channel_gets_its_own_normalisation(
    tmp_path: Path, crop: Image
) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny.vector_model())
    contract = MOBILEFACENET.contract
    assert contract is not None
    manifest = dataclasses.replace(
        MOBILEFACENET, contract=dataclasses.replace(contract, dimensions=tiny.DIMENSIONS)
    )
    found = embedder_for(manifest, path, 1).embed_aligned(crop)
    rgb = crop[:, :, ::-1].astype(np.float64) / 255
    blob = (rgb - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = blob.transpose(2, 0, 1)[None].astype(np.float32)
    plain = session.run(None, {"picture": given})[0].reshape(-1)
    np.testing.assert_allclose(found, plain / np.linalg.norm(plain), atol=1e-4)


def test_a_file_is_loaded_by_its_digest_wherever_it_lies(
    tmp_path: Path, loaded: LoadedModels, crop: Image
) -> None:
    elsewhere = tmp_path / "renamed.onnx"
    elsewhere.symlink_to(models_folder() / SFACE.file_name)
    embedder = load_embedder(elsewhere)
    assert embedder.contract_id == loaded.embedder.contract_id
    np.testing.assert_array_equal(embedder.embed_aligned(crop), loaded.embedder.embed_aligned(crop))
    stranger = tmp_path / "stranger.onnx"
    stranger.write_bytes(tiny.vector_model())
    with pytest.raises(ModelUnreadable, match="no known embedding model"):
        load_embedder(stranger)
    with pytest.raises(ModelUnreadable, match="No such file"):
        load_embedder(tmp_path / "absent.onnx")


def test_what_computes_fits_into_a_receipt(loaded: LoadedModels) -> None:
    assert onnxruntime.__version__ in loaded.runtime
    assert cv2.__version__ in loaded.runtime
    assert len(loaded.runtime) <= 64


def test_threads_are_explicit_and_never_spin() -> None:
    options = session_options(2)
    assert options.intra_op_num_threads == 2
    assert options.inter_op_num_threads == 1
    for pool in ("intra_op", "inter_op"):
        assert options.get_session_config_entry(f"session.{pool}.allow_spinning") == "0"
