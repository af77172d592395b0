"""What each signal says of what it can see, and that it says nothing of what it cannot."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.liveness import camera, likeness, passive, planarity, replay, static_input
from identity.liveness.signals import Verdict, at_least, at_most
from identity.liveness.windows import HEIGHT, WIDTH, nose_offsets, take
from identity.looked import LookedFrame
from tests.identity.liveness.liveness_support import (
    CAMERA,
    LIMITS,
    VIRTUAL,
    ScriptedPassive,
    faces,
    filmed,
    vector,
    with_crops,
)
from tests.identity.support import face_at, held_print, still, turning_head

TIMES = [0.12 * i for i in range(14)]


def never_seen(digest: bytes) -> bool:
    return False


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_not_assessed(value: float | None) -> None:
    assert at_least("x", value, 0.5, "R").verdict is Verdict.NOT_ASSESSED
    assert at_most("x", value, 0.5, "R").verdict is Verdict.NOT_ASSESSED


# -- windows --------------------------------------------------------------------------------------


def test_a_window_follows_the_face_and_the_other_stays() -> None:
    pixels, landmarks = turning_head(0.0)
    face, moved = face_at(landmarks), face_at(landmarks, shift=20.0)
    window, anchored = take(pixels, moved, face)
    assert window.shape == anchored.shape == (HEIGHT, WIDTH)
    assert np.array_equal(anchored, take(pixels, face, face)[0])
    assert not np.array_equal(window, anchored)


def test_the_nose_offset_is_a_share_of_the_eye_distance_whatever_the_roll() -> None:
    frame = faces([(0.0, 0.15)])[0]
    upright = frame.face.landmarks

    def offset(points: np.ndarray) -> float:
        moved = replace(frame, face=replace(frame.face, landmarks=points.astype(np.float32)))
        return float(nose_offsets([frame, moved])[1])

    assert offset(upright) == pytest.approx(0.15, abs=1e-6)
    angle = np.radians(25)
    roll = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert offset(upright @ roll * 1.7) == pytest.approx(0.15, abs=1e-5)
    assert math.isnan(offset(np.zeros((5, 2))))


# -- motion ---------------------------------------------------------------------------------------


def test_what_moves_passes_and_what_does_not_fails() -> None:
    assert static_input.signal(filmed(turning_head, TIMES), LIMITS).verdict is Verdict.PASS
    stuck = static_input.signal(filmed(still, TIMES), LIMITS)
    assert (stuck.verdict, stuck.reason) == (Verdict.FAIL, "STATIC_INPUT")
    assert static_input.signal(filmed(turning_head, TIMES[:1]), LIMITS).verdict is (
        Verdict.NOT_ASSESSED
    )
    assert static_input.signal((), LIMITS).verdict is Verdict.NOT_ASSESSED


# -- planarity ------------------------------------------------------------------------------------


def test_a_turning_head_is_no_plane() -> None:
    found = planarity.signal(filmed(turning_head, TIMES), LIMITS)
    assert found.verdict is Verdict.PASS
    assert found.value is not None
    assert found.value > 2 * float(LIMITS.min_plane_residual)


def test_a_tilting_print_is_one() -> None:
    found = planarity.signal(filmed(held_print, TIMES), LIMITS)
    assert (found.verdict, found.reason) == (Verdict.FAIL, "PLANAR_MOTION")


def test_without_a_turn_nothing_is_said_about_planes() -> None:
    assert planarity.signal(filmed(still, TIMES), LIMITS).verdict is Verdict.NOT_ASSESSED


def test_frames_without_windows_say_nothing() -> None:
    bare = tuple(replace(f, window=None, anchored=None) for f in filmed(turning_head, TIMES))
    assert planarity.signal(bare, LIMITS).verdict is Verdict.NOT_ASSESSED
    assert static_input.signal(bare, LIMITS).verdict is Verdict.NOT_ASSESSED


def test_a_picture_without_structure_says_nothing() -> None:
    empty = np.full((HEIGHT, WIDTH), 128, np.uint8)
    blank = tuple(replace(f, window=empty, anchored=empty) for f in filmed(turning_head, TIMES))
    assert planarity.signal(blank, LIMITS).verdict is not Verdict.PASS
    assert static_input.signal(blank, LIMITS).verdict is Verdict.FAIL


def test_pairs_are_apart_in_time_and_turned_as_far_as_flow_can_follow() -> None:
    frames = faces([(0.0, 0.0), (0.1, 0.15), (0.3, 0.15), (0.6, 0.4), (0.9, 0.01)])
    chosen = planarity.pairs(frames)
    assert chosen[0] == (0, 2)
    assert all(
        frames[j].offset_ns - frames[i].offset_ns >= 250_000_000 and i < j for i, j in chosen
    )
    assert planarity.pairs(frames[:1]) == ()


# -- replay ---------------------------------------------------------------------------------------


def digests(*names: str) -> tuple[object, ...]:
    frames = faces([(0.1 * i, 0.0) for i in range(len(names))])
    return tuple(
        replace(frame, pixels_digest=name.encode().ljust(16))
        for frame, name in zip(frames, names, strict=True)
    )


@pytest.mark.parametrize(
    ("names", "repeats"),
    [("abcdef", 0), ("aabbcc", 0), ("abcabc", 3), ("abca", 1), ("abbba", 1), ("a", 0)],
)
def test_only_what_comes_back_after_something_else_is_a_repeat(names: str, repeats: int) -> None:
    found = replay.signal(digests(*names), never_seen)  # type: ignore[arg-type]
    assert found.value == repeats
    assert found.verdict is (Verdict.FAIL if repeats else Verdict.PASS)


def test_pixels_of_an_earlier_attempt_are_replayed() -> None:
    earlier = {b"c".ljust(16)}
    found = replay.signal(digests(*"abcd"), earlier.__contains__)  # type: ignore[arg-type]
    assert (found.verdict, found.value, found.reason) == (Verdict.FAIL, 1.0, "REPLAYED_FRAMES")


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12))
def test_played_twice_without_a_stop_every_film_is_found(names: list[str]) -> None:
    runs = [n for i, n in enumerate(names) if i == 0 or names[i - 1] != n]
    found = replay.signal(digests(*names, *names), never_seen)  # type: ignore[arg-type]
    assert (found.verdict is Verdict.FAIL) == (len(runs) > 1)


# -- likeness -------------------------------------------------------------------------------------


def test_a_probe_as_alike_as_a_copy_fails() -> None:
    far, near = vector(50), vector(5)
    assert likeness.signal([far], vector(0), LIMITS).verdict is Verdict.PASS
    copied = likeness.signal([far, near], vector(0), LIMITS)
    assert (copied.verdict, copied.reason) == (Verdict.FAIL, "REPLAYED_FRAMES")
    assert likeness.signal([far], None, LIMITS).verdict is Verdict.NOT_ASSESSED
    assert likeness.signal([], vector(0), LIMITS).verdict is Verdict.NOT_ASSESSED


# -- passive --------------------------------------------------------------------------------------


def test_the_models_are_asked_about_the_compared_frames_only() -> None:
    frames = with_crops(faces([(0.1 * i, 0.0) for i in range(6)]))
    model = ScriptedPassive(lambda number: 0.9 if number in (1, 3) else 0.0)

    def ask(frame: object) -> float | None:
        return passive.live_probability(model.live_probability, frame)  # type: ignore[arg-type]

    found = passive.signal(frames, (1, 3), LIMITS, ask)
    assert (found.verdict, model.calls) == (Verdict.PASS, 2)
    assert found.value == pytest.approx(0.9)
    assert passive.signal(frames, (1, 2), LIMITS, ask).verdict is Verdict.FAIL
    assert passive.signal(frames, (1, 3), LIMITS, None).verdict is Verdict.NOT_ASSESSED


def test_a_face_that_fills_the_frame_is_not_judged_by_the_models() -> None:
    frames = with_crops(faces([(0.0, 0.0), (0.1, 0.0)]))
    close = tuple(replace(frame, frame_size=(640, 200)) for frame in frames)
    assert passive.asked(frames, (0, 1)) == (0, 1)
    assert passive.asked(close, (0, 1)) == ()
    assert passive.signal(close, (0, 1), LIMITS, lambda _: 0.0).verdict is Verdict.NOT_ASSESSED


def test_one_frame_without_crops_leaves_it_open() -> None:
    frames = with_crops(faces([(0.0, 0.0), (0.1, 0.0)]))
    frames = (frames[0], replace(frames[1], passive=()))
    assert passive.signal(frames, (0, 1), LIMITS, lambda _: 1.0).verdict is Verdict.NOT_ASSESSED


# -- camera ---------------------------------------------------------------------------------------


def test_a_virtual_camera_fails() -> None:
    assert camera.signal(CAMERA).verdict is Verdict.PASS
    refused = camera.signal(VIRTUAL)
    assert (refused.verdict, refused.reason) == (Verdict.FAIL, "VIRTUAL_CAMERA")


# -- planarity, where flow is lost ----------------------------------------------------------------


def test_where_flow_is_lost_over_a_large_turn_a_smaller_one_is_measured() -> None:
    frames = faces([(0.3 * i, offset) for i, offset in enumerate([0.0, 0.09, 0.15, 0.0, 0.09])])
    large, small = (planarity.pairs(frames, turn) for turn in planarity.FOLLOWABLE_TURNS)
    asked: list[tuple[int, int]] = []

    def only_small(before: LookedFrame, after: LookedFrame) -> planarity.Depth | None:
        asked.append((frames.index(before), frames.index(after)))
        return planarity.Depth(0.03, 0.02, 0.02) if asked[-1] not in large[:2] else None

    assert small != large
    assert planarity.signal(frames, LIMITS, only_small).verdict is Verdict.PASS
    assert set(asked) == {*large, *small}
    nothing = planarity.signal(frames, LIMITS, lambda before, after: None)
    assert nothing.verdict is Verdict.NOT_ASSESSED
