"""Covered eyes, noses and mouths are seen; faces that show all three are let through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hardware.errors import PeopleMissing
from hardware.simulated_people import load_people
from identity.policy import IdentityPolicy
from identity.quality import FaceQuality, instruction, measure
from models.opencv import cv2
from models.runtime import LoadedModels
from models.values import FaceDetection, Image
from tests.identity import coverings

_POINTS = np.array(
    [[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]], dtype=np.float32
)
CROP_FACE = FaceDetection((10.0, 10.0, 90.0, 95.0), _POINTS, 0.95)
ALL = coverings.EYES | coverings.MOUTH


@pytest.fixture(scope="module")
def demo_crops(loaded: LoadedModels) -> list[Image]:
    try:
        people = load_people()
    except PeopleMissing as missing:
        pytest.skip(f"the demo's photographs are not fetched: {missing}")
    crops = []
    for number in (1, 2, 3):
        picture = np.asarray(cv2.imread(str(people.path("person-a", number))), dtype=np.uint8)
        crops.append(loaded.embedder.align(picture, loaded.detector.detect(picture)[0]))
    return crops


@pytest.fixture(scope="module")
def lfw_crops(shared: Path) -> list[Image]:
    folder = shared / "faces" / "lfw" / "images"
    if not folder.is_dir():
        pytest.skip("the aligned photographs are not in ../shared/faces/lfw")
    paths = sorted(folder.glob("*/*.jpg"))[::19]
    return [np.asarray(cv2.imread(str(path)), dtype=np.uint8) for path in paths]


def measured(crop: Image) -> FaceQuality:
    return measure(crop, CROP_FACE, (112, 112))


def covering_of(quality: FaceQuality, policy: IdentityPolicy) -> str | None:
    """Return what the covering checks alone say."""
    limits = policy.quality
    if quality.eyes_visible < float(limits.min_eyes_visible):
        return "EYES_COVERED"
    nose, mouth = quality.nose_visible, quality.mouth_visible
    if nose < float(limits.min_nose_visible) or mouth < float(limits.min_mouth_visible):
        return "MOUTH_COVERED"
    return None


@pytest.mark.parametrize("kind", [None, *ALL])
def test_the_demo_faces_are_told_what_to_uncover(
    demo_crops: list[Image], policy: IdentityPolicy, kind: str | None
) -> None:
    expected = (
        None if kind is None else "EYES_COVERED" if kind in coverings.EYES else "MOUTH_COVERED"
    )
    for crop in demo_crops:
        shown = crop if kind is None else ALL[kind](crop)
        assert covering_of(measured(shown), policy) == expected


def share_of(
    crops: list[Image], policy: IdentityPolicy, code: str, drawn: Callable[[Image], Image]
) -> float:
    return float(np.mean([covering_of(measured(drawn(crop)), policy) == code for crop in crops]))


@pytest.mark.parametrize("kind", coverings.EYES)
def test_covered_eyes_of_real_photographs_are_seen(
    lfw_crops: list[Image], policy: IdentityPolicy, kind: str
) -> None:
    assert share_of(lfw_crops[::3], policy, "EYES_COVERED", coverings.EYES[kind]) >= 0.98


@pytest.mark.parametrize("kind", coverings.MOUTH)
def test_covered_mouths_of_real_photographs_are_seen(
    lfw_crops: list[Image], policy: IdentityPolicy, kind: str
) -> None:
    # Folds are contrast; limits that see all of these masks send away pale lips of elders as well.
    least = 0.5 if kind == "surgical mask with folds" else 0.95
    assert share_of(lfw_crops[::3], policy, "MOUTH_COVERED", coverings.MOUTH[kind]) >= least


def test_people_who_cover_nothing_are_not_sent_away(
    lfw_crops: list[Image], policy: IdentityPolicy
) -> None:
    told = [covering_of(measured(crop), policy) for crop in lfw_crops]
    # Some of these photographs may show dark glasses or a hand before the mouth.
    assert len(told) > 150
    assert sum(code is not None for code in told) <= 0.01 * len(told)


def test_neither_darkness_nor_strong_light_covers_anything(demo_crops: list[Image]) -> None:
    for crop in demo_crops:
        plain = measured(crop)
        for factor in (0.35, 0.6, 1.2):
            lit = measured(np.clip(crop * factor, 0, 255).astype(np.uint8))
            for name in ("eyes_visible", "nose_visible", "mouth_visible"):
                assert getattr(lit, name) == pytest.approx(getattr(plain, name), rel=0.35)


def test_a_covering_check_of_zero_is_off(demo_crops: list[Image], policy: IdentityPolicy) -> None:
    masked = measured(coverings.MOUTH["black mask"](demo_crops[0]))
    off = policy.quality.model_copy(
        update={"min_mouth_visible": 0, "min_nose_visible": 0, "min_inter_eye_px": 24}
    )
    on = policy.quality.model_copy(update={"min_inter_eye_px": 24})
    assert instruction(masked, on) == "MOUTH_COVERED"
    assert instruction(masked, off) != "MOUTH_COVERED"
