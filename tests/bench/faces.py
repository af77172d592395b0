"""What the benches of the face method share: rendered frames, a reference, and one attempt."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hardware.camera_identity import CameraIdentity
from hardware.simulated_actors import Genuine
from hardware.simulated_people import load_people
from hardware.simulated_scene import Scene
from identity.attempt import Attempt, FaceFrame
from identity.calibration import LoadedCalibration
from identity.policy import IdentityPolicy
from identity.references import EnrolmentRefused, Reference, enrol
from models.runtime import LoadedModels
from models.values import Image
from retention.records.clock import ManualClock
from retention.records.ids import ConsentId, ReferenceId

FRAMES_PER_SECOND = 15
_SEED = bytes(range(16))


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """One attempt: `last_seconds` from the last frame in hand to the decision, `observe_seconds`
    over all frames before it."""

    accepted: bool
    frames: int
    observe_seconds: float
    last_seconds: float
    last_frame: Image


def rendered_frames(seconds: float = 8) -> tuple[Image, list[Image]]:
    """Return the picture of the reference, and frames of that simulated person at the counter."""
    people = load_people()
    scene = Scene(640, 480, people=people, seed=1, label="bench")
    scene.show([Genuine("person-a", 2)])
    count = round(FRAMES_PER_SECOND * seconds)
    return people.pixels("person-a", 1), [
        scene.frame(number / FRAMES_PER_SECOND) for number in range(count)
    ]


def reference_of(picture: Image, models: LoadedModels, policy: IdentityPolicy) -> Reference:
    """Return an enrolled reference."""
    made = enrol(
        picture,
        detector=models.detector,
        embedder=models.embedder,
        policy=policy,
        reference_id=ReferenceId("bench"),
        person_ref="bench",
        source="bench",
        consent_id=ConsentId("bench"),
        expires_at=datetime(2100, 1, 1, tzinfo=UTC),
    )
    assert not isinstance(made, EnrolmentRefused), made
    return made


def attempt(
    frames: list[Image],
    start: int,
    models: LoadedModels,
    policy: IdentityPolicy,
    calibration: LoadedCalibration,
    reference: Reference,
) -> Tried:
    """Run one attempt over the frames from `start` on, on a clock of its own."""
    clock = ManualClock()
    running = Attempt(
        policy=policy, calibration=calibration, reference=reference, models=models, clock=clock,
        camera=CameraIdentity("v4l2", "bench", simulated=False, virtual=False), seed=_SEED,
    )  # fmt: skip
    number, complete, observed, started = 0, False, 0.0, 0.0
    pixels = frames[start % len(frames)]
    while not complete and number < len(frames):
        observed += time.perf_counter() - started if number else 0.0
        pixels = frames[(start + number) % len(frames)]
        number += 1
        clock.advance(timedelta(seconds=1 / FRAMES_PER_SECOND))
        started = time.perf_counter()
        complete = running.observe(FaceFrame(pixels, number, clock.monotonic_ns())).complete
    outcome = running.decide().decision.outcome
    ended = time.perf_counter()
    return Tried(outcome == "ACCEPT", number, observed, ended - started, pixels)
