"""Records a second into the node's log, one and many a transaction, beside a bare insert.

The peer inserts the same bytes with their leaf into a table of two columns, same settings, same
transactions: no envelope, no tree.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from retention.records.clock import SystemClock
from retention.records.ids import SystemIds
from retention.records.payloads import SegmentSealed
from retention.store.database import NodeIdentity, NodeStore
from retention.store.log import append
from tests.golden.samples import SAMPLES

PLANS = ((1, 600), (500, 40))
"""Records a transaction, and transactions."""


def measure() -> Iterator[dict[str, object]]:
    for each, transactions in PLANS:
        with tempfile.TemporaryDirectory() as folder:
            yield _measured(Path(folder), each, transactions)


def _measured(folder: Path, each: int, transactions: int) -> dict[str, object]:
    identity = NodeIdentity("430100", "P43010000001", "node-a")
    store = NodeStore(folder / "node.sqlite3", identity, SystemClock(), SystemIds())
    payload = next(one for one in SAMPLES if isinstance(one, SegmentSealed))

    def ours() -> None:
        with store.write() as connection:
            for _ in range(each):
                append(store, connection, payload)

    ours()
    ours_seconds = _seconds(ours, transactions)
    with store.read() as connection:
        raw, leaf = connection.execute("SELECT bytes, leaf FROM log").fetchone()
    store.close()
    bare = sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)
    for statement in ("journal_mode = WAL", "synchronous = FULL"):
        bare.execute(f"PRAGMA {statement}")
    bare.execute("CREATE TABLE log (sequence INTEGER PRIMARY KEY, bytes BLOB, leaf BLOB) STRICT")

    def peer() -> None:
        bare.execute("BEGIN IMMEDIATE")
        bare.executemany("INSERT INTO log (bytes, leaf) VALUES (?, ?)", [(raw, leaf)] * each)
        bare.execute("COMMIT")

    peer_seconds = _seconds(peer, transactions)
    bare.close()
    count = each * transactions
    return {
        "bench": "log",
        "peer": "bare insert of the same bytes",
        "records": count,
        "records_a_transaction": each,
        "bytes_each": len(raw),
        "records_per_second": round(count / ours_seconds),
        "peer_records_per_second": round(count / peer_seconds),
        "ratio": round(peer_seconds / ours_seconds, 2),
    }


def _seconds(step: Callable[[], None], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        step()
    return time.perf_counter() - started
