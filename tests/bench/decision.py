"""Decision time after the last frame, beside a plain detect-align-embed-compare of one frame.

Frames of a simulated person are rendered beforehand; the clock is the attempt's own, so an attempt
runs as at the counter. Measured is what a person waits for: from the last frame in hand to the
decision. The peer is FaceDetectorYN + norm_crop + ArcFaceONNX on that same last frame.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from insightface.model_zoo import get_model
from insightface.utils import face_align

from hardware.simulated_actors import Genuine
from hardware.simulated_people import load_people
from hardware.simulated_scene import Scene
from identity.attempt import Attempt, FaceFrame
from identity.calibration import load_calibration
from identity.policy import load_policy
from identity.references import EnrolmentRefused, enrol
from models.folder import models_folder, verified_path
from models.manifest import SFACE
from models.opencv import cv2
from models.runtime import YUNET, load_models
from retention.records.clock import ManualClock
from retention.records.ids import ConsentId, ReferenceId

ATTEMPTS, FRAMES_PER_SECOND = 60, 15


@dataclass(frozen=True, slots=True)
class Timings:
    ours: list[float]
    peer: list[float]
    accepted: int


def measure() -> Iterator[dict[str, object]]:
    timings = _run()
    yield {
        "bench": "decision",
        "peer": "FaceDetectorYN + norm_crop + ArcFaceONNX on the last frame, one thread",
        "attempts": ATTEMPTS,
        "accepted": timings.accepted,
        **_percentiles("", timings.ours),
        **_percentiles("peer_", timings.peer),
        "ratio_p50": round(statistics.median(timings.ours) / statistics.median(timings.peer), 2),
    }


def _percentiles(prefix: str, values: list[float]) -> dict[str, float]:
    return {
        f"{prefix}ms_p50": round(1000 * float(np.percentile(values, 50)), 1),
        f"{prefix}ms_p95": round(1000 * float(np.percentile(values, 95)), 1),
    }


def _run() -> Timings:
    models, policy, people = load_models(), load_policy(), load_people()
    calibration = load_calibration(models.embedder.contract_id)
    folder = models_folder()
    detector = cv2.FaceDetectorYN.create(str(verified_path(YUNET, folder)), "", (640, 480), 0.7)
    recogniser = get_model(
        str(verified_path(SFACE, folder)),
        model_task="recognition",
        model_metadata={"preprocessing": {"mean": 0, "std": 1}},
        providers=["CPUExecutionProvider"],
    )
    reference = enrol(
        people.pixels("person-a", 1),
        detector=models.detector,
        embedder=models.embedder,
        policy=policy,
        reference_id=ReferenceId("bench"),
        person_ref="bench",
        source="bench",
        consent_id=ConsentId("bench"),
        expires_at=datetime(2100, 1, 1, tzinfo=UTC),
    )
    assert not isinstance(reference, EnrolmentRefused)
    scene = Scene(640, 480, people=people, seed=1, label="bench")
    scene.show([Genuine("person-a", 2)])
    frames = [scene.frame(n / FRAMES_PER_SECOND) for n in range(FRAMES_PER_SECOND * 8)]
    timings = Timings([], [], 0)
    accepted = 0
    for number in range(ATTEMPTS):
        clock = ManualClock()
        attempt = Attempt(
            policy=policy, calibration=calibration, reference=reference,
            detector=models.detector, embedder=models.embedder, clock=clock,
        )  # fmt: skip
        ordinal, complete, started = 0, False, 0.0
        while not complete and ordinal < len(frames) // 2:
            pixels = frames[(ordinal + number) % len(frames)]
            ordinal += 1
            clock.advance(timedelta(seconds=1 / FRAMES_PER_SECOND))
            started = time.perf_counter()
            complete = attempt.observe(FaceFrame(pixels, ordinal, clock.monotonic_ns())).complete
        accepted += attempt.decide().outcome == "ACCEPT"
        timings.ours.append(time.perf_counter() - started)
        timings.peer.append(_plain(detector, recogniser, pixels, reference.embedding))
    return Timings(timings.ours, timings.peer, accepted)


def _plain(detector, recogniser, pixels, embedding) -> float:
    started = time.perf_counter()
    detector.setInputSize((pixels.shape[1], pixels.shape[0]))
    face = detector.detect(pixels)[1][0]
    crop = face_align.norm_crop(pixels, face[4:14].reshape(5, 2), 112)
    found = recogniser.get_feat(crop).reshape(-1)
    float(np.dot(found / np.linalg.norm(found), embedding))
    return time.perf_counter() - started
