"""Make a calibration from labelled pictures: every comparison of two different people, counted.

    python -P -m identity.calibrate --images DIR --out FILE

DIR holds one folder per person with pictures already aligned to 112x112 (the LFW pictures that
the face research field uses are published in that form). Whose picture it is comes from the
folder. Labels are taken as they are: one person under two names, or a picture under a wrong name,
counts as a false match and so raises the threshold, never lowers it.

Comparisons share people, so they are not independent and a bound that counts them as if they were
is too narrow. The bound here is the larger of two: the 95th percentile of a bootstrap over people,
and the one-sided 95 % Poisson bound on the count. The bootstrap is seeded: the same
pictures and model give the same file.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from identity.calibration import STEPS_PER_UNIT
from models.errors import ModelsError, ModelUnreadable
from models.manifest import SFACE
from models.opencv import cv2
from models.runtime import ArcFaceEmbedder, load_models

_FIRST_STEP = 200
_RESAMPLES = 1000
_CONFIDENCE = 0.95
_SEED = 20240601

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NonMated:
    """The comparisons of different people that reach the first step, and how many there are."""

    scores: Floats
    left_subject: Ints
    right_subject: Ints
    pictures_per_subject: Ints

    @property
    def comparisons(self) -> int:
        """Return how many comparisons of different people the pictures allow."""
        return _pairs(self.pictures_per_subject.astype(np.float64))


def _pairs(pictures: Floats) -> int:
    return round((float(pictures.sum()) ** 2 - float((pictures**2).sum())) / 2)


def compare_all(embeddings: npt.NDArray[np.float32], subjects: Ints) -> NonMated:
    """Compare every picture with every picture of another person; keep the upper tail."""
    scores: list[Floats] = []
    left: list[Ints] = []
    right: list[Ints] = []
    for index in range(len(embeddings) - 1):
        row = (embeddings[index + 1 :] @ embeddings[index]).astype(np.float64)
        others = subjects[index + 1 :]
        wanted = (others != subjects[index]) & (row >= _FIRST_STEP / STEPS_PER_UNIT)
        scores.append(row[wanted])
        left.append(np.full(int(wanted.sum()), subjects[index], dtype=np.int64))
        right.append(others[wanted])
    return NonMated(
        np.concatenate(scores), np.concatenate(left), np.concatenate(right), np.bincount(subjects)
    )


def count(found: NonMated) -> tuple[list[int], list[int]]:
    """Return the counts at or above each step, and their upper 95 % bounds."""
    steps = np.floor(found.scores * STEPS_PER_UNIT + 1e-6).astype(np.int64) - _FIRST_STEP
    length = int(steps.max()) + 2
    counts = _at_or_above(steps, np.ones(len(steps)), length)
    total = found.comparisons
    bootstrap = _bootstrap_upper(found, steps, length) * total
    upper = np.ceil(np.maximum(bootstrap, _poisson_upper(counts)))
    # A bound must not rise with the score: each step takes the largest bound from there on.
    upper = np.maximum.accumulate(upper[::-1])[::-1]
    return [int(value) for value in counts], [int(value) for value in upper]


def _at_or_above(steps: Ints, weights: Floats, length: int) -> Floats:
    binned = np.bincount(steps, weights, minlength=length).astype(np.float64)
    return np.cumsum(binned[::-1])[::-1]


def _poisson_upper(counts: Floats) -> Floats:
    """Return the one-sided 95 % upper bound of rare counts (Wilson-Hilferty)."""
    k = counts + 1
    return np.asarray(k * (1 - 1 / (9 * k) + 1.6449 / (3 * np.sqrt(k))) ** 3, dtype=np.float64)


def _bootstrap_upper(found: NonMated, steps: Ints, length: int) -> Floats:
    """Return the 95th percentile of the false match rate over resampled people, per step."""
    random = np.random.default_rng(_SEED)
    people = len(found.pictures_per_subject)
    rates = np.empty((_RESAMPLES, length))
    for index in range(_RESAMPLES):
        times = np.bincount(random.integers(0, people, people), minlength=people)
        weights = (times[found.left_subject] * times[found.right_subject]).astype(np.float64)
        # A person drawn twice is not compared with the own copy: those pairs are mated.
        pictures = times.astype(np.float64) * found.pictures_per_subject
        own = float((times.astype(np.float64) ** 2 * found.pictures_per_subject**2).sum())
        total = (float(pictures.sum()) ** 2 - own) / 2
        rates[index] = _at_or_above(steps, weights, length) / total
    return np.asarray(np.quantile(rates, _CONFIDENCE, axis=0), dtype=np.float64)


def embed_folder(embedder: ArcFaceEmbedder, images: Path) -> tuple[npt.NDArray[np.float32], Ints]:
    """Embed DIR/PERSON/*.jpg; return embeddings (n, d) and a subject number per picture."""
    folders = sorted(path for path in images.iterdir() if path.is_dir())
    embeddings: list[npt.NDArray[np.float32]] = []
    subjects: list[int] = []
    for number, folder in enumerate(folders):
        for path in sorted(folder.glob("*.jpg")):
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is None:
                raise ValueError(f"{path} is not a picture")
            embeddings.append(embedder.embed_aligned(np.asarray(picture, dtype=np.uint8)))
            subjects.append(number)
    if len(set(subjects)) < 2:
        raise ValueError(f"{images} holds fewer than two people")
    _, dense = np.unique(np.array(subjects, dtype=np.int64), return_inverse=True)
    return np.stack(embeddings), dense.astype(np.int64)


def main(argv: Sequence[str] | None = None) -> int:
    """Write a calibration file; exit code 0 done, 1 the pictures or models cannot be used."""
    parser = argparse.ArgumentParser(prog="python -P -m identity.calibrate", description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--described-as", default="aligned pictures, one folder per person")
    parser.add_argument("--threads", type=int, default=1)
    wanted = parser.parse_args(argv)
    try:
        embedder = load_models(threads=wanted.threads).embedder
        if not isinstance(embedder, ArcFaceEmbedder):
            raise ModelUnreadable(Path(SFACE.file_name), "it takes no aligned pictures")
        embeddings, subjects = embed_folder(embedder, wanted.images)
    except (ModelsError, OSError, ValueError) as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - a command line of its own
        return 1
    found = compare_all(embeddings, subjects)
    counts, upper = count(found)
    document = {
        "format": "countersight-calibration-1",
        "contract_id": embedder.contract_id,
        "comparison": "cosine, one picture against one picture",
        "made_from": wanted.described_as,
        "made_with": f"identity.calibrate, {_RESAMPLES} resamples over people, seed {_SEED}",
        "pictures": len(subjects),
        "subjects": int(subjects.max()) + 1,
        "comparisons": found.comparisons,
        "first_step": _FIRST_STEP,
        "at_or_above": counts,
        "upper_95": [max(bound, value) for bound, value in zip(upper, counts, strict=True)],
    }
    wanted.out.write_text(json.dumps(document) + "\n", encoding="ascii")
    rarest = -math.log10(30 / found.comparisons)
    print(f"{found.comparisons} comparisons; 30 of them are 10^-{rarest:.1f}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
