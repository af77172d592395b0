"""What is kept of one attempt: all that the decision rests on, and nothing else.

The decision is a pure function of this evidence, the reference, the policy, the calibration and
the models, so it can be made again from a sealed copy of it (`identity.replay`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from hardware.camera_identity import CameraIdentity
from identity.liveness.challenge import ChallengeRun
from identity.looked import LookedFrame


@dataclass(frozen=True, slots=True, eq=False)
class AttemptEvidence:
    """Everything one decision rests on, apart from the reference, the policy and the models.

    `frames` are the looked-at frames of one unbroken track, oldest first; `used` the indexes of
    those that are compared, rising. `looked` counts all looks, `notes` how often each reason code
    was the answer to one of them, by code. `replayed` are the digests among the frames' that an
    earlier attempt had shown. `changed` says that another face took the place of a compared one,
    `clock_back` that a clock ran backwards, `fault` that something failed inside. `amount`,
    `comparisons_before` and `standing` are what it was asked under. Only frames that are used, or
    that liveness tells by, keep their images.
    """

    started_at: datetime
    decided_at: datetime
    elapsed_ns: int
    camera: CameraIdentity
    frames: tuple[LookedFrame, ...]
    used: tuple[int, ...]
    looked: int
    notes: tuple[tuple[str, int], ...]
    replayed: tuple[bytes, ...]
    challenge: ChallengeRun | None
    changed: bool
    clock_back: bool
    fault: bool
    amount: Decimal | None
    comparisons_before: int
    standing: Literal["current", "stale"]

    def after_a_fault(self) -> AttemptEvidence:
        """Return what may be kept when something failed inside: no frame is to be relied on."""
        return replace(self, frames=(), used=(), replayed=(), challenge=None, fault=True)


def with_images_of(
    frames: Iterable[LookedFrame], kept: Iterable[int], used: Iterable[int]
) -> tuple[LookedFrame, ...]:
    """Return the frames without the images that nothing rests on.

    `kept` are the indexes whose windows and aligned crop stay, `used` those whose aligned crop and
    passive crops stay.
    """
    windows, compared = frozenset(kept), frozenset(used)
    return tuple(
        replace(
            frame,
            aligned=frame.aligned if index in windows or index in compared else None,
            window=frame.window if index in windows else None,
            anchored=frame.anchored if index in windows else None,
            passive=frame.passive if index in compared else (),
        )
        for index, frame in enumerate(frames)
    )
