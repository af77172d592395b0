"""The Merkle tree of RFC 9162 (Certificate Transparency 2.0), section 2.1.

Used twice: over the records of a node (the log) and over the 64 KiB chunks of a segment file.
Pure functions over leaf hashes; `Frontier` appends in O(log n) without the old leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retention.records.errors import ProofRejected

HASH_BYTES = 32
CHUNK_BYTES = 64 * 1024


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: the roots of its perfect subtrees, largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> Frontier:
        """Return the frontier with one more leaf hash."""
        hashes, size = list(self.hashes), self.size
        carry = leaf
        while size & 1:
            carry = node_hash(hashes.pop(), carry)
            size >>= 1
        return Frontier(self.size + 1, (*hashes, carry))

    def extend(self, leaves: Iterable[bytes]) -> Frontier:
        """Return the frontier with the leaf hashes appended in order."""
        found = self
        for leaf in leaves:
            found = found.append(leaf)
        return found

    def root(self) -> bytes:
        """Return the Merkle tree hash; of no leaves it is SHA-256 of nothing."""
        if not self.hashes:
            return hashlib.sha256(b"").digest()
        found = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            found = node_hash(left, found)
        return found

    def to_bytes(self) -> bytes:
        """Return the hashes one after the other; the size tells how many there are."""
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, raw: bytes) -> Frontier:
        """Read `to_bytes`. Raises ProofRejected when the length does not fit the size."""
        if len(raw) != HASH_BYTES * size.bit_count():
            raise ProofRejected(f"frontier of size {size} needs {size.bit_count()} hashes")
        return cls(size, tuple(split_hashes(raw)))


def split_hashes(raw: bytes) -> list[bytes]:
    """Cut concatenated hashes. Raises ProofRejected when a piece is not 32 bytes."""
    if len(raw) % HASH_BYTES:
        raise ProofRejected(f"{len(raw)} bytes are not a whole number of {HASH_BYTES}-byte hashes")
    return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash of leaf hashes."""
    return Frontier().extend(leaves).root()


def chunk_root(content: bytes) -> bytes:
    """Return the chunk root of a whole file content held in memory."""
    return tree_root(
        [leaf_hash(content[at : at + CHUNK_BYTES]) for at in range(0, len(content), CHUNK_BYTES)]
    )


def inclusion_proof(leaves: Sequence[bytes], index: int, size: int) -> list[bytes]:
    """Return the audit path of leaf `index` in the tree of the first `size` leaf hashes."""
    if not 0 <= index < size <= len(leaves):
        raise ProofRejected(f"no leaf {index} in a tree of {size} (of {len(leaves)} known)")
    return _path(leaves, index, 0, size)


def _path(leaves: Sequence[bytes], index: int, low: int, high: int) -> list[bytes]:
    if high - low == 1:
        return []
    middle = low + _split(high - low)
    if index < middle:
        return [*_path(leaves, index, low, middle), tree_root(leaves[middle:high])]
    return [*_path(leaves, index, middle, high), tree_root(leaves[low:middle])]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check an audit path (RFC 9162, 2.1.3.2). Raises ProofRejected."""
    if not 0 <= index < size:
        raise ProofRejected(f"leaf {index} cannot be in a tree of {size}")
    at, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise ProofRejected("inclusion proof is too long")
        if at & 1 or at == last:
            found = node_hash(step, found)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            found = node_hash(found, step)
        at >>= 1
        last >>= 1
    if last or found != root:
        raise ProofRejected(f"inclusion of leaf {index} in the tree of {size} does not hold")


def consistency_proof(leaves: Sequence[bytes], first: int, second: int) -> list[bytes]:
    """Return the proof that the tree of `first` leaves is a prefix of the tree of `second`."""
    if not 0 < first <= second <= len(leaves):
        raise ProofRejected(f"no consistency proof from {first} to {second} of {len(leaves)}")
    return [] if first == second else _subproof(leaves, first, 0, second, whole=True)


def _subproof(
    leaves: Sequence[bytes], first: int, low: int, high: int, *, whole: bool
) -> list[bytes]:
    if first == high - low:
        return [] if whole else [tree_root(leaves[low:high])]
    split = _split(high - low)
    middle = low + split
    if first <= split:
        return [
            *_subproof(leaves, first, low, middle, whole=whole),
            tree_root(leaves[middle:high]),
        ]
    return [
        *_subproof(leaves, first - split, middle, high, whole=False),
        tree_root(leaves[low:middle]),
    ]


def verify_consistency(
    first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes
) -> None:
    """Check a consistency proof (RFC 9162, 2.1.4.2). Raises ProofRejected."""
    refusal = ProofRejected(f"the tree of {second} does not extend the tree of {first}")
    if first == second:
        if proof or first_root != second_root:
            raise refusal
        return
    if not 0 < first < second or not proof:
        raise refusal
    steps = list(proof)
    if first & (first - 1) == 0:
        steps.insert(0, first_root)
    at, last = first - 1, second - 1
    while at & 1:
        at >>= 1
        last >>= 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise refusal
        if at & 1 or at == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            new = node_hash(new, step)
        at >>= 1
        last >>= 1
    if last or old != first_root or new != second_root:
        raise refusal


def _split(size: int) -> int:
    """Return the largest power of two smaller than `size` (which is at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)
