"""When a turn is asked for, and what it is worth."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from identity.decision import Decision, receipt_payload
from identity.evidence import decode, encode
from models.values import Image, Landmarks
from retention.records.clock import ManualClock
from retention.records.people import DecisionReceipt2
from tests.identity import support
from tests.identity.support import TURNS, Trial, head_at, unit_vector

ID = "0197a000-0000-7000-8000-00000000000a"


def receipt_of(decision: Decision) -> DecisionReceipt2:
    return receipt_payload(
        decision,
        receipt_id=ID,
        session=ID,
        claim_digest="01" * 32,
        subject_ref="ef" * 32,
        subject_role="patient",
        attempt=1,
        camera="purchase",
        valid_for=timedelta(minutes=10),
    )


def asked(trial: Trial) -> set[str | None]:
    return set(trial.heard) & set(TURNS)


def test_who_is_lively_by_themselves_is_asked_for_nothing(trial: Trial) -> None:
    decided = trial.decide()
    assert decided.decision.outcome.value == "ACCEPT"
    assert not asked(trial)
    assert decided.evidence.challenge is None


def test_who_keeps_still_is_asked_to_turn_and_is_then_accepted(trial: Trial) -> None:
    trial.turns_when_asked()
    decided = trial.decide()
    assert (decided.decision.outcome.value, decided.decision.reasons) == ("ACCEPT", ("MATCH",))
    given = receipt_of(decided.decision).challenge
    assert given is not None
    assert (given.seed, given.outcome) == (support.SEED.hex(), "passed")
    assert len(given.sides) == trial.policy.liveness.challenge_turns
    side = {"left": "TURN_LEFT", "right": "TURN_RIGHT"}[given.sides[0]]
    assert asked(trial) == {side}


def test_the_turn_to_the_other_side_is_refused_at_once(trial: Trial) -> None:
    trial.turns_when_asked(-14.0)
    decided = trial.decide()
    assert decided.decision.reasons == ("CHALLENGE_FAILED",)
    assert decided.evidence.elapsed_ns < 6e9
    given = receipt_of(decided.decision).challenge
    assert given is not None
    assert given.outcome == "failed"


def test_a_turn_that_never_comes_ends_with_its_time(trial: Trial, clock: ManualClock) -> None:
    trial.scene = support.held_print
    begun = clock.monotonic_ns()
    attempt = trial.start()
    trial.run(attempt)
    limits = trial.policy
    longest = limits.attempt.deadline_seconds + limits.liveness.challenge_seconds
    assert (clock.monotonic_ns() - begun) / 1e9 <= float(longest)
    assert attempt.deadline_ns() == begun + int(longest * 1_000_000_000)
    decision = attempt.decide().decision
    assert decision.reasons == ("CHALLENGE_FAILED",)
    given = receipt_of(decision).challenge
    assert given is not None
    assert given.outcome == "not_finished"


def test_who_does_not_understand_the_asking_but_moves_is_spared(trial: Trial) -> None:
    """The head sways too little for a turn, yet shows its depth: the doubt is gone."""

    def scene(t: float) -> tuple[Image, Landmarks]:
        swaying = 8 * np.sin(np.pi * (t - 3.2)) if t > 3.2 else 0.0
        return head_at(swaying + 0.01 * np.sin(9 * t))

    trial.scene = scene
    decided = trial.decide()
    assert asked(trial)
    assert (decided.decision.outcome.value, decided.decision.reasons) == ("ACCEPT", ("MATCH",))
    given = receipt_of(decided.decision).challenge
    assert given is not None
    assert given.outcome == "not_finished"


def test_the_policy_may_always_want_a_turn(trial: Trial) -> None:
    trial.with_liveness(challenge="always")
    trial.turns_when_asked()
    decided = trial.decide()
    assert decided.decision.outcome.value == "ACCEPT"
    assert asked(trial)


def test_without_the_turn_that_is_always_wanted_nobody_is_accepted(trial: Trial) -> None:
    trial.with_liveness(challenge="always")
    trial.turns_when_asked(0.0)
    assert trial.decide().decision.outcome.value == "REFER"


def test_a_stranger_is_not_asked_to_turn(trial: Trial) -> None:
    trial.turns_when_asked()
    trial.reference = support.reference(unit_vector(7))
    decided = trial.decide()
    assert not asked(trial)
    assert "MISMATCH" in decided.decision.reasons


def test_a_policy_without_challenges_asks_for_none(trial: Trial) -> None:
    trial.with_liveness(challenge="never")
    trial.turns_when_asked()
    assert trial.decide().decision.reasons == ("STATIC_INPUT",)
    assert not asked(trial)


@pytest.mark.parametrize("which", ["wall", "monotonic"])
def test_a_clock_moved_back_while_a_turn_is_awaited_fails_it(
    trial: Trial, clock: ManualClock, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.turns_when_asked()
    attempt = trial.start()
    for frame, landmarks in trial.rendered():
        trial.seen.append(landmarks)
        progress = attempt.observe(frame)
        trial.heard.append(progress.instruction)
        if progress.complete:
            break
        if asked(trial) and len(trial.heard) % 50 == 0:
            back = clock.now() - timedelta(seconds=30), clock.monotonic_ns() - 10**9
            if which == "wall":
                monkeypatch.setattr(clock, "now", lambda at=back[0]: at)
            else:
                monkeypatch.setattr(clock, "monotonic_ns", lambda at=back[1]: at)
    decided = attempt.decide()
    assert (decided.decision.outcome.value, decided.decision.reasons) == (
        "REFER",
        ("CHALLENGE_FAILED",),
    )
    given = receipt_of(decided.decision).challenge
    assert given is not None
    assert given.outcome == "failed"
    assert decode(encode(decided.evidence)).clock_back
