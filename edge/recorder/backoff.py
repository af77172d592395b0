"""How long to wait before the next try: doubling, bounded, with jitter."""

from __future__ import annotations

import random

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 10.0
JITTER = 0.2


class Backoff:
    """Counts failures in a row; `source` makes the jitter repeatable in tests."""

    def __init__(
        self,
        source: random.Random,
        *,
        first_seconds: float = FIRST_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._source = source
        self._first, self._longest = first_seconds, longest_seconds
        self._failures = 0

    def reset(self) -> None:
        """Forget the failures: something worked."""
        self._failures = 0

    def next_seconds(self) -> float:
        """Count one more failure and return the seconds to wait."""
        plain = min(self._longest, self._first * float(1 << min(self._failures, 16)))
        self._failures += 1
        return plain * (1 + self._source.uniform(-JITTER, JITTER))
