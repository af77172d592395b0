"""Passive liveness crops as its publisher does and answers with the chance of "live" alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.detection import YuNetDetector
from models.errors import InferenceFailed
from models.folder import models_folder
from models.manifest import PASSIVE
from models.passive import PassiveModel, PassiveModels, crop_around
from models.sessions import Network
from models.values import FaceDetection, Image
from tests.models import tiny

SHARED = Path(__file__).parents[2].parent / "shared"


def _face(x: float, y: float, width: float, height: float) -> FaceDetection:
    return FaceDetection((x, y, width, height), np.zeros((5, 2), np.float32), 0.9)


def _models(tmp_path: Path, count: int = 1, dimensions: int = 3) -> PassiveModels:
    path = tmp_path / "m.onnx"
    path.write_bytes(tiny.vector_model(side=80, dimensions=dimensions))
    network = Network("tiny", path, 1)
    return PassiveModels([PassiveModel("tiny", 2.7, f"{n:064x}", network) for n in range(count)])


def _noise(height: int, width: int) -> Image:
    return np.random.default_rng(2).integers(0, 255, (height, width, 3), dtype=np.uint8)


def test_a_crop_holds_the_box_widened_by_the_scale() -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[150:250, 150:250] = 255
    crop = crop_around(picture, _face(175, 175, 50, 50), 2.0)
    assert crop.shape == (80, 80, 3)
    assert crop.mean() > 245
    wider = crop_around(picture, _face(175, 175, 50, 50), 4.0)
    assert wider.mean() == pytest.approx(255 / 4, rel=0.05)


@given(
    st.floats(-300, 900), st.floats(-300, 700), st.floats(1, 2000), st.floats(1, 2000),
    st.floats(0.5, 6),
)  # fmt: skip
def test_a_crop_stays_inside_the_picture_whatever_the_box(
    x: float, y: float, width: float, height: float, scale: float
) -> None:
    picture = np.full((480, 640, 3), 7, np.uint8)
    try:
        crop = crop_around(picture, _face(x, y, width, height), scale)
    except InferenceFailed:
        return
    assert crop.shape == (80, 80, 3)
    assert (crop == 7).all()


@pytest.mark.parametrize("box", [(0, 0, 0, 50), (float("nan"), 0, 50, 50), (0, 0, 50, -1)])
def test_a_face_without_a_box_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(InferenceFailed):
        crop_around(_noise(100, 100), _face(*box), 2.7)


def test_the_chance_is_the_mean_over_the_models_and_in_bounds(tmp_path: Path) -> None:
    one, two = _models(tmp_path), _models(tmp_path, 2)
    crops = two.crops(_noise(300, 300), _face(100, 100, 80, 100))
    single = one.live_probability(crops[:1])
    assert 0 <= single <= 1
    assert two.live_probability(crops) == pytest.approx(single)
    assert one.digest != two.digest


def test_what_is_not_three_classes_or_not_the_crops_is_refused(tmp_path: Path) -> None:
    crop = _noise(80, 80)
    with pytest.raises(InferenceFailed, match="shape"):
        _models(tmp_path, dimensions=4).live_probability((crop,))
    with pytest.raises(InferenceFailed, match="2 crops"):
        _models(tmp_path).live_probability((crop, crop))
    with pytest.raises(InferenceFailed, match="80x80"):
        _models(tmp_path).live_probability((_noise(90, 80),))


@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="../shared/models is not there")
def test_the_published_models_tell_the_published_samples_apart() -> None:
    from models.opencv import cv2

    passive = PassiveModels(
        [
            PassiveModel(
                item.name,
                float(item.input.crop_scale or 1),
                item.prepared_sha256,
                Network(item.name, SHARED / "models" / item.file_name, 1),
            )
            for item in PASSIVE
        ]
    )
    detector = YuNetDetector(models_folder() / "yunet-2023mar.float.onnx")
    chances = {}
    for name in ("image_T1", "image_F1"):
        picture = cv2.imread(str(SHARED / "faces" / "attack_samples" / f"{name}.jpg"))
        image = np.asarray(picture, dtype=np.uint8)
        chances[name] = passive.live_probability(passive.crops(image, detector.detect(image)[0]))
    assert chances["image_T1"] > 0.5 > chances["image_F1"]
