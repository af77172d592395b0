"""The shipped models on the simulated camera's pictures, after H.264 at 1 Mb/s.

This shows that the parts fit together and where the limits lie on rendered scenes. It says nothing
about liveness against real people.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import av
import numpy as np
import pytest

from hardware.errors import PeopleMissing
from hardware.simulated_people import People
from hardware.simulated_scene import (
    Actor,
    Genuine,
    HeldPhoto,
    HeldScreen,
    Scene,
    Static,
    load_people,
)
from identity.attempt import Attempt, FaceFrame
from identity.calibration import load_calibration
from identity.decision import Decision, Outcome
from identity.policy import IdentityPolicy
from identity.references import Reference, enrol
from models.opencv import cv2
from models.runtime import LoadedModels
from models.values import Image
from retention.records.clock import ManualClock
from retention.records.ids import ConsentId, ReferenceId

RATE = 15


@pytest.fixture(scope="module")
def people() -> People:
    try:
        return load_people()
    except PeopleMissing as missing:
        pytest.skip(f"the demo's photographs are not fetched: {missing}")


@pytest.fixture(scope="module")
def reference(people: People, loaded: LoadedModels, policy: IdentityPolicy) -> Reference:
    made = enrol(
        people.pixels("person-a", 1),
        detector=loaded.detector,
        embedder=loaded.embedder,
        policy=policy,
        reference_id=ReferenceId("0197a000-0000-7000-8000-000000000001"),
        person_ref="ef" * 32,
        source="document_photo",
        consent_id=ConsentId("0197a000-0000-7000-8000-000000000002"),
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    )
    assert isinstance(made, Reference)
    return made


def filmed(people: People, cast: Sequence[Actor], seed: int, seconds: float = 4.0) -> list[Image]:
    """Render a cast and pass it through the camera's encoder and back."""
    scene = Scene(640, 480, people=people, seed=seed, label="purchase")
    scene.show(cast)
    into = io.BytesIO()
    with av.open(into, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        stream.bit_rate = 1_000_000
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(RATE)}
        for index in range(round(seconds * RATE)):
            frame = av.VideoFrame.from_ndarray(scene.frame(index / RATE), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    into.seek(0)
    with av.open(into) as container:
        decoded = container.decode(video=0)
        return [np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8) for frame in decoded]


@pytest.mark.parametrize(
    ("cast", "seed", "outcome", "reasons"),
    [
        ([Genuine("person-a", 2)], 1, "ACCEPT", ("MATCH",)),
        ([Genuine("person-a", 3)], 2, "ACCEPT", ("MATCH",)),
        ([Genuine("person-a", 3, yaw_degrees=8)], 3, "ACCEPT", ("MATCH",)),
        ([Genuine("person-b")], 1, "REFER", ("MISMATCH",)),
        ([], 1, "RETRY", ("NO_FACE",)),
        (
            [Genuine("person-a", 2, x=0.28), Genuine("person-b", x=0.72)],
            1,
            "RETRY",
            ("MULTIPLE_FACES",),
        ),
        ([HeldPhoto("person-a", 2)], 1, "REFER", ("PLANAR_MOTION",)),
        ([HeldPhoto("person-a", 1, tilt_degrees=30)], 2, "REFER", ("PLANAR_MOTION",)),
        ([HeldScreen("person-a", 3)], 1, "REFER", ("PLANAR_MOTION",)),
        ([HeldScreen("person-a", 3, tilt_degrees=30)], 2, "REFER", ("PLANAR_MOTION",)),
        ([Static("person-a", 2)], 1, "REFER", ("STATIC_INPUT",)),
    ],
    ids=lambda value: value[0].__class__.__name__ if isinstance(value, list) and value else None,
)
def test_a_filmed_scene_ends_as_it_should(
    people: People,
    reference: Reference,
    loaded: LoadedModels,
    policy: IdentityPolicy,
    clock: ManualClock,
    cast: list[Actor],
    seed: int,
    outcome: str,
    reasons: tuple[str, ...],
) -> None:
    decision = decide(filmed(people, cast, seed), reference, loaded, policy, clock)
    assert (decision.outcome.value, decision.reasons) == (outcome, reasons)


def test_a_person_replaced_by_a_photograph_in_the_same_place_is_not_accepted(
    people: People,
    reference: Reference,
    loaded: LoadedModels,
    policy: IdentityPolicy,
    clock: ManualClock,
) -> None:
    """A stranger moves like a living person, then holds the insured's photograph before them."""
    stranger = filmed(people, [Genuine("person-b")], 1, seconds=1.2)
    held = filmed(people, [HeldPhoto("person-a", 1)], 1, seconds=2.8)
    decision = decide(stranger + held, reference, loaded, policy, clock)
    assert decision.outcome is not Outcome.ACCEPT


def decide(
    frames: Sequence[Image],
    reference: Reference,
    loaded: LoadedModels,
    policy: IdentityPolicy,
    clock: ManualClock,
) -> Decision:
    attempt = Attempt(
        policy=policy,
        calibration=load_calibration(loaded.embedder.contract_id),
        reference=reference,
        detector=loaded.detector,
        embedder=loaded.embedder,
        clock=clock,
    )
    for ordinal, pixels in enumerate(frames):
        clock.advance(timedelta(seconds=1 / RATE))
        if attempt.observe(FaceFrame(pixels, ordinal, clock.monotonic_ns())).complete:
            break
    return attempt.decide()


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_face_is_found_and_placed_alike_at_any_size_of_picture(
    people: People, loaded: LoadedModels, scale: float
) -> None:
    row, pixels = people.picture("person-a", 1), people.pixels("person-a", 1)
    sized = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale), dtype=np.uint8)
    found = loaded.detector.detect(sized)[0]
    off = np.abs(found.landmarks / scale - np.array(row.landmarks)).max()
    assert off < 0.12 * row.eye_distance
