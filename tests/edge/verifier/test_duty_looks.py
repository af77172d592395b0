"""Looks at the pharmacist on duty through the whole verifier: rendered head, scripted embedder."""

from __future__ import annotations

from datetime import timedelta

import pytest

from edge.config import EdgeConfig
from edge.duty import PURPOSE, pharmacist_ref
from edge.verifier.duty_protocol import DutyLooked, SignInByFace
from identity.policy import load_policy
from retention.records.clock import ManualClock
from retention.records.envelope import parse_record
from retention.records.payloads import ConsentGiven
from retention.store import credentials, duty, face_locks, people
from retention.store.database import NodeStore
from tests.edge.verifier.kit import CONSENT, COUNTER, Bench
from tests.identity import support
from tests.identity.support import unit_vector


@pytest.fixture
def bench(config: EdgeConfig, store: NodeStore, clock: ManualClock) -> Bench:
    """A verifier that has the reference of ph-3, who turns their head before the camera."""
    made = Bench(config, store, clock)
    ref = pharmacist_ref(config.keys().secret("person"), "ph-3")
    given = ConsentGiven(
        consent=CONSENT,
        person_ref=ref,
        purpose=PURPOSE,
        notice_version="duty-2026-11",
        method="own_secret",
        operator="ph-3",
    )
    with store.write() as connection:
        credentials.put(connection, "pharmacists", "ph-3", "scrypt", clock.now())
        people.give_consent(store, connection, given, counter=COUNTER)
    made.keep(support.reference(unit_vector(0), person_ref=ref), row_person=ref)
    return made


def sign_in(bench: Bench) -> DutyLooked:
    asked = SignInByFace(counter=COUNTER, pharmacist="ph-3")
    answer = bench.ask(asked.model_dump_json().encode())
    assert isinstance(answer, DutyLooked), answer
    return answer


def state(bench: Bench) -> str | None:
    with bench.store.read() as connection:
        row = duty.read(connection, "ph-3")
    return None if row is None else row.state


def test_a_living_pharmacist_is_recognised_and_nothing_is_decided_about_anybody(
    bench: Bench,
) -> None:
    assert sign_in(bench) == DutyLooked(accepted=True, reasons=("MATCH",))

    assert state(bench) == "present"
    assert bench.records("identity.decided") == []
    with bench.store.read() as connection:
        assert connection.execute("SELECT count(*) FROM probes").fetchone()[0] == 0


def test_somebody_else_is_not_the_pharmacist(bench: Bench) -> None:
    bench.models.embedding = lambda _: unit_vector(7)

    assert sign_in(bench) == DutyLooked(accepted=False, reasons=("MISMATCH",))
    assert state(bench) is None


def test_a_picture_that_does_not_move_signs_nobody_in(bench: Bench) -> None:
    bench.frames.scene = support.still

    answer = sign_in(bench)

    assert not answer.accepted
    assert "MATCH" not in answer.reasons
    assert state(bench) is None


def test_suspected_attacks_are_told_without_a_session_and_lock_until_the_own_secret(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.frames.scene = support.held_print
    asked = [sign_in(bench) for _ in range(3)]
    assert not any(one.accepted for one in asked)

    told = [parse_record(raw).payload for raw in bench.records("identity.attack_suspected")]

    assert len(told) == 3
    assert {one["session"] for one in told} == {None}
    ref = pharmacist_ref(bench.config.keys().secret("person"), "ph-3")
    assert {one["subject_ref"] for one in told} == {ref}
    with bench.store.read() as connection:
        assert face_locks.is_locked(connection, ref)
    bench.frames.scene = support.turning_head
    assert sign_in(bench).reasons == ("FACE_LOCKED",)


def test_who_sits_still_meanwhile_is_missed_but_no_suspect_and_is_asked_for_nothing(
    bench: Bench, clock: ManualClock
) -> None:
    sign_in(bench)
    bench.frames.scene = support.still
    looked_at = clock.now()

    bench.duty.step()

    assert state(bench) == "doubtful"
    assert bench.records("identity.attack_suspected") == []
    # A turn that was asked for would have made the look longer than an attempt.
    lasted = (clock.now() - looked_at).total_seconds()
    assert lasted <= float(load_policy().attempt.deadline_seconds) + 1


def test_a_picture_held_up_meanwhile_is_a_suspicion(bench: Bench) -> None:
    sign_in(bench)
    bench.frames.scene = support.held_print

    bench.duty.step()

    assert state(bench) == "doubtful"
    assert len(bench.records("identity.attack_suspected")) == 1


def test_a_recheck_sees_misses_and_gives_way(bench: Bench, clock: ManualClock) -> None:
    sign_in(bench)
    bench.duty.step()  # the first step doubts what it did not see itself, and looks at once
    assert state(bench) == "present"
    bench.models.embedding = lambda _: unit_vector(7)
    for _ in range(200):
        clock.advance(timedelta(seconds=1))
        bench.duty.step()
    assert state(bench) == "doubtful"
    bench.models.embedding = lambda _: unit_vector(0, 0.3)
    bench.awaited = True
    for _ in range(60):
        clock.advance(timedelta(seconds=1))
        bench.duty.step()
    assert state(bench) == "doubtful"
    bench.awaited = False
    for _ in range(60):
        clock.advance(timedelta(seconds=1))
        bench.duty.step()
    assert state(bench) == "present"
