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
from identity.liveness.signals import Signal, Verdict
from identity.methods import Method
from identity.policy import load_policy
from models.errors import InferenceFailed, ModelMissing
from models.values import Embedding, FaceDetection
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


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(error=st.sampled_from(ERRORS), at=st.integers(0, 8))
def test_an_error_of_the_detector_is_referred(error: Exception, at: int) -> None:
    trial = fresh_trial()
    trial.models = ScriptedModels(
        raising(error, at, lambda _: [face_at(trial.seen[-1])]), lambda _: unit_vector(0, 0.3)
    )
    decision = run(trial)
    assert (decision.outcome, decision.reasons) == (Outcome.REFER, ("INTERNAL_ERROR",))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(error=st.sampled_from(ERRORS), at=st.integers(0, 4))
def test_an_error_of_the_embedder_is_referred(error: Exception, at: int) -> None:
    trial = fresh_trial()
    trial.models = ScriptedModels(
        lambda _: [face_at(trial.seen[-1])], raising(error, at, lambda _: unit_vector(0, 0.3))
    )
    decision = run(trial)
    assert (decision.outcome, decision.reasons) == (Outcome.REFER, ("INTERNAL_ERROR",))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(vector=st.sampled_from(range(len(VECTORS))), at=st.integers(0, 4))
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


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pause=st.integers(0, 60), seconds=st.floats(0.7, 8))
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
SILENT = Signal("passive", Verdict.NOT_ASSESSED, None, 0.5, "LIVENESS_NOT_ASSESSED")


@pytest.mark.parametrize(
    ("evidence", "reasons", "reference"),
    [
        (FaceEvidence(), ("MATCH",), "r"),
        (replace(GOOD, liveness=()), ("MATCH",), "r"),
        (replace(GOOD, comparison_score=0.39), ("MATCH",), "r"),
        (replace(GOOD, comparison_score=float("nan")), ("MATCH",), "r"),
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


@pytest.mark.parametrize("evidence", [GOOD, replace(GOOD, liveness=(*GOOD.liveness, SILENT))])
def test_an_accept_with_its_grounds_can_be_made(evidence: FaceEvidence) -> None:
    assert _accept(evidence, ("MATCH",), "r").outcome is Outcome.ACCEPT


def _accept(evidence: FaceEvidence, reasons: tuple[str, ...], reference: str | None) -> Decision:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Decision(
        method=Method.FACE,
        outcome=Outcome.ACCEPT,
        reasons=reasons,
        policy_name="p",
        policy_digest="0" * 64,
        started_at=now,
        decided_at=now,
        evidence=evidence,
        reference_id=reference,
    )
