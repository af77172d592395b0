"""Audit paths of many leaves of one tree, made in one pass over its leaf hashes.

`merkle.inclusion_proof` hashes the whole tree for one path; for some hundred leaves of a year's log
that takes minutes. Here each hash of the tree is made once, and only those that some path needs
are kept. The paths are the same (RFC 9162, 2.1.3.1). Pure: leaves in, paths out, a piece at a time.
"""

from __future__ import annotations

from collections.abc import Iterable

from retention.records.errors import ProofRejected
from retention.records.merkle import node_hash

Place = tuple[int, int]  # level, and which subtree of that level counted from the left


class Paths:
    """Audit paths of `wanted` leaves in the tree of `size` leaves, once all leaves were added."""

    def __init__(self, size: int, wanted: Iterable[int]) -> None:
        """Raises ProofRejected for a leaf that the tree does not have."""
        self.size, self.added = size, 0
        self._places = {index: list(_siblings(index, size)) for index in wanted}
        self._kept: dict[Place, bytes | None] = dict.fromkeys(
            place for places in self._places.values() for place in places
        )
        self._stack: list[bytes] = []  # roots of the perfect subtrees so far, largest first

    @property
    def complete(self) -> bool:
        return self.added == self.size

    def covers(self, index: int) -> bool:
        """Tell whether the path of a leaf is one of those wanted."""
        return index in self._places

    def add(self, leaves: Iterable[bytes]) -> None:
        """Add the next leaf hashes. Raises ProofRejected when there are more than `size`."""
        kept, stack = self._kept, self._stack
        for leaf in leaves:
            if self.added == self.size:
                raise ProofRejected(f"more than {self.size} leaves")
            found, level, at = leaf, 0, self.added
            if (0, at) in kept:
                kept[0, at] = leaf
            while at & 1:
                found, level, at = node_hash(stack.pop(), found), level + 1, at >> 1
                if (level, at) in kept:
                    kept[level, at] = found
            stack.append(found)
            self.added += 1
        if self.complete:
            self._close_edge()

    def path(self, index: int) -> list[bytes]:
        """Return the audit path of a wanted leaf. Raises ProofRejected while leaves are missing."""
        found = [self._kept[place] for place in self._places[index]]
        hashes = [one for one in found if one is not None]
        if len(hashes) < len(found) or not self.complete:
            raise ProofRejected(f"{self.added} of {self.size} leaves were added")
        return hashes

    def _close_edge(self) -> None:
        """Keep the roots of what is left of subtrees that the tree's end cuts."""
        levels = [level for level in range(self.size.bit_length()) if self.size >> level & 1]
        edge: bytes | None = None
        for level, root in zip(levels, reversed(self._stack), strict=True):
            edge = root if edge is None else node_hash(root, edge)
            # Above this level and up to the next part, the cut subtree at the end is this one.
            for above in range(level + 1, self.size.bit_length() + 1):
                place = (above, self.size >> above)
                if place in self._kept and self._covers(level, above):
                    self._kept[place] = edge

    def _covers(self, level: int, above: int) -> bool:
        """Tell whether no part of the tree lies between a level and a cut subtree above it."""
        return not self.size >> (level + 1) & ((1 << (above - level - 1)) - 1)


def _siblings(index: int, size: int) -> Iterable[Place]:
    """Yield the subtrees whose roots make the path, from the leaf up."""
    if not 0 <= index < size:
        raise ProofRejected(f"no leaf {index} in a tree of {size}")
    level = 0
    while (1 << level) < size:
        sibling = index >> level ^ 1
        if sibling << level < size:
            yield level, sibling
        level += 1
