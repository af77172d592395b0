"""What goes into an attempt and what comes out: frames, models, progress, a decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from identity.attempt_evidence import AttemptEvidence
from identity.decision import Decision
from models.values import Detector, Embedder, Image, PassiveLiveness


class Frame(Protocol):
    """A captured frame: BGR uint8 pixels, its ordinal and its receive time."""

    @property
    def pixels(self) -> Image: ...

    @property
    def ordinal(self) -> int: ...

    @property
    def monotonic_ns(self) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class FaceFrame:
    """The plainest Frame."""

    pixels: Image
    ordinal: int
    monotonic_ns: int


class Models(Protocol):
    """The models of an attempt; `passive` is None where no liveness model is installed."""

    @property
    def detector(self) -> Detector: ...

    @property
    def embedder(self) -> Embedder: ...

    @property
    def passive(self) -> PassiveLiveness | None: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What the person sees while an attempt runs: at most one instruction, as a reason code.

    `complete` says that more frames change nothing; `decide()` may be called at any time.
    """

    instruction: str | None
    frames_used: int
    frames_wanted: int
    complete: bool


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """A decision, and what it rests on."""

    decision: Decision
    evidence: AttemptEvidence
