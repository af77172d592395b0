"""The gate gives exactly one instruction, the first that the person can follow."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from identity.policy import IdentityPolicy
from identity.quality import FaceQuality, instruction, pose_degrees
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
