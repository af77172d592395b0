"""A turn that was asked for: which side, when it counts, and what does not count."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.liveness.challenge import ChallengeRun, outcome_of, sides_of, signal
from identity.liveness.planarity import Depth
from identity.liveness.signals import Verdict
from identity.looked import LookedFrame
from identity.policy import LivenessLimits
from tests.identity.liveness.liveness_support import LIMITS, NS, faces, limits, seed_for

TWO = limits(challenge_turns=2)
DEEP, FLAT, BENT = Depth(0.03, 0.02, 0.02), Depth(0.002, 0.002, 0.02), Depth(0.03, 0.004, 0.02)


def run_over(frames: tuple[LookedFrame, ...], seed: bytes, rules: LivenessLimits) -> ChallengeRun:
    """Ask at two seconds and follow the frames one by one, as an attempt does."""
    run = ChallengeRun.begin(seed, 2 * NS, rules)
    for count in range(1, len(frames) + 1):
        if frames[count - 1].offset_ns > 2 * NS:
            run = run.after(frames[:count], frames[count - 1].offset_ns)
    return run


def film(*parts: tuple[float, float, float], until: float = 12.0) -> tuple[LookedFrame, ...]:
    """Return frames every 0.12 s; each part is (from, to, nose offset), at rest otherwise."""
    times = np.arange(0, until, 0.12)
    return faces(
        [
            (float(t), next((offset for start, end, offset in parts if start <= t < end), 0.01))
            for t in times
        ]
    )


def verdict(frames: tuple[LookedFrame, ...], run: ChallengeRun, depth: Depth = DEEP) -> Verdict:
    turned = run.progress(frames).turned
    return signal(frames, run, run.limits, [depth] * len(turned)).verdict


@pytest.mark.parametrize(("side", "offset"), [("left", 0.2), ("right", -0.2)])
def test_a_turn_to_the_asked_side_passes(side: str, offset: float) -> None:
    """The person's own left is the image's right."""
    frames = film((3.0, 4.0, offset))
    run = run_over(frames, seed_for(side), LIMITS)
    assert verdict(frames, run) is Verdict.PASS
    assert run.is_over(frames, 4 * NS)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_instruction_names_the_side_and_goes_when_the_turn_is_made(side: str) -> None:
    run = ChallengeRun.begin(seed_for(side), 2 * NS, LIMITS)
    waiting = film(until=2.5)
    assert run.instruction(waiting, 2 * NS + 1) == f"TURN_{side.upper()}"
    made = film((3.0, 4.0, 0.2 if side == "left" else -0.2), until=3.5)
    assert run.instruction(made, 3 * NS + NS // 2) is None


def test_a_turn_to_the_other_side_fails_even_when_the_right_one_follows() -> None:
    frames = film((3.0, 3.6, -0.2), (4.2, 5.0, 0.2))
    run = run_over(frames, seed_for("left"), LIMITS)
    assert verdict(frames, run) is Verdict.FAIL


def test_no_turn_is_not_finished_and_over_when_its_time_is() -> None:
    frames = film()
    run = run_over(frames, seed_for("left"), LIMITS)
    made = signal(frames, run, LIMITS, [])
    assert (made.verdict, made.value, made.reason) == (
        Verdict.NOT_ASSESSED,
        0.0,
        "CHALLENGE_FAILED",
    )
    assert outcome_of(made) == "not_finished"
    assert not run.is_over(frames, 8 * NS)
    assert run.is_over(frames, 8 * NS + 1)


def test_a_turn_after_its_time_does_not_count() -> None:
    frames = film((8.2, 9.0, 0.2))
    assert verdict(frames, run_over(frames, seed_for("left"), LIMITS)) is Verdict.NOT_ASSESSED


@pytest.mark.parametrize("depth", [FLAT, BENT])
def test_a_turn_that_shows_no_more_depth_than_a_sheet_fails(depth: Depth) -> None:
    frames = film((3.0, 4.0, 0.2))
    run = run_over(frames, seed_for("left"), LIMITS)
    assert verdict(frames, run, depth) is Verdict.FAIL


def test_a_turn_whose_depth_cannot_be_measured_is_not_assessed() -> None:
    frames = film((3.0, 4.0, 0.2))
    run = run_over(frames, seed_for("left"), LIMITS)
    assert signal(frames, run, LIMITS, [None]).verdict is Verdict.NOT_ASSESSED
    assert (
        signal(frames, run, LIMITS, [Depth(math.nan, math.nan, math.nan)]).verdict
        is not Verdict.PASS
    )


@pytest.mark.parametrize("offset", [0.2, -0.2])
def test_what_a_face_does_before_anybody_can_answer_is_no_answer(offset: float) -> None:
    frames = film((2.01, 2.2, offset))
    assert verdict(frames, run_over(frames, seed_for("left"), LIMITS)) is Verdict.NOT_ASSESSED


def test_a_face_turned_from_the_beginning_did_not_turn() -> None:
    frames = film((0.0, 12.0, 0.2))
    assert verdict(frames, run_over(frames, seed_for("left"), LIMITS)) is not Verdict.PASS


def test_without_a_face_before_the_asking_nothing_is_judged() -> None:
    frames = film((3.0, 4.0, 0.2))[20:]
    run = ChallengeRun.begin(seed_for("left"), 2 * NS, LIMITS)
    assert verdict(frames, run) is Verdict.NOT_ASSESSED


@pytest.mark.parametrize(("offset", "said"), [(0.2, Verdict.PASS), (-0.2, Verdict.FAIL)])
def test_a_turn_counts_though_no_frame_was_taken_right_before_the_asking(
    offset: float, said: Verdict
) -> None:
    """While a verdict is prepared frames are watched, but not taken in; cameras may be slow too."""
    frames = tuple(
        frame for frame in film((3.0, 4.0, offset)) if not 1.1 * NS < frame.offset_ns <= 2 * NS
    )
    assert verdict(frames, run_over(frames, seed_for("left"), LIMITS)) is said


SWAYING = ((0.3, 0.6, 0.13), (0.9, 1.2, -0.11))


@pytest.mark.parametrize("sway", [0.13, -0.13])
def test_a_head_that_sways_as_before_turns_to_neither_side(sway: float) -> None:
    """Neither a film that sways passes by it, nor is a person suspected who did not understand."""
    frames = film(*SWAYING, (3.0, 3.6, sway), (4.2, 4.8, -sway))
    made = signal(frames, run_over(frames, seed_for("left"), LIMITS), LIMITS, [])
    assert (made.verdict, made.value) == (Verdict.NOT_ASSESSED, 0.0)


@pytest.mark.parametrize(("offset", "said"), [(0.21, Verdict.PASS), (-0.21, Verdict.FAIL)])
def test_a_turn_counts_that_goes_beyond_the_sway(offset: float, said: Verdict) -> None:
    frames = film(*SWAYING, (3.0, 4.0, offset))
    assert verdict(frames, run_over(frames, seed_for("left"), LIMITS)) is said


def test_whoever_looked_far_aside_before_is_not_asked_for_more_than_people_can() -> None:
    frames = film((0.3, 0.6, 0.4), (3.0, 4.0, 0.24))
    assert verdict(frames, run_over(frames, seed_for("left"), LIMITS)) is Verdict.PASS


def test_two_turns_are_asked_one_after_the_other() -> None:
    frames = film((3.0, 4.0, 0.2), (6.0, 7.0, -0.2))
    run = run_over(frames, seed_for("left", "right"), TWO)
    assert len(run.asked_at_ns) == 2
    assert 4 * NS <= run.asked_at_ns[1] < 4.3 * NS
    assert verdict(frames, run) is Verdict.PASS
    one = film((3.0, 4.0, 0.2))
    assert verdict(one, run_over(one, seed_for("left", "right"), TWO)) is Verdict.NOT_ASSESSED


def test_one_long_turn_does_not_answer_twice() -> None:
    frames = film((3.0, 9.0, 0.2))
    run = run_over(frames, seed_for("left", "left"), TWO)
    assert len(run.asked_at_ns) == 1
    assert verdict(frames, run) is Verdict.NOT_ASSESSED


def test_sides_follow_from_the_seed_and_are_even() -> None:
    seeds = [n.to_bytes(16, "big") for n in range(4000)]
    assert all(sides_of(seed, 3) == sides_of(seed, 4)[:3] for seed in seeds[:50])
    counted = Counter(sides_of(seed, 2) for seed in seeds)
    assert len(counted) == 4
    # Four equal parts of 4000: five standard deviations are 137.
    assert all(abs(count - 1000) < 137 for count in counted.values())


@pytest.mark.parametrize(("turns", "share"), [(1, 1 / 2), (2, 1 / 4)])
def test_a_film_knows_the_sides_by_chance_only(turns: int, share: float) -> None:
    """One film, played to 100 seeds: it turns left, then right, whatever is asked."""
    rules = limits(challenge_turns=turns)
    frames = film((3.0, 4.0, 0.2), (6.0, 7.0, -0.2), until=8.0)
    passed = sum(
        verdict(frames, run_over(frames, number.to_bytes(16, "big"), rules)) is Verdict.PASS
        for number in range(100)
    )
    # Five standard deviations of 100 draws at a half are 25, at a quarter 22.
    assert abs(passed - 100 * share) < 25


@settings(max_examples=40)
@given(
    st.lists(st.floats(-0.35, 0.35), min_size=20, max_size=50),
    st.integers(0, 50),
    st.integers(1, 4),
)
def test_no_course_of_the_nose_passes_without_reaching_every_asked_side(
    noses: list[float], number: int, turns: int
) -> None:
    rules = limits(challenge_turns=turns)
    frames = faces([(0.12 * i, nose) for i, nose in enumerate(noses)])
    run = run_over(frames, number.to_bytes(16, "big"), rules)
    if verdict(frames, run) is Verdict.PASS:
        rest = float(np.median([n for i, n in enumerate(noses) if 1.2 - 1e-9 <= 0.12 * i <= 2.0]))
        later = [n - rest for i, n in enumerate(noses) if 0.12 * i > 2.0]
        for side in set(run.sides):
            assert max(n if side == "left" else -n for n in later) >= float(rules.min_turn) - 1e-6
        assert len(run.asked_at_ns) == turns
