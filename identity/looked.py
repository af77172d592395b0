"""One looked-at frame of an attempt: what evidence and liveness both rest on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from models.values import FaceDetection, Image

if TYPE_CHECKING:
    from hardware.camera_identity import CameraIdentity
    from identity.liveness.challenge import ChallengeRun

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class LookedFrame:
    """One looked-at frame with one dominant face.

    `offset_ns` counts from the beginning of the attempt, `frame_size` is (width, height) in pixels,
    `face` in the frame's coordinates, `pixels_digest` 16 bytes over the face's pixels. `aligned`
    (112, 112, 3) BGR is there for frames that are compared or that liveness was measured on;
    `window` follows the face and `anchored` stays where it was in the first frame (both as in
    identity.liveness); `passive` are the crops of the passive models, in their order.
    """

    offset_ns: int
    frame_size: tuple[int, int]
    face: FaceDetection
    pixels_digest: bytes
    aligned: Image | None = None
    window: Grey | None = None
    anchored: Grey | None = None
    passive: tuple[Image, ...] = ()


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
