"""The set of liveness signals and the policy that weighs them. Pure over looked-at frames.

Every required signal must pass; any signal that was assessed and failed vetoes; without a working
signal nobody is live. The one exception is the passive model: a turn made as asked outweighs its
FAIL, unless the value is below the veto limit. The costly parts can be done between the frames
(`Panel.work`); the signals are the same without.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hardware.camera_identity import CameraIdentity
from identity.liveness import (
    camera as camera_signal,
)
from identity.liveness import (
    challenge as challenge_signal,
)
from identity.liveness import (
    depth as depth_signal,
)
from identity.liveness import (
    likeness,
    passive,
    planarity,
    replay,
    static_input,
)
from identity.liveness.challenge import ChallengeRun
from identity.liveness.planarity import Depth, Pair
from identity.liveness.replay import SeenBefore
from identity.liveness.signals import About, Signal, Verdict, not_assessed
from identity.looked import LookedFrame
from identity.policy import LivenessLimits
from models.values import Embedding, PassiveLiveness

SIGNALS: tuple[About, ...] = (
    camera_signal.ABOUT,
    replay.ABOUT,
    likeness.ABOUT,
    challenge_signal.ABOUT,
    static_input.ABOUT,
    planarity.ABOUT,
    passive.ABOUT,
    depth_signal.ABOUT,
)
"""In the order in which a refusal is told."""

# What a turn made as asked cannot settle: it says nothing about where the pictures come from.
_BEYOND_CHALLENGE = frozenset({"camera", "replay", "likeness"})

# What speaks of a picture that does not change, and of nothing else.
_STILL = frozenset({static_input.ABOUT.name, replay.ABOUT.name})


class Panel:
    """The signals of one attempt, measured as its frames come. Not shared between threads.

    Frames of one attempt have different `offset_ns`; what was measured is remembered by it.
    """

    def __init__(
        self,
        *,
        limits: LivenessLimits,
        camera: CameraIdentity,
        passive: PassiveLiveness | None,
        seen_before: SeenBefore,
        reference_embedding: Embedding | None,
    ) -> None:
        self._limits, self._camera, self._passive = limits, camera, passive
        self._seen_before, self._reference = seen_before, reference_embedding
        self._shifts: dict[tuple[int, int], float | None] = {}
        self._depths: dict[tuple[int, int], Depth | None] = {}
        self._live: dict[int, float | None] = {}

    def work(
        self,
        frames: Sequence[LookedFrame],
        used: Sequence[int] = (),
        challenge: ChallengeRun | None = None,
    ) -> bool:
        """Do one costly step ahead of `signals`, if any is left; return whether one was done."""
        first = frames[0] if frames else None
        for index in static_input.furthest(frames):
            if first is not None and _key(first, frames[index]) not in self._shifts:
                self._shift(first, frames[index])
                return True
        for i, j in (*planarity.pairs(frames), *(turn[0] for turn in _turns(frames, challenge))):
            if _key(frames[i], frames[j]) not in self._depths:
                self._depth(frames[i], frames[j])
                return True
        for index in passive.asked(frames, used) if self._passive is not None else ():
            if frames[index].offset_ns not in self._live:
                self._live_probability(frames[index])
                return True
        return False

    def signals(
        self,
        frames: Sequence[LookedFrame],
        used: Sequence[int],
        *,
        embeddings: Sequence[Embedding],
        challenge: ChallengeRun | None,
    ) -> tuple[Signal, ...]:
        """Return every signal, in the order of SIGNALS. `embeddings` are those of `used`, the
        indexes of the compared frames. Raises InferenceFailed when a passive model fails."""
        limits = self._limits
        if not _in_order(frames):
            return tuple(
                camera_signal.signal(self._camera)
                if about.name == "camera"
                else not_assessed(about.name)
                for about in SIGNALS
            )
        depths = [self._first(frames, pairs) for pairs in _turns(frames, challenge)]
        asked = None if self._passive is None else self._live_probability
        return (
            camera_signal.signal(self._camera),
            replay.signal(frames, self._seen_before),
            likeness.signal(embeddings, self._reference, limits),
            challenge_signal.signal(frames, challenge, limits, depths),
            static_input.signal(frames, limits, self._shift),
            planarity.signal(frames, limits, self._depth),
            passive.signal(frames, used, limits, asked),
            depth_signal.signal(),
        )

    def _shift(self, first: LookedFrame, later: LookedFrame) -> float | None:
        key = _key(first, later)
        if key not in self._shifts:
            self._shifts[key] = static_input.shift(first, later)
        return self._shifts[key]

    def _depth(self, before: LookedFrame, after: LookedFrame) -> Depth | None:
        key = _key(before, after)
        if key not in self._depths:
            self._depths[key] = planarity.depth(before, after)
        return self._depths[key]

    def _first(self, frames: Sequence[LookedFrame], pairs: Sequence[Pair]) -> Depth | None:
        """Return what the first pair says that can be measured."""
        found = (self._depth(frames[i], frames[j]) for i, j in pairs)
        return next((each for each in found if each is not None), None)

    def _live_probability(self, frame: LookedFrame) -> float | None:
        if self._passive is not None and frame.offset_ns not in self._live:
            model = self._passive.live_probability
            self._live[frame.offset_ns] = passive.live_probability(model, frame)
        return self._live.get(frame.offset_ns)


def telling(
    frames: Sequence[LookedFrame], challenge: ChallengeRun | None = None
) -> tuple[int, ...]:
    """Return which frames liveness is measured on, by landmarks and times alone, ascending.

    These must keep their windows (and `aligned`, so that they can be shown to be the person).
    """
    chosen = {0} if frames else set()
    chosen.update(static_input.furthest(frames))
    for turn in planarity.FOLLOWABLE_TURNS:
        chosen.update(index for pair in planarity.pairs(frames, turn) for index in pair)
    for pairs in _turns(frames, challenge):
        chosen.update(index for pair in pairs for index in pair)
    return tuple(sorted(chosen))


def refusals(signals: Sequence[Signal], limits: LivenessLimits) -> tuple[str, ...]:
    """Return the reason code of the first signal that forbids acceptance; () says live.

    A turn that was asked for in doubt and not made is no reason of its own when the doubt has gone
    by itself; where doubt remains, it is the reason to tell.
    """
    if not signals:
        return ("LIVENESS_NOT_ASSESSED",)
    turn = next((each for each in signals if each.name == "challenge"), None)
    turned = turn is not None and turn.verdict is Verdict.PASS
    forbidding = [each for each in signals if _forbids(each, limits, turned=turned)]
    missing = set(limits.required) - {each.name for each in signals}
    if not forbidding and not missing and (turned or limits.challenge != "always"):
        return ()
    first = forbidding[0] if forbidding else None
    if turn is not None and _was_asked(turn) and not turned:
        first = first if first is not None and first.name in _BEYOND_CHALLENGE else turn
    return ((first.reason if first is not None else None) or "LIVENESS_NOT_ASSESSED",)


def is_grey(signals: Sequence[Signal], limits: LivenessLimits) -> bool:
    """Return whether a turn that was not asked for yet could still settle it."""
    if limits.challenge == "never" or any(_was_asked(each) for each in signals):
        return False
    forbidding = {each.name for each in signals if _forbids(each, limits, turned=False)}
    settled = {each.name for each in signals if _forbids(each, limits, turned=True)}
    beyond = settled & (_BEYOND_CHALLENGE | {"passive"})
    return bool(forbidding) and not beyond


def suspected(signals: Sequence[Signal], limits: LivenessLimits) -> tuple[str, ...]:
    """Return the names of the signals that make this a suspected attack; () when there is none.

    A passive model that only doubts is none: it doubts living people too. Nor is stillness alone,
    which is refused but accuses nobody: an old customer keeps still, and so does a camera that
    froze, whose picture is then also one that was seen before.
    """
    against = tuple(
        each.name
        for each in signals
        if each.verdict is Verdict.FAIL and _forbids(each, limits, turned=True)
    )
    still = static_input.ABOUT.name in against and set(against) <= _STILL
    return () if still else against


def not_working(
    limits: LivenessLimits, camera: CameraIdentity, *, passive: bool
) -> tuple[str, ...]:
    """Return the required signals that cannot work here, whoever stands there.

    Anything in it means that the face method is off; the verifier says so when it starts.
    """
    broken = {
        "depth": True,
        "passive": not passive,
        "camera": camera.virtual,
        "challenge": limits.challenge == "never",
    }
    return tuple(name for name in limits.required if broken.get(name, False))


def _forbids(signal: Signal, limits: LivenessLimits, *, turned: bool) -> bool:
    if signal.verdict is Verdict.PASS:
        return False
    if signal.name == "passive" and signal.verdict is Verdict.FAIL and turned:
        return signal.value is None or signal.value < float(limits.passive_veto_below)
    return signal.verdict is Verdict.FAIL or signal.name in limits.required


def _was_asked(signal: Signal) -> bool:
    return signal.name == "challenge" and signal.value is not None


def _turns(
    frames: Sequence[LookedFrame], challenge: ChallengeRun | None
) -> tuple[tuple[Pair, ...], ...]:
    return () if challenge is None else challenge.progress(frames).turned


def _key(before: LookedFrame, after: LookedFrame) -> tuple[int, int]:
    return before.offset_ns, after.offset_ns


def _in_order(frames: Sequence[LookedFrame]) -> bool:
    """Return whether time only went forward; with any other clock nothing can be judged."""
    return all(a.offset_ns < b.offset_ns for a, b in pairwise(frames))
