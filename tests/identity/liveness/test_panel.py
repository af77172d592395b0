"""The set of signals: how it weighs them, and that working ahead changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.camera_identity import CameraIdentity
from identity.liveness import planarity, static_input
from identity.liveness.challenge import ChallengeRun
from identity.liveness.panel import (
    SIGNALS,
    Panel,
    is_grey,
    not_working,
    refusals,
    suspected,
    telling,
)
from identity.liveness.planarity import Depth
from identity.liveness.signals import Signal, Verdict, failed, not_assessed, passed
from identity.looked import LookedFrame
from models.values import Embedding
from tests.identity.liveness.liveness_support import (
    CAMERA,
    LIMITS,
    NS,
    VIRTUAL,
    ScriptedPassive,
    filmed,
    limits,
    vector,
    with_crops,
)
from tests.identity.support import held_print, still, turning_head

NAMES = [about.name for about in SIGNALS]


def never_seen(digest: bytes) -> bool:
    return False


@lru_cache(maxsize=4)
def film(name: str) -> tuple[LookedFrame, ...]:
    scene = {"head": turning_head, "print": held_print, "still": still}[name]
    return with_crops(filmed(scene, [0.1177 * i for i in range(16)]))


def answer(number: int) -> float:
    return 0.9 - 0.05 * number


def assessed(
    frames: Sequence[LookedFrame],
    used: Sequence[int] = (),
    *,
    challenge: ChallengeRun | None = None,
    camera: CameraIdentity = CAMERA,
    embeddings: Sequence[Embedding] = (),
    reference: Embedding | None = None,
    passive: ScriptedPassive | None = None,
) -> tuple[Signal, ...]:
    """Return the signals of a panel that did nothing ahead."""
    panel = Panel(
        limits=LIMITS,
        camera=camera,
        passive=passive,
        seen_before=never_seen,
        reference_embedding=reference,
    )
    return panel.signals(frames, used, embeddings=embeddings, challenge=challenge)


# -- the same values ------------------------------------------------------------------------------


@settings(max_examples=12)
@given(
    scene=st.sampled_from(["head", "print", "still"]),
    count=st.integers(0, 16),
    used=st.sets(st.integers(0, 15), max_size=4),
    asked_at=st.none() | st.floats(0.2, 1.5),
    steps=st.lists(st.integers(0, 3), min_size=16, max_size=16),
)
def test_working_ahead_gives_the_values_of_working_at_the_end(
    scene: str, count: int, used: set[int], asked_at: float | None, steps: list[int]
) -> None:
    frames = film(scene)[:count]
    chosen = sorted(each for each in used if each < count)
    embeddings = [vector(40.0 + each) for each in chosen]
    run = None if asked_at is None else ChallengeRun.begin(bytes(16), int(asked_at * NS), LIMITS)
    ahead = Panel(
        limits=LIMITS,
        camera=CAMERA,
        passive=ScriptedPassive(answer),
        seen_before=never_seen,
        reference_embedding=vector(0),
    )
    for number in range(1, count + 1):
        for _ in range(steps[number - 1]):
            ahead.work(frames[:number], [each for each in chosen if each < number], run)
    found = ahead.signals(frames, chosen, embeddings=embeddings, challenge=run)
    assert found == assessed(
        frames,
        chosen,
        challenge=run,
        embeddings=embeddings,
        reference=vector(0),
        passive=ScriptedPassive(answer),
    )


def test_a_step_does_one_thing_and_little_is_left_for_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames, used = film("head")[:14], (2, 5, 8, 11)
    costly: list[str] = []
    depth, shift = planarity.depth, static_input.shift

    def counted_depth(before: LookedFrame, after: LookedFrame) -> Depth | None:
        costly.append("depth")
        return depth(before, after)

    def counted_shift(before: LookedFrame, after: LookedFrame) -> float | None:
        costly.append("shift")
        return shift(before, after)

    monkeypatch.setattr(planarity, "depth", counted_depth)
    monkeypatch.setattr(static_input, "shift", counted_shift)
    model = ScriptedPassive(answer)
    ahead = Panel(
        limits=LIMITS,
        camera=CAMERA,
        passive=model,
        seen_before=never_seen,
        reference_embedding=None,
    )
    while True:
        before = len(costly) + model.calls
        if not ahead.work(frames, used):
            break
        assert len(costly) + model.calls == before + 1
    done = len(costly) + model.calls
    assert done == 2 + 3 + 4
    ahead.signals(frames, used, embeddings=[vector(50)] * 4, challenge=None)
    assert len(costly) + model.calls == done


def test_frames_that_tell_nothing_may_lose_their_windows() -> None:
    frames = film("head")
    kept = set(telling(frames))
    assert len(kept) < len(frames)
    bare = tuple(
        frame if index in kept else replace(frame, window=None, anchored=None)
        for index, frame in enumerate(frames)
    )
    assert assessed(bare) == assessed(frames)


def test_a_clock_that_went_back_leaves_everything_but_the_camera_open() -> None:
    frames = film("head")
    for order in (frames[::-1], (*frames[:5], frames[2]), (*frames[:5], frames[4])):
        found = assessed(order)
        assert {each.verdict for each in found if each.name != "camera"} == {Verdict.NOT_ASSESSED}
        assert refusals(found, LIMITS) == ("LIVENESS_NOT_ASSESSED",)


# -- the policy -----------------------------------------------------------------------------------


def signals(**verdicts: Signal) -> tuple[Signal, ...]:
    """Return a set that is live, with some signals changed."""
    usual = {
        name: not_assessed(name)
        if name in ("challenge", "passive", "depth", "likeness")
        else passed(name)
        for name in NAMES
    }
    return tuple((usual | verdicts)[name] for name in NAMES)


TURNED = passed("challenge", 1.0, 1.0)
ASKED = not_assessed("challenge", 1.0, value=0.0, reason="CHALLENGE_FAILED")
DOUBTED = failed("passive", "PASSIVE_SPOOF", 0.3, 0.5)
SURE_SPOOF = failed("passive", "PASSIVE_SPOOF", 0.001, 0.5)


def test_a_moving_head_before_a_real_camera_is_live() -> None:
    assert refusals(assessed(film("head")), LIMITS) == ()
    assert refusals(assessed(film("head"), camera=VIRTUAL), LIMITS) == ("VIRTUAL_CAMERA",)
    assert refusals(assessed(film("print")), LIMITS) == ("PLANAR_MOTION",)
    assert refusals(assessed(film("still")), LIMITS)[0] in ("STATIC_INPUT", "REPLAYED_FRAMES")
    assert refusals((), LIMITS) == ("LIVENESS_NOT_ASSESSED",)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "passive"])
def test_any_signal_that_failed_vetoes(name: str) -> None:
    found = signals(**{name: failed(name, "SOME_REASON", 0.0, 1.0)})
    assert refusals(found, LIMITS) == ("SOME_REASON",)


@pytest.mark.parametrize("name", LIMITS.required)
def test_a_required_signal_must_have_been_assessed(name: str) -> None:
    assert refusals(signals(**{name: not_assessed(name)}), LIMITS) == ("LIVENESS_NOT_ASSESSED",)
    without = tuple(each for each in signals() if each.name != name)
    assert refusals(without, LIMITS) == ("LIVENESS_NOT_ASSESSED",)


def test_signals_that_are_not_required_may_be_missing() -> None:
    assert refusals(signals(), LIMITS) == ()


def test_a_turn_that_was_not_made_leaves_the_doubt_for_which_it_was_asked() -> None:
    open_still = not_assessed("planarity")
    assert refusals(signals(challenge=ASKED, planarity=open_still), LIMITS) == ("CHALLENGE_FAILED",)
    assert refusals(signals(challenge=ASKED, passive=DOUBTED), LIMITS) == ("CHALLENGE_FAILED",)
    assert refusals(signals(challenge=ASKED), LIMITS) == ()
    wrong = failed("challenge", "CHALLENGE_FAILED", 0.0, 1.0)
    assert refusals(signals(challenge=wrong), LIMITS) == ("CHALLENGE_FAILED",)
    virtual = failed("camera", "VIRTUAL_CAMERA", None, None)
    assert refusals(signals(challenge=ASKED, camera=virtual), LIMITS) == ("VIRTUAL_CAMERA",)


def test_a_policy_may_ask_everybody_to_turn() -> None:
    always = limits(challenge="always")
    assert refusals(signals(), always) == ("LIVENESS_NOT_ASSESSED",)
    assert refusals(signals(challenge=ASKED), always) == ("CHALLENGE_FAILED",)
    assert refusals(signals(challenge=TURNED), always) == ()
    required = limits(required=(*LIMITS.required, "challenge"))
    assert refusals(signals(challenge=ASKED), required) == ("CHALLENGE_FAILED",)


def test_a_turn_outweighs_a_passive_doubt_but_not_a_passive_veto() -> None:
    assert refusals(signals(passive=DOUBTED), LIMITS) == ("PASSIVE_SPOOF",)
    assert refusals(signals(passive=DOUBTED, challenge=TURNED), LIMITS) == ()
    assert refusals(signals(passive=SURE_SPOOF, challenge=TURNED), LIMITS) == ("PASSIVE_SPOOF",)
    at_the_limit = replace(DOUBTED, value=float(LIMITS.passive_veto_below))
    assert refusals(signals(passive=at_the_limit, challenge=TURNED), LIMITS) == ()


def test_a_turn_is_asked_for_only_where_it_can_settle_something() -> None:
    assert not is_grey(signals(), LIMITS)
    assert is_grey(signals(planarity=not_assessed("planarity")), LIMITS)
    assert is_grey(signals(motion=failed("motion", "STATIC_INPUT", 0.0, 0.01)), LIMITS)
    assert is_grey(signals(passive=DOUBTED), LIMITS)
    assert not is_grey(signals(passive=SURE_SPOOF), LIMITS)
    assert not is_grey(signals(camera=failed("camera", "VIRTUAL_CAMERA", None, None)), LIMITS)
    assert not is_grey(signals(replay=failed("replay", "REPLAYED_FRAMES", 2.0, 0.0)), LIMITS)
    flat = failed("planarity", "PLANAR_MOTION", 0.001, 0.01)
    assert not is_grey(signals(planarity=flat, challenge=ASKED), LIMITS)
    assert not is_grey(signals(planarity=flat), limits(challenge="never"))


def test_only_what_speaks_against_a_person_makes_an_attack_suspected() -> None:
    flat = failed("planarity", "PLANAR_MOTION", 0.001, 0.01)
    assert suspected(signals(planarity=flat, passive=DOUBTED), LIMITS) == ("planarity",)
    assert suspected(signals(passive=SURE_SPOOF), LIMITS) == ("passive",)
    assert suspected(signals(challenge=ASKED, planarity=not_assessed("planarity")), LIMITS) == ()


def test_who_merely_keeps_still_is_refused_but_no_suspect() -> None:
    still = failed("motion", "STATIC_INPUT", 0.0, 0.01)
    unmoved = signals(motion=still, planarity=not_assessed("planarity"))
    assert refusals(unmoved, LIMITS) == ("STATIC_INPUT",)
    assert suspected(unmoved, LIMITS) == ()
    asked = signals(motion=still, planarity=not_assessed("planarity"), challenge=ASKED)
    assert suspected(asked, LIMITS) == ()
    copied = failed("likeness", "REPLAYED_FRAMES", 0.99, 0.97)
    assert suspected(signals(motion=still, likeness=copied), LIMITS) == ("likeness", "motion")


def test_a_camera_that_froze_accuses_nobody_but_a_film_played_again_does() -> None:
    still = failed("motion", "STATIC_INPUT", 0.0, 0.01)
    seen = failed("replay", "REPLAYED_FRAMES", 2.0, 0.0)
    frozen = signals(motion=still, replay=seen, planarity=not_assessed("planarity"))
    assert refusals(frozen, LIMITS) == ("REPLAYED_FRAMES",)
    assert suspected(frozen, LIMITS) == ()
    assert suspected(signals(replay=seen), LIMITS) == ("replay",)


def test_what_cannot_work_here_is_named() -> None:
    assert not_working(LIMITS, CAMERA, passive=False) == ()
    assert not_working(LIMITS, VIRTUAL, passive=False) == ("camera",)
    wanting = limits(required=("camera", "passive", "depth", "challenge"), challenge="never")
    assert not_working(wanting, CAMERA, passive=False) == ("passive", "depth", "challenge")


@given(
    st.fixed_dictionaries({name: st.sampled_from(list(Verdict)) for name in NAMES}),
    st.floats(0, 1),
)
def test_live_means_that_every_required_signal_passed_and_none_failed(
    verdicts: dict[str, Verdict], value: float
) -> None:
    found = tuple(Signal(name, verdicts[name], value, 0.5, None) for name in NAMES)
    if refusals(found, LIMITS) == ():
        assert all(verdicts[name] is Verdict.PASS for name in LIMITS.required)
        against = {name for name in NAMES if verdicts[name] is Verdict.FAIL} - {"passive"}
        assert not against
        if verdicts["passive"] is Verdict.FAIL:
            assert verdicts["challenge"] is Verdict.PASS
            assert value >= float(LIMITS.passive_veto_below)


def test_every_signal_says_what_it_is_and_what_it_cannot_see() -> None:
    found = assessed(film("head"))
    assert [each.name for each in found] == NAMES
    for about in SIGNALS:
        assert about.unit
        assert len(about.source) > 20
        assert len(about.blind_to) > 20
    assert len(found) <= 8  # as many as a receipt names


def test_the_values_are_the_same_when_asked_again() -> None:
    first, again = assessed(film("head")), assessed(film("head"))
    assert first == again
    assert all(each.value is None or np.isfinite(each.value) for each in first)
