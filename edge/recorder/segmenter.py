"""When to begin a run, cut a segment, or end a run. Pure: no clock, no disk, no camera.

Time inside a run is the camera's media time; one wall offset, taken at the run's first key
picture, turns it into UTC. So footage neither stretches nor overlaps when a wall clock moves. A
jump or a drift is never a reason to drop footage, it begins a new run.
"""

from __future__ import annotations

from enum import Enum
from fractions import Fraction

from retention.store.footage import LONGEST_SEGMENT_US

MAX_MEDIA_JUMP_SECONDS = 2
MAX_BACKWARD_SECONDS = Fraction(1, 2)
MAX_LAG_US = 1_000_000
MAX_WALL_JUMP_US = 5_000_000


class Step(Enum):
    """What to do with a packet. BEGIN_RUN ends the run that is open, if one is."""

    SKIP = "skip"
    BEGIN_RUN = "begin_run"
    WRITE = "write"
    CUT = "cut"
    END_RUN = "end_run"


class Segmenter:
    """Follows one connection's packets. `time_base` is seconds a tick."""

    def __init__(self, time_base: Fraction, segment_seconds: float) -> None:
        self._us_per_tick = time_base * 1_000_000
        self._segment_us = round(segment_seconds * 1_000_000)
        self._longest = int(MAX_MEDIA_JUMP_SECONDS / time_base)
        self._longest_segment = int(Fraction(LONGEST_SEGMENT_US - 1_000_000, 1_000_000) / time_base)
        self._furthest_back = -int(MAX_BACKWARD_SECONDS / time_base)
        self._in_run = False
        self._base = self._last = self._segment_base = 0
        self._step = 1
        self._run_start_us = self._wall_offset_us = self._received_base_us = 0
        self._least_lag_us: int | None = None
        self.wall_moved_us = 0

    @property
    def in_run(self) -> bool:
        return self._in_run

    @property
    def end_us(self) -> int:
        """Return the UTC end of the footage so far: the last packet and its usual length."""
        return self._wall(self._last + self._step)

    def frame(self, dts: int) -> Step:
        """Decide about a packet that is no key picture."""
        if not self._in_run:
            return Step.SKIP
        if not self._continuous(dts) or dts - self._segment_base > self._longest_segment:
            self._in_run = False
            return Step.END_RUN
        self._advance(dts)
        return Step.WRITE

    def keyframe(
        self, dts: int, received_us: int, wall_offset_us: int, *, seal_asked: bool = False
    ) -> Step:
        """Decide about a key picture.

        `received_us` is monotonic time, `wall_offset_us` is wall time minus monotonic time now.
        `wall_moved_us` afterwards tells by how much the wall clock jumped, 0 if it did not.
        """
        self.wall_moved_us = 0
        if not self._in_run:
            return self._begin(dts, received_us, wall_offset_us)
        moved = wall_offset_us - self._wall_offset_us
        if abs(moved) > MAX_WALL_JUMP_US:
            self.wall_moved_us = moved
            return self._begin(dts, received_us, wall_offset_us)
        if not self._continuous(dts):
            return self._begin(dts, received_us, wall_offset_us)
        self._advance(dts)
        lag = (received_us - self._received_base_us) - self._us(dts - self._base)
        self._least_lag_us = lag if self._least_lag_us is None else min(lag, self._least_lag_us)
        if not seal_asked and self._us(dts - self._segment_base) < self._segment_us:
            return Step.WRITE
        if abs(self._least_lag_us) > MAX_LAG_US:
            # The camera's clock drifted from ours over a whole segment, not just one late burst.
            return self._begin(dts, received_us, wall_offset_us)
        self._segment_base, self._least_lag_us = dts, None
        return Step.CUT

    def start_us(self) -> int:
        """Return the UTC start of the segment that BEGIN_RUN or CUT began."""
        return self._wall(self._segment_base)

    def segment_base(self) -> int:
        """Return the media time at which the open segment began, in ticks."""
        return self._segment_base

    def _begin(self, dts: int, received_us: int, wall_offset_us: int) -> Step:
        self._in_run = True
        self._base = self._last = self._segment_base = dts
        self._received_base_us, self._wall_offset_us = received_us, wall_offset_us
        self._run_start_us = received_us + wall_offset_us
        self._least_lag_us = None
        return Step.BEGIN_RUN

    def _continuous(self, dts: int) -> bool:
        return self._furthest_back <= dts - self._last <= self._longest

    def _advance(self, dts: int) -> None:
        if dts > self._last:
            self._step = dts - self._last
            self._last = dts

    def _us(self, ticks: int) -> int:
        return int(ticks * self._us_per_tick)

    def _wall(self, dts: int) -> int:
        return self._run_start_us + self._us(dts - self._base)
