"""People are counted, not references; told when their number changes, and once a day."""

from __future__ import annotations

from datetime import timedelta

from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.store.database import NodeStore
from retention.store.subjects import count_subjects, face_counts
from tests.retention.probes_kit import OTHER, PERSON, give_consent, keep_probe, keys_of, withdraw
from tests.retention.test_store_people import enrol, said

DAY = timedelta(days=1)


def told(store: NodeStore) -> list[tuple[object, object]]:
    return [(one["subjects"], one["references"]) for one in said(store, "subjects.counted")]


def test_a_person_with_several_references_is_one(store: NodeStore, ids: SeededIds) -> None:
    for person in (PERSON, PERSON, OTHER):
        enrol(store, ids, give_consent(store, person), person=person)
    assert count_subjects(store, "P1")
    assert told(store) == [(2, 3)]
    assert said(store, "subjects.counted")[0]["controller"] == "P1"


def test_nothing_changed_is_told_once_a_day_and_a_change_at_once(
    store: NodeStore, ids: SeededIds, clock: ManualClock
) -> None:
    consent = give_consent(store)
    assert count_subjects(store, "P1")
    assert not count_subjects(store, "P1")
    enrol(store, ids, consent)
    assert count_subjects(store, "P1")
    enrol(store, ids, consent)  # another reference of the same person changes nothing
    assert not count_subjects(store, "P1")
    clock.advance(DAY - timedelta(seconds=1))
    assert not count_subjects(store, "P1")
    clock.advance(timedelta(seconds=1))
    assert count_subjects(store, "P1")
    withdraw(store, consent)
    assert count_subjects(store, "P1")
    assert told(store) == [(0, 0), (1, 1), (1, 2), (0, 0)]


def test_a_clock_set_back_does_not_silence_the_count(store: NodeStore, clock: ManualClock) -> None:
    assert count_subjects(store, "P1")
    clock.jump(-10 * DAY)
    assert count_subjects(store, "P1")


def test_what_waits_for_a_key_or_a_picture_is_counted(store: NodeStore, ids: SeededIds) -> None:
    consent, key = give_consent(store), keys_of(store).newest()
    enrol(store, ids, consent, key_id=key.key_id)
    enrol(store, ids, consent, key_id="gone", outdated_at=None)
    keep_probe(store)
    with store.write() as connection:
        connection.execute("UPDATE reference_templates SET outdated_at = 1 WHERE key_id = 'gone'")
        found = face_counts(connection, {key.key_id})
        nothing = face_counts(connection, set())
    assert (found.subjects, found.references, found.outdated, found.key_missing) == (1, 2, 1, 1)
    assert (found.probes, found.probes_key_missing) == (1, 0)
    assert (nothing.key_missing, nothing.probes_key_missing) == (2, 1)
