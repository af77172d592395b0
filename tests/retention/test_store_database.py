"""Opening a node's database: whose it is, how new it is, and reading without writing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from retention.store.database import (
    NodeIdentity,
    NodeStore,
    StoreRefused,
    StoreUnavailable,
    open_read_only,
)
from tests.conftest import IDENTITY


def test_a_database_of_another_node_is_refused_and_left_as_it_is(tmp_path, store, clock, ids):
    other = NodeIdentity("430100", "P43010000001", "node-b")
    before = store.path.read_bytes()
    with pytest.raises(StoreRefused, match="belongs to node node-a"):
        NodeStore(store.path, other, clock, ids)
    assert store.path.read_bytes() == before


OPEN_AT_ONCE = """
import multiprocessing, sys
from pathlib import Path
from retention.records.clock import ManualClock
from retention.records.ids import SystemIds
from retention.store.database import NodeIdentity, NodeStore

def opener(path, together):
    together.wait()
    NodeStore(path, NodeIdentity("430100", "P43010000001", "node-a"), ManualClock(), SystemIds())

processes = multiprocessing.get_context("fork")
for number in range(20):
    together = processes.Barrier(4)
    path = Path(sys.argv[1]) / f"{number}.sqlite3"
    openers = [processes.Process(target=opener, args=(path, together)) for _ in range(4)]
    for one in openers:
        one.start()
    for one in openers:
        one.join()
    if any(one.exitcode for one in openers):
        sys.exit(1)
"""


def test_processes_that_open_a_fresh_database_at_once_all_get_it(tmp_path):
    """About one in ten was told "database is locked"."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", OPEN_AT_ONCE, str(tmp_path)],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def test_a_newer_database_is_refused(store, clock, ids):
    connection = sqlite3.connect(store.path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(StoreRefused, match="schema version 999"):
        NodeStore(store.path, IDENTITY, clock, ids)


def test_a_failed_transaction_leaves_nothing(store):
    def half_done() -> None:
        with store.write() as connection:
            connection.execute("UPDATE uplink SET acked_sent = 7")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_done()
    with store.read() as connection:
        assert connection.execute("SELECT acked_sent FROM uplink").fetchone()[0] == 0


@pytest.mark.parametrize("folder", ["plain", "a?b#c%20d", "数据 1"])
def test_any_path_opens_for_reading_and_refuses_writing(
    tmp_path: Path, clock, ids, folder: str
) -> None:
    path = tmp_path / folder / "node.sqlite3"
    NodeStore(path, IDENTITY, clock, ids).close()
    connection = open_read_only(path)
    try:
        assert connection.execute("SELECT node FROM node").fetchone()[0] == IDENTITY.node
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM log")
    finally:
        connection.close()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "node.sqlite3").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(StoreUnavailable, match=r"node\.sqlite3"):
        open_read_only(tmp_path / "node.sqlite3")
