"""Proofs from blocks are the proofs of RFC 9162, whatever the size of the log."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.records.errors import ProofRejected
from retention.records.merkle import (
    consistency_proof,
    inclusion_proof,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from retention.store.proofs import BLOCK, LogTree

MOST = 5 * BLOCK + 3
LEAVES = [hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(MOST)]


@pytest.fixture(scope="module")
def log() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE log (sequence INTEGER PRIMARY KEY, leaf BLOB NOT NULL)")
    connection.executemany("INSERT INTO log VALUES (?, ?)", enumerate(LEAVES))
    yield connection
    connection.close()


EDGES = (1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 1, 4 * BLOCK, MOST)
sizes = st.one_of(st.sampled_from(EDGES), st.integers(1, MOST))


@settings(max_examples=60, deadline=None)
@given(size=sizes, places=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_proofs_are_those_of_the_plain_tree(
    log: sqlite3.Connection, size: int, places: tuple[float, float]
) -> None:
    tree, whole = LogTree(log, size), tree_root(LEAVES[:size])
    index, first = round(places[0] * (size - 1)), 1 + round(places[1] * (size - 1))
    assert tree.root() == whole
    inclusion = tree.inclusion(index)
    assert inclusion == inclusion_proof(LEAVES, index, size)
    verify_inclusion(LEAVES[index], index, size, inclusion, whole)
    consistency = tree.consistency(first)
    assert consistency == consistency_proof(LEAVES[:size], first, size)
    verify_consistency(first, size, consistency, tree_root(LEAVES[:first]), whole)


def test_what_the_log_does_not_have_is_refused(log: sqlite3.Connection) -> None:
    with pytest.raises(ProofRejected):
        LogTree(log, MOST + 1)
    tree = LogTree(log, 10)
    for refused in (lambda: tree.inclusion(10), lambda: tree.consistency(0)):
        with pytest.raises(ProofRejected):
            refused()
