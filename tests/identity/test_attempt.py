"""What an attempt decides, with the models scripted and one thing different at a time."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from identity import track
from identity.attempt import FaceFrame
from identity.decision import Decision, Outcome
from identity.errors import (
    CalibrationMismatch,
    CalibrationOfMoreFrames,
    UnsupportedFalseMatchRate,
)
from identity.policy import IdentityPolicy
from models.values import FaceDetection
from retention.records.clock import ManualClock
from tests.identity import support
from tests.identity.support import ScriptedModels, Trial, face_at, head_at, unit_vector


def decide(trial: Trial) -> Decision:
    return trial.decide().decision


def told(decision: Decision) -> tuple[str, tuple[str, ...]]:
    return decision.outcome.value, decision.reasons


def test_the_enrolled_person_is_accepted_before_the_deadline(trial: Trial) -> None:
    attempt = trial.start()
    progress = trial.run(attempt)
    decision = attempt.decide().decision
    assert told(decision) == ("ACCEPT", ("MATCH",))
    assert progress.complete
    assert decision.evidence.frames_used == trial.policy.matching.frames
    assert decision.decided_at - decision.started_at < timedelta(seconds=4)
    assert decision.evidence.comparison_score == pytest.approx(1 / np.hypot(1, 0.3), abs=1e-5)


def test_the_score_is_the_mean_of_the_frames_and_not_the_best(trial: Trial) -> None:
    leans = [0.2, 0.5, 0.9, 0.5]
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1])], lambda i: unit_vector(0, leans[i % 4])
    )
    decided = trial.decide()
    used = [decided.evidence.frames[index].aligned for index in decided.evidence.used]
    scores = [trial.models.known[crop.tobytes()][0] for crop in used if crop is not None]
    found = decided.decision.evidence.comparison_score
    assert found == pytest.approx(float(np.mean(scores)), abs=1e-6)
    assert found is not None
    assert found < max(scores) - 0.01


def test_the_best_frames_are_compared_and_no_neighbours(trial: Trial) -> None:
    decided = trial.decide()
    frames, used = decided.evidence.frames, decided.evidence.used
    apart = trial.policy.attempt.embed_every_ms * 1_000_000
    times = [frames[index].offset_ns for index in used]
    assert len(used) == trial.policy.matching.frames
    assert all(later - earlier >= apart for earlier, later in itertools.pairwise(times))


def test_another_person_is_referred(trial: Trial) -> None:
    trial.reference = support.reference(unit_vector(7))
    assert told(decide(trial)) == ("REFER", ("MISMATCH",))


def test_a_score_between_the_thresholds_is_inconclusive(trial: Trial) -> None:
    trial.reference = support.reference(unit_vector(0, 2.6))
    trial.models = ScriptedModels(lambda _: [face_at(trial.seen[-1])], lambda _: unit_vector(0))
    decision = decide(trial)
    assert told(decision) == ("REFER", ("INCONCLUSIVE",))


def test_a_held_print_is_referred_however_well_it_matches(trial: Trial) -> None:
    trial.scene = support.held_print
    trial.with_liveness(challenge="never")
    decision = decide(trial)
    assert told(decision) == ("REFER", ("PLANAR_MOTION",))
    assert decision.evidence.comparison_score is not None


def test_who_begins_to_move_late_is_measured_anew(trial: Trial) -> None:
    trial.scene = lambda t: support.turning_head(max(0.0, t - 2.2))
    assert told(decide(trial)) == ("ACCEPT", ("MATCH",))


def test_a_second_face_in_a_third_of_the_frames_is_the_answer(trial: Trial) -> None:
    def faces(look: int) -> list[FaceDetection]:
        own = face_at(trial.seen[-1])
        return [own, face_at(trial.seen[-1], 0.9, 60.0)] if look % 3 == 2 else [own]

    trial.models = ScriptedModels(faces, lambda _: unit_vector(0, 0.3))
    assert told(decide(trial)) == ("RETRY", ("MULTIPLE_FACES",))


def test_a_picture_that_does_not_move_is_referred(trial: Trial) -> None:
    trial.scene = support.still
    trial.with_liveness(challenge="never")
    assert told(decide(trial)) == ("REFER", ("STATIC_INPUT",))


def test_liveness_and_mismatch_are_both_told_and_no_stranger_is_asked_to_turn(
    trial: Trial,
) -> None:
    trial.scene = support.held_print
    trial.reference = support.reference(unit_vector(7))
    assert told(decide(trial)) == ("REFER", ("PLANAR_MOTION", "MISMATCH"))


def test_nobody_in_view_is_asked_to_look_at_the_camera(trial: Trial) -> None:
    trial.models = ScriptedModels(lambda _: [], lambda _: unit_vector(0, 0.3))
    assert told(decide(trial)) == ("RETRY", ("NO_FACE",))


def test_two_comparable_faces_are_a_retry_and_neither_is_compared(trial: Trial) -> None:
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1]), face_at(trial.seen[-1], 0.6, shift=60)],
        lambda _: unit_vector(0, 0.3),
    )
    assert told(decide(trial)) == ("RETRY", ("MULTIPLE_FACES",))
    assert trial.models.embedded == 0


def test_a_small_face_in_the_background_does_not_matter(trial: Trial) -> None:
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1], 0.3, shift=90), face_at(trial.seen[-1])],
        lambda _: unit_vector(0, 0.3),
    )
    assert decide(trial).outcome is Outcome.ACCEPT


@pytest.mark.parametrize("at", [1, 2, 3])
def test_another_person_in_the_same_place_is_a_changed_face(trial: Trial, at: int) -> None:
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1])], lambda i: unit_vector(0 if i < at else 9)
    )
    assert told(decide(trial)) == ("RETRY", ("FACE_CHANGED",))


def test_motion_lent_by_another_person_is_noticed(trial: Trial) -> None:
    """Only the frames that are compared show the insured; the moving ones show someone else."""
    wanted = trial.policy.matching.frames
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1])], lambda i: unit_vector(0 if i < wanted else 9)
    )
    assert told(decide(trial)) == ("RETRY", ("FACE_CHANGED",))


def test_a_face_that_jumps_elsewhere_is_a_changed_face(trial: Trial) -> None:
    trial.models = ScriptedModels(
        lambda i: [face_at(trial.seen[-1], 0.75, shift=0 if i < 6 else 140)],
        lambda _: unit_vector(0, 0.3),
    )
    assert told(decide(trial)) == ("RETRY", ("FACE_CHANGED",))


def test_a_slow_camera_or_machine_is_no_other_person(trial: Trial, clock: ManualClock) -> None:
    """One hole of eight tenths of a second in which nobody looked."""
    trial.scene = lambda t: head_at(14 * np.sin(np.pi * t) + 0.01 * np.sin(9 * t))
    attempt = trial.start()
    for frame, landmarks in trial.rendered():
        trial.seen.append(landmarks)
        if attempt.observe(frame).complete:
            break
        if frame.ordinal == 12:
            clock.advance(timedelta(seconds=0.8))
    assert told(attempt.decide().decision) == ("ACCEPT", ("MATCH",))


def test_a_face_that_was_gone_for_as_long_is_not_taken_for_the_same(trial: Trial) -> None:
    trial.models = ScriptedModels(
        lambda look: [] if 6 <= look < 12 else [face_at(trial.seen[-1])],
        lambda _: unit_vector(0, 0.3),
    )
    assert told(decide(trial)) == ("RETRY", ("FACE_CHANGED",))


def test_a_face_too_far_away_is_told_to_come_closer(trial: Trial) -> None:
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1], 0.5)], lambda _: unit_vector(0, 0.3)
    )
    attempt = trial.start()
    assert trial.run(attempt).instruction == "FACE_TOO_SMALL"
    assert told(attempt.decide().decision) == ("RETRY", ("FACE_TOO_SMALL",))
    assert trial.models.embedded == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"contract_id": "00" * 32}, "CONTRACT_MISMATCH"),
        ({"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}, "REFERENCE_EXPIRED"),
    ],
)
def test_a_reference_that_cannot_be_used_is_referred_without_looking(
    trial: Trial, changes: dict[str, object], reason: str
) -> None:
    trial.reference = support.reference(unit_vector(0), **changes)
    assert told(decide(trial)) == ("REFER", (reason,))
    assert trial.models is not None
    assert trial.models.detected == 0


def test_a_missing_reference_is_referred(trial: Trial) -> None:
    trial.reference = None
    assert told(decide(trial)) == ("REFER", ("REFERENCE_MISSING",))


def test_no_frame_at_all_means_the_camera_is_not_there(trial: Trial) -> None:
    assert told(trial.start().decide().decision) == ("REFER", ("CAMERA_UNAVAILABLE",))


def test_a_decision_asked_for_too_late_is_referred(trial: Trial, clock: ManualClock) -> None:
    attempt = trial.start()
    trial.run(attempt)
    clock.advance(timedelta(seconds=6))
    assert told(attempt.decide().decision) == ("REFER", ("DEADLINE",))


def test_a_decision_asked_for_too_early_is_not_an_accept(trial: Trial) -> None:
    trial.frames = 6
    assert decide(trial).outcome is not Outcome.ACCEPT


def test_frames_from_before_the_attempt_and_repeated_frames_are_passed_over(
    trial: Trial, clock: ManualClock
) -> None:
    pixels, landmarks = support.turning_head(0.0)
    old = FaceFrame(pixels, 1, clock.monotonic_ns())
    clock.advance(timedelta(seconds=1))
    attempt = trial.start()
    trial.seen.append(landmarks)
    attempt.observe(old)
    now = FaceFrame(pixels, 2, clock.monotonic_ns())
    clock.advance(timedelta(seconds=1))
    attempt.observe(now)
    attempt.observe(FaceFrame(pixels, 2, clock.monotonic_ns()))
    assert trial.models is not None
    assert trial.models.detected == 1


def test_a_frame_from_the_future_is_passed_over(trial: Trial, clock: ManualClock) -> None:
    """No evidence about now, and it would keep every frame until then from being looked at."""
    pixels, landmarks = support.turning_head(0.0)
    attempt = trial.start()
    trial.seen.append(landmarks)
    ahead = clock.monotonic_ns() + 1
    attempt.observe(FaceFrame(pixels, 1, ahead))
    assert trial.models is not None
    assert trial.models.detected == 0
    clock.advance(timedelta(seconds=1))
    attempt.observe(FaceFrame(pixels, 1, ahead))
    assert trial.models.detected == 1


def test_no_more_frames_are_kept_than_can_be_written(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track, "MOST_FRAMES", 3)
    attempt = trial.start()
    assert trial.run(attempt).complete
    assert len(attempt.decide().evidence.frames) == 3


def test_a_policy_that_fuses_fewer_frames_than_were_calibrated_cannot_start_an_attempt(
    trial: Trial,
) -> None:
    fewer = trial.policy.matching.model_copy(update={"frames": 3})
    trial.policy = trial.policy.model_copy(update={"matching": fewer})
    with pytest.raises(CalibrationOfMoreFrames):
        trial.start()


def test_detection_runs_on_a_share_of_the_frames_only(trial: Trial) -> None:
    decide(trial)
    assert trial.models is not None
    assert trial.models.detected <= trial.frames / 2 + 1


def test_a_calibration_of_another_model_cannot_start_an_attempt(
    policy: IdentityPolicy, clock: ManualClock
) -> None:
    trial = Trial(policy, clock, models=ScriptedModels(lambda _: [], lambda _: unit_vector(0, 0.3)))
    assert trial.models is not None
    trial.models.contract_id = "00" * 32
    with pytest.raises(CalibrationMismatch):
        trial.start()


def test_a_policy_the_calibration_cannot_support_cannot_start_an_attempt(trial: Trial) -> None:
    strict = trial.policy.bands[-1].model_copy(update={"false_match_rate": Decimal("1e-9")})
    trial.policy = trial.policy.model_copy(update={"bands": (*trial.policy.bands[:-1], strict)})
    with pytest.raises(UnsupportedFalseMatchRate):
        trial.start()
