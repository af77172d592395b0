"""The custodian and face material: erased at its end, swept after a crash, counted."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from edge.config import EdgeConfig
from edge.custodian import process
from edge.custodian.keeping import Keeping
from edge.custodian.process import Custodian, duties_of
from edge.process import ProcessContext
from retention import probe_files
from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.store.database import NodeStore
from tests.retention.probes_kit import files, folder, give_consent, keep_probe, keys_of, rows
from tests.retention.test_store_people import enrol, said


@pytest.fixture
def keeping(config: EdgeConfig, store: NodeStore) -> Keeping:
    return Keeping(config, store, config.volumes(store), lambda: None)


def test_evidence_is_erased_at_its_end(
    keeping: Keeping, store: NodeStore, clock: ManualClock
) -> None:
    give_consent(store)
    keep_probe(store)
    keeping.erase()
    assert len(rows(store)) == 1
    clock.advance(timedelta(days=31))
    keeping.erase()
    assert rows(store) == files(store) == []


def test_what_a_crash_left_goes_after_a_while(
    keeping: Keeping, store: NodeStore, clock: ManualClock, config: EdgeConfig
) -> None:
    """A file without its row, and a key whose destruction was broken off."""
    keys_of(store).newest()
    probe_files.write(folder(store), "stray", b"sealed")
    gone = config.keys().path / "reference.gone"
    gone.write_bytes(b"k" * 32)
    keeping.sweep_probes()
    assert not gone.exists()
    clock.advance(timedelta(minutes=11))
    keeping.sweep_probes()
    assert files(store) == []
    assert (config.keys().path / "reference.key").exists()


def test_people_are_counted_for_whoever_answers_for_the_data(
    keeping: Keeping, store: NodeStore, ids: SeededIds, config: EdgeConfig
) -> None:
    enrol(store, ids, give_consent(store))
    keeping.count_subjects()
    keeping.count_subjects()
    (record,) = said(store, "subjects.counted")
    assert record == {"controller": config.controller, "subjects": 1, "references": 1}


def test_the_duties_are_on_the_rota(config: EdgeConfig, store: NodeStore) -> None:
    context = ProcessContext(config, threading.Event(), lambda: None)
    asker = process.SealAsker(config)
    try:
        custodian = Custodian(config, store, asker)
        duties = duties_of(context, store, config.volumes(store), custodian)
    finally:
        asker.close()
    every = {duty.name: duty.every_seconds for duty in duties}
    assert every["erasure"] == every["probes"] == 60
    assert every["subjects"] == 3600
