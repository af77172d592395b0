"""The verifier answers every message, records before it answers, and accepts nothing by halves."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from edge.config import EdgeConfig
from edge.verifier.protocol import Enrol, Enrolled, EnrolmentRefused
from models.errors import InferenceFailed
from retention.records.clock import ManualClock, to_text
from retention.records.ids import ReferenceId
from retention.records.people import IdentityDecided2
from retention.records.receipts import check_receipt
from retention.store.database import NodeStore, StoreUnavailable
from tests.edge.verifier.kit import CONSENT, COUNTER, PERSON, SOMEBODY, Bench, picture, request
from tests.identity import support
from tests.identity.support import face_at, unit_vector


@pytest.fixture
def bench(config: EdgeConfig, store: NodeStore, clock: ManualClock) -> Bench:
    return Bench(config, store, clock)


def enrol(**changes: object) -> bytes:
    values: dict[str, object] = {
        "person_ref": PERSON,
        "consent": CONSENT,
        "counter": COUNTER,
        "source": "chip",
    }
    return Enrol.model_validate(values | changes).model_dump_json().encode()


def refused(answer: object) -> str:
    assert isinstance(answer, EnrolmentRefused), answer
    return answer.code


# -- attempts -------------------------------------------------------------------------------------


def test_the_enrolled_person_is_accepted_and_recorded_under_a_signature_that_holds(
    bench: Bench,
) -> None:
    bench.enrolled()
    receipt = bench.verify(subject_role="proxy", attempt=2)
    assert (receipt.outcome, receipt.reasons) == ("ACCEPT", ("MATCH",))
    assert (receipt.subject_ref, receipt.subject_role, receipt.attempt) == (PERSON, "proxy", 2)
    (kept,) = bench.records("identity.decided")
    recorded = IdentityDecided2.model_validate(json.loads(kept)["payload"])
    assert recorded.receipt == receipt
    check_receipt(
        recorded,
        public_key=bench.config.keys().signer().public_key,
        session=receipt.session,
        claim="c" * 64,
        now=bench.clock.now(),
    )
    assert bench.beats
    assert not bench.frames.watching


def test_no_vector_leaves_in_answer_record_or_log(bench: Bench) -> None:
    bench.enrolled()
    vector = unit_vector(0)
    with capture_logs() as said:
        bench.verify()
    kept = b"".join(bench.records("identity.decided"))
    assert vector.tobytes()[:8] not in kept
    # A list of numbers, however written, has no place to be: every value is short or has a name.
    receipt = json.loads(kept)["payload"]["receipt"]
    lists = [value for value in receipt.values() if isinstance(value, list)]
    assert all(len(value) <= 16 for value in lists)
    assert all(isinstance(item, dict | str) for value in lists for item in value)
    shown = {key for entry in said for key in entry}
    assert shown == {"event", "log_level", "session", "outcome", "reasons", "frames_seen"}


def test_another_person_is_referred(bench: Bench) -> None:
    bench.enrolled()
    bench.models.embedding = lambda _: unit_vector(7)
    assert bench.verify().reasons == ("MISMATCH",)


def test_without_a_reference_nobody_is_looked_at(bench: Bench) -> None:
    bench.consent()
    receipt = bench.verify()
    assert (receipt.outcome, receipt.reasons) == ("REFER", ("REFERENCE_MISSING",))
    assert (bench.models.detected, bench.models.embedded) == (0, 0)


def test_an_expired_reference_is_referred(bench: Bench) -> None:
    bench.consent()
    expires_at = bench.clock.now() + timedelta(days=1)
    bench.keep(support.reference(unit_vector(0), expires_at=expires_at))
    bench.clock.advance(timedelta(days=2))
    receipt = bench.verify()
    assert (receipt.outcome, receipt.reasons) == ("REFER", ("REFERENCE_EXPIRED",))
    assert bench.models.embedded == 0


def test_an_older_reference_in_time_is_compared_when_the_newest_has_expired(bench: Bench) -> None:
    bench.enrolled()
    bench.clock.advance(timedelta(hours=1))
    newest = ReferenceId("0197a000-0000-7000-8000-000000000003")
    expires_at = bench.clock.now() + timedelta(hours=1)
    bench.keep(support.reference(unit_vector(5), reference_id=newest, expires_at=expires_at))
    assert bench.verify().reasons == ("MISMATCH",)
    bench.clock.advance(timedelta(hours=2))
    assert bench.verify().outcome == "ACCEPT"


def test_a_reference_of_another_model_is_referred(bench: Bench) -> None:
    bench.consent()
    bench.keep(support.reference(unit_vector(0), contract_id="99" * 32))
    assert bench.verify().reasons == ("CONTRACT_MISMATCH",)


def test_a_reference_moved_to_another_person_does_not_open(bench: Bench) -> None:
    bench.consent()
    bench.keep(support.reference(unit_vector(0), person_ref=SOMEBODY))
    with capture_logs() as said:
        receipt = bench.verify()
    assert (receipt.outcome, receipt.reasons) == ("REFER", ("REFERENCE_MISSING",))
    assert next(entry["event"] for entry in said) == "reference_unreadable"


@pytest.mark.parametrize("damage", ["nonce = x'00'", "sealed = x'00'", "key_id = 'other'"])
def test_a_damaged_reference_is_referred(bench: Bench, damage: str) -> None:
    bench.enrolled()
    with bench.store.write() as connection:
        connection.execute(f"UPDATE reference_templates SET {damage}")  # noqa: S608
    assert bench.verify().reasons == ("REFERENCE_MISSING",)


@pytest.mark.parametrize("at", [1, 5, 20])
def test_a_consent_withdrawn_while_we_look_wins(bench: Bench, at: int) -> None:
    bench.enrolled()
    bench.frames.on_frame = lambda asked: bench.withdraw() if asked == at else None
    receipt = bench.verify()
    assert (receipt.outcome, receipt.reasons) == ("REFER", ("REFERENCE_MISSING",))
    assert (receipt.reference, receipt.comparison_score, receipt.liveness) == (None, None, ())
    assert receipt.frames_seen > 0


@pytest.mark.parametrize("at", [1, 8, 19])
def test_a_stop_ends_the_attempt_at_once_and_never_accepts(bench: Bench, at: int) -> None:
    bench.enrolled()
    bench.frames.on_frame = lambda asked: bench.stop.set() if asked == at else None
    assert bench.verify().outcome != "ACCEPT"
    assert bench.frames.asked == at
    assert len(bench.records("identity.decided")) == 1


def test_a_camera_that_shows_nothing_is_referred_by_the_deadline(bench: Bench) -> None:
    bench.enrolled()
    bench.frames.dead = True
    before = bench.clock.now()
    assert bench.verify().reasons == ("CAMERA_UNAVAILABLE",)
    assert bench.clock.now() - before < timedelta(seconds=6)


def test_what_nobody_waits_for_any_more_is_not_done(bench: Bench) -> None:
    bench.enrolled()
    late = request(until_ns=bench.clock.monotonic_ns()).model_dump_json().encode()
    assert refused(bench.ask(late)) == "DEADLINE"
    expired = enrol(until_ns=bench.clock.monotonic_ns() - 1)
    assert refused(bench.ask(expired, picture())) == "DEADLINE"
    assert (bench.frames.asked, bench.models.detected) == (0, 0)
    assert bench.records("identity.decided") == []
    bench.verify(until_ns=bench.clock.monotonic_ns() + 1)


@contextmanager
def full_disk(store: NodeStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    @contextmanager
    def write() -> Iterator[sqlite3.Connection]:
        raise StoreUnavailable("node.sqlite3: database or disk is full")
        yield

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", write)
        yield


def test_a_full_disk_is_an_answer_and_the_next_attempt_works(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.enrolled()
    with full_disk(bench.store, monkeypatch):
        answer = bench.ask(request().model_dump_json().encode())
        assert refused(answer) == "STORAGE_UNAVAILABLE"
        assert not bench.frames.watching
        bench.frames.seen.append(support.turning_head(0)[1])
        assert refused(bench.ask(enrol(), picture())) == "STORAGE_UNAVAILABLE"
    assert bench.records("identity.decided") == []
    assert bench.verify().outcome == "ACCEPT"


# -- messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff\x00",
        b"{}",
        b"null",
        b"[]",
        b'{"do":"format"}',
        b'{"do":"ping","more":1}',
        b'{"do":"verify"}',
        b'{"do":"enrol","person_ref":"x"}',
        b"[" * 100_000,
        request().model_dump_json().encode() + b"}",
    ],
)
def test_a_malformed_message_is_refused_and_does_nothing(bench: Bench, message: bytes) -> None:
    assert refused(bench.ask(message)) == "INVALID_REQUEST"
    assert bench.frames.asked == 0


# -- enrolment ------------------------------------------------------------------------------------


@pytest.fixture
def facing(bench: Bench) -> Bench:
    """A bench whose detector finds the head of `picture()`."""
    bench.frames.seen.append(support.turning_head(0)[1])
    return bench


def test_an_enrolled_picture_is_sealed_and_then_compared_with(facing: Bench) -> None:
    facing.consent()
    answer = facing.ask(enrol(), picture())
    assert isinstance(answer, Enrolled)
    with facing.store.read() as connection:
        (row,) = connection.execute("SELECT sealed FROM reference_templates").fetchall()
    assert unit_vector(0, 0.3).tobytes() not in bytes(row["sealed"])
    assert facing.verify().reference == answer.reference


@pytest.mark.parametrize("whose", [None, SOMEBODY, "withdrawn"])
def test_without_a_standing_consent_nothing_is_enrolled(facing: Bench, whose: str | None) -> None:
    if whose is not None:
        facing.consent(PERSON if whose == "withdrawn" else whose)
    if whose == "withdrawn":
        facing.withdraw()
    assert refused(facing.ask(enrol(), picture())) == "NO_CONSENT"
    assert facing.records("reference.enrolled") == []


@pytest.mark.parametrize("parts", [(), (b"", b"")])
def test_an_enrolment_without_its_one_picture_is_refused(
    facing: Bench, parts: tuple[bytes, ...]
) -> None:
    assert refused(facing.ask(enrol(), *parts)) == "INVALID_REQUEST"


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", picture()[:200]])
def test_a_file_that_is_no_picture_is_refused(facing: Bench, content: bytes) -> None:
    facing.consent()
    assert refused(facing.ask(enrol(), content)) == "IMAGE_REFUSED"


def test_no_picture_passes_for_a_living_person_at_the_camera(facing: Bench) -> None:
    facing.consent()
    asked = enrol(source="counter_camera")
    assert refused(facing.ask(asked, picture())) == "INVALID_REQUEST"
    assert facing.records("reference.enrolled") == []


@pytest.mark.parametrize(("days", "taken"), [(-3650, True), (0.5, True), (2, False), (9999, False)])
def test_no_picture_is_from_the_future(facing: Bench, days: float, taken: bool) -> None:
    """It would not become old before its time came."""
    facing.consent()
    when = to_text(facing.clock.now() + timedelta(days=days))
    answer = facing.ask(enrol(portrait_at=when), picture())
    assert isinstance(answer, Enrolled) == taken
    if not taken:
        assert refused(answer) == "IMAGE_REFUSED"


def test_a_picture_without_one_usable_face_says_why(facing: Bench) -> None:
    facing.consent()
    two = [face_at(support.turning_head(0)[1]), face_at(support.turning_head(0)[1], shift=9)]
    for faces, code in (([], "NO_FACE"), (two, "MULTIPLE_FACES")):
        facing.models.faces = lambda _, faces=faces: faces  # type: ignore[misc]
        assert refused(facing.ask(enrol(), picture())) == code
    facing.models.faces = lambda _: [face_at(support.turning_head(0)[1])]
    dark = np.zeros((320, 320, 3), np.uint8)
    assert refused(facing.ask(enrol(), picture(dark))) == "TOO_DARK"


def test_a_picture_on_which_a_model_fails_ends_nothing(facing: Bench) -> None:
    def fails(*_: Any) -> Any:
        raise InferenceFailed("sface", "a detection is not finite")

    facing.consent()
    kept = facing.models.embedding
    facing.models.embedding = fails
    assert refused(facing.ask(enrol(), picture())) == "INTERNAL_ERROR"
    facing.models.embedding = kept
    assert isinstance(facing.ask(enrol(), picture()), Enrolled)


def test_a_reference_ends_when_the_configuration_says(facing: Bench) -> None:
    facing.consent()
    answer = facing.ask(enrol(), picture())
    assert isinstance(answer, Enrolled)
    until = facing.clock.now() + timedelta(days=facing.config.verification.reference_days)
    assert answer.expires_at == to_text(until)
