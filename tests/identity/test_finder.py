"""Reduced searches lose no second face, and place landmarks as well as a full one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from hardware.errors import PeopleMissing
from hardware.simulated_scene import Genuine, Scene, load_people
from identity.finder import FaceFinder
from models.runtime import LoadedModels
from models.values import FaceDetection, Image
from tests.identity.support import POINTS

Truth = tuple[float, float, float]
"""A face in the frame: the middle between its eyes, and their distance."""


@dataclass
class Marks:
    """A detector that sees painted marks: 255 in one channel is a face, its size is painted too."""

    shapes: list[tuple[int, int]] = field(default_factory=list)
    blind_in: set[tuple[int, int]] = field(default_factory=set)

    def detect(self, image: Image) -> Sequence[FaceDetection]:
        size = image.shape[1], image.shape[0]
        self.shapes.append(size)
        if size in self.blind_in:
            return []
        found = []
        for channel in range(3):
            rows, columns = np.nonzero(image[:, :, channel] > 100)
            if len(rows) < 4 or np.ptp(rows) < 3:
                continue
            # A mark is a square as wide as the eyes are apart.
            eyes = float(np.ptp(columns) + 1)
            middle = np.array([columns.mean(), rows.mean()])
            points = (middle + eyes * POINTS).astype(np.float32)
            box = (middle[0] - eyes, middle[1] - eyes, 2 * eyes, 2.6 * eyes)
            found.append(FaceDetection(box, points, 0.9))
        return found


def frame(width: int, height: int, *faces: Truth) -> Image:
    pixels = np.zeros((height, width, 3), np.uint8)
    for channel, (x, y, eyes) in enumerate(faces):
        half = eyes / 2
        pixels[round(y - half) : round(y + half), round(x - half) : round(x + half), channel] = 255
    return pixels


def middle_of(face: FaceDetection) -> tuple[float, float]:
    x, y = face.landmarks[:2].mean(axis=0)
    return float(x), float(y)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (1920, 1080), (480, 640)])
def test_both_searches_are_small_and_of_one_size(width: int, height: int) -> None:
    marks = Marks()
    FaceFinder(marks).find(frame(width, height, (width * 0.4, height * 0.45, 90)))
    assert len(marks.shapes) == 2
    assert len(set(marks.shapes)) == 1
    assert max(marks.shapes[0]) == 320


@pytest.mark.parametrize("at", [(120.0, 100.0), (320.0, 240.0), (590.0, 430.0)])
def test_landmarks_are_in_the_coordinates_of_the_frame(at: tuple[float, float]) -> None:
    (found,) = FaceFinder(Marks()).find(frame(640, 480, (*at, 60)))
    assert middle_of(found) == pytest.approx(at, abs=1.5)
    assert found.inter_eye_px == pytest.approx(60, abs=2.5)


def test_a_second_face_far_from_the_first_is_still_seen() -> None:
    found = FaceFinder(Marks()).find(frame(1280, 720, (300, 300, 120), (1200, 100, 40)))
    assert [round(face.inter_eye_px / 10) for face in found] == [12, 4]


def test_a_face_that_is_found_twice_is_one_face() -> None:
    found = FaceFinder(Marks()).find(frame(1280, 720, (640, 360, 100), (760, 360, 90)))
    assert len(found) == 2


def test_the_region_finds_what_the_whole_frame_lost_for_a_moment() -> None:
    marks = Marks()
    finder = FaceFinder(marks)
    pixels = frame(640, 480, (320, 240, 80))
    assert len(finder.find(pixels)) == 1
    marks.shapes.clear()

    class Blink(Marks):
        def detect(self, image: Image) -> Sequence[FaceDetection]:
            self.shapes.append((image.shape[1], image.shape[0]))
            return [] if len(self.shapes) == 1 else Marks.detect(self, image)

    finder._detector = Blink()
    assert len(finder.find(pixels)) == 1


def test_where_nobody_is_found_the_whole_frame_is_searched_at_its_own_size() -> None:
    marks = Marks(blind_in={(320, 240)})
    assert len(FaceFinder(marks).find(frame(640, 480, (320, 240, 80)))) == 1
    assert marks.shapes[-1] == (640, 480)


def test_a_small_frame_is_searched_once_as_it_is() -> None:
    marks = Marks()
    assert len(FaceFinder(marks).find(frame(320, 240, (160, 100, 60)))) == 1
    assert marks.shapes == [(320, 240)]


def test_with_the_shipped_models_scores_are_as_good_and_nobody_is_missed(
    loaded: LoadedModels,
) -> None:
    try:
        people = load_people()
    except PeopleMissing as missing:
        pytest.skip(f"the demo's photographs are not fetched: {missing}")
    portrait = people.pixels("person-a", 1)
    reference = loaded.embedder.embed(portrait, loaded.detector.detect(portrait)[0])
    full, small = [], []
    for seed, eyes in enumerate((0.1, 0.17)):
        scene = Scene(640, 480, people=people, seed=seed, label="purchase")
        behind = Genuine("person-b", x=0.85, y=0.3, eye_distance=0.04)
        scene.show([behind, Genuine("person-a", 2 + seed % 2, x=0.42, eye_distance=eyes)])
        finder = FaceFinder(loaded.detector)
        for step in range(3):
            pixels = scene.frame(step * 0.4)
            whole = sorted(loaded.detector.detect(pixels), key=lambda face: -face.inter_eye_px)
            found = finder.find(pixels)
            assert len(found) == len(whole) == 2
            full.append(float(loaded.embedder.embed(pixels, whole[0]) @ reference))
            small.append(float(loaded.embedder.embed(pixels, found[0]) @ reference))
    assert np.mean(small) > np.mean(full) - 0.03
