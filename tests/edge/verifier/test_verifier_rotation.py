"""Keys go one after another while people are verified: each is known, each decision opens again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from edge import rotation
from edge.config import EdgeConfig
from edge.rotation import Rotated, rotate
from retention import probe_files
from retention.records.clock import ManualClock
from retention.records.ids import ReferenceId, SystemIds
from retention.records.payloads import DecisionReceipt
from retention.records.people import DecisionReceipt2
from retention.store import probes
from retention.store.database import NodeStore
from tests.edge.verifier.kit import PERSON, Bench
from tests.identity import support
from tests.identity.support import unit_vector

DEADLINE_SECONDS = 60.0
LEAST = 3


@pytest.fixture
def bench(config: EdgeConfig, store: NodeStore, clock: ManualClock) -> Bench:
    return Bench(config, store, clock)


@contextmanager
def rotating(config: EdgeConfig) -> Iterator[list[Rotated]]:
    """Rotate again and again beside what is done meanwhile, as another process does: with a
    connection of its own; at least so many times."""
    over, done, faults = threading.Event(), list[Rotated](), list[BaseException]()

    def work() -> None:
        path = config.node.data / "node.sqlite3"
        own = NodeStore(path, config.identity, ManualClock(), SystemIds())
        try:
            with closing(own):
                while not over.is_set() or len(done) < LEAST:
                    done.append(rotate(own, config.reference_keys(), lambda at: None))
        except BaseException as exc:  # noqa: BLE001 - looked at by the test
            faults.append(exc)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()
    assert not faults, faults


def test_keys_that_rotate_beside_verifications_are_noticed_by_nobody(
    bench: Bench, config: EdgeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "ROWS_AT_ONCE", 1)
    bench.enrolled()
    receipts: list[DecisionReceipt] = []
    with rotating(config) as rotated:
        for _ in range(LEAST):
            receipts.append(bench.verify(session=bench.store.ids.new()))
            bench.keep(
                support.reference(unit_vector(0), reference_id=ReferenceId(bench.store.ids.new()))
            )
    assert [one.outcome for one in receipts] == ["ACCEPT"] * LEAST
    assert len(rotated) >= LEAST
    assert all(one.complete and len(one.removed) == 1 for one in rotated)
    (left,) = config.reference_keys().all()
    assert left.key_id == rotated[-1].key_id
    for receipt in receipts:
        assert opens(bench, receipt)
    assert bench.verify(session=bench.store.ids.new()).outcome == "ACCEPT"


def opens(bench: Bench, receipt: DecisionReceipt) -> bool:
    """Say whether the evidence of a receipt opens under the key that is left."""
    assert isinstance(receipt, DecisionReceipt2)
    with bench.store.read() as connection:
        row = probes.read(connection, receipt.receipt)
    assert row is not None
    assert receipt.probe_digest is not None
    key = bench.config.reference_keys().by_id(row.key_id)
    assert key is not None
    data_key = probe_files.unwrap(row.nonce, row.wrapped, row.receipt, row.session, key)
    bound = probe_files.Bound(row.receipt, row.session, PERSON, receipt.probe_digest)
    content = (probe_files.folder_of_store(bench.store) / row.receipt).read_bytes()
    return bool(probe_files.open_sealed(content, data_key, bound))
