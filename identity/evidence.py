"""What is kept of one attempt: all that the decision rests on, and nothing else.

The decision is a pure function of this evidence, the reference, the policy, the calibration and
the models, so it can be made again from the sealed copy of it (`identity.replay`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from hardware.camera_identity import CameraIdentity
from identity.liveness.challenge import ChallengeRun
from identity.looked import Grey, LookedFrame

__all__ = ["AttemptEvidence", "Grey", "LookedFrame", "decode", "encode", "probe_digest"]


@dataclass(frozen=True, slots=True, eq=False)
class AttemptEvidence:
    """Everything one decision rests on, apart from the reference, the policy and the models.

    `frames` are the looked-at frames of one unbroken track, oldest first; `used` the indexes of
    those that are compared, rising. `looked` counts all looks, `notes` how often each reason code
    was the answer to one of them, by code. `replayed` are the digests among the frames' that an
    earlier attempt had shown. `amount`, `comparisons_before` and `standing` are what it was asked
    under. Only frames that are used, or that liveness tells by, keep their images.
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


def encode(evidence: AttemptEvidence) -> bytes:
    """Return the one encoding of this evidence. Not built yet: raises NotImplementedError."""
    raise NotImplementedError


def decode(encoded: bytes) -> AttemptEvidence:
    """Read an encoding. Raises EvidenceUnreadable. Not built yet: raises NotImplementedError."""
    raise NotImplementedError


def probe_digest(encoded: bytes) -> str:
    """Return the digest by which a receipt names its evidence: SHA-256 in hexadecimal."""
    return hashlib.sha256(encoded).hexdigest()
