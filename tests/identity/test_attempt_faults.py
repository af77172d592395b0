"""No fault, anywhere in an attempt that would otherwise be accepted, ends in ACCEPT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity.attempt import FaceFrame, Frame
from identity.decision import Decision, FaceEvidence, Outcome
from identity.errors import DecisionInvalid
from identity.evidence import decode, encode
from identity.liveness.signals import Signal, Verdict
from identity.policy import load_policy
from models.errors import InferenceFailed, ModelMissing
from models.values import Embedding, FaceDetection, Image
from retention.records.clock import ManualClock
from tests.identity import support
from tests.identity.support import ScriptedModels, Trial, face_at, unit_vector


class Broken(Exception):
    """An error that nobody foresaw."""


ERRORS: list[Exception] = [
    Broken("x"),
    InferenceFailed("m", "r"),
    ModelMissing("m", support.__file__),  # type: ignore[arg-type]
    ValueError("v"),
    MemoryError(),
    ZeroDivisionError(),
]
VECTORS: list[Embedding] = [
    np.full(128, np.nan, np.float32),
    np.full(128, np.inf, np.float32),
    np.zeros(128, np.float32),
    np.ones(128, np.float32),
    np.ones(64, np.float32) / 8,
    unit_vector(0)[:-1],
    np.float32(1.0) * np.ones((1, 128), np.float32),
]


def fresh_trial() -> Trial:
    return Trial(load_policy(), ManualClock())


def run(trial: Trial) -> Decision:
    return trial.decide().decision


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frames=st.integers(1, 22))
def test_an_attempt_cut_short_is_never_accepted(frames: int) -> None:
    """The node stops, or the caller does: 22 frames are less than the shortest attempt."""
    trial = fresh_trial()
    trial.frames = frames
    assert run(trial).outcome is not Outcome.ACCEPT


def raising(error: Exception, at: int, answer: Callable[[int], Any]) -> Callable[[int], Any]:
    def scripted(call: int) -> Any:
        if call == at:
            raise error
        return answer(call)

    return scripted


def test_the_trial_itself_would_be_accepted() -> None:
    assert run(fresh_trial()).outcome is Outcome.ACCEPT


class Passive:
    """A passive model that always takes a face for living."""

    digest = "12" * 32

    def crops(self, image: Image, face: FaceDetection) -> tuple[Image, ...]:
        return (np.zeros((80, 80, 3), np.uint8),)

    def live_probability(self, crops: tuple[Image, ...]) -> float:
        return 0.9


class SlowPassive(Passive):
    """It answers as the other does, but a minute later when it is told to be slow."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.slow = clock, False

    def live_probability(self, crops: tuple[Image, ...]) -> float:
        if self.slow:
            self.clock.advance(timedelta(minutes=1))
        return super().live_probability(crops)


@pytest.mark.parametrize("slow", [False, True])
def test_a_model_that_answers_after_the_deadline_decides_nothing(slow: bool) -> None:
    """Only the decision itself waits for it: all looks were made in time."""
    trial = fresh_trial()
    trial.frames = 25
    passive = SlowPassive(trial.clock)
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1])], lambda _: unit_vector(0, 0.3), passive=passive
    )
    attempt = trial.start()
    assert not trial.run(attempt).complete
    passive.slow = slow
    decided = attempt.decide()
    if not slow:
        assert decided.decision.outcome is Outcome.ACCEPT
        return
    assert (decided.decision.outcome, decided.decision.reasons) == (Outcome.REFER, ("DEADLINE",))
    assert decided.evidence.elapsed_ns > 60 * 10**9


# Every call of an attempt to something that is not its own.
PLACES = ["detect", "align", "embed_aligned", "crops", "live_probability", "seen_before", "now",
          "monotonic_ns"]  # fmt: skip


def check_a_fault(place: str, error: Exception, at: int) -> None:
    """Let one call fail; whoever asked then never says ACCEPT."""
    trial, calls = fresh_trial(), [0]
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1])], lambda _: unit_vector(0, 0.3), passive=Passive()
    )
    attempt = trial.start()
    owner: Any = {"crops": trial.models.passive, "live_probability": trial.models.passive}.get(
        place, trial.clock if place in ("now", "monotonic_ns") else trial.models
    )
    if place == "seen_before":
        owner = attempt
        place = "_seen_before"
    right = getattr(owner, place)

    def failing(*given: Any) -> Any:
        calls[0] += 1
        if calls[0] > at:
            raise error
        return right(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, place, failing)
        for frame, landmarks in frames_of(trial):
            trial.seen.append(landmarks)
            if attempt.observe(frame).complete:
                break
        decided = attempt.decide()
    if calls[0] > at:
        told = decided.decision.outcome, decided.decision.reasons
        assert told == (Outcome.REFER, ("INTERNAL_ERROR",))
        assert decided.evidence.frames == ()
    assert decode(encode(decided.evidence)).fault == (calls[0] > at)


def frames_of(trial: Trial) -> list[tuple[FaceFrame, Any]]:
    """Return the frames of a trial, stamped as a clock that stands still now will say."""
    made = []
    for ordinal in range(30):
        pixels, landmarks = trial.scene(ordinal / 15)
        stamp = 1_000_000_000 + (ordinal + 1) * 66_666_667
        made.append((FaceFrame(pixels, ordinal, stamp), landmarks))
    trial.clock.advance(timedelta(seconds=30 / 15 + 0.1))
    return made


@pytest.mark.parametrize("place", PLACES)
def test_a_fault_anywhere_is_referred(place: str) -> None:
    check_a_fault(place, Broken("x"), 0)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), error=st.sampled_from(ERRORS), at=st.integers(0, 20))
def test_a_fault_at_any_time_is_referred(place: str, error: Exception, at: int) -> None:
    check_a_fault(place, error, at)


@pytest.mark.soak
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), error=st.sampled_from(ERRORS), at=st.integers(0, 90))
def test_a_fault_at_any_time_is_referred_many_times(place: str, error: Exception, at: int) -> None:
    check_a_fault(place, error, at)


@pytest.mark.parametrize("vector", range(len(VECTORS)))
@pytest.mark.parametrize("at", [0, 3])
def test_an_embedding_that_is_none_is_never_accepted(vector: int, at: int) -> None:
    trial = fresh_trial()
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1])],
        lambda call: VECTORS[vector] if call == at else unit_vector(0, 0.3),
    )
    assert run(trial).outcome is not Outcome.ACCEPT


@pytest.mark.parametrize("vector", range(len(VECTORS)))
def test_a_reference_that_is_no_embedding_is_never_accepted(vector: int) -> None:
    trial = fresh_trial()
    trial.reference = support.reference(VECTORS[vector])
    decision = run(trial)
    assert decision.outcome is Outcome.REFER


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1e9])
def test_impossible_detections_are_never_accepted(value: float) -> None:
    trial = fresh_trial()

    def faces(_: int) -> Sequence[FaceDetection]:
        landmarks = np.full((5, 2), value, np.float32)
        return [FaceDetection((value, value, value, value), landmarks, value)]

    trial.models = ScriptedModels(faces, lambda _: unit_vector(0, 0.3))
    assert run(trial).outcome is not Outcome.ACCEPT


def test_a_face_beside_it_that_is_not_a_number_is_referred() -> None:
    """Such a face is no small one: nothing is known of how near it is."""
    trial = fresh_trial()
    beside = FaceDetection((0.0, 0.0, 9.0, 9.0), np.full((5, 2), np.nan, np.float32), 0.9)
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1]), beside], lambda _: unit_vector(0, 0.3)
    )
    assert run(trial).reasons == ("INTERNAL_ERROR",)


@pytest.mark.parametrize(
    "frame",
    [
        FaceFrame(np.zeros((0, 0, 3), np.uint8), 1, 2_000_000_000),
        FaceFrame(np.zeros((8, 8), np.uint8), 1, 2_000_000_000),
        cast(Frame, SimpleNamespace(pixels=None, ordinal=1, monotonic_ns=2_000_000_000)),
        cast(Frame, SimpleNamespace(ordinal=1, monotonic_ns=2_000_000_000)),
        cast(Frame, None),
    ],
)
def test_a_frame_that_is_none_is_referred(frame: Frame) -> None:
    trial = fresh_trial()
    face = face_at(support.turning_head(0)[1])
    trial.models = ScriptedModels(lambda _: [face], lambda _: unit_vector(0, 0.3))
    attempt = trial.start()
    trial.clock.advance(timedelta(seconds=1))
    assert attempt.observe(frame).complete
    assert attempt.decide().decision.reasons == ("INTERNAL_ERROR",)


NUMBERS = st.floats(width=32) | st.sampled_from([0.0, -1.0, 1e30, 80.0, 160.0])
DETECTIONS = st.builds(
    lambda box, points, score: FaceDetection(
        (box[0], box[1], box[2], box[3]), np.array(points, np.float32).reshape(5, 2), score
    ),
    st.lists(NUMBERS, min_size=4, max_size=4),
    st.lists(NUMBERS, min_size=10, max_size=10),
    NUMBERS,
)
PIXELS = st.builds(
    lambda shape, fill, kind: np.full(shape, fill, kind),
    st.sampled_from([(), (0,), (0, 0, 3), (1, 1, 3), (64, 64), (64, 64, 4), (48, 64, 3),
                     (1, 9000, 3), (700, 900, 3)]),
    st.integers(0, 255),
    st.sampled_from([np.uint8, np.float32, np.uint16, np.bool_]),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_garbage_of_every_kind_is_never_accepted(data: st.DataObject) -> None:
    """The model says anything at all about pictures of any kind; the embedding always matches."""
    trial = fresh_trial()
    trial.models = ScriptedModels(
        lambda _: data.draw(st.lists(DETECTIONS, max_size=2)), lambda _: unit_vector(0, 0.3)
    )
    attempt = trial.start()
    for ordinal in range(16):
        trial.clock.advance(timedelta(seconds=0.13))
        frame = FaceFrame(data.draw(PIXELS), ordinal, trial.clock.monotonic_ns())
        if attempt.observe(cast(Frame, frame)).complete:
            break
    decided = attempt.decide()
    assert decided.decision.outcome is not Outcome.ACCEPT
    decode(encode(decided.evidence))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(order=st.permutations(range(36)), kept=st.integers(0, 36), late=st.booleans())
def test_frames_in_any_order_never_prove_more_than_they_show(
    order: list[int], kept: int, late: bool
) -> None:
    """Frames come twice, late and in disorder; an ACCEPT still rests on time that went forward."""
    trial = fresh_trial()
    assert trial.models is None
    attempt = trial.start()
    ready = [(frame, landmarks) for frame, landmarks in Trial(trial.policy, trial.clock, frames=36)
             .rendered()]  # fmt: skip
    if late:
        trial.clock.advance(timedelta(seconds=9))
    for index in [*range(kept), *order]:
        frame, landmarks = ready[index]
        trial.seen.append(landmarks)
        if attempt.observe(frame).complete:
            break
    decided = attempt.decide()
    if decided.decision.outcome is Outcome.ACCEPT:
        times = [frame.offset_ns for frame in decided.evidence.frames]
        assert times == sorted(set(times))
        used = [times[index] for index in decided.evidence.used]
        assert len(used) == trial.policy.matching.frames
        assert used[-1] - used[0] >= 3 * 300_000_000
        assert not late


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pause=st.integers(0, 60), seconds=st.floats(1.0, 8))
def test_a_pause_in_the_stream_is_never_accepted_across(pause: int, seconds: float) -> None:
    """Nothing after a hole in the stream is added to what was seen before it."""
    trial = fresh_trial()
    attempt, looked_before = trial.start(), None
    assert trial.models is not None
    for frame, landmarks in trial.rendered():
        trial.seen.append(landmarks)
        if attempt.observe(frame).complete:
            break
        if frame.ordinal == pause:
            trial.clock.advance(timedelta(seconds=seconds))
            looked_before = trial.models.detected
    if attempt.decide().decision.outcome is Outcome.ACCEPT:
        assert looked_before in (None, trial.models.detected)


def test_a_fault_is_logged_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    trial = fresh_trial()
    trial.models = ScriptedModels(
        raising(Broken("430102199001011234"), 0, lambda _: []), lambda _: unit_vector(0, 0.3)
    )
    run(trial)
    assert "Broken" in caplog.text
    assert "430102" not in caplog.text


GOOD = FaceEvidence(
    threshold=0.4,
    comparison_score=0.5,
    band="accept",
    comparisons=1,
    frames_used=4,
    liveness=(Signal("motion", Verdict.PASS, 0.1, 0.01, None),),
    required=("motion",),
)
FAILED = Signal("passive", Verdict.FAIL, 0.1, 0.5, "PASSIVE_SPOOF")
TURNED = Signal("challenge", Verdict.PASS, 1.0, 1.0, None)
SILENT = Signal("passive", Verdict.NOT_ASSESSED, None, 0.5, "LIVENESS_NOT_ASSESSED")


@pytest.mark.parametrize(
    ("evidence", "reasons", "reference"),
    [
        (FaceEvidence(), ("MATCH",), "r"),
        (replace(GOOD, liveness=()), ("MATCH",), "r"),
        (replace(GOOD, comparison_score=0.39), ("MATCH",), "r"),
        (replace(GOOD, comparison_score=float("nan")), ("MATCH",), "r"),
        (replace(GOOD, comparison_score=float("inf")), ("MATCH",), "r"),
        (replace(GOOD, comparison_score=None), ("MATCH",), "r"),
        (replace(GOOD, threshold=float("-inf")), ("MATCH",), "r"),
        (replace(GOOD, threshold=float("nan")), ("MATCH",), "r"),
        (replace(GOOD, threshold=None), ("MATCH",), "r"),
        (replace(GOOD, band="grey"), ("MATCH",), "r"),
        (replace(GOOD, comparisons=0), ("MATCH",), "r"),
        (replace(GOOD, frames_used=0), ("MATCH",), "r"),
        (replace(GOOD, required=()), ("MATCH",), "r"),
        (replace(GOOD, required=("motion", "planarity")), ("MATCH",), "r"),
        (replace(GOOD, required=("passive",), liveness=(SILENT,)), ("MATCH",), "r"),
        (replace(GOOD, required=("passive",), liveness=(TURNED, SILENT)), ("MATCH",), "r"),
        (replace(GOOD, liveness=(*GOOD.liveness, FAILED)), ("MATCH",), "r"),
        (GOOD, ("MATCH", "MISMATCH"), "r"),
        (GOOD, (), "r"),
        (GOOD, ("MATCH",), None),
    ],
)
def test_an_accept_without_its_grounds_cannot_be_made(
    evidence: FaceEvidence, reasons: tuple[str, ...], reference: str | None
) -> None:
    with pytest.raises(DecisionInvalid):
        _accept(evidence, reasons, reference)


@pytest.mark.parametrize(
    "evidence",
    [
        GOOD,
        replace(GOOD, liveness=(*GOOD.liveness, SILENT)),
        replace(GOOD, required=("motion", "passive"), liveness=(*GOOD.liveness, TURNED, FAILED)),
    ],
)
def test_an_accept_with_its_grounds_can_be_made(evidence: FaceEvidence) -> None:
    assert _accept(evidence, ("MATCH",), "r").outcome is Outcome.ACCEPT


def _accept(evidence: FaceEvidence, reasons: tuple[str, ...], reference: str | None) -> Decision:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Decision(
        outcome=Outcome.ACCEPT,
        reasons=reasons,
        policy_name="p",
        policy_digest="0" * 64,
        started_at=now,
        decided_at=now,
        evidence=evidence,
        reference_id=reference,
    )
