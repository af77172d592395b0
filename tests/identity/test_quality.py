"""The gate gives exactly one instruction, the first that the person can follow."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from identity.policy import IdentityPolicy
from identity.quality import (
    MEASURES,
    FaceQuality,
    View,
    in_zone,
    instruction,
    pose_degrees,
    score,
)
from identity.quality.crop import measure_in as measure
from models.opencv import cv2
from tests.identity import support
from tests.identity.support import DEPTHS, EYES, MIDDLE, POINTS, face_at

FINE = FaceQuality(
    detection_score=0.95,
    inter_eye_px=90.0,
    yaw_degrees=0.0,
    pitch_degrees=0.0,
    roll_degrees=0.0,
    sharpness=400.0,
    brightness=120.0,
    clipped_share=0.0,
    light_balance=0.9,
    eyes_visible=0.3,
    nose_visible=0.3,
    mouth_visible=0.3,
    inside_share=1.0,
    size_share=0.4,
    off_centre_x=0.1,
    off_centre_y=0.1,
)


def test_a_fine_face_has_no_instruction(policy: IdentityPolicy) -> None:
    assert instruction(FINE, policy.quality) is None


@pytest.mark.parametrize(
    ("measured", "value", "code"),
    [
        ("inside_share", 0.5, "PARTLY_OUT_OF_FRAME"),
        ("inter_eye_px", 30.0, "FACE_TOO_SMALL"),
        ("brightness", 10.0, "TOO_DARK"),
        ("brightness", 250.0, "TOO_BRIGHT"),
        ("yaw_degrees", -25.0, "POSE"),
        ("pitch_degrees", 25.0, "POSE"),
        ("roll_degrees", 40.0, "POSE"),
        ("clipped_share", 0.6, "TOO_BRIGHT"),
        ("light_balance", 0.05, "UNEVEN_LIGHT"),
        ("size_share", 1.2, "FACE_TOO_LARGE"),
        ("eyes_visible", 0.01, "EYES_COVERED"),
        ("nose_visible", 0.01, "MOUTH_COVERED"),
        ("mouth_visible", 0.01, "MOUTH_COVERED"),
        ("sharpness", 5.0, "BLURRED"),
        ("detection_score", 0.5, "BLURRED"),
    ],
)
def test_each_measure_has_its_instruction(
    policy: IdentityPolicy, measured: str, value: float, code: str
) -> None:
    assert instruction(dataclasses.replace(FINE, **{measured: value}), policy.quality) == code


@pytest.mark.parametrize("name", [item.name for item in dataclasses.fields(FaceQuality)])
def test_a_measure_that_is_no_number_never_passes(policy: IdentityPolicy, name: str) -> None:
    broken = dataclasses.replace(FINE, **{name: math.nan})
    assert not broken.is_finite()
    assert instruction(broken, policy.quality, policy.faces) is not None


def test_pictures_may_hold_smaller_faces_than_the_counter(policy: IdentityPolicy) -> None:
    small = dataclasses.replace(FINE, inter_eye_px=40.0)
    assert instruction(small, policy.quality) == "FACE_TOO_SMALL"
    assert instruction(small, policy.quality.for_pictures()) is None


@pytest.mark.parametrize("degrees", [-18, -9, 0, 9, 18])
def test_yaw_is_estimated_within_a_few_degrees(degrees: float) -> None:
    turned = POINTS * [np.cos(np.radians(degrees)), 1] + np.stack(
        [DEPTHS * np.sin(np.radians(degrees)), np.zeros(5)], axis=1
    )
    yaw, pitch = pose_degrees((MIDDLE + EYES * turned).astype(np.float32))
    assert yaw == pytest.approx(degrees, abs=3)
    assert abs(pitch) < 8


def test_blur_and_darkness_show_in_their_measures() -> None:
    pixels, landmarks = support.turning_head(0)
    sharp = measure(pixels, face_at(landmarks))
    blurred = measure(np.asarray(cv2.GaussianBlur(pixels, (0, 0), 6)), face_at(landmarks))
    dark = measure((pixels // 4).astype(np.uint8), face_at(landmarks))
    assert blurred.sharpness < sharp.sharpness / 10
    assert dark.brightness == pytest.approx(sharp.brightness / 4, abs=2)
    assert sharp.inter_eye_px == pytest.approx(EYES, abs=0.1)


def test_a_face_over_the_edge_is_partly_outside() -> None:
    pixels, landmarks = support.turning_head(0)
    assert measure(pixels, face_at(landmarks, shift=120)).inside_share < 0.8


def test_every_measure_says_what_it_is_and_stays_in_its_range() -> None:
    assert [each.name for each in MEASURES] == [f.name for f in dataclasses.fields(FaceQuality)]
    # A receipt holds sixteen measures at most.
    assert len(MEASURES) <= 16
    random = np.random.default_rng(1)
    _, landmarks = support.turning_head(0)
    for level in (0, 90, 255):
        crop = np.clip(random.normal(level, 40, (112, 112, 3)), 0, 255).astype(np.uint8)
        view = View.of(crop, face_at(landmarks), (320, 320))
        for each in MEASURES:
            assert each.unit
            assert each.source
            assert each.cannot_see
            assert each.low <= each.of(view) <= each.high, each.name


def test_a_flat_crop_is_measured_and_never_passes(policy: IdentityPolicy) -> None:
    _, landmarks = support.turning_head(0)
    for level in (0, 128, 255):
        found = measure(np.full((320, 320, 3), level, np.uint8), face_at(landmarks))
        assert found.is_finite()
        assert instruction(found, policy.quality) is not None


def test_the_zone_is_asked_at_the_counter_only(policy: IdentityPolicy) -> None:
    aside = dataclasses.replace(FINE, off_centre_x=0.95)
    assert instruction(aside, policy.quality, policy.faces) == "OFF_CENTRE"
    assert instruction(aside, policy.quality) is None
    assert in_zone(FINE, policy.faces)


def test_a_face_may_fill_a_picture_but_not_the_counters_frame(policy: IdentityPolicy) -> None:
    close = dataclasses.replace(FINE, size_share=1.1)
    assert instruction(close, policy.quality) == "FACE_TOO_LARGE"
    assert instruction(close, policy.quality.for_pictures()) is None


def test_one_dark_side_is_uneven_light() -> None:
    pixels, landmarks = support.turning_head(0)
    shaded = pixels.copy()
    shaded[:, : round(float(landmarks[2][0]))] //= 4
    even, uneven = (measure(each, face_at(landmarks)).light_balance for each in (pixels, shaded))
    assert even > 0.7
    assert uneven < 0.45


def test_the_same_face_in_dimmer_light_is_no_less_sharp_than_its_edges() -> None:
    pixels, landmarks = support.turning_head(0)
    full = measure(pixels, face_at(landmarks))
    half = measure((pixels // 2).astype(np.uint8), face_at(landmarks))
    # The variance falls to a quarter; brought to one brightness it falls to a half.
    assert half.sharpness == pytest.approx(full.sharpness / 2, rel=0.1)


@pytest.mark.parametrize(
    "change",
    [
        {"sharpness": 100.0},
        {"yaw_degrees": 15.0},
        {"pitch_degrees": -15.0},
        {"detection_score": 0.8},
    ],
)
def test_the_score_ranks_a_poorer_frame_lower(change: dict[str, float]) -> None:
    assert 0 < score(dataclasses.replace(FINE, **change)) < score(FINE) <= 1


@pytest.mark.parametrize("name", [item.name for item in dataclasses.fields(FaceQuality)])
def test_a_measure_that_is_no_number_scores_nothing(name: str) -> None:
    assert score(dataclasses.replace(FINE, **{name: math.nan})) == 0.0
