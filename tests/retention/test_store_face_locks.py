"""Suspected attacks are counted by credential; too many lock its face method until attested."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.records.people import AttackSuspected
from retention.store import face_locks
from retention.store.database import NodeStore
from tests.conftest import IDENTITY

PERSON, SOMEBODY = "ab" * 32, "cd" * 32


@dataclass(frozen=True)
class Limits:
    """Three in ten minutes, as the shipped policy says."""

    suspicions: int = 3
    suspicion_minutes: int = 10


LIMITS = Limits()


def suspicion(store: NodeStore, person_ref: str = PERSON) -> AttackSuspected:
    return AttackSuspected(
        session=store.ids.new(),
        receipt=store.ids.new(),
        subject_ref=person_ref,
        camera="till",
        signals=("planarity",),
    )


def suspect(store: NodeStore, person_ref: str = PERSON) -> bool:
    with store.write() as connection:
        return face_locks.suspect(
            store, connection, suspicion(store, person_ref), LIMITS, counter="c1"
        )


def lock(store: NodeStore, connection: sqlite3.Connection, person_ref: str) -> None:
    """Lock a credential by as many suspicions as it takes."""
    for _ in range(LIMITS.suspicions):
        face_locks.suspect(store, connection, suspicion(store, person_ref), LIMITS)


def is_locked(store: NodeStore, person_ref: str = PERSON) -> bool:
    with store.read() as connection:
        return face_locks.is_locked(connection, person_ref)


def kinds(store: NodeStore) -> list[str]:
    with store.read() as connection:
        rows = connection.execute("SELECT kind FROM log ORDER BY sequence")
        return [row["kind"] for row in rows]


def test_the_third_suspicion_in_ten_minutes_locks_and_says_so_once(
    store: NodeStore, clock: ManualClock
) -> None:
    answers = []
    for _ in range(4):
        answers.append(suspect(store))
        clock.advance(timedelta(minutes=2))
    assert answers == [False, False, True, False]
    assert is_locked(store)
    assert kinds(store).count("identity.attack_suspected") == 4
    assert kinds(store).count("identity.face_locked") == 1


def test_suspicions_that_lie_further_apart_lock_nobody(
    store: NodeStore, clock: ManualClock
) -> None:
    for _ in range(8):
        assert not suspect(store)
        clock.advance(timedelta(minutes=5, seconds=1))
    assert not is_locked(store)


def test_suspicions_of_others_do_not_count(store: NodeStore) -> None:
    assert [suspect(store, who) for who in (PERSON, SOMEBODY, PERSON, SOMEBODY)] == [False] * 4
    assert suspect(store, SOMEBODY)
    assert is_locked(store, SOMEBODY)
    assert not is_locked(store)


def test_a_lock_outlasts_time_and_ends_when_a_pharmacist_attests(
    store: NodeStore, clock: ManualClock
) -> None:
    with store.write() as connection:
        lock(store, connection, PERSON)
    clock.advance(timedelta(days=30))
    assert is_locked(store)
    with store.write() as connection:
        assert face_locks.unlock(store, connection, PERSON, "ph-3", store.ids.new(), counter="c1")
        assert not face_locks.unlock(store, connection, PERSON, "ph-3", store.ids.new())
    assert not is_locked(store)
    assert kinds(store).count("identity.face_unlocked") == 1
    # What led to the lock is forgotten with it: one more suspicion is the first again.
    assert not suspect(store)


def test_a_clock_that_was_moved_back_hides_no_suspicion(
    store: NodeStore, clock: ManualClock
) -> None:
    suspect(store)
    suspect(store)
    clock.jump(-timedelta(days=400))
    assert suspect(store)


def test_a_transaction_that_fails_leaves_neither_record_nor_count(store: NodeStore) -> None:
    def fails_after_it() -> None:
        with store.write() as connection:
            lock(store, connection, PERSON)
            raise RuntimeError("told so")

    with pytest.raises(RuntimeError):
        fails_after_it()
    assert kinds(store) == []
    assert not is_locked(store)
    assert [suspect(store), suspect(store)] == [False, False]


def test_old_suspicions_are_forgotten_but_not_those_of_a_lock(
    store: NodeStore, clock: ManualClock
) -> None:
    suspect(store, SOMEBODY)
    with store.write() as connection:
        lock(store, connection, PERSON)
    clock.advance(timedelta(hours=1))
    suspect(store, "ef" * 32)
    with store.read() as connection:
        rows = connection.execute("SELECT person_ref FROM face_suspicions")
        assert {row["person_ref"] for row in rows} == {PERSON, "ef" * 32}
        assert [one.person_ref for one in face_locks.locked(connection)] == [PERSON]


@settings(max_examples=15)
@given(
    gaps=st.lists(st.integers(0, 900), max_size=12),
    limit=st.integers(1, 5),
    minutes=st.integers(1, 15),
)
def test_a_credential_is_locked_exactly_when_that_many_fell_into_the_time(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[int], limit: int, minutes: int
) -> None:
    clock = ManualClock()
    folder = tmp_path_factory.mktemp("locks")
    store = NodeStore(folder / "node.sqlite3", IDENTITY, clock, SeededIds())
    try:
        at, times, expected = 0, list[int](), False
        with store.write() as connection:
            for gap in gaps:
                clock.advance(timedelta(seconds=gap))
                at += gap
                times.append(at)
                within = sum(1 for each in times if each > at - minutes * 60)
                expected = expected or within >= limit
                face_locks.suspect(store, connection, suspicion(store), Limits(limit, minutes))
                assert face_locks.is_locked(connection, PERSON) == expected
    finally:
        store.close()
