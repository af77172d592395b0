"""The drawn world: what moves like a head, what moves like a plane, what does not move."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hardware.simulated_actors import Actor
from hardware.simulated_people import People, Pixels
from hardware.simulated_scene import (
    Genuine,
    HeldPhoto,
    HeldScreen,
    Role,
    Scene,
    Stamp,
    Static,
    read_stamp,
)

WIDTH, HEIGHT = 640, 480


def scene_with(people: People, *cast_list: Actor, seed: int = 7, noise: float = 0) -> Scene:
    scene = Scene(WIDTH, HEIGHT, people=people, seed=seed, label="c", noise=noise)
    scene.show(cast_list)
    return scene


def plane_residual(before: Pixels, after: Pixels, eye_distance: float) -> float:
    """Return the median distance of dense flow from the best homography, in eye distances."""
    flow_of = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(each, cv2.COLOR_BGR2GRAY) for each in (before, after)]
    flow = flow_of.calc(grey[0], grey[1], np.zeros((HEIGHT, WIDTH, 2), np.float32))
    x, y, e = WIDTH // 2, round(0.42 * HEIGHT), round(eye_distance)
    rows, columns = np.mgrid[y - e // 2 : y + round(1.3 * e) : 4, x - e : x + e : 4]
    here = np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float32)
    there = here + flow[rows.ravel(), columns.ravel()]
    plane, _ = cv2.findHomography(here, there, cv2.RANSAC, 1.0)
    explained = cv2.perspectiveTransform(here[:, None], plane)[:, 0]
    away = np.linalg.norm(cast(NDArray[np.float32], explained - there), axis=1)
    return float(np.median(away)) / eye_distance


@pytest.mark.parametrize("picture", [1, 3])
def test_a_genuine_head_moves_as_no_plane_can_and_held_pictures_as_one(
    people: People, picture: int
) -> None:
    residuals: dict[type[Actor], list[float]] = {}
    for kind in (Genuine, HeldPhoto, HeldScreen):
        scene = scene_with(people, kind("person-a", picture))
        frames = [scene.frame(t) for t in (0.4, 0.9, 1.4, 1.9, 2.4)]
        eyes = 0.14 * WIDTH
        residuals[kind] = [plane_residual(a, b, eyes) for a, b in pairwise(frames)]
    flat = max(residuals[HeldPhoto] + residuals[HeldScreen])
    assert np.median(residuals[Genuine]) > 2 * flat


def test_a_static_picture_does_not_move(people: People) -> None:
    scene = scene_with(people, Static("person-a", 1))
    one, two = (scene.frame(t, clock_seconds=0, ordinal=0) for t in (0.0, 1.7))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("kind", [Genuine, HeldPhoto, HeldScreen])
def test_everything_else_moves(people: People, kind: type[Actor]) -> None:
    scene = scene_with(people, kind("person-a", 1))
    one, two = (scene.frame(t, clock_seconds=0, ordinal=0) for t in (0.0, 0.7))
    assert float(np.abs(one.astype(int) - two.astype(int)).mean()) > 1


def test_a_genuine_person_blinks(people: People) -> None:
    still = Genuine("person-a", 1, yaw_degrees=0, pitch_degrees=0)
    scene = scene_with(people, still)
    eye = np.s_[
        round(0.42 * HEIGHT) - 8 : round(0.42 * HEIGHT) + 8,
        round(WIDTH * 0.43) - 14 : round(WIDTH * 0.43) + 14,
    ]
    frames = [scene.frame(t / 15, clock_seconds=0, ordinal=0)[eye].astype(float) for t in range(60)]
    steps = [float(np.abs(b - a).mean()) for a, b in pairwise(frames)]
    assert max(steps) > 8 * float(np.median(steps))
    assert sum(step > max(steps) / 2 for step in steps) < len(steps) / 6


def test_a_frame_is_a_function_of_cast_seed_and_time(people: People) -> None:
    one, two = (scene_with(people, Genuine("person-a", 3), noise=1.5) for _ in range(2))
    assert np.array_equal(one.frame(1.2), two.frame(1.2))
    other = scene_with(people, Genuine("person-a", 3), seed=8, noise=1.5)
    assert not np.array_equal(one.frame(1.2), other.frame(1.2))


def test_two_people_stand_where_they_are_put(people: People) -> None:
    nobody = scene_with(people).frame(0)
    both = scene_with(people, Genuine("person-a", x=0.28), Genuine("person-b", x=0.74)).frame(0)
    changed = (np.abs(nobody.astype(int) - both.astype(int)).sum(axis=2) > 30).mean(axis=0)
    for share in (0.28, 0.74):
        assert changed[round(share * WIDTH) - 20 : round(share * WIDTH) + 20].mean() > 0.4
    assert changed[:20].mean() < 0.1


def test_showing_nobody_clears_the_view(people: People) -> None:
    scene = scene_with(people, Genuine("person-a"))
    scene.show([])
    assert np.array_equal(scene.frame(0), scene_with(people).frame(0))


def test_unknown_people_and_missing_people_are_refused(people: People) -> None:
    with pytest.raises(LookupError, match="person-z"):
        scene_with(people, Genuine("person-z"))
    with pytest.raises(ValueError, match="without people"):
        Scene(WIDTH, HEIGHT, people=None, seed=1, label="c").show([Genuine("person-a")])


@pytest.mark.parametrize("role", ["purchase", "prescription", "dispensing"])
@pytest.mark.parametrize(("width", "height"), [(160, 120), (640, 480), (1920, 1080)])
def test_every_view_draws_at_every_size(role: Role, width: int, height: int) -> None:
    scene = Scene(width, height, people=None, seed=3, label="camera", role=role)
    frame = scene.frame(2.5)
    assert (frame.shape, frame.dtype) == ((height, width, 3), np.uint8)
    assert frame.std() > 10
    if width >= 320:
        assert read_stamp(frame) == Stamp(38, 25)


@settings(max_examples=40)
@given(ordinal=st.integers(0, (1 << 24) - 1), tenths=st.integers(0, 863_999))
def test_a_stamp_reads_back_after_jpeg(ordinal: int, tenths: int) -> None:
    scene = Scene(320, 240, people=None, seed=3, label="c")
    frame = scene.frame(0, clock_seconds=tenths / 10, ordinal=ordinal)
    _, packed = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 40])
    assert read_stamp(cast(Pixels, cv2.imdecode(packed, 1))) == Stamp(ordinal, tenths)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_has_no_stamp(level: int) -> None:
    assert read_stamp(np.full((480, 640, 3), level, np.uint8)) is None
