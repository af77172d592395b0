"""Looked-at frames made without a camera: rendered heads and prints, and faces of five points."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hardware.camera_identity import CameraIdentity
from identity.liveness.windows import take
from identity.looked import LookedFrame
from identity.policy import LivenessLimits, load_policy
from models.values import Embedding, FaceDetection, Image, Landmarks
from tests.identity.support import face_at

NS = 1_000_000_000
LIMITS: LivenessLimits = load_policy().liveness
CAMERA = CameraIdentity("rtsp", "rtsp", simulated=False, virtual=False)
VIRTUAL = CameraIdentity("v4l2", "OBS Virtual Camera", simulated=False, virtual=True)
AT_REST = np.array(
    [[120.0, 140.0], [200.0, 140.0], [160.0, 186.0], [128.0, 226.0], [192.0, 226.0]], np.float32
)


def limits(**changes: object) -> LivenessLimits:
    """Return the shipped limits with changes."""
    return LivenessLimits.model_validate(LIMITS.model_dump() | changes)


def filmed(
    scene: Callable[[float], tuple[Image, Landmarks]], times: Sequence[float]
) -> tuple[LookedFrame, ...]:
    """Return looked-at frames of a scene at some times (seconds, rising)."""
    frames: list[LookedFrame] = []
    for at in times:
        pixels, landmarks = scene(at)
        face = face_at(landmarks)
        window, anchored = take(pixels, face, frames[0].face if frames else face)
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
        size = (pixels.shape[1], pixels.shape[0])
        frames.append(LookedFrame(round(at * NS), size, face, digest, None, window, anchored, ()))
    return tuple(frames)


def faces(offsets: Sequence[tuple[float, float]]) -> tuple[LookedFrame, ...]:
    """Return frames without pictures; each is (seconds, nose offset in eye distances)."""
    frames = []
    for number, (at, offset) in enumerate(offsets):
        points = AT_REST.copy()
        points[2, 0] += 80.0 * offset
        face = FaceDetection((100.0, 90.0, 120.0, 170.0), points, 0.95)
        frames.append(LookedFrame(round(at * NS), (640, 480), face, number.to_bytes(16, "big")))
    return tuple(frames)


def with_crops(frames: Sequence[LookedFrame]) -> tuple[LookedFrame, ...]:
    """Return the frames with crops for a passive model, each holding its own number."""
    return tuple(
        replace(frame, frame_size=(640, 480), passive=(np.full((80, 80, 3), i, np.uint8),) * 2)
        for i, frame in enumerate(frames)
    )


class ScriptedPassive:
    """A passive model whose answer follows from the crops' number; counts its calls."""

    def __init__(self, answer: Callable[[int], float]) -> None:
        self._answer, self.calls = answer, 0

    @property
    def digest(self) -> str:
        return "ab" * 32

    def crops(self, image: Image, face: FaceDetection) -> tuple[Image, ...]:
        raise NotImplementedError

    def live_probability(self, crops: tuple[Image, ...]) -> float:
        self.calls += 1
        return self._answer(int(crops[0][0, 0, 0]))


def vector(angle_degrees: float) -> Embedding:
    """Return a unit vector at an angle from the first axis."""
    made = np.zeros(128, np.float32)
    made[0], made[1] = np.cos(np.radians(angle_degrees)), np.sin(np.radians(angle_degrees))
    return made


def seed_for(*sides: str) -> bytes:
    """Return a seed that asks for these sides."""
    from identity.liveness.challenge import sides_of

    return next(
        seed
        for seed in (n.to_bytes(16, "big") for n in range(10_000))
        if sides_of(seed, len(sides)) == sides
    )
