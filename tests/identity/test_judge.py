"""The verdict is a pure function: what was decided live is decided again from the written copy."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity.attempt import Decided
from identity.attempt_evidence import AttemptEvidence
from identity.decision import Decision, Outcome
from identity.evidence import decode, encode
from identity.judge import judge
from identity.policy import IdentityPolicy, load_policy
from models.values import FaceDetection, Image
from retention.records.clock import ManualClock
from tests.identity import support
from tests.identity.support import ScriptedModels, Trial, face_at, unit_vector


class FlickeringPassive:
    """A passive model whose answer is a function of the crop, as a real one's is."""

    digest = "12" * 32

    def crops(self, image: Image, face: FaceDetection) -> tuple[Image, ...]:
        x, y = (round(float(value)) for value in face.landmarks.mean(axis=0))
        crop = image[max(0, y - 40) : y + 40, max(0, x - 40) : x + 40]
        return (crop.copy(),) if crop.shape == (80, 80, 3) else ()

    def live_probability(self, crops: tuple[Image, ...]) -> float:
        return float(np.mean([crop.mean() for crop in crops])) / 255


def again(
    trial: Trial, evidence: AttemptEvidence, policy: IdentityPolicy | None = None
) -> Decision:
    """Judge a written copy, with models that know the same faces."""
    assert trial.models is not None
    return judge(
        decode(encode(evidence)),
        reference=trial.reference,
        standing=evidence.standing,
        policy=policy or trial.policy,
        calibration=support.calibration(),
        embedder=trial.models,
        passive=trial.models.passive,
        amount=evidence.amount,
        comparisons_before=evidence.comparisons_before,
    )


SCENES = {
    "turning": support.turning_head,
    "print": support.held_print,
    "still": support.still,
    "late": lambda t: support.turning_head(max(0.0, t - 2.2)),
}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_written_copy_is_judged_alike(data: st.DataObject) -> None:
    check_one_scene(data)


@pytest.mark.soak
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_written_copy_is_judged_alike_in_many_scenes(data: st.DataObject) -> None:
    check_one_scene(data)


def check_one_scene(data: st.DataObject) -> None:
    draw = data.draw
    trial = Trial(load_policy(), ManualClock())
    scene = draw(st.sampled_from([*SCENES, "asked", "asked wrong"]))
    if scene in SCENES:
        trial.scene = SCENES[scene]
    else:
        trial.turns_when_asked(14.0 if scene == "asked" else -14.0)
    trial.with_liveness(challenge=draw(st.sampled_from(["on_grey", "always", "never"])))
    trial.reference = support.reference(unit_vector(0, draw(st.sampled_from([0.0, 1.5, 2.2, 9.0]))))
    trial.standing = draw(st.sampled_from(["current", "stale"]))
    trial.amount = draw(st.sampled_from([None, Decimal("20"), Decimal("5000.00")]))
    trial.comparisons_before = draw(st.integers(0, 2))
    trial.frames = draw(st.sampled_from([20, 40, 180, 180]))
    lean, other = draw(st.floats(0.2, 0.6)), draw(st.sampled_from([999, 999, 2, 5]))
    lost, second = draw(st.integers(2, 40)), draw(st.integers(2, 9))

    def faces(look: int) -> list[FaceDetection]:
        own = face_at(trial.seen[-1])
        if look % 41 == lost:
            return []
        return [own, face_at(trial.seen[-1], 0.8, 70)] if look % 10 == second else [own]

    trial.models = ScriptedModels(
        faces, lambda call: unit_vector(9 if call == other else 0, lean + 0.01 * (call % 7))
    )
    trial.models.passive = draw(st.sampled_from([None, FlickeringPassive()]))
    trial.seen_before = draw(
        st.sampled_from([lambda _: False, lambda _: False, lambda d: d < b"@"])
    )
    decided = trial.decide()
    assert again(trial, decided.evidence) == decided.decision


def accepted() -> tuple[Trial, Decided]:
    trial = Trial(load_policy(), ManualClock())
    decided = trial.decide()
    assert decided.decision.outcome is Outcome.ACCEPT
    return trial, decided


TRIAL, ACCEPTED = accepted()


@pytest.mark.parametrize(
    ("changes", "outcome", "reasons"),
    [
        ({"fault": True}, "REFER", ("INTERNAL_ERROR",)),
        ({"clock_back": True}, "REFER", ("INTERNAL_ERROR",)),
        ({"elapsed_ns": -1}, "REFER", ("INTERNAL_ERROR",)),
        ({"elapsed_ns": 1_000_000_000}, "REFER", ("INTERNAL_ERROR",)),
        ({"elapsed_ns": 6_100_000_000}, "REFER", ("DEADLINE",)),
        ({"looked": 0}, "REFER", ("CAMERA_UNAVAILABLE",)),
        ({"notes": (("MULTIPLE_FACES", 9),)}, "RETRY", ("MULTIPLE_FACES",)),
        ({"notes": (("POSE", 3), ("TOO_DARK", 4)), "used": ()}, "RETRY", ("TOO_DARK",)),
        ({"changed": True}, "RETRY", ("FACE_CHANGED",)),
        ({"used": ()}, "REFER", ("DEADLINE",)),
        ({"used": ACCEPTED.evidence.used[:-1]}, "REFER", ("DEADLINE",)),
        ({"comparisons_before": 2}, "REFER", ("ATTEMPTS_EXHAUSTED",)),
        ({"replayed": (ACCEPTED.evidence.frames[2].pixels_digest,)}, "REFER", ("REPLAYED_FRAMES",)),
        (
            {"camera": replace(support.CAMERA, virtual=True)},
            "REFER",
            ("VIRTUAL_CAMERA",),
        ),
    ],
)
def test_evidence_with_a_flaw_is_judged_by_it(
    changes: dict[str, object], outcome: str, reasons: tuple[str, ...]
) -> None:
    flawed = replace(ACCEPTED.evidence, **changes)  # type: ignore[arg-type]
    found = again(TRIAL, flawed)
    assert (found.outcome.value, found.reasons) == (outcome, reasons)


def test_frames_that_would_not_pass_the_gate_are_not_compared() -> None:
    """The policy in force governs, whatever the evidence calls used."""
    strict = TRIAL.policy.quality.model_copy(update={"min_inter_eye_px": Decimal("200")})
    found = again(TRIAL, ACCEPTED.evidence, TRIAL.policy.model_copy(update={"quality": strict}))
    assert found.outcome is not Outcome.ACCEPT
    assert found.evidence.comparison_score is None


def test_a_face_outside_of_the_marked_zone_is_not_compared() -> None:
    narrow = TRIAL.policy.faces.model_copy(update={"zone_height": Decimal("0.01")})
    found = again(TRIAL, ACCEPTED.evidence, TRIAL.policy.model_copy(update={"faces": narrow}))
    assert found.outcome is not Outcome.ACCEPT
    assert found.evidence.comparison_score is None


@pytest.mark.parametrize("side", [0.0, -1.0, 5e-324, 1e-200, 1e308])
def test_a_box_that_no_face_has_is_not_compared_and_raises_nothing(side: float) -> None:
    """Replay judges whatever was sealed."""
    first, *_ = ACCEPTED.evidence.used
    frames = list(ACCEPTED.evidence.frames)
    x, y, _, _ = frames[first].face.box
    frames[first] = replace(frames[first], face=replace(frames[first].face, box=(x, y, side, side)))
    found = again(TRIAL, replace(ACCEPTED.evidence, frames=tuple(frames)))
    assert (found.outcome.value, found.reasons) == ("REFER", ("DEADLINE",))


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity"])
def test_an_amount_that_is_no_number_starts_no_attempt(amount: str) -> None:
    trial = Trial(load_policy(), ManualClock(), amount=Decimal(amount))
    with pytest.raises(ValueError, match="the amount is no number"):
        trial.start()


def test_a_reference_holds_until_its_last_moment_and_not_at_it() -> None:
    begun, moment = ACCEPTED.evidence.started_at, timedelta(microseconds=1)
    for ends, outcome in ((begun + moment, "ACCEPT"), (begun, "REFER")):
        trial = replace(TRIAL, reference=support.reference(unit_vector(0), expires_at=ends))
        assert again(trial, ACCEPTED.evidence).outcome.value == outcome


def test_an_attempt_shorter_than_the_policy_wants_is_not_accepted() -> None:
    longer = TRIAL.policy.attempt.model_copy(update={"minimum_seconds": Decimal("3")})
    found = again(TRIAL, ACCEPTED.evidence, TRIAL.policy.model_copy(update={"attempt": longer}))
    assert (found.outcome.value, found.reasons) == ("REFER", ("DEADLINE",))


def test_a_frame_of_another_person_among_those_liveness_tells_by_is_a_changed_face() -> None:
    frames, used = ACCEPTED.evidence.frames, ACCEPTED.evidence.used
    told_by = [n for n, frame in enumerate(frames) if frame.window is not None and n not in used]
    crop = frames[told_by[0]].aligned
    assert crop is not None
    trial = replace(TRIAL, models=replace(TRIAL.models, known=dict(TRIAL.models.known)))  # type: ignore[arg-type, union-attr, type-var]
    assert trial.models is not None
    trial.models.known[crop.tobytes()] = unit_vector(9)
    found = again(trial, ACCEPTED.evidence)
    assert (found.outcome.value, found.reasons) == ("RETRY", ("FACE_CHANGED",))


def test_frames_that_are_neighbours_are_not_enough() -> None:
    frames = tuple(
        replace(frame, offset_ns=frame.offset_ns // 2) for frame in ACCEPTED.evidence.frames
    )
    found = again(TRIAL, replace(ACCEPTED.evidence, frames=frames))
    assert found.outcome is not Outcome.ACCEPT


def test_a_challenge_is_judged_under_the_policy_and_not_under_what_was_kept_with_it() -> None:
    trial = Trial(load_policy(), ManualClock())
    trial.turns_when_asked()
    decided = trial.decide()
    evidence, given = decided.evidence, decided.decision.evidence.challenge
    assert evidence.challenge is not None
    assert given is not None
    assert given.outcome == "passed"
    lenient = evidence.challenge.limits.model_copy(update={"min_turn": Decimal("0.05")})
    kept = replace(evidence, challenge=replace(evidence.challenge, limits=lenient))
    stricter = trial.policy.liveness.model_copy(update={"min_turn": Decimal("0.5")})
    policy = trial.policy.model_copy(update={"liveness": stricter})
    judged = again(trial, kept, policy).evidence.challenge
    assert judged is not None
    assert judged.outcome == "not_finished"


# -- bands ----------------------------------------------------------------------------------------


def scored(score: float, **asked: object) -> Decision:
    """Return the decision on a live person whose every frame has this score."""
    trial = Trial(load_policy(), ManualClock())
    for name, value in asked.items():
        setattr(trial, name, value)
    lean = float(np.sqrt(1 / score**2 - 1))
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1])], lambda _: unit_vector(0, lean)
    )
    return trial.decide().decision


# Per comparison 5e-5 up to 1000 yuan and 1e-5 above: thresholds 0.431 and 0.5; grey from 0.3.
@pytest.mark.parametrize(
    ("score", "amount", "outcome", "reasons", "band", "limit"),
    [
        (0.60, None, "ACCEPT", ("MATCH",), "accept", None),
        (0.45, None, "ACCEPT", ("MATCH",), "accept", "1000.00"),
        (0.45, "1000.00", "ACCEPT", ("MATCH",), "accept", "1000.00"),
        (0.60, "1000.00", "ACCEPT", ("MATCH",), "accept", None),
        (0.45, "1000.01", "REFER", ("AMOUNT_TOO_HIGH",), "grey", None),
        (0.60, "1000.01", "ACCEPT", ("MATCH",), "accept", None),
        (0.40, None, "REFER", ("INCONCLUSIVE",), "grey", None),
        (0.29, None, "REFER", ("MISMATCH",), "below", None),
    ],
)
def test_a_score_is_held_against_the_band_of_the_amount(
    score: float, amount: str | None, outcome: str, reasons: tuple[str, ...], band: str,
    limit: str | None,
) -> None:  # fmt: skip
    found = scored(score, amount=None if amount is None else Decimal(amount))
    assert (found.outcome.value, found.reasons) == (outcome, reasons)
    assert found.evidence.band == band
    assert found.evidence.amount_limit == (None if limit is None else Decimal(limit))
    assert found.evidence.comparison_score == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize(
    ("score", "outcome", "reasons"),
    [
        (0.60, "ACCEPT", ("MATCH",)),
        (0.45, "REFER", ("INCONCLUSIVE", "REFERENCE_STALE")),
        (0.40, "REFER", ("INCONCLUSIVE",)),
        (0.29, "REFER", ("MISMATCH",)),
    ],
)
def test_a_stale_reference_needs_a_stronger_match_and_blocks_nobody_by_itself(
    score: float, outcome: str, reasons: tuple[str, ...]
) -> None:
    found = scored(score, standing="stale")
    assert (found.outcome.value, found.reasons) == (outcome, reasons)
    assert found.evidence.standing == "stale"


def test_a_decision_counts_the_comparisons_of_the_transaction() -> None:
    assert scored(0.6).evidence.comparisons == 1
    assert scored(0.6, comparisons_before=1).evidence.comparisons == 2
    refused = scored(0.6, comparisons_before=2)
    assert (refused.outcome.value, refused.reasons) == ("REFER", ("ATTEMPTS_EXHAUSTED",))
    assert (refused.evidence.comparisons, refused.evidence.comparison_score) == (2, None)


def test_more_comparisons_in_a_transaction_raise_the_threshold_of_each() -> None:
    policy = load_policy()
    once = policy.transaction.model_copy(update={"comparisons": 1})
    single = scored(0.6, policy=policy.model_copy(update={"transaction": once}))
    double = scored(0.6)
    assert single.evidence.threshold is not None
    assert double.evidence.threshold is not None
    assert single.evidence.threshold < double.evidence.threshold


# -- enrolling ------------------------------------------------------------------------------------


def test_a_capture_for_enrolment_never_accepts_and_says_when_it_holds() -> None:
    trial = Trial(load_policy(), ManualClock(), enrolling=True)
    decided = trial.decide()
    told = decided.decision.outcome.value, decided.decision.reasons
    assert told == ("REFER", ("REFERENCE_MISSING",))
    assert len(decided.evidence.used) == trial.policy.matching.frames
    assert decided.decision.evidence.comparison_score is None
    assert decided.evidence.elapsed_ns < timedelta(seconds=4) / timedelta(microseconds=1) * 1000


def test_a_capture_for_enrolment_of_a_print_is_refused_for_that() -> None:
    trial = Trial(load_policy(), ManualClock(), enrolling=True, scene=support.held_print)
    trial.with_liveness(challenge="never")
    assert trial.decide().decision.reasons == ("PLANAR_MOTION",)
