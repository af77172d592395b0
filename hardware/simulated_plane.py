"""A photograph on paper or on a telephone, in an unsteady hand: all of it moves as one plane."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware.simulated_drawing import Turns, blend, premultiplied, turned, wave
from hardware.simulated_people import Pixels

# What a held picture shows around the point between the eyes, in E: left/right, up, down.
PRINT_SIDE, PRINT_UP, PRINT_DOWN = 1.65, 1.8, 2.5


class Plane:
    """One flat thing in an unsteady hand: every pixel of it moves by one homography."""

    def __init__(
        self,
        sheet: Pixels,
        centre: tuple[float, float],
        eyes: float,
        tilt_degrees: float,
        seed: int,
        *,
        screen: bool,
        turns: Turns = (),
    ) -> None:
        self._turns = turns
        self._sheet, self._centre, self._eyes = sheet, centre, eyes
        self._tilt, self._seed = tilt_degrees, seed
        height, width = sheet.shape[:2]
        self._shine = _shine(width, height, screen=screen)
        grain = np.random.default_rng(seed).normal(0, 2.5, (height, width, 1)).clip(0, 12)
        self._grain = cast(Pixels, np.repeat(grain.astype(np.uint8), 3, axis=2))
        corners = [(0, 0), (width, 0), (width, height), (0, height)]
        self._corners = np.array(corners, np.float32)

    def homography(self, t: float) -> NDArray[np.float64]:
        """Return the 3x3 map from the sheet's pixels to the frame's at a time."""
        seed, eyes = self._seed, self._eyes
        yaw = wave(t, seed, (0.29, 0.85), (1.7, 0.1), (7.9, 0.05)) * self._tilt
        yaw = np.radians(yaw + turned(t, self._turns))
        pitch = np.radians(wave(t, seed + 1, (0.19, 0.6), (2.3, 0.1)) * self._tilt)
        roll = np.radians(wave(t, seed + 2, (0.4, 1.2), (6.1, 0.25)))
        dx = wave(t, seed + 3, (0.35, 0.06), (4.7, 0.008), (8.6, 0.006)) * eyes
        dy = wave(t, seed + 4, (0.27, 0.05), (5.3, 0.008), (9.1, 0.006)) * eyes
        width = self._sheet.shape[1]
        flat = (self._corners - (width / 2, PRINT_UP * eyes)) / eyes
        x, y = flat[:, 0], flat[:, 1]
        z = x * np.sin(yaw) + y * np.sin(pitch)
        x, y = x * np.cos(yaw), y * np.cos(pitch)
        x, y = x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)
        # A camera eleven eye distances away (about 70 cm): what comes nearer grows.
        near = 11.0 / (11.0 - z)
        target = np.stack([x * near * eyes + self._centre[0] + dx,
                           y * near * eyes + self._centre[1] + dy], axis=1)  # fmt: skip
        return cast(
            NDArray[np.float64],
            cv2.getPerspectiveTransform(self._corners, target.astype(np.float32)),
        )

    def paint(self, frame: Pixels, t_seconds: float) -> None:
        layer = cv2.warpPerspective(
            self.lit(t_seconds), self.homography(t_seconds), (frame.shape[1], frame.shape[0])
        )
        blend(frame, cast(Pixels, layer), 0, 0)

    def change_to(self, sheet: Pixels) -> None:
        """Show another sheet of the same size from now on."""
        self._sheet = sheet

    def lit(self, t_seconds: float) -> Pixels:
        """Return the sheet with the light that it reflects at a time; premultiplied BGRA."""
        height, width = self._sheet.shape[:2]
        x = int((0.5 + 0.5 * wave(t_seconds, self._seed, (0.29, 0.9), (1.7, 0.1))) * width)
        y = int((0.5 + 0.5 * wave(t_seconds, self._seed + 1, (0.19, 1.0))) * height)
        mask = cv2.cvtColor(self._sheet[:, :, 3], cv2.COLOR_GRAY2BGR)
        light = cv2.add(self._shine[y : y + height, x : x + width], self._grain)
        colour = cv2.cvtColor(self._sheet, cv2.COLOR_BGRA2BGR)
        colour = cv2.add(colour, cv2.multiply(light, mask, scale=1 / 255))
        return cast(Pixels, cv2.merge([*cv2.split(colour), self._sheet[:, :, 3]]))


def _shine(width: int, height: int, *, screen: bool) -> Pixels:
    """Return reflected light, twice the sheet's size, of which a sliding part is added."""
    rows, columns = np.indices((2 * height + 1, 2 * width + 1), dtype=np.float32)
    u, v = (columns - width) / width, (rows - height) / height
    spot = np.exp(-(((u + 0.4 * v) / 0.16) ** 2) - (v / 0.45) ** 2)
    light = (70.0 if screen else 45.0) * spot + (10.0 if screen else 4.0)
    if screen:
        light += 7 * (1 + np.sin(columns * 0.55 + rows * 0.08)) * (0.5 + 0.5 * np.sin(rows * 0.09))
    return cast(Pixels, np.repeat(light.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2))


def paper(flat: Pixels, eyes: float) -> Pixels:
    edge = round(0.14 * eyes)
    matte = cast(Pixels, cv2.convertScaleAbs(flat, alpha=0.86, beta=16))
    sheet = cv2.copyMakeBorder(
        matte, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=(226, 232, 235)
    )
    return _with_hand(cast(Pixels, sheet), eyes, radius=0)


def screen(flat: Pixels, eyes: float) -> Pixels:
    side, end = round(0.1 * eyes), round(0.32 * eyes)
    cool = cv2.convertScaleAbs(flat, alpha=0.9, beta=10).astype(np.float32) * (1.08, 1.0, 0.93)
    lit = cast(Pixels, cool.clip(0, 255).astype(np.uint8))
    sheet = cv2.copyMakeBorder(lit, end, end, side, side, cv2.BORDER_CONSTANT, value=(24, 22, 20))
    return _with_hand(cast(Pixels, sheet), eyes, radius=round(0.16 * eyes))


def _with_hand(sheet: Pixels, eyes: float, *, radius: int) -> Pixels:
    """Add a fist below the sheet and a thumb over its lower edge; return premultiplied BGRA."""
    pad = round(0.05 * eyes)
    below = round(0.75 * eyes)
    height, width = sheet.shape[:2]
    colour = cv2.copyMakeBorder(sheet, pad, below, pad, pad, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    alpha = np.zeros(colour.shape[:2], np.uint8)
    if radius:
        cv2.rectangle(alpha, (pad + radius, pad), (pad + width - radius, pad + height), 255, -1)
        cv2.rectangle(alpha, (pad, pad + radius), (pad + width, pad + height - radius), 255, -1)
        for x in (pad + radius, pad + width - radius):
            for y in (pad + radius, pad + height - radius):
                cv2.circle(alpha, (x, y), radius, 255, -1)
    else:
        cv2.rectangle(alpha, (pad, pad), (pad + width, pad + height), 255, -1)
    middle, bottom = pad + width // 2, pad + height
    skin, shade = (128, 160, 205), (98, 126, 172)
    for x in (-0.48, -0.16, 0.16, 0.48):
        place, size = (round(middle + x * eyes), round(bottom + 0.22 * eyes)), (0.19, 0.42)
        axes = (round(size[0] * eyes), round(size[1] * eyes))
        for image, value in ((colour, shade), (alpha, 255)):
            cv2.ellipse(image, place, axes, 0, 0, 360, value, -1, cv2.LINE_AA)
    place, axes = (middle, round(bottom - 0.02 * eyes)), (round(0.17 * eyes), round(0.36 * eyes))
    for image, value in ((colour, skin), (alpha, 255)):
        cv2.ellipse(image, place, axes, 8, 0, 360, value, -1, cv2.LINE_AA)
    soft = cast(Pixels, cv2.GaussianBlur(alpha, (3, 3), 0))
    return premultiplied(cast(Pixels, colour), soft)
