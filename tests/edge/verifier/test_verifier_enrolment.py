"""A reference made at the counter's camera is of a living person who consented, or is not made."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from edge.config import EdgeConfig
from edge.verifier.protocol import EnrolFromCamera, Enrolled, EnrolmentRefused
from models.errors import InferenceFailed
from retention.records.clock import ManualClock, to_text
from retention.records.people import ReferenceEnrolled2
from retention.store import people
from retention.store.database import NodeStore
from tests.edge.verifier.kit import CONSENT, COUNTER, PERSON, SOMEBODY, Bench
from tests.identity import support


@pytest.fixture
def bench(config: EdgeConfig, store: NodeStore, clock: ManualClock) -> Bench:
    return Bench(config, store, clock)


def enrol(bench: Bench, **changes: object) -> Enrolled | EnrolmentRefused:
    values = {"counter": COUNTER, "person_ref": PERSON, "consent": CONSENT} | changes
    asked = EnrolFromCamera.model_validate(values)
    answer = bench.ask(asked.model_dump_json().encode())
    assert isinstance(answer, Enrolled | EnrolmentRefused)
    return answer


def refused(bench: Bench, **changes: object) -> str:
    answer = enrol(bench, **changes)
    assert isinstance(answer, EnrolmentRefused), answer
    assert bench.records("reference.enrolled") == []
    return answer.code


def test_a_living_person_who_consented_is_enrolled_and_then_known(bench: Bench) -> None:
    bench.consent()
    answer = enrol(bench)
    assert isinstance(answer, Enrolled), answer
    until = bench.clock.now() + timedelta(days=bench.config.verification.reference_days)
    assert answer.expires_at == to_text(until)
    (kept,) = bench.records("reference.enrolled")
    said = ReferenceEnrolled2.model_validate(json.loads(kept)["payload"])
    assert (said.reference, said.source, said.quality) == (
        answer.reference, "counter_camera", "good",
    )  # fmt: skip
    assert said.portrait_at == to_text(bench.clock.now())
    assert bench.records("identity.decided") == []
    # The same camera sees the same person so alike as if it were a copy; nobody holds one.
    known = bench.verify()
    assert (known.outcome, known.reference) == ("ACCEPT", answer.reference)
    assert known.comparison_score is not None
    assert float(known.comparison_score) > 0.99
    assert bench.records("identity.attack_suspected") == []


@pytest.mark.parametrize("scene", [support.held_print, support.still])
def test_a_photograph_held_up_makes_no_reference(bench: Bench, scene: Any) -> None:
    bench.consent()
    bench.frames.scene = scene
    assert refused(bench) in {"PLANAR_MOTION", "STATIC_INPUT", "CHALLENGE_FAILED"}


def test_photographs_held_up_to_be_enrolled_lock_the_credential(bench: Bench) -> None:
    bench.consent()
    bench.suspect(2)
    bench.frames.scene = support.held_print
    assert refused(bench) != "FACE_LOCKED"
    assert len(bench.records("identity.face_locked")) == 1
    looks = bench.frames.asked
    assert refused(bench) == "FACE_LOCKED"
    assert bench.frames.asked == looks


@pytest.mark.parametrize("whose", [None, SOMEBODY, "withdrawn"])
def test_without_a_standing_consent_nobody_is_looked_at(bench: Bench, whose: str | None) -> None:
    if whose is not None:
        bench.consent(PERSON if whose == "withdrawn" else whose)
    if whose == "withdrawn":
        bench.withdraw()
    assert refused(bench) == "NO_CONSENT"
    assert bench.frames.asked == 0


def test_no_face_of_a_child_is_taken(bench: Bench) -> None:
    bench.consent()
    assert refused(bench, age_band="under_14") == "CHILD_NO_FACE"
    assert bench.frames.asked == 0


@pytest.mark.parametrize("at", [1, 10, 25])
def test_a_consent_withdrawn_while_we_look_wins(bench: Bench, at: int) -> None:
    bench.consent()
    bench.frames.on_frame = lambda asked: bench.withdraw() if asked == at else None
    assert refused(bench) == "NO_CONSENT"
    with bench.store.read() as connection:
        assert people.newest_reference(connection, PERSON) is None


def test_a_capture_that_a_stop_cut_short_makes_no_reference(bench: Bench) -> None:
    bench.consent()
    bench.frames.on_frame = lambda asked: bench.stop.set() if asked == 4 else None
    assert refused(bench) != "REFERENCE_MISSING"


def test_a_camera_without_pictures_makes_no_reference(bench: Bench) -> None:
    bench.consent()
    bench.frames.dead = True
    assert refused(bench) == "CAMERA_UNAVAILABLE"


def test_a_model_that_fails_makes_no_reference(bench: Bench) -> None:
    def fails(*_: object) -> Any:
        raise InferenceFailed("sface", "no")

    bench.consent()
    bench.models.embedding = fails
    assert refused(bench) == "INTERNAL_ERROR"
