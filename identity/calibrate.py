"""Make a calibration of fused scores from labelled pictures, every two people compared and counted.

    python -P -m identity.calibrate --images DIR --out FILE

DIR holds one folder per person with pictures already aligned to 112x112 (the LFW pictures that
the face research field uses are published in that form). Whose picture it is comes from the
folder. Labels are taken as they are: one person under two names, or a picture under a wrong name,
counts as a false match and so raises the threshold, never lowers it.

The score of a decision is the mean of the cosines of K frames of one attempt with one reference.
Such frames are made from each picture (`identity.capture_chain`) and compared with the pictures of
all other people; of two pictures, one is the attempt and the other the reference, once. The frames
of an attempt made here share pose, expression and light, as those of a few seconds nearly do.

Comparisons share people, so they are not independent and a bound that counts them as if they were
is too narrow. The bound here is the larger of two: the 95th percentile of a bootstrap over people,
and the one-sided 95 % Poisson bound on the count. The bootstrap is seeded: the same
pictures and model give the same file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import genpareto

from identity.calibration import RULE_OF_30, STEPS_PER_UNIT, Calibration, Tail, largest_gap
from identity.capture_chain import DESCRIBED_AS as CHAIN
from identity.capture_chain import attempt_frames
from models.errors import ModelsError
from models.opencv import cv2
from models.runtime import load_models
from models.values import Embedder

_FIRST_STEP = 200
_RESAMPLES = 1000
_CONFIDENCE = 0.95
_SEED = 20240601
_FRAME_SEED = b"countersight calibration"
# The part of the comparisons that the tail model is fitted to.
_TAIL_SHARE = 1e-3

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
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


def compare_all(probes: Vectors, references: Vectors, subjects: Ints) -> NonMated:
    """Compare each two pictures of different people once; keep the upper tail.

    `probes` (n, d) are means of the unit vectors of an attempt's frames, `references` (n, d) unit
    vectors of single pictures. Which of two pictures is the attempt alternates.
    """
    scores: list[Floats] = []
    left: list[Ints] = []
    right: list[Ints] = []
    for index in range(len(probes) - 1):
        later = np.arange(index + 1, len(probes))
        forth, back = references[later] @ probes[index], probes[later] @ references[index]
        row = np.where((later + index) % 2 == 0, forth, back).astype(np.float64)
        others = subjects[later]
        wanted = (others != subjects[index]) & (row >= _FIRST_STEP / STEPS_PER_UNIT)
        scores.append(row[wanted])
        left.append(np.full(int(wanted.sum()), subjects[index], dtype=np.int64))
        right.append(others[wanted])
    return NonMated(
        np.concatenate(scores), np.concatenate(left), np.concatenate(right), np.bincount(subjects)
    )


def steps_of(scores: Floats) -> Ints:
    """Return the step that each score reaches, counted from the first step on."""
    return np.floor(scores * STEPS_PER_UNIT + 1e-6).astype(np.int64) - _FIRST_STEP


def fit_tail(found: NonMated, counts: Sequence[int]) -> Tail:
    """Fit a generalised Pareto distribution to the largest scores, by maximum likelihood.

    The tail is what at most one comparison in a thousand reaches. Raises ValueError on fewer
    than 30 such scores.
    """
    allowed = max(found.comparisons * _TAIL_SHARE, RULE_OF_30)
    index = next((i for i, value in enumerate(counts) if value <= allowed), len(counts) - 1)
    first = _FIRST_STEP + index
    above = found.scores[steps_of(found.scores) >= index] - first / STEPS_PER_UNIT
    if len(above) < RULE_OF_30:
        raise ValueError("there are too few comparisons to model the tail")
    shape, _, scale = genpareto.fit(np.maximum(above, 0.0), floc=0.0)
    values = {"shape": f"{shape:.6f}", "scale": f"{scale:.6f}"}
    rough = Tail.model_validate(
        {"from_step": first, "exceedances": len(above), "largest_gap": "0", **values}
    )
    gap = largest_gap(rough, _FIRST_STEP, counts)
    return rough.model_copy(update={"largest_gap": Decimal(f"{gap:.4f}")})


def count(found: NonMated) -> tuple[list[int], list[int]]:
    """Return the counts at or above each step, and their upper 95 % bounds."""
    steps = steps_of(found.scores)
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


def embed_folder(embedder: Embedder, images: Path, frames: int) -> tuple[Vectors, Vectors, Ints]:
    """Embed DIR/PERSON/*.jpg; return fused attempts (n, d), pictures (n, d) and subject numbers.

    Raises ValueError on fewer than two people or a file that is no picture.
    """
    folders = sorted(path for path in images.iterdir() if path.is_dir())
    probes: list[Vectors] = []
    references: list[Vectors] = []
    subjects: list[int] = []
    for number, folder in enumerate(folders):
        for path in sorted(folder.glob("*.jpg")):
            read = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if read is None:
                raise ValueError(f"{path} is not a picture")
            picture = np.asarray(read, dtype=np.uint8)
            crops = attempt_frames(picture, frames, _FRAME_SEED)
            probes.append(np.mean([embedder.embed_aligned(crop) for crop in crops], axis=0))
            references.append(embedder.embed_aligned(picture))
            subjects.append(number)
    if len(set(subjects)) < 2:
        raise ValueError(f"{images} holds fewer than two people")
    _, dense = np.unique(np.array(subjects, dtype=np.int64), return_inverse=True)
    return np.stack(probes), np.stack(references), dense.astype(np.int64)


def document(contract_id: str, frames: int, described_as: str, found: NonMated) -> Calibration:
    """Return the calibration of counted comparisons. Raises ValueError when it is not one."""
    counts, upper = count(found)
    return Calibration(
        format="countersight-calibration-2",
        contract_id=contract_id,
        comparison="cosine, mean over the frames of one attempt, against one picture",
        frames=frames,
        made_from=described_as,
        made_with=f"identity.calibrate, {_RESAMPLES} resamples over people, seed {_SEED}; "
        f"frames by {CHAIN}",
        pictures=int(found.pictures_per_subject.sum()),
        subjects=len(found.pictures_per_subject),
        comparisons=found.comparisons,
        first_step=_FIRST_STEP,
        at_or_above=tuple(counts),
        upper_95=tuple(max(pair) for pair in zip(upper, counts, strict=True)),
        tail=fit_tail(found, counts),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Write a calibration file; exit code 0 done, 1 the pictures or models cannot be used."""
    parser = argparse.ArgumentParser(prog="python -P -m identity.calibrate", description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--described-as", default="aligned pictures, one folder per person")
    parser.add_argument("--models", type=Path, help="the models folder")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    wanted = parser.parse_args(argv)
    try:
        embedder = load_models(wanted.models, threads=wanted.threads).embedder
        found = compare_all(*embed_folder(embedder, wanted.images, wanted.frames))
        made = document(embedder.contract_id, wanted.frames, wanted.described_as, found)
    except (ModelsError, OSError, ValueError) as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - a command line of its own
        return 1
    wanted.out.write_text(made.model_dump_json() + "\n", encoding="ascii")
    print(  # noqa: T201
        f"{made.comparisons} comparisons; smallest supported target {made.smallest_target():.1e}; "
        f"tail shape {made.tail.shape}, scale {made.tail.scale}, largest gap "
        f"{made.tail.largest_gap} decades"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
