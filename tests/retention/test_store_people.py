"""Consents and references: read only under a standing consent, gone with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from retention.records.clock import ManualClock, to_text
from retention.records.ids import SeededIds
from retention.records.payloads import ConsentGiven
from retention.records.people import ConsentGiven2
from retention.store import people, rekeying
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
    store: NodeStore,
    ids: SeededIds,
    consent: str,
    *,
    days: int = 10,
    person: str = PERSON,
    **changes: object,
) -> str:
    now = store.clock.now()
    made = Reference(
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
    reference = replace(made, **changes)  # type: ignore[arg-type]
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


# -- age, quality, contract -----------------------------------------------------------------------


def said(store: NodeStore, kind: str) -> list[dict[str, object]]:
    with store.read() as connection:
        return [one.parse().payload for one in all_records(connection) if one.kind == kind]


def test_age_and_quality_of_the_picture_are_kept_and_recorded(
    store: NodeStore, ids: SeededIds, consent: str
) -> None:
    taken = datetime.fromisoformat("2019-05-06T07:08:09+00:00")
    enrol(store, ids, consent, portrait_at=taken, quality="poor")
    (record,) = said(store, "reference.enrolled")
    assert (record["portrait_at"], record["quality"]) == (to_text(taken), "poor")
    enrol(store, ids, consent)
    assert said(store, "reference.enrolled")[1]["portrait_at"] is None


def test_the_words_that_were_shown_are_kept_with_the_consent(
    store: NodeStore, ids: SeededIds
) -> None:
    given = ConsentGiven2(
        consent=ids.new(),
        person_ref=PERSON,
        purpose="face_verification",
        notice_version="2",
        method="signed",
        operator="op",
        notice_sha256="d" * 64,
        guardian_ref=None,
    )
    with store.write() as connection:
        people.give_consent(store, connection, given, counter="c1")
        found = people.read_consent(connection, given.consent)
    assert found is not None
    assert found.notice_sha256 == "d" * 64


def outdated(store: NodeStore) -> set[str]:
    with store.read() as connection:
        rows = connection.execute(
            "SELECT id FROM reference_templates WHERE outdated_at IS NOT NULL"
        )
        return {row["id"] for row in rows}


def test_a_new_contract_marks_the_references_of_others_once(
    store: NodeStore, ids: SeededIds, consent: str, clock: ManualClock
) -> None:
    old = {enrol(store, ids, consent), enrol(store, ids, consent)}
    enrol(store, ids, consent, contract_id="9" * 64)
    assert people.mark_outdated(store, "9" * 64) == 2
    assert outdated(store) == old
    marked_at = clock.now()
    clock.advance(timedelta(hours=1))
    assert people.mark_outdated(store, "9" * 64) == 0
    assert said(store, "references.outdated") == [{"contract_id": "9" * 64, "references": 2}]
    with store.read() as connection:
        found = people.reference_by_id(connection, min(old))
    assert found is not None
    assert found.outdated_at == marked_at


def test_going_back_to_the_old_contract_makes_its_references_usable_again(
    store: NodeStore, ids: SeededIds, consent: str
) -> None:
    first = enrol(store, ids, consent)
    second = enrol(store, ids, consent, contract_id="9" * 64)
    people.mark_outdated(store, "9" * 64)
    assert people.mark_outdated(store, "c" * 64) == 1
    assert outdated(store) == {second}
    with store.read() as connection:
        found = people.latest_reference(connection, PERSON, store.clock.now())
        newest = people.newest_reference(connection, PERSON)
    assert found is not None
    assert newest is not None
    assert (found.id, newest.id) == (first, second)


def test_a_node_whose_contract_stays_records_nothing(
    store: NodeStore, ids: SeededIds, consent: str
) -> None:
    enrol(store, ids, consent)
    before = kinds(store)
    assert people.mark_outdated(store, "c" * 64) == 0
    assert kinds(store) == before


def test_resealing_changes_the_sealed_form_and_nothing_else(
    store: NodeStore, ids: SeededIds, consent: str
) -> None:
    reference = enrol(store, ids, consent, portrait_at=store.clock.now())
    with store.write() as connection:
        before = people.reference_by_id(connection, reference)
        assert before is not None
        assert [r.id for r in rekeying.not_under(connection, "k2", "", 10)] == [reference]
        again = replace(before, key_id="k2", nonce=b"m" * 12, sealed=b"again")
        rekeying.reseal(connection, replace(again, person_ref=OTHER, quality="poor"))
        rekeying.record_rekeyed(store, connection, "k1", "k2", 1)
        assert people.reference_by_id(connection, reference) == again
        assert rekeying.not_under(connection, "k2", "", 10) == []
        assert [rekeying.count_under(connection, key) for key in ("k1", "k2")] == [0, 1]
    (record,) = said(store, "references.rekeyed")
    assert record == {"from_key_id": "k1", "to_key_id": "k2", "references": 1, "remaining": 0}
