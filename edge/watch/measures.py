"""What one picture of a camera measures: light, change, structure and sharpness, a few numbers.

Cheap on purpose (a key picture a second per camera) and without a model: nothing here knows what a
person is. A picture is cut into cells and everything is counted in cells, so that the clock and the
name that a camera writes over its picture, and people in front of the scene, touch only few of
them. Grey pictures are uint8, HxW. Pictures are looked at in memory and never kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from models.opencv import cv2

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

CELLS_ACROSS, CELLS_DOWN = 16, 12
CELL = 20
"""Edge of a cell in the picture that is measured, which is 320 wide and 240 high."""
SIZE = (CELLS_ACROSS * CELL, CELLS_DOWN * CELL)
BLOCKS = (64, 48)
"""Across and down: about half as large as a figure of the clock that a camera writes."""
FINE_SIGMA, COARSE_SIGMA = 2.0, 7.0
"""Blur before gradients are compared, in pixels of 320: what shifts by more no longer matches."""
LEAST_ENERGY = 2.0
"""Mean squared gradient of a cell below which it may be noise (grey levels per pixel of 320)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, measured. `small` is 320x240; `light` is the 95th percentile of its grey levels;
    `fine` and `coarse` are its gradients (2x240x320); `energy` is their strength and `detail` that
    of its finest lines, by cell (12x16)."""

    small: Floats
    light: float
    fine: Floats
    coarse: Floats
    energy: Floats
    detail: Floats

    @property
    def structured(self) -> float:
        """Return the share of cells that show anything but noise."""
        return float((self.energy > LEAST_ENERGY).mean())


def measured(grey: Grey) -> Picture:
    """Measure a picture of any size."""
    return of_small(cv2.resize(grey, SIZE, interpolation=cv2.INTER_AREA).astype(np.float32))


def of_small(small: Floats) -> Picture:
    """Measure a picture that is 320x240 already."""
    fine = _gradients(small, FINE_SIGMA)
    lines = cv2.Laplacian(cv2.GaussianBlur(small, (0, 0), 1.0), cv2.CV_32F)
    return Picture(
        small=small,
        light=float(np.percentile(small, 95)),
        fine=fine,
        coarse=_gradients(small, COARSE_SIGMA),
        energy=by_cell((fine**2).sum(axis=0)),
        detail=by_cell(cast(Floats, lines**2)),
    )


def changes(grey: Grey, before: Grey) -> Floats:
    """Return by block (48x64) how much a picture changed since the one before, in grey levels: all
    0 is the very same picture. Pictures of another size have changed everywhere."""
    if grey.shape != before.shape:
        return np.full(BLOCKS[::-1], 255, np.float32)
    difference = cv2.absdiff(grey, before).astype(np.float32)
    return cast(Floats, cv2.resize(difference, BLOCKS, interpolation=cv2.INTER_AREA))


def nearby(changed: Floats) -> Floats:
    """Return for every block the most that it or a neighbour changed: one figure of a clock becomes
    another, and some part of it changes."""
    return cast(Floats, cv2.dilate(changed, np.ones((3, 3), np.uint8)))


def likeness(now: Floats, reference: Floats) -> Floats:
    """Return by cell how far two gradient fields agree: 1 the same, 0 unrelated. Light that is
    turned up or down in a cell changes nothing."""
    across = by_cell((now * reference).sum(axis=0))
    own = by_cell((now**2).sum(axis=0)) * by_cell((reference**2).sum(axis=0))
    return cast(Floats, across / np.sqrt(np.maximum(own, 1e-6)))


def by_cell(values: Floats) -> Floats:
    """Return the mean of every cell, CELLS_DOWN x CELLS_ACROSS."""
    cells = values.reshape(CELLS_DOWN, CELL, CELLS_ACROSS, CELL)
    return cast(Floats, cells.mean(axis=(1, 3), dtype=np.float32))


def _gradients(small: Floats, sigma: float) -> Floats:
    smooth = cv2.GaussianBlur(small, (0, 0), sigma)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)
    return cast(Floats, np.stack([across, down]))
