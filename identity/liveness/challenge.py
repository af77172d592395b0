"""A random turn to the left or right, asked for when the other signals leave doubt.

The sides follow from a seed that the receipt names; nobody can choose them. A film knows the side
by chance only: one turn stops half of the films, n turns all but 1 / 2^n. A turn is judged from
the nose against the eyes, held against the face before the turn was asked for, and from the depth
that the turn shows. LEFT is the person's own left: the nose moves to the image's right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from identity.liveness.planarity import FOLLOWABLE_TURNS, Depth, Pair, is_flat
from identity.liveness.signals import About, Signal, failed, not_assessed, passed
from identity.liveness.windows import nose_offsets
from identity.looked import LookedFrame
from identity.policy import LivenessLimits
from retention.records.people import Side

ABOUT = About(
    name="challenge",
    unit="turns",
    source="nose offsets after the asking against those before it, and the depth of the turn",
    blind_to="a film that happens to turn to the asked side; a face swapped live into the stream",
)

Outcome = Literal["passed", "failed", "not_finished"]
Instruction = Literal["TURN_LEFT", "TURN_RIGHT"]

_DOMAIN = b"countersight challenge 1"
_NS = 1_000_000_000
# The face at rest is that of so long up to the last frame before the asking, which itself may be
# older: frames are not taken in while a verdict is prepared, and some cameras are slow.
_REST_NS = 800_000_000
# Nobody answers sooner than this; what a face does until then, it does by itself.
_REACTION_NS = 200_000_000
# A turn goes so many times further than the head went by itself before it was asked for: a head
# that sways on turns to neither side. Never more is asked for than turns of 20 to 25 degrees show.
_BEYOND_SWAY = 1.5
_MOST_ASKED = 0.22
# A turn is watched for this long after it reached far enough, to see it as deep as it gets.
_SETTLE_NS = 400_000_000


def sides_of(seed: bytes, turns: int) -> tuple[Side, ...]:
    """Return the sides of a seed: bits of its SHA-256, so each is as likely as the other."""
    digest = hashlib.sha256(_DOMAIN + seed).digest()
    return tuple("left" if digest[turn] & 1 else "right" for turn in range(turns))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a challenge has come: turns made, whether one went wrong, and the turns' frames.

    `turned` are for each turn made the pairs to measure its depth on, the first measurable one
    counts: the indexes of the last frame at rest and of one that is turned as far as flow can
    follow.
    """

    turned: tuple[tuple[Pair, ...], ...]
    wrong: bool
    back_at_rest: bool


@dataclass(frozen=True, slots=True)
class ChallengeRun:
    """A challenge under way or over. `asked_at_ns` are the offsets (from the attempt's beginning)
    at which each turn was first shown; there are as many as turns were asked for."""

    seed: bytes
    asked_at_ns: tuple[int, ...]
    limits: LivenessLimits

    @classmethod
    def begin(cls, seed: bytes, now_ns: int, limits: LivenessLimits) -> Self:
        """Ask for the first turn. `now_ns` is the offset from the attempt's beginning."""
        return cls(seed, (now_ns,), limits)

    @property
    def sides(self) -> tuple[Side, ...]:
        """Return the sides in the order in which they are asked."""
        return sides_of(self.seed, self.limits.challenge_turns)

    @property
    def seconds_a_turn_ns(self) -> int:
        return int(self.limits.challenge_seconds * _NS)

    def after(self, frames: Sequence[LookedFrame], now_ns: int) -> ChallengeRun:
        """Return this run, with the next turn asked for when the face is back from the last."""
        made = self.progress(frames)
        waiting = len(made.turned) == len(self.asked_at_ns) < len(self.sides)
        if waiting and made.back_at_rest and not made.wrong and not self.is_over(frames, now_ns):
            return replace(self, asked_at_ns=(*self.asked_at_ns, now_ns))
        return self

    def is_over(self, frames: Sequence[LookedFrame], now_ns: int) -> bool:
        """Return whether nothing that still comes can change the outcome."""
        made = self.progress(frames)
        late = now_ns > self.asked_at_ns[-1] + self.seconds_a_turn_ns
        return made.wrong or late or len(made.turned) == len(self.sides)

    def instruction(self, frames: Sequence[LookedFrame], now_ns: int) -> Instruction | None:
        """Return what to ask the person for now; None between two turns and when it is over."""
        turn = len(self.asked_at_ns) - 1
        if self.is_over(frames, now_ns) or len(self.progress(frames).turned) > turn:
            return None
        return "TURN_LEFT" if self.sides[turn] == "left" else "TURN_RIGHT"

    def progress(self, frames: Sequence[LookedFrame]) -> Progress:
        """Judge the noses of the frames so far."""
        noses = nose_offsets(frames)
        at = np.array([frame.offset_ns for frame in frames], dtype=np.int64)
        unasked = np.flatnonzero((at <= self.asked_at_ns[0]) & np.isfinite(noses))
        turned: list[tuple[Pair, ...]] = []
        if unasked.size == 0:
            return Progress((), wrong=False, back_at_rest=False)
        resting = unasked[at[unasked] >= at[unasked[-1]] - _REST_NS]
        rest = float(np.median(noses[resting]))
        far = self._far_enough(np.abs(noses[unasked] - rest))
        for side, asked in zip(self.sides, self.asked_at_ns, strict=False):
            away = (noses - rest) * (1.0 if side == "left" else -1.0)
            begins, ends = asked + _REACTION_NS, asked + self.seconds_a_turn_ns
            within = np.flatnonzero((at > begins) & (at <= ends))
            right, wrong = within[away[within] >= far], within[away[within] <= -far]
            first_right = int(right[0]) if right.size else None
            if wrong.size and (first_right is None or wrong[0] < first_right):
                return Progress(tuple(turned), wrong=True, back_at_rest=False)
            if first_right is None:
                return Progress(tuple(turned), wrong=False, back_at_rest=False)
            settled = within[at[within] >= at[first_right] + _SETTLE_NS]
            if not settled.size:
                return Progress(tuple(turned), wrong=False, back_at_rest=False)
            before = np.flatnonzero((at <= asked) & (np.abs(away) < far / 2))
            start = int(before[-1]) if before.size else int(resting[-1])
            course = np.arange(start + 1, int(settled[0]) + 1)
            best = [int(np.nanargmin(np.abs(away[course] - turn))) for turn in FOLLOWABLE_TURNS]
            turned.append(tuple((start, int(course[each])) for each in best))
        back = bool(abs(noses[-1] - rest) < far / 2)
        return Progress(tuple(turned), wrong=False, back_at_rest=back)

    def _far_enough(self, sways: npt.NDArray[np.float64]) -> float:
        """Return how far the nose must go, in eye distances, where it went by `sways` by itself."""
        least = float(self.limits.min_turn)
        return max(least, min(_BEYOND_SWAY * float(np.max(sways)), _MOST_ASKED))


def outcome_of(signal: Signal) -> Outcome:
    """Return what the receipt says of a challenge whose signal this is."""
    by_verdict: dict[str, Outcome] = {"pass": "passed", "fail": "failed"}
    return by_verdict.get(signal.verdict.value, "not_finished")


def signal(
    frames: Sequence[LookedFrame],
    run: ChallengeRun | None,
    limits: LivenessLimits,
    depths: Sequence[Depth | None],
) -> Signal:
    """Return the challenge signal. `depths` are those of each turn made, in their order.

    Not asked: not assessed, without a value. Asked and not finished: not assessed, and the value
    is the number of turns made.
    """
    wanted = float(limits.challenge_turns)
    if run is None:
        return not_assessed(ABOUT.name, wanted)
    made = run.progress(frames)
    count = float(len(made.turned))
    flat = any(each is not None and is_flat(each, limits) for each in depths)
    if made.wrong or flat:
        return failed(ABOUT.name, "CHALLENGE_FAILED", count, wanted)
    if count < wanted or len(depths) < count or None in depths:
        return not_assessed(ABOUT.name, wanted, value=count, reason="CHALLENGE_FAILED")
    return passed(ABOUT.name, count, wanted)
