"""When to let a camera's packets collect, so that several are read with one waking up.

A picture comes every 40 ms. Read one by one, most of what it costs is waking up and fetching code
that other processes have pushed out of the processor's caches meanwhile. So after a read that had
to wait, the reader may rest: what comes then waits in the kernel, whose TCP window grows with what
is read at once. For TCP only: a datagram that finds no room is lost.

A rest comes only after a packet that was waited for, so that one packet a rest is read as it
arrives and the least delay (segmenter, arrival) stays exact; and only once REST_APART_US of media
have come since the last, which is longer than a rest: a reader that fell behind catches up.
"""

from __future__ import annotations

from fractions import Fraction

REST_SECONDS = 0.18
REST_APART_US = 195_000
WAITED_NS = 5_000_000
"""A packet whose reading took this long had not been there yet."""


class Pace:
    """Follows the packets of one connection. `time_base` is seconds a tick. Pure."""

    def __init__(self, time_base: Fraction) -> None:
        self._apart = int(Fraction(REST_APART_US, 1_000_000) / time_base)
        self._rested_at: int | None = None

    def rest_after(self, dts: int | None, reading_ns: int) -> bool:
        """Tell whether to rest after this packet, which took so long to read."""
        if dts is None or reading_ns < WAITED_NS:
            return False
        if self._rested_at is None or dts < self._rested_at:  # the first, or media jumped back
            self._rested_at = dts
            return False
        if dts - self._rested_at < self._apart:
            return False
        self._rested_at = dts
        return True
