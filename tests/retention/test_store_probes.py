"""Rows of probes: which are due, which a hold keeps, and what is recorded when they go."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from retention.policy import HeldScope, HeldSpan
from retention.records.clock import ManualClock
from retention.store import people, probes
from retention.store.database import NodeStore
from retention.store.log import all_records
from tests.retention.probes_kit import (
    OTHER,
    PERSON,
    give_consent,
    keep_probe,
    rows,
    withdraw,
)

LONG_AGO = timedelta(days=30)


def due(
    store: NodeStore, before: datetime | None = None, *holds: HeldScope
) -> dict[probes.Cause, tuple[str, ...]]:
    made_before = before or store.clock.now() - LONG_AGO
    with store.read() as connection:
        found = probes.due(connection, made_before, holds)
        assert probes.any_due(connection, made_before) or not found
    return found


def test_a_row_is_read_as_it_was_written(store: NodeStore) -> None:
    give_consent(store)
    receipt = keep_probe(store)
    with store.read() as connection:
        found = probes.read(connection, receipt)
        assert probes.read(connection, "unknown") is None
        assert [one.receipt for one in probes.of_person(connection, PERSON)] == [receipt]
        assert probes.of_person(connection, OTHER) == []
    assert found is not None
    assert (found.receipt, found.person_ref, found.made_at) == (receipt, PERSON, store.clock.now())


def test_evidence_is_due_when_it_is_as_old_as_allowed(store: NodeStore, clock: ManualClock) -> None:
    give_consent(store)
    receipt = keep_probe(store)
    clock.advance(LONG_AGO - timedelta(microseconds=1))
    assert due(store) == {}
    clock.advance(timedelta(microseconds=1))
    assert due(store) == {"expired": (receipt,)}


def test_withdrawn_consent_makes_all_of_a_person_due_and_of_nobody_else(
    store: NodeStore,
) -> None:
    consent = give_consent(store)
    give_consent(store, OTHER)
    mine = sorted(keep_probe(store) for _ in range(2))
    keep_probe(store, OTHER)
    assert due(store) == {}
    withdraw(store, consent)
    assert due(store) == {"consent_withdrawn": tuple(mine)}


def test_what_an_attempt_writes_after_the_withdrawal_is_due_too(
    store: NodeStore, clock: ManualClock
) -> None:
    withdraw(store, give_consent(store))
    clock.advance(timedelta(seconds=1))
    late = keep_probe(store)
    assert due(store) == {"consent_withdrawn": (late,)}


def test_what_was_made_under_a_new_consent_stays(store: NodeStore, clock: ManualClock) -> None:
    first = give_consent(store)
    old = keep_probe(store)
    withdraw(store, first)
    clock.advance(timedelta(seconds=1))
    give_consent(store)
    keep_probe(store)
    assert due(store) == {"consent_withdrawn": (old,)}


@pytest.mark.parametrize("scope", ["everything", "session", "person", "span"])
def test_a_hold_that_covers_it_keeps_it_old_or_withdrawn(
    store: NodeStore, clock: ManualClock, scope: str
) -> None:
    consent = give_consent(store)
    session, made_at = store.ids.new(), clock.now()
    held, free = keep_probe(store, session=session), store.ids.new()
    minute = timedelta(minutes=1)
    hold = {
        "everything": HeldScope("h", everything=True),
        "session": HeldScope("h", sessions=frozenset({session})),
        "person": HeldScope("h", persons=frozenset({PERSON})),
        "span": HeldScope("h", spans=(HeldSpan(made_at - minute, made_at + minute, frozenset()),)),
    }[scope]
    other = HeldScope("o", sessions=frozenset({free}))
    clock.advance(LONG_AGO)
    assert due(store, None, hold) == {}
    assert due(store, None, other) == {"expired": (held,)}
    withdraw(store, consent)
    assert due(store, None, other, hold) == {}
    assert due(store, None, other) == {"consent_withdrawn": (held,)}


def test_erasing_records_each_receipt_in_records_of_at_most_500(store: NodeStore) -> None:
    give_consent(store)
    some = sorted(keep_probe(store) for _ in range(3))
    names = (*some, *(store.ids.new() for _ in range(500)))
    with store.write() as connection:
        probes.erase(store, connection, names, "expired")
        said = [r.parse().payload for r in all_records(connection) if r.kind == "probes.erased"]
    assert rows(store) == []
    assert [len(one["receipts"]) for one in said] == [500, 3]
    assert said[0]["cause"] == "expired"
    assert said[0]["receipts"][:3] == some


def test_a_wrapped_key_is_nowhere_in_the_database_afterwards(store: NodeStore) -> None:
    give_consent(store)
    receipt = keep_probe(store)
    with store.read() as connection:
        row = probes.read(connection, receipt)
    assert row is not None

    def lies_somewhere() -> bool:
        found = store.path.parent.glob("node.sqlite3*")
        return any(row.wrapped in file.read_bytes() for file in found)

    assert people.fold_wal(store)
    assert lies_somewhere()
    with store.write() as connection:
        probes.erase(store, connection, (receipt,), "expired")
    assert people.fold_wal(store)
    assert not lies_somewhere()
