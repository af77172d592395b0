"""Proofs over the node's log (RFC 9162, 2.1), for a log of any length.

One pass over the leaf hashes keeps the roots of blocks of 256 leaves (a quarter of a byte a
record); a proof then reads one block. So a hundred proofs of a million records cost one reading
of the log, not a hundred.
"""

from __future__ import annotations

import sqlite3

from retention.records.errors import ProofRejected
from retention.records.merkle import node_hash, tree_root
from retention.store.log import leaves

BLOCK_BITS = 8
BLOCK = 1 << BLOCK_BITS
LEAVES_AT_ONCE = 64 * BLOCK


class LogTree:
    """The tree of the first `size` leaves of the log, as one snapshot of the database has them."""

    def __init__(self, connection: sqlite3.Connection, size: int) -> None:
        """Read the log once. Raises ProofRejected when it is shorter than `size`."""
        self._connection, self.size = connection, size
        # _perfect[h][i] is the root of the i-th perfect subtree of 2^(BLOCK_BITS + h) leaves.
        self._perfect: list[list[bytes]] = [[]]
        self._block: tuple[int, list[bytes]] = (-1, [])
        self._ragged: dict[tuple[int, int], bytes] = {}
        known = 0
        for first in range(0, size, LEAVES_AT_ONCE):
            read = leaves(connection, first, min(first + LEAVES_AT_ONCE, size))
            known += len(read)
            self._add(read)
        if known != size:
            raise ProofRejected(f"the log has {known} of {size} leaves")
        self._build()

    def root(self) -> bytes:
        return self._node(0, self.size)

    def inclusion(self, index: int) -> list[bytes]:
        """Return the audit path of a leaf. Raises ProofRejected."""
        if not 0 <= index < self.size:
            raise ProofRejected(f"no leaf {index} in a tree of {self.size}")
        path: list[bytes] = []
        low, high = 0, self.size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self._node(middle, high))
                high = middle
            else:
                path.append(self._node(low, middle))
                low = middle
        return path[::-1]

    def consistency(self, first: int) -> list[bytes]:
        """Return the proof that the tree of `first` leaves is a prefix. Raises ProofRejected."""
        if not 0 < first <= self.size:
            raise ProofRejected(f"no consistency proof from {first} to {self.size}")
        path: list[bytes] = []
        low, high, whole = 0, self.size, True
        while first != high:
            middle = low + _split(high - low)
            if first <= middle:
                path.append(self._node(middle, high))
                high = middle
            else:
                path.append(self._node(low, middle))
                low, whole = middle, False
        if not whole:
            path.append(self._node(low, high))
        return path[::-1]

    def _add(self, read: list[bytes]) -> None:
        for at in range(0, len(read), BLOCK):
            block = read[at : at + BLOCK]
            if len(block) == BLOCK:  # a shorter one is read again when it is asked for
                self._perfect[0].append(tree_root(block))

    def _build(self) -> None:
        while len(below := self._perfect[-1]) > 1:
            self._perfect.append(
                [node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)]
            )

    def _node(self, low: int, high: int) -> bytes:
        """Return the root over leaves low..high, which is a subtree of the whole."""
        count = high - low
        if count <= BLOCK:
            return self._within_block(low, high)
        if count & (count - 1) == 0:
            height = count.bit_length() - 1
            return self._perfect[height - BLOCK_BITS][low >> height]
        found = self._ragged.get((low, high))
        if found is None:
            middle = low + _split(count)
            found = node_hash(self._node(low, middle), self._node(middle, high))
            self._ragged[low, high] = found
        return found

    def _within_block(self, low: int, high: int) -> bytes:
        number = low >> BLOCK_BITS
        if high - low == BLOCK:
            return self._perfect[0][number]
        if self._block[0] != number:
            begin = number << BLOCK_BITS
            end = min(begin + BLOCK, self.size)
            self._block = (number, leaves(self._connection, begin, end))
        begin = number << BLOCK_BITS
        return tree_root(self._block[1][low - begin : high - begin])


def _split(size: int) -> int:
    """Return the largest power of two smaller than `size` (which is at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)
