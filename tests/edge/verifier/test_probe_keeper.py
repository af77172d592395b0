"""What a decision rests on is sealed before it is recorded, for those who were told so."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge.config import EdgeConfig
from edge.terminal import consents
from edge.verifier.probes import Prepared, ProbeKeeper
from retention import probe_files
from retention.keysources import ReferenceKeys
from retention.records.people import ConsentGiven2
from retention.store import people, probes
from retention.store.database import NodeStore, StoreUnavailable
from retention.store.reserve import reserve_of
from tests.retention.probes_kit import EVIDENCE, PERSON, files, give_consent, open_probe, rows


@pytest.fixture
def reference_keys(config: EdgeConfig) -> ReferenceKeys:
    return config.reference_keys()


@pytest.fixture
def keeper(config: EdgeConfig, store: NodeStore, reference_keys: ReferenceKeys) -> ProbeKeeper:
    give_told_consent(store)
    return ProbeKeeper(config, store, reference_keys)


def give_told_consent(store: NodeStore) -> str:
    """Give consent under words that say what is kept."""
    given = ConsentGiven2(
        consent=store.ids.new(),
        person_ref=PERSON,
        purpose=consents.PURPOSE,
        notice_version="2",
        method="signed",
        operator="op",
        notice_sha256="d" * 64,
        guardian_ref=None,
    )
    with store.write() as connection:
        people.give_consent(store, connection, given, counter="c1")
    return given.consent


def prepare(keeper: ProbeKeeper, store: NodeStore) -> Prepared:
    made = keeper.prepare(store.ids.new(), store.ids.new(), PERSON, EVIDENCE)
    assert made is not None
    return made


def test_evidence_is_found_by_its_receipt_and_named_by_its_digest(
    keeper: ProbeKeeper, store: NodeStore
) -> None:
    made = prepare(keeper, store)
    assert made.digest == hashlib.sha256(EVIDENCE).hexdigest()
    assert rows(store) == []
    with store.write() as connection:
        made.insert(connection)
    assert rows(store) == files(store) == [made.bound.receipt]
    assert open_probe(store, made.bound.receipt) == EVIDENCE
    with store.read() as connection:
        row = probes.read(connection, made.bound.receipt)
    assert row is not None
    assert row.size == (probe_files.folder_of_store(store) / row.receipt).stat().st_size


def test_evidence_of_a_decision_that_was_not_recorded_is_taken_away(
    keeper: ProbeKeeper, store: NodeStore
) -> None:
    made = prepare(keeper, store)
    made.abandon()
    assert files(store) == []
    made.abandon()


def test_the_key_is_the_newest_of_the_moment_it_is_written(
    keeper: ProbeKeeper, store: NodeStore, reference_keys: ReferenceKeys
) -> None:
    made = prepare(keeper, store)
    newest = reference_keys.begin_rotation()
    with store.write() as connection:
        made.insert(connection)
        row = probes.read(connection, made.bound.receipt)
    assert row is not None
    assert row.key_id == newest.key_id
    assert open_probe(store, made.bound.receipt) == EVIDENCE


def test_no_evidence_is_kept_of_who_was_not_told_of_it(
    config: EdgeConfig, store: NodeStore, reference_keys: ReferenceKeys
) -> None:
    keeper = ProbeKeeper(config, store, reference_keys)
    assert keeper.prepare("receipt", "session", PERSON, EVIDENCE) is None
    give_consent(store)  # under words of before, which did not say it
    assert keeper.prepare("receipt", "session", PERSON, EVIDENCE) is None
    give_told_consent(store)
    assert keeper.prepare("receipt", "session", PERSON, EVIDENCE) is not None
    assert files(store) == ["receipt"]


def test_a_disk_that_takes_nothing_is_one_clear_refusal(
    keeper: ProbeKeeper, store: NodeStore, tmp_path: Path
) -> None:
    (tmp_path / "probes").write_bytes(b"in the way")
    with pytest.raises(StoreUnavailable, match="probes"):
        prepare(keeper, store)


def test_evidence_takes_no_room_that_the_database_lives_on(
    keeper: ProbeKeeper, store: NodeStore
) -> None:
    reserve = reserve_of(store.path)
    reserve.path.touch()  # given up
    with pytest.raises(StoreUnavailable, match="database's"):
        prepare(keeper, store)
    assert files(store) == []
    reserve.path.unlink()
    prepare(keeper, store)


def test_nothing_of_the_key_is_shown(keeper: ProbeKeeper, store: NodeStore) -> None:
    made = prepare(keeper, store)
    assert repr(made.data_key) not in repr(made)


def test_the_purpose_is_the_one_that_is_asked_at_the_counter() -> None:
    assert consents.PURPOSE == people.FACE_VERIFICATION
