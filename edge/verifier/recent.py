"""The pictures that a camera has shown lately, by digest, so that a replayed one is known again.

In memory only, bounded, and forgotten when the process ends: it is a help against a recording that
is played twice, not evidence. A digest says nothing about a face.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

MOST_PICTURES = 20_000  # some 500 attempts; about 3 MB


class RecentPictures:
    """The digests of the newest pictures of one camera. Used by one thread."""

    def __init__(self, most: int = MOST_PICTURES) -> None:
        self._most = most
        self._order: deque[bytes] = deque()
        self._known: set[bytes] = set()

    def __contains__(self, digest: object) -> bool:
        return digest in self._known

    def __len__(self) -> int:
        return len(self._order)

    def add(self, digests: Iterable[bytes]) -> None:
        """Remember digests, and forget the oldest beyond the bound."""
        for digest in digests:
            if digest not in self._known:
                self._known.add(digest)
                self._order.append(digest)
        while len(self._order) > self._most:
            self._known.discard(self._order.popleft())
