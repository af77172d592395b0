"""One look at a filmed scene, from the first frame to what liveness and comparison say of it.

The order and the times are those of an attempt at the counter: look at every frame, compare four
of them, and when the signals leave doubt in the middle of the time, ask for a turn. Whoever stands
there hears it and may answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hardware.camera_identity import CameraIdentity
from identity.faces import dominant, same_track
from identity.finder import FaceFinder
from identity.liveness import challenge as challenges
from identity.liveness import panel, passive, windows
from identity.liveness.challenge import ChallengeRun
from identity.liveness.signals import Signal
from identity.looked import LookedFrame
from identity.policy import IdentityPolicy
from identity.quality import instruction, measure
from models.runtime import LoadedModels
from models.values import Embedding, FaceDetection, Image
from tests.identity.attacks.filming import RATE

REAL_CAMERA = CameraIdentity("rtsp", "rtsp", simulated=False, virtual=False)
_NS = 1_000_000_000
_EMBED_NS = 300_000_000

Next = Callable[[], Image]
Answer = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one look. `score` is None when too few frames could be compared."""

    signals: tuple[Signal, ...]
    refusals: tuple[str, ...]
    asked: bool
    challenge: str | None
    score: float | None
    seconds: float
    passive: float | None = None
    notes: tuple[str, ...] = ()
    digests: frozenset[bytes] = frozenset()
    frames: tuple[LookedFrame, ...] = ()

    @property
    def live(self) -> bool:
        return not self.refusals

    def value(self, name: str) -> float | None:
        return next(each.value for each in self.signals if each.name == name)

    def verdict(self, name: str) -> str:
        return next(each.verdict.value for each in self.signals if each.name == name)


@dataclass
class Looker:
    """Looks at scenes with one set of models and one policy.

    The passive models are not installed by default: unless asked for, what they would have said
    (`Seen.passive`) changes nothing.
    """

    models: LoadedModels
    policy: IdentityPolicy
    camera: CameraIdentity = REAL_CAMERA
    with_passive: bool = False

    def look(
        self,
        following: Next,
        *,
        seed: bytes,
        reference: Embedding | None = None,
        answer: Answer = lambda instruction, seconds: None,
        seen_before: Callable[[bytes], bool] = lambda digest: False,
    ) -> Seen:
        """Look until it is settled. `answer` hears an instruction once, and when it was given."""
        state = _State(self, seed, reference, seen_before)
        asked: str | None = None
        now = 0
        for ordinal in range(RATE * 60):
            now = ordinal * _NS // RATE
            state.take(following(), now)
            if state.is_over(now):
                break
            wish = state.instruction(now)
            if wish is not None and wish != asked:
                answer(wish, now / _NS)
            asked = wish
        return state.seen(now)


@dataclass
class _State:
    looker: Looker
    seed: bytes
    reference: Embedding | None
    seen_before: Callable[[bytes], bool]
    frames: list[LookedFrame] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    embeddings: list[Embedding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    challenge: ChallengeRun | None = None
    last: tuple[FaceDetection, int] | None = None
    broken: bool = False

    def __post_init__(self) -> None:
        counting = self.looker.models.passive if self.looker.with_passive else None
        self.crops = self.looker.models.passive
        self.finder = FaceFinder(self.looker.models.detector)
        self.panel = panel.Panel(
            limits=self.looker.policy.liveness,
            camera=self.looker.camera,
            passive=counting,
            seen_before=self.seen_before,
            reference_embedding=self.reference,
        )

    def take(self, image: Image, now: int) -> None:
        policy = self.looker.policy
        size = (image.shape[1], image.shape[0])
        found = dominant(self.finder.find(image), policy.faces, size)
        if isinstance(found, str):
            self.notes.append(found)
            return
        if self.last is not None and not same_track(
            self.last[0], found, (now - self.last[1]) / _NS
        ):
            self.broken = True
        self.last = found, now
        anchor = self.frames[0].face if self.frames else found
        window, anchored = windows.take(image, found, anchor)
        aligned = self.looker.models.embedder.align(image, found)
        crops = () if self.crops is None else self.crops.crops(image, found)
        digest = hashlib.blake2b(_face(image, found).tobytes(), digest_size=16).digest()
        self.frames.append(LookedFrame(now, size, found, digest, aligned, window, anchored, crops))
        due = not self.used or now - self.frames[self.used[-1]].offset_ns >= _EMBED_NS
        problem = instruction(measure(aligned, found, size), policy.quality)
        if problem is not None:
            self.notes.append(problem)
        elif due and len(self.used) < policy.matching.frames:
            self.used.append(len(self.frames) - 1)
            self.embeddings.append(self.looker.models.embedder.embed_aligned(aligned))
        if self.challenge is not None:
            self.challenge = self.challenge.after(self.frames, now)
        self.panel.work(self.frames, self.used, self.challenge)

    def signals(self) -> tuple[Signal, ...]:
        return self.panel.signals(
            self.frames, self.used, embeddings=self.embeddings, challenge=self.challenge
        )

    def is_over(self, now: int) -> bool:
        policy = self.looker.policy
        enough = len(self.used) >= policy.matching.frames
        limits = policy.liveness
        if limits.challenge == "always" and self.challenge is None and now >= _NS:
            self.challenge = ChallengeRun.begin(self.seed, now, limits)
            return False
        if self.challenge is not None:
            return self.challenge.is_over(self.frames, now)
        late = now >= float(policy.attempt.deadline_seconds) * _NS
        if not enough or self.broken:
            return late
        if now < float(policy.attempt.minimum_seconds) * _NS:
            return False
        signals = self.signals()
        if not panel.refusals(signals, limits):
            return True
        middle = float(policy.attempt.minimum_seconds + policy.attempt.deadline_seconds) / 2
        if now >= middle * _NS and panel.is_grey(signals, limits):
            self.challenge = ChallengeRun.begin(self.seed, now, limits)
            return False
        return late

    def instruction(self, now: int) -> str | None:
        return None if self.challenge is None else self.challenge.instruction(self.frames, now)

    def passive_value(self) -> float | None:
        """Return what the passive models say of the compared frames, whether they count or not."""
        asked = passive.asked(self.frames, self.used)
        if self.crops is None or not asked:
            return None
        return float(np.mean([self.crops.live_probability(self.frames[i].passive) for i in asked]))

    def seen(self, now: int) -> Seen:
        policy, signals = self.looker.policy, self.signals()
        refusals = panel.refusals(signals, policy.liveness)
        score = None
        if len(self.used) < policy.matching.frames or self.broken:
            refusals = refusals or ("QUALITY",)
        elif self.reference is not None:
            score = float(np.mean([self.reference @ each for each in self.embeddings]))
        turn = next(each for each in signals if each.name == "challenge")
        return Seen(
            signals=signals,
            refusals=refusals,
            asked=self.challenge is not None,
            challenge=None if self.challenge is None else challenges.outcome_of(turn),
            score=score,
            seconds=now / _NS,
            passive=self.passive_value(),
            notes=tuple(self.notes),
            digests=frozenset(frame.pixels_digest for frame in self.frames),
            frames=tuple(self.frames),
        )


def _face(image: Image, face: FaceDetection) -> Image:
    x, y, width, height = (int(value) for value in face.box)
    return np.ascontiguousarray(image[max(0, y) : y + height, max(0, x) : x + width])


def played(frames: Sequence[Image]) -> Next:
    """Return a film that is played again and again."""
    endless = (frame for _ in range(1000) for frame in frames)
    return lambda: next(endless)
