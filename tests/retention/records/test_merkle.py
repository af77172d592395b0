"""The tree of RFC 9162, against the Certificate Transparency reference tree and by properties."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.records.errors import ProofRejected
from retention.records.merkle import (
    CHUNK_BYTES,
    Frontier,
    chunk_root,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
N01 = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
L1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
N23 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
N4567 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
L4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
N67 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
N0123 = ROOTS[3]
N45 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"


def proof(*texts: str) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_of_the_reference_tree(size: int) -> None:
    assert tree_root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert tree_root([]) == hashlib.sha256(b"").digest()


@pytest.mark.parametrize(
    ("index", "size", "expected"),
    [
        (0, 1, []),
        (0, 8, [L1, N23, N4567]),
        (5, 8, [L4, N67, N0123]),
        (2, 3, [N01]),
        (1, 5, [ROOTS[0], N23, L4]),
    ],
)
def test_inclusion_proofs_of_the_reference_tree(index, size, expected) -> None:
    assert inclusion_proof(LEAVES, index, size) == proof(*expected)
    verify_inclusion(LEAVES[index], index, size, proof(*expected), bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(1, 1, []), (1, 8, [L1, N23, N4567]), (6, 8, [N45, N67, N0123]), (2, 5, [N23, L4])],
)
def test_consistency_proofs_of_the_reference_tree(first, second, expected) -> None:
    roots = bytes.fromhex(ROOTS[first - 1]), bytes.fromhex(ROOTS[second - 1])
    assert consistency_proof(LEAVES, first, second) == proof(*expected)
    verify_consistency(first, second, proof(*expected), *roots)


sizes = st.integers(1, 70)


def made(size: int) -> list[bytes]:
    return [leaf_hash(bytes([n])) for n in range(size)]


@given(sizes, st.data())
def test_every_leaf_proves_its_place_and_no_other(size: int, data: st.DataObject) -> None:
    leaves, index = made(size), data.draw(st.integers(0, size - 1))
    root, path = tree_root(leaves), inclusion_proof(leaves, index, size)
    verify_inclusion(leaves[index], index, size, path, root)
    with pytest.raises(ProofRejected):
        verify_inclusion(leaf_hash(b"other"), index, size, path, root)
    with pytest.raises(ProofRejected):
        verify_inclusion(leaves[index], index, size, [*path, root], root)
    if size > 1:
        with pytest.raises(ProofRejected):
            verify_inclusion(leaves[index], (index + 1) % size, size, path, root)
        with pytest.raises(ProofRejected):
            verify_inclusion(leaves[index], index, size, path[:-1], root)


@given(sizes, st.data())
def test_a_log_extends_its_past_and_no_other_past(size: int, data: st.DataObject) -> None:
    leaves, first = made(size), data.draw(st.integers(1, size))
    path = consistency_proof(leaves, first, size)
    old, new = tree_root(leaves[:first]), tree_root(leaves)
    verify_consistency(first, size, path, old, new)
    rewritten = [leaf_hash(b"rewritten"), *leaves[1:]]
    with pytest.raises(ProofRejected):
        verify_consistency(first, size, path, tree_root(rewritten[:first]), new)
    if first < size:
        with pytest.raises(ProofRejected):
            verify_consistency(first, size, path, old, tree_root([*leaves[:-1], leaf_hash(b"x")]))


@given(st.lists(st.binary(max_size=4), max_size=70), st.data())
def test_a_frontier_grows_to_the_same_root_and_survives_storage(entries, data) -> None:
    leaves = [leaf_hash(entry) for entry in entries]
    cut = data.draw(st.integers(0, len(leaves)))
    frontier = Frontier().extend(leaves[:cut])
    stored = Frontier.from_bytes(frontier.size, frontier.to_bytes())
    assert stored.extend(leaves[cut:]).root() == tree_root(leaves)


def test_a_frontier_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ProofRejected, match="size 3 needs 2 hashes"):
        Frontier.from_bytes(3, b"\0" * 32)


def test_the_chunk_root_covers_every_byte() -> None:
    content = bytes(range(256)) * 1024
    changed = bytearray(content)
    changed[-1] ^= 1
    assert len(content) > 3 * CHUNK_BYTES
    assert chunk_root(content) != chunk_root(bytes(changed))
