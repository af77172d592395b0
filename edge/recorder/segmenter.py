"""When to begin a run, cut a segment, or end a run. Pure: no clock, no disk, no camera.

Time inside a run is the camera's media time; one wall offset, taken at the run's first key
picture, turns it into UTC. A camera's clock that drifts from ours is followed at each cut, by at
most SLEW_PPM of the segment, measured by the least delay of all its packets (moonfire-nvr's rule),
so jitter and bursts move nothing. What cannot be slewed, and any jump, begins a new run: never a
reason to drop footage. Segments follow each other: none overlaps the one before it, unless the
wall clock itself was set back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from retention.store.footage import LONGEST_SEGMENT_US

MAX_MEDIA_JUMP_SECONDS = 2
MAX_BACKWARD_SECONDS = Fraction(1, 2)
MAX_LAG_US = 1_000_000
MAX_WALL_JUMP_US = 5_000_000
SLEW_PPM = 500


class Step(Enum):
    """What to do with a packet. BEGIN_RUN ends the run that is open, if one is."""

    SKIP = "skip"
    BEGIN_RUN = "begin_run"
    WRITE = "write"
    CUT = "cut"
    END_RUN = "end_run"


@dataclass(frozen=True, slots=True)
class Before:
    """Where the footage before this connection ended (UTC), and by which wall offset."""

    ended_us: int
    wall_offset_us: int


class Segmenter:
    """Follows one connection's packets. `time_base` is seconds a tick.

    `received_us` is monotonic time; `wall_offset_us` is wall time minus monotonic time now.
    """

    def __init__(
        self, time_base: Fraction, segment_seconds: float, before: Before | None = None
    ) -> None:
        self._numerator, self._denominator = (time_base * 1_000_000).as_integer_ratio()
        self._segment_us = round(segment_seconds * 1_000_000)
        self._longest = int(MAX_MEDIA_JUMP_SECONDS / time_base)
        self._longest_segment = int(Fraction(LONGEST_SEGMENT_US - 1_000_000, 1_000_000) / time_base)
        self._furthest_back = -int(MAX_BACKWARD_SECONDS / time_base)
        self._before = before
        self._in_run = False
        self._base = self._last = 0
        self._step = 1
        self._start_us = self._wall_offset_us = 0
        self._least_lag_us: int | None = None
        self.wall_moved_us = 0

    @property
    def in_run(self) -> bool:
        return self._in_run

    @property
    def end_us(self) -> int:
        """Return the UTC end of the footage so far: the last packet and its usual length."""
        return self._wall(self._last + self._step)

    @property
    def ended_us(self) -> int:
        """Return the UTC end of the run that the last END_RUN or BEGIN_RUN ended."""
        return self._before.ended_us if self._before is not None else self._start_us

    @property
    def before(self) -> Before | None:
        """Return where the footage ends if it ends now, for the next connection."""
        return Before(self.end_us, self._wall_offset_us) if self._in_run else self._before

    def frame(self, dts: int, received_us: int) -> Step:
        """Decide about a packet that is no key picture."""
        if not self._in_run:
            return Step.SKIP
        if not self._continuous(dts) or dts - self._base > self._longest_segment:
            self._end(self.end_us)
            return Step.END_RUN
        self._advance(dts, received_us)
        return Step.WRITE

    def keyframe(
        self, dts: int, received_us: int, wall_offset_us: int, *, seal_asked: bool = False
    ) -> Step:
        """Decide about a key picture.

        `wall_moved_us` afterwards tells by how much the wall clock jumped, 0 if it did not.
        """
        self.wall_moved_us = 0
        at_us = received_us + wall_offset_us
        jumped = self._jumped(self._wall_offset_us, wall_offset_us)
        if self._in_run and (jumped or not self._continuous(dts)):
            self._end(self.end_us)
        if not self._in_run:
            return self._begin(dts, at_us, wall_offset_us)
        self._advance(dts, received_us)
        media_us = self._us(dts - self._base)
        if dts <= self._base or (media_us < self._segment_us and not seal_asked):
            return Step.WRITE
        lag_us = self._least_lag_us or 0
        if abs(lag_us) > MAX_LAG_US:
            moved_us = wall_offset_us - self._wall_offset_us
            return self._step_to(dts, self._wall(dts) + lag_us + moved_us, wall_offset_us)
        most = media_us * SLEW_PPM // 1_000_000
        self._start_us = self._wall(dts) + max(-most, min(most, lag_us))
        self._base, self._least_lag_us = dts, None
        return Step.CUT

    def start_us(self) -> int:
        """Return the UTC start of the segment that BEGIN_RUN or CUT began."""
        return self._start_us

    def segment_base(self) -> int:
        """Return the media time at which the open segment began, in ticks."""
        return self._base

    # -- steps ------------------------------------------------------------------------------------

    def _step_to(self, dts: int, at_us: int, wall_offset_us: int) -> Step:
        """The camera's clock left ours over a whole segment, not just in one late burst.

        A camera that is ahead would have the next run overlap this one: the segment's end gives
        way, by up to half its length; what is left is for the next one.
        """
        half_us = self._start_us + max(1, (self._wall(dts) - self._start_us) // 2)
        self._end(min(self._wall(dts), max(at_us, half_us)))
        return self._begin(dts, at_us, wall_offset_us)

    def _begin(self, dts: int, at_us: int, wall_offset_us: int) -> Step:
        before = self._before
        if before is not None and self._jumped(before.wall_offset_us, wall_offset_us):
            self.wall_moved_us = wall_offset_us - before.wall_offset_us
        elif before is not None:
            at_us = max(at_us, before.ended_us)
        self._in_run = True
        self._base = self._last = dts
        self._start_us, self._wall_offset_us = at_us, wall_offset_us
        self._least_lag_us = None
        return Step.BEGIN_RUN

    def _end(self, ended_us: int) -> None:
        self._in_run = False
        self._before = Before(ended_us, self._wall_offset_us)

    @staticmethod
    def _jumped(before_us: int, now_us: int) -> bool:
        return abs(now_us - before_us) > MAX_WALL_JUMP_US

    def _continuous(self, dts: int) -> bool:
        return self._furthest_back <= dts - self._last <= self._longest

    def _advance(self, dts: int, received_us: int) -> None:
        if dts > self._last:
            self._step = dts - self._last
            self._last = dts
        media_us = (dts - self._base) * self._numerator // self._denominator
        lag_us = received_us + self._wall_offset_us - self._start_us - media_us
        if self._least_lag_us is None or lag_us < self._least_lag_us:
            self._least_lag_us = lag_us

    def _us(self, ticks: int) -> int:
        return ticks * self._numerator // self._denominator

    def _wall(self, dts: int) -> int:
        return self._start_us + self._us(dts - self._base)
