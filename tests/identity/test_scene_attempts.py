"""The shipped models on the simulated camera's pictures, after H.264 at 1 Mb/s.

This shows that the parts fit together and where the limits lie on rendered scenes. It says nothing
about liveness against real people.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction

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
from identity.attempt import Attempt, Decided, FaceFrame
from identity.calibration import load_calibration
from identity.decision import Outcome
from identity.evidence import decode, encode
from identity.judge import judge
from identity.policy import IdentityPolicy
from identity.references import Reference, enrol
from models.opencv import cv2
from models.runtime import LoadedModels
from models.values import Image
from retention.records.clock import ManualClock
from retention.records.ids import ConsentId, ReferenceId
from tests.identity.support import CAMERA, SEED

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


def filmed(
    people: People, cast: Sequence[Actor], seed: int, seconds: float = 4.0
) -> Iterator[Image]:
    """Render a cast, through the camera's encoder and back, as far as it is asked for."""
    scene = Scene(640, 480, people=people, seed=seed, label="purchase")
    scene.show(cast)
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 640, 480, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, RATE), Fraction(RATE)
    encoder.bit_rate = 1_000_000
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(RATE)}
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    for index in range(round(seconds * RATE)):
        frame = av.VideoFrame.from_ndarray(scene.frame(index / RATE), format="bgr24")
        frame.pts = index
        for packet in encoder.encode(frame):
            for seen in decoder.decode(packet):
                yield np.asarray(seen.to_ndarray(format="bgr24"), dtype=np.uint8)


NOBODY: list[Actor] = []
# Somebody further back, a stranger or a face on a poster: less than half as far between the eyes.
BEHIND = Genuine("person-b", x=0.8, y=0.3, eye_distance=0.05)
POSTER = Static("person-a", 3, x=0.78, y=0.3, eye_distance=0.06)


@pytest.mark.parametrize(
    ("cast", "seed", "outcome", "reasons"),
    [
        ([Genuine("person-a", 2)], 1, "ACCEPT", ("MATCH",)),
        ([Genuine("person-a", 3, yaw_degrees=8)], 3, "ACCEPT", ("MATCH",)),
        ([Genuine("person-b")], 1, "REFER", ("MISMATCH",)),
        (NOBODY, 1, "RETRY", ("NO_FACE",)),
        ([BEHIND, Genuine("person-a", 2, x=0.45)], 1, "ACCEPT", ("MATCH",)),
        # The insured's own picture on the wall behind a stranger helps nobody.
        ([POSTER, Genuine("person-b", x=0.45)], 1, "REFER", ("MISMATCH",)),
        (
            [Genuine("person-a", 2, x=0.28), Genuine("person-b", x=0.72)],
            1,
            "RETRY",
            ("MULTIPLE_FACES",),
        ),
        ([Static("person-a", 2)], 1, "REFER", ("STATIC_INPUT",)),
    ],
    ids=lambda value: (
        "-".join(type(each).__name__ for each in value) if isinstance(value, list) else None
    ),
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
    without = policy.liveness.model_copy(update={"challenge": "never"})
    asked = policy.model_copy(update={"liveness": without})
    decided = decide(filmed(people, cast, seed), reference, loaded, asked, clock)
    decision = decided.decision
    assert (decision.outcome.value, decision.reasons) == (outcome, reasons)
    # What was sealed of it is judged alike, with the shipped models.
    again = judge(
        decode(encode(decided.evidence)),
        reference=reference,
        standing=decided.evidence.standing,
        policy=asked,
        calibration=load_calibration(loaded.embedder.contract_id),
        embedder=loaded.embedder,
        passive=loaded.passive,
        amount=decided.evidence.amount,
        comparisons_before=decided.evidence.comparisons_before,
    )
    assert again == decision


@pytest.mark.parametrize("actor", [HeldPhoto("person-a", 2), HeldScreen("person-a", 3)])
def test_a_flat_picture_of_the_insured_is_not_accepted(
    people: People,
    reference: Reference,
    loaded: LoadedModels,
    policy: IdentityPolicy,
    clock: ManualClock,
    actor: Actor,
) -> None:
    decided = decide(filmed(people, [actor], 1), reference, loaded, policy, clock)
    assert decided.decision.outcome is not Outcome.ACCEPT
    assert decided.decision.reasons != ("NO_FACE",)


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
    decided = decide(itertools.chain(stranger, held), reference, loaded, policy, clock)
    assert decided.decision.outcome is not Outcome.ACCEPT


def decide(
    frames: Iterable[Image],
    reference: Reference,
    loaded: LoadedModels,
    policy: IdentityPolicy,
    clock: ManualClock,
) -> Decided:
    attempt = Attempt(
        policy=policy,
        calibration=load_calibration(loaded.embedder.contract_id),
        reference=reference,
        models=loaded,
        clock=clock,
        camera=CAMERA,
        seed=SEED,
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
