"""Consents and references: read only under a standing consent, gone with it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.records.payloads import ConsentGiven
from retention.store import people
from retention.store.database import NodeStore
from retention.store.log import all_records
from retention.store.people import ConsentMissing, Reference

PERSON, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def consent(store: NodeStore, ids: SeededIds) -> str:
    return give(store, ids)


def give(store: NodeStore, ids: SeededIds) -> str:
    given = ConsentGiven(
        consent=ids.new(),
        person_ref=PERSON,
        purpose="face_verification",
        notice_version="1",
        method="signed",
        operator="op",
    )
    with store.write() as connection:
        people.give_consent(store, connection, given, counter="c1")
    return given.consent


def enrol(
    store: NodeStore, ids: SeededIds, consent: str, *, days: int = 10, person: str = PERSON
) -> str:
    now = store.clock.now()
    reference = Reference(
        id=ids.new(),
        person_ref=person,
        consent=consent,
        contract_id="c" * 64,
        source="id_card_chip",
        key_id="k1",
        nonce=b"n" * 12,
        sealed=b"sealed " + ids.new().encode(),
        enrolled_at=now,
        expires_at=now + timedelta(days=days),
    )
    with store.write() as connection:
        people.insert_reference(store, connection, reference, counter="c1")
        assert people.latest_reference(connection, person, now) == reference
    return reference.id


def latest(store: NodeStore) -> str | None:
    with store.read() as connection:
        found = people.latest_reference(connection, PERSON, store.clock.now())
    return found.id if found else None


def kinds(store: NodeStore) -> list[str]:
    with store.read() as connection:
        return [record.kind for record in all_records(connection)]


def test_the_newest_reference_is_compared_until_it_expires(
    store: NodeStore, ids: SeededIds, clock: ManualClock, consent: str
) -> None:
    assert latest(store) is None
    first = enrol(store, ids, consent, days=20)
    clock.advance(timedelta(days=1))
    second = enrol(store, ids, consent, days=5)
    assert latest(store) == second
    clock.advance(timedelta(days=5))
    assert latest(store) == first
    clock.advance(timedelta(days=14))
    assert latest(store) is None
    with store.read() as connection:
        expired = people.newest_reference(connection, PERSON)
    assert expired is not None
    assert expired.id == second
    assert kinds(store) == ["consent.given", "reference.enrolled", "reference.enrolled"]


def test_a_reference_that_outlived_its_consent_is_not_found(
    store: NodeStore, ids: SeededIds, consent: str
) -> None:
    """It cannot happen by what is written here; it must not be compared if it does."""
    enrol(store, ids, consent)
    with store.write() as connection:
        connection.execute("UPDATE consents SET withdrawn_at = 1")
        assert people.newest_reference(connection, PERSON) is None
    assert latest(store) is None


def test_a_withdrawal_deletes_every_reference_under_it_and_no_other(
    store: NodeStore, ids: SeededIds, consent: str
) -> None:
    erased = sorted(enrol(store, ids, consent) for _ in range(2))
    kept = enrol(store, ids, give(store, ids))
    with store.write() as connection:
        found = people.read_consent(connection, consent)
        assert found is not None
        gone = people.withdraw_consent(store, connection, found, counter="c1")
    assert list(gone) == erased
    assert latest(store) == kept
    assert kinds(store)[-3:] == ["reference.erased", "reference.erased", "consent.withdrawn"]
    with store.read() as connection:
        after = people.read_consent(connection, consent)
    assert after is not None
    assert after.withdrawn_at == store.clock.now()


def test_what_was_deleted_is_not_in_the_file_any_more(
    store: NodeStore, ids: SeededIds, consent: str
) -> None:
    enrol(store, ids, consent)
    with store.read() as connection:
        found = people.newest_reference(connection, PERSON)
        standing = people.read_consent(connection, consent)
    assert found is not None
    assert standing is not None

    def lies_somewhere() -> bool:
        files = store.path.parent.glob("node.sqlite3*")
        return any(found.sealed in file.read_bytes() for file in files)

    assert people.fold_wal(store)
    assert lies_somewhere()
    with store.write() as connection:
        people.withdraw_consent(store, connection, standing, counter="c1")
    assert people.fold_wal(store)
    assert not lies_somewhere()


@pytest.mark.parametrize("case", ["withdrawn", "of another", "unknown"])
def test_nothing_is_enrolled_without_a_standing_consent_of_the_person(
    store: NodeStore, ids: SeededIds, consent: str, case: str
) -> None:
    if case == "withdrawn":
        with store.write() as connection:
            found = people.read_consent(connection, consent)
            assert found is not None
            people.withdraw_consent(store, connection, found, counter="c1")
    before = kinds(store)
    with pytest.raises(ConsentMissing):
        enrol(
            store,
            ids,
            ids.new() if case == "unknown" else consent,
            person=OTHER if case == "of another" else PERSON,
        )
    assert kinds(store) == before
    assert latest(store) is None
