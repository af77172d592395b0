"""A photograph on a dome the size of a head: it turns, nods and blinks as no plane can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from hardware.simulated_cutouts import Cutout
from hardware.simulated_drawing import Floats, Turns, blend, turned, wave
from hardware.simulated_people import Pixels

# The head as a dome, in E, measured on the four pictures: chin 1.8 below the eyes, hair 1.65
# above, half width with ears 1.25. The depth is a little less than an adult's.
_HEAD_HALF_WIDTH, _HEAD_HALF_HEIGHT, _HEAD_CENTRE_Y, _HEAD_DEPTH = 1.25, 1.75, 0.07, 1.2
_NOSE_HEIGHT, _NOSE_WIDTH = 0.28, 0.24
_NECK_FROM, _NECK_TO = 1.5, 2.7
GRID = 8
# Who is spoken to stops turning by himself in this time.
_CALM_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Still:
    """A cut-out that does not move."""

    cutout: Cutout
    centre: tuple[float, float]

    def paint(self, frame: Pixels, t_seconds: float) -> None:
        left = round(self.centre[0] - self.cutout.anchor[0])
        blend(frame, self.cutout.open, left, round(self.centre[1] - self.cutout.anchor[1]))


class Head:
    """A picture on a dome. The backward map is found on a coarse grid by fixed-point steps."""

    def __init__(
        self,
        cutout: Cutout,
        centre: tuple[float, float],
        eyes: float,
        yaw_degrees: float,
        pitch_degrees: float,
        seed: int,
        turns: Turns = (),
        calm_from: float | None = None,
    ) -> None:
        self._cutout, self._eyes, self._seed = cutout, eyes, seed
        self._yaw_degrees, self._pitch_degrees = yaw_degrees, pitch_degrees
        self._turns, self._calm_from = turns, calm_from
        self._left = round(centre[0] - cutout.anchor[0])
        self._top = round(centre[1] - cutout.anchor[1])
        height, width = cutout.open.shape[:2]
        self._size = (width, height)
        columns = np.linspace(0, width - 1, width // GRID + 1, dtype=np.float32)
        rows = np.linspace(0, height - 1, height // GRID + 1, dtype=np.float32)
        grid_x, grid_y = np.meshgrid(columns, rows)
        self._x = ((grid_x - cutout.anchor[0]) / eyes).astype(np.float32)
        self._y = ((grid_y - cutout.anchor[1]) / eyes).astype(np.float32)

    def pose(self, t: float) -> tuple[float, float]:
        """Return yaw and pitch in radians at a time."""
        yaw = wave(t, self._seed, (0.31, 0.88), (0.13, 0.12)) * self._yaw_degrees
        if self._calm_from is not None:
            yaw *= 1 - float(np.clip((t - self._calm_from) / _CALM_SECONDS, 0, 1))
        yaw += turned(t, self._turns)
        pitch = wave(t, self._seed + 1, (0.23, 0.8), (0.57, 0.2)) * self._pitch_degrees
        return float(np.radians(yaw)), float(np.radians(pitch))

    def closure(self, t: float) -> float:
        """Return how far the eyes are closed, 0 to 1: a blink of 0.3 s every 2.7 s."""
        offset = float(np.random.default_rng(self._seed + 2).uniform(0, 2.7))
        into = (t + offset) % 2.7
        return float(max(0.0, 1.0 - abs(into - 0.15) / 0.15) ** 0.5) if into < 0.3 else 0.0

    def paint(self, frame: Pixels, t_seconds: float) -> None:
        map_x, map_y = self._maps(t_seconds)
        layer = cv2.remap(
            self._texture(self.closure(t_seconds)),
            cv2.resize(map_x, self._size, interpolation=cv2.INTER_LINEAR),
            cv2.resize(map_y, self._size, interpolation=cv2.INTER_LINEAR),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        blend(frame, cast(Pixels, layer), self._left, self._top)

    def _maps(self, t: float) -> tuple[Floats, Floats]:
        yaw, pitch = self.pose(t)
        body = wave(t, self._seed + 3, (0.11, 0.03), (0.27, 0.015))
        x = y = np.zeros_like(self._x)
        x, y = self._x, self._y
        for _ in range(4):
            depth = _depth(x, y)
            head = np.clip((_NECK_TO - y) / (_NECK_TO - _NECK_FROM), 0, 1)
            head = head * head * (3 - 2 * head)
            shift_x = depth * np.sin(yaw) + x * (np.cos(yaw) - 1) + 0.12 * np.sin(yaw)
            shift_y = depth * np.sin(pitch) + (y - 1.8) * (np.cos(pitch) - 1)
            x = self._x - head * shift_x - body
            y = self._y - head * shift_y
        ax, ay = self._cutout.anchor
        return (
            (x * self._eyes + ax).astype(np.float32),
            (y * self._eyes + ay).astype(np.float32),
        )

    def _texture(self, closure: float) -> Pixels:
        if closure <= 0.05:
            return self._cutout.open
        texture = self._cutout.open.copy()
        reach, fold = 0.36 * self._eyes, 0.17 * self._eyes
        for x, y in self._cutout.eyes:
            x0, x1 = round(x - reach), round(x + reach)
            y0 = round(y - fold)
            y1 = round(y0 + closure * 0.31 * self._eyes)
            texture[y0:y1, x0:x1] = self._cutout.closed[y0:y1, x0:x1]
        return texture


def _depth(x: Floats, y: Floats) -> Floats:
    """Return how far the surface stands out towards the camera, in E."""
    radius = (x / _HEAD_HALF_WIDTH) ** 2 + ((y - _HEAD_CENTRE_Y) / _HEAD_HALF_HEIGHT) ** 2
    nose = np.exp(-((x / _NOSE_WIDTH) ** 2) - ((y - 0.55) / 0.35) ** 2)
    return cast(Floats, _HEAD_DEPTH * np.clip(1 - radius, 0, 1) + _NOSE_HEIGHT * nose)
