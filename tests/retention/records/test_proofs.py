"""Many audit paths in one pass are the paths of RFC 9162 that are made one by one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.records.errors import ProofRejected
from retention.records.merkle import inclusion_proof, leaf_hash, tree_root, verify_inclusion
from retention.records.proofs import Paths

LEAVES = [leaf_hash(bytes([n % 251, n // 251])) for n in range(700)]


@given(st.integers(1, 130), st.integers(0, 2**32))
def test_every_path_is_the_one_made_alone(size: int, seed: int) -> None:
    chosen = random.Random(seed)
    wanted = sorted({chosen.randrange(size) for _ in range(7)})
    paths = Paths(size, wanted)
    cut = chosen.randrange(size + 1)
    paths.add(LEAVES[:cut])
    paths.add(LEAVES[cut:size])
    for index in wanted:
        assert paths.path(index) == inclusion_proof(LEAVES[:size], index, size)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 255, 256, 257, 511, 700])
def test_every_leaf_of_a_tree_is_proven(size: int) -> None:
    paths = Paths(size, range(size))
    paths.add(LEAVES[:size])
    root = tree_root(LEAVES[:size])
    for index in range(size):
        verify_inclusion(LEAVES[index], index, size, paths.path(index), root)


def test_half_a_tree_and_a_leaf_beyond_it_give_no_path() -> None:
    paths = Paths(9, [0, 8])
    paths.add(LEAVES[:8])
    with pytest.raises(ProofRejected, match="8 of 9"):
        paths.path(0)
    paths.add(LEAVES[8:9])
    assert paths.complete
    with pytest.raises(ProofRejected, match="more than 9"):
        paths.add(LEAVES[9:10])
    with pytest.raises(ProofRejected, match="no leaf 9"):
        Paths(9, [9])
