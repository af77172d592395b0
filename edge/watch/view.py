"""When a camera's view counts as unusable: verdicts of pictures in, changes out. Pure.

One bad picture says nothing: a condition opens when every picture of HOLD_SECONDS was bad, at least
two, and began with the first of them; it ends with the first of as many good ones. So somebody who
passes close by opens nothing, and with a key picture every 2.5 s or oftener a change is told within
5 s. While one condition stands another may take its place, without a usable moment in between.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from edge.watch.shown import Condition
from edge.watch.verdict import Verdict

HOLD_SECONDS = 1.9
LEAST_PICTURES = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """A verdict and when its picture was taken: microseconds UTC and monotonic nanoseconds.
    `since` is when what it shows began (the repeated picture's own time when it is frozen)."""

    verdict: Verdict
    at: int
    monotonic_ns: int
    since: int


@dataclass(frozen=True, slots=True)
class Change:
    """The view became `now` at `since`; before it was `before`."""

    before: Condition
    now: Condition
    since: int
    verdict: Verdict


@dataclass(slots=True)
class ViewState:
    """Follows one camera."""

    standing: Condition = "clear"
    _streak: list[Seen] = field(default_factory=list)

    def see(self, seen: Seen) -> Change | None:
        """Take one picture's verdict; returns the change that it decides, if any."""
        if seen.verdict.condition == self.standing:
            self._streak.clear()
            return None
        if self._streak and not self._goes_on(seen):
            self._streak.clear()
        self._streak.append(seen)
        held = (seen.monotonic_ns - self._streak[0].monotonic_ns) / 1e9
        if len(self._streak) < LEAST_PICTURES or held < HOLD_SECONDS:
            return None
        return self._decide()

    def _goes_on(self, seen: Seen) -> bool:
        """From a usable view on, bad is bad, whichever it is; otherwise it must be one thing."""
        if self.standing == "clear":
            return True
        return seen.verdict.condition == self._streak[-1].verdict.condition

    def _decide(self) -> Change:
        streak = self._streak
        (now, _), *_ = Counter(one.verdict.condition for one in streak).most_common(1)
        told = next(one for one in reversed(streak) if one.verdict.condition == now)
        change = Change(self.standing, now, streak[0].since, told.verdict)
        self.standing = now
        self._streak = []
        return change
