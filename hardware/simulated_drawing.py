"""Small drawing tools that the simulated actors share. Colours are BGR uint8.

Lengths marked E are in units of the distance between the eyes on screen.
"""

from __future__ import annotations

from typing import Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware.simulated_people import Picture, Pixels

Floats = NDArray[np.float32]
Turns = tuple[tuple[float, float], ...]
"""When each turn begins (seconds), and by how many degrees it goes to the picture's right."""

# Something that is turned goes there in this time, rests, and comes back.
TURN_SECONDS, _TURN_THERE_SECONDS = 2.2, 0.8


class Painter(Protocol):
    """Paints one actor onto a frame (BGR uint8, HxWx3, changed in place)."""

    def paint(self, frame: Pixels, t_seconds: float) -> None: ...


def crop(row: Picture, pixels: Pixels, eyes: float, side: float, up: float, down: float) -> Pixels:
    """Cut a piece around the eyes, scaled so that they are ``eyes`` px apart and level."""
    (lx, ly), (rx, ry) = row.landmarks[:2]
    scale = eyes / row.eye_distance
    angle = float(np.degrees(np.arctan2(ry - ly, rx - lx)))
    size = (round(2 * side * eyes), round((up + down) * eyes))
    matrix = cv2.getRotationMatrix2D(((lx + rx) / 2, (ly + ry) / 2), angle, scale)
    matrix[0, 2] += side * eyes - (lx + rx) / 2
    matrix[1, 2] += up * eyes - (ly + ry) / 2
    sigma = 0.4 / scale
    smooth = cv2.GaussianBlur(pixels, (0, 0), sigma) if scale < 0.8 else pixels
    return cast(
        Pixels,
        cv2.warpAffine(
            smooth, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ),
    )


def blend(frame: Pixels, layer: Pixels, left: int, top: int) -> None:
    """Lay a premultiplied BGRA layer over the frame at a place, clipped to it."""
    height, width = layer.shape[:2]
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(frame.shape[1], left + width), min(frame.shape[0], top + height)
    if x1 <= x0 or y1 <= y0:
        return
    part = layer[y0 - top : y1 - top, x0 - left : x1 - left]
    colour = cv2.cvtColor(part, cv2.COLOR_BGRA2BGR)
    behind = cv2.bitwise_not(cv2.cvtColor(part[:, :, 3], cv2.COLOR_GRAY2BGR))
    target = frame[y0:y1, x0:x1]
    target[:] = cv2.add(colour, cv2.multiply(target, behind, scale=1 / 255))


def premultiplied(colour: Pixels, alpha: Pixels) -> Pixels:
    """Return BGRA whose colours are already weighted, so that it can be warped and laid on."""
    mask = cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR)
    return cast(Pixels, np.dstack([cv2.multiply(colour, mask, scale=1 / 255), alpha]))


def wave(t: float, seed: int, *terms: tuple[float, float]) -> float:
    """Sum sines of (hertz, amplitude) whose phases come from the seed."""
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(terms))
    return float(
        sum(a * np.sin(2 * np.pi * hz * t + p) for (hz, a), p in zip(terms, phases, strict=True))
    )


def turned(t: float, turns: Turns) -> float:
    """Return by how many degrees something is turned at a time."""
    total = 0.0
    for start, degrees in turns:
        into = t - start
        there = float(np.clip(min(into, TURN_SECONDS - into) / _TURN_THERE_SECONDS, 0, 1))
        total += degrees * there * there * (3 - 2 * there)
    return total
