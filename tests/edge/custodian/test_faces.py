"""The custodian and face material: erased at its end, swept after a crash, counted."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from edge.config import EdgeConfig
from edge.custodian import process
from edge.custodian.keeping import FOLD_AGAIN_SECONDS, Keeping
from edge.custodian.process import Custodian, duties_of
from edge.process import ProcessContext
from retention import probe_files
from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.store.database import NodeStore, open_read_only
from tests.retention.probes_kit import files, folder, give_consent, keep_probe, keys_of, rows
from tests.retention.test_store_people import enrol, said

SEALED = b"a sealed reference that is long enough to be found again"


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


def test_what_was_erased_while_somebody_read_is_folded_away_afterwards(
    keeping: Keeping, store: NodeStore, ids: SeededIds, clock: ManualClock
) -> None:
    """Nobody waits for the reader, who may read for minutes: SQLite would let nobody write."""
    enrol(store, ids, give_consent(store), sealed=SEALED)
    reader = open_read_only(store.path)
    with closing(reader):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM log").fetchone()
        clock.advance(timedelta(days=3660))
        keeping.erase()
        assert keeping.fold() == FOLD_AGAIN_SECONDS
        assert SEALED in store.path.read_bytes() + _log_of(store).read_bytes()
    assert keeping.fold() is None
    assert SEALED not in store.path.read_bytes()
    assert _log_of(store).read_bytes() == b""


def _log_of(store: NodeStore) -> Path:
    return store.path.with_name(store.path.name + "-wal")


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
    assert every["subjects"] == every["fold"] == 3600
