"""Cheap stand-ins for the models, and rendered heads and prints whose motion is known exactly.

A head is a noise texture on a dome that turns; a print is the same texture moved by homographies.
The scripted detector knows where the five points are, so an attempt on a turning head ends in
ACCEPT without any model, and a test can then break one thing at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Literal

import numpy as np
from insightface.utils import face_align

from hardware.camera_identity import CameraIdentity
from identity.attempt import Attempt, Decided, FaceFrame, Progress
from identity.calibration import Calibration, LoadedCalibration, Tail, largest_gap
from identity.policy import IdentityPolicy
from identity.references import Reference, ReferenceTerms
from models.errors import InferenceFailed
from models.opencv import cv2
from models.values import Embedding, FaceDetection, Image, Landmarks, PassiveLiveness
from retention.records.clock import ManualClock
from retention.records.ids import ConsentId, ReferenceId

CONTRACT = "ab" * 32
SIZE = 320
EYES = 80.0
MIDDLE = np.array([160.0, 140.0])
# Five points of a face around the middle of the eyes, and how far each stands out, in eye units.
POINTS = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.57], [-0.42, 1.08], [0.42, 1.08]])
DEPTHS = np.array([0.0, 0.0, 0.55, 0.1, 0.1])


def _texture() -> Image:
    random = np.random.default_rng(5)
    fine = cv2.resize(random.normal(0, 1, (80, 80)).astype(np.float32), (SIZE, SIZE))
    coarse = cv2.resize(random.normal(0, 1, (20, 20)).astype(np.float32), (SIZE, SIZE))
    grey = np.clip(128 + 45 * fine + 30 * coarse, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


TEXTURE = _texture()


def _dome(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    nose = 0.45 * np.exp(-((x / 0.25) ** 2) - ((y - 0.57) / 0.35) ** 2)
    return 0.9 * np.clip(1 - (x / 1.3) ** 2 - ((y - 0.4) / 1.7) ** 2, 0, 1) - 0.7 + nose


def turning_head(t: float) -> tuple[Image, Landmarks]:
    """Return a frame of a head that turns by up to 14 degrees, and its landmarks."""
    return head_at(14 * np.sin(2 * np.pi * 0.5 * t))


@lru_cache(maxsize=96)
def head_at(degrees: float) -> tuple[Image, Landmarks]:
    """Return a frame of a head turned this far to its own left, and its landmarks; not to be
    written to."""
    turn = np.sin(np.radians(degrees))
    rows, columns = np.indices((SIZE, SIZE), dtype=np.float32)
    x, y = (columns - MIDDLE[0]) / EYES, (rows - MIDDLE[1]) / EYES
    source = columns - (_dome(x, y) * turn * EYES).astype(np.float32)
    pixels = cv2.remap(TEXTURE, source, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    pixels.flags.writeable = False
    points = MIDDLE + EYES * (POINTS + np.stack([DEPTHS * turn, np.zeros(5)], axis=1))
    return np.asarray(pixels, dtype=np.uint8), points.astype(np.float32)


def held_print(t: float) -> tuple[Image, Landmarks]:
    """Return a frame of a flat print that tilts, shifts and turns in a hand, and its landmarks."""
    a, b = 0.0006 * np.sin(2 * np.pi * 0.5 * t), 0.0004 * np.sin(2 * np.pi * 0.3 * t + 1)
    shift = 6 * np.sin(2 * np.pi * 0.4 * t)
    plane = np.array([[1 + 60 * a, 0.02 * np.sin(3 * t), shift], [0, 1, shift / 2], [a, b, 1]])
    pixels = cv2.warpPerspective(TEXTURE, plane, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
    points = (MIDDLE + EYES * POINTS).astype(np.float32)
    moved = cv2.perspectiveTransform(points[None], plane)[0]
    return np.asarray(pixels, dtype=np.uint8), np.asarray(moved, dtype=np.float32)


def still(_: float) -> tuple[Image, Landmarks]:
    """Return always the same frame."""
    return turning_head(0.0)


def face_at(landmarks: Landmarks, scale: float = 1.0, shift: float = 0.0) -> FaceDetection:
    """Return a detection around five points."""
    points = ((landmarks - MIDDLE) * scale + MIDDLE + [shift, 0]).astype(np.float32)
    x, y = points.min(axis=0) - 0.5 * EYES * scale
    width, height = np.ptp(points, axis=0) + EYES * scale
    return FaceDetection((float(x), float(y), float(width), float(height)), points, 0.95)


def unit_vector(index: int, lean: float = 0.0) -> Embedding:
    """Return a unit vector along one axis, leaning towards the next."""
    vector = np.zeros(128, dtype=np.float32)
    vector[index], vector[index + 1] = 1.0, lean
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@dataclass
class ScriptedModels:
    """A detector and an embedder in one: answers from functions, counting calls.

    An aligned face is a real crop of the frame. `embedding` is asked once for each crop that is
    new, so that a picture always has the same embedding, as with a real model.
    """

    faces: Callable[[int], Sequence[FaceDetection]]
    embedding: Callable[[int], Embedding]
    contract_id: str = CONTRACT
    passive: PassiveLiveness | None = None
    detected: int = 0
    embedded: int = 0
    known: dict[bytes, Embedding] = field(default_factory=dict)

    @property
    def detector(self) -> ScriptedModels:
        return self

    @property
    def embedder(self) -> ScriptedModels:
        return self

    def detect(self, image: Image) -> Sequence[FaceDetection]:
        self.detected += 1
        return self.faces(self.detected - 1)

    def align(self, image: Image, face: FaceDetection) -> Image:
        if not np.isfinite(face.landmarks).all():
            raise InferenceFailed("scripted", "a landmark is not finite")
        return np.asarray(face_align.norm_crop(image, face.landmarks), dtype=np.uint8)

    def embed_aligned(self, crop: Image) -> Embedding:
        key = crop.tobytes()
        if key not in self.known:
            self.embedded += 1
            self.known[key] = self.embedding(self.embedded - 1)
        return self.known[key]

    def embed(self, image: Image, face: FaceDetection) -> Embedding:
        return self.embed_aligned(self.align(image, face))


def calibration(contract_id: str = CONTRACT) -> LoadedCalibration:
    """Return a calibration whose thresholds are 0.3 at 1e-3 and 0.4 at 1e-4."""
    counts = tuple(round(10_000_000 * 10 ** -(step / 100)) for step in range(601))
    scale = Decimal("0.1") / Decimal(10).ln()
    tail = Tail(
        from_step=300, exceedances=10_000, shape=Decimal(0), scale=scale, largest_gap=Decimal(0)
    )
    gap = largest_gap(tail, 0, counts)
    values = Calibration(
        format="countersight-calibration-2",
        contract_id=contract_id,
        comparison="cosine, mean over the frames of one attempt, against one picture",
        frames=4,
        made_from="numbers",
        made_with="a formula",
        pictures=4473,
        subjects=4473,
        comparisons=10_000_000,
        first_step=0,
        at_or_above=counts,
        upper_95=counts,
        tail=tail.model_copy(update={"largest_gap": Decimal(repr(gap))}),
    )
    return LoadedCalibration(values, "cd" * 32)


def reference(embedding: Embedding, **changes: object) -> Reference:
    """Return an opened reference."""
    values: dict[str, object] = {
        "reference_id": ReferenceId("0197a000-0000-7000-8000-000000000001"),
        "person_ref": "ef" * 32,
        "contract_id": CONTRACT,
        "source": "document_photo",
        "consent_id": ConsentId("0197a000-0000-7000-8000-000000000002"),
        "expires_at": datetime(2030, 1, 1, tzinfo=UTC),
    }
    return Reference(ReferenceTerms(**(values | changes)), embedding)  # type: ignore[arg-type]


TURNS = {"TURN_LEFT": 1, "TURN_RIGHT": -1}
CAMERA = CameraIdentity("v4l2", "a camera", simulated=False, virtual=False)
SEED = bytes(range(16))


@dataclass
class Trial:
    """One attempt on a rendered scene at 15 frames a second; change a field to break a thing."""

    policy: IdentityPolicy
    clock: ManualClock
    scene: Callable[[float], tuple[Image, Landmarks]] = turning_head
    reference: Reference | None = field(default_factory=lambda: reference(unit_vector(0)))
    models: ScriptedModels | None = None
    frames: int = 180
    camera: CameraIdentity = CAMERA
    standing: Literal["current", "stale"] = "current"
    amount: Decimal | None = None
    comparisons_before: int = 0
    seen_before: Callable[[bytes], bool] = lambda _: False
    enrolling: bool = False
    seen: list[Landmarks] = field(default_factory=list)
    heard: list[str | None] = field(default_factory=list)

    def rendered(self) -> Iterator[tuple[FaceFrame, Landmarks]]:
        for ordinal in range(self.frames):
            self.clock.advance(timedelta(seconds=1 / 15))
            pixels, landmarks = self.scene(ordinal / 15)
            yield FaceFrame(pixels, ordinal, self.clock.monotonic_ns()), landmarks

    def start(self) -> Attempt:
        self.seen.clear()
        self.heard.clear()
        if self.models is None:
            self.models = ScriptedModels(
                lambda _: [face_at(self.seen[-1])], lambda _: unit_vector(0, 0.3)
            )
        return Attempt(
            policy=self.policy,
            calibration=calibration(),
            reference=self.reference,
            standing=self.standing,
            models=self.models,
            clock=self.clock,
            camera=self.camera,
            seed=SEED,
            amount=self.amount,
            comparisons_before=self.comparisons_before,
            seen_before=self.seen_before,
            enrolling=self.enrolling,
        )

    def run(self, attempt: Attempt) -> Progress:
        """Feed the frames until the attempt is complete; return the last progress."""
        progress = Progress(None, 0, 0, complete=False)
        for frame, landmarks in self.rendered():
            self.seen.append(landmarks)
            progress = attempt.observe(frame)
            self.heard.append(progress.instruction)
            if progress.complete:
                break
        return progress

    def decide(self) -> Decided:
        """Run a fresh attempt to its end."""
        attempt = self.start()
        self.run(attempt)
        return attempt.decide()

    def turns_when_asked(self, degrees: float = 14.0, after_seconds: float = 0.6) -> None:
        """Let the head keep still until a turn is asked for, then turn there and back.

        Negative `degrees` turn to the wrong side.
        """

        def scene(t: float) -> tuple[Image, Landmarks]:
            asked = [n for n, each in enumerate(self.heard) if each in TURNS]
            since = t - asked[0] / 15 - after_seconds if asked else 0.0
            far = max(0.0, np.sin(np.pi * min(since, 1.6) / 1.6)) if since > 0 else 0.0
            side = TURNS[self.heard[asked[0]] or ""] if asked else 0
            # Nobody keeps quite still, and no sensor gives the same picture twice.
            return head_at(side * degrees * far + 0.01 * np.sin(9 * t))

        self.scene = scene

    def with_liveness(self, **changes: object) -> None:
        """Change limits of liveness in the policy."""
        limits = self.policy.liveness.model_copy(update=changes)
        self.policy = self.policy.model_copy(update={"liveness": limits})


TARGET = Decimal("1e-4")
