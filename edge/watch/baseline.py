"""What a camera's picture usually looks like: learned from usable pictures, forgotten slowly.

A mean picture, the usual strength and sharpness of every cell, how steadily each cell shows the
same thing, and which blocks change with every picture (the clock that a camera writes over it).
Cells that move all the time (a fan, a screen, a queue) are not steady: nothing is missing when they
look different. It follows the light of the day and what is put on a shelf within MEMORY_SECONDS and
never learns from a picture that was judged unusable. To lose it costs only learning it again.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from edge.watch.measures import (
    BLOCKS,
    CELLS_ACROSS,
    CELLS_DOWN,
    SIZE,
    Floats,
    Mask,
    Picture,
    likeness,
    nearby,
    of_small,
)
from models.opencv import cv2

MEMORY_SECONDS = 600.0
LEARNING_PICTURES = 12
"""So many usable pictures are averaged alike before anything is judged by them."""
WEAKEST = 0.5
"""Least strength of a cell of the mean picture, in which noise has averaged out."""
STEADY, LEAST_STEADY_CELLS = 0.7, 10
ALIKE = 0.5
LIVELY, LIVELY_CHANGE = 0.95, 8.0
MOST_WRITTEN = 0.1
"""A block is lively that changed by more grey levels than coding does in nearly every picture."""
FILE_BYTES_AT_MOST = 2_000_000


@dataclass(frozen=True, slots=True)
class Baseline:
    """The usual view. `steady` is by cell the share of pictures that showed the same there,
    `changed` by block the share in which it changed; the mean picture is measured in `usual`."""

    pictures: int
    usual: Picture
    energy: Floats
    detail: Floats
    steady: Floats
    changed: Floats

    @property
    def learned(self) -> bool:
        return self.pictures >= LEARNING_PICTURES

    @property
    def cells(self) -> Mask:
        """Return which cells show something of the scene that is always there: the clock, and what
        is written beside it, is no part of the scene."""
        scene = (self.energy > WEAKEST) & (self.steady > STEADY)
        lively = self.lively
        if lively.mean() > MOST_WRITTEN:
            return scene  # the noise of a dark hour, or a crowd: no clock is that large
        written = lively.reshape(CELLS_DOWN, 4, CELLS_ACROSS, 4).any(axis=(1, 3))
        around = np.asarray(cv2.dilate(np.asarray(written, np.uint8), np.ones((3, 5), np.uint8)))
        return cast(Mask, scene & (around == 0))

    @property
    def lively(self) -> Mask:
        """Return which blocks change with every picture, as far as it is known."""
        return (self.changed > LIVELY) & self.learned

    @property
    def tells(self) -> bool:
        """Tell whether enough of the view is steady to judge a picture by it."""
        return self.learned and int(self.cells.sum()) >= LEAST_STEADY_CELLS


def first(picture: Picture) -> Baseline:
    """Return what is known after one usable picture."""
    steady = np.ones((CELLS_DOWN, CELLS_ACROSS), np.float32)
    changed = np.ones(BLOCKS[::-1], np.float32)
    return Baseline(1, picture, picture.energy, picture.detail, steady, changed)


def learn(known: Baseline, picture: Picture, seconds: float, changed: Floats) -> Baseline:
    """Return the baseline after one more usable picture, `seconds` after the one before, from
    which it `changed` so much in every block."""
    share = 1 - float(np.exp(-max(0.0, seconds) / MEMORY_SECONDS))
    if not known.learned:
        share = max(share, 1 / (known.pictures + 1))
    alike = (likeness(picture.fine, known.usual.fine) > ALIKE).astype(np.float32)

    def mixed(old: Floats, new: Floats) -> Floats:
        return cast(Floats, old + np.float32(share) * (new - old))

    return replace(
        known,
        pictures=known.pictures + 1,
        usual=of_small(mixed(known.usual.small, picture.small)),
        energy=mixed(known.energy, picture.energy),
        detail=mixed(known.detail, picture.detail),
        steady=mixed(known.steady, alike),
        changed=mixed(known.changed, (nearby(changed) > LIVELY_CHANGE).astype(np.float32)),
    )


# -- a file, so that a restart does not hide that a camera was moved meanwhile --------------------


def to_bytes(baseline: Baseline) -> bytes:
    """Return a baseline as a compressed numpy archive."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        pictures=np.array(baseline.pictures, np.int64),
        small=baseline.usual.small.astype(np.float16),
        energy=baseline.energy,
        detail=baseline.detail,
        steady=baseline.steady,
        changed=baseline.changed,
    )
    return file.getvalue()


def read(path: Path) -> Baseline | None:
    """Read what `to_bytes` wrote; None when there is none or it cannot be read, for then it is
    learned again."""
    try:
        if path.stat().st_size > FILE_BYTES_AT_MOST:
            return None
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as found:
            pictures, small = int(found["pictures"]), found["small"].astype(np.float32)
            energy, detail, steady, changed = (
                found[name].astype(np.float32) for name in ("energy", "detail", "steady", "changed")
            )
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    cells = (CELLS_DOWN, CELLS_ACROSS)
    shapes = [array.shape for array in (small, changed, energy, detail, steady)]
    if shapes != [SIZE[::-1], BLOCKS[::-1], cells, cells, cells]:
        return None
    if not all(np.isfinite(array).all() for array in (small, changed, energy, detail, steady)):
        return None
    return Baseline(pictures, of_small(small), energy, detail, steady, changed)
