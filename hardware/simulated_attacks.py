"""Attacks that are more than one flat picture: bent and cut prints, and films on a screen.

As all simulated actors these are pure functions of time and seed. They show what the signals of
liveness say of shapes and motions that we drew; they are no presentation attack instruments.
Lengths marked E are in units of the distance between the eyes on screen.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from hardware.simulated_cutouts import Cutout
from hardware.simulated_drawing import (
    Floats,
    Painter,
    Turns,
    blend,
    crop,
    premultiplied,
    turned,
    wave,
)
from hardware.simulated_head import GRID, Head
from hardware.simulated_people import Picture, Pixels
from hardware.simulated_plane import PRINT_DOWN, PRINT_SIDE, PRINT_UP, Plane, screen

# The holes for the eyes, and the outline of a face that was cut out of its print, in E.
_HOLE_WIDTH, _HOLE_HEIGHT = 0.26, 0.13
_FACE_WIDTH, _FACE_UP, _FACE_DOWN = 1.12, 1.0, 1.85


class BentSheet:
    """A print bent around an upright or a lying axis, in an unsteady hand.

    `bend` is how far its sides stand behind its middle, in E at 1 E from the axis; the hand flexes
    it by a tenth. The backward map is found on a coarse grid by fixed-point steps.
    """

    def __init__(
        self,
        sheet: Pixels,
        centre: tuple[float, float],
        eyes: float,
        tilt_degrees: float,
        bend: float,
        seed: int,
        *,
        upright: bool,
        turns: Turns = (),
    ) -> None:
        self._turns = turns
        self._plane = Plane(sheet, centre, eyes, tilt_degrees, seed, screen=False)
        self._centre, self._eyes, self._tilt = centre, eyes, tilt_degrees
        self._bend, self._seed, self._upright = bend, seed, upright
        self._width = sheet.shape[1]

    def paint(self, frame: Pixels, t_seconds: float) -> None:
        height, width = frame.shape[:2]
        columns = np.linspace(0, width - 1, width // GRID + 1, dtype=np.float32)
        rows = np.linspace(0, height - 1, height // GRID + 1, dtype=np.float32)
        grid_x, grid_y = np.meshgrid(columns, rows)
        aim_x = ((grid_x - self._centre[0]) / self._eyes).astype(np.float32)
        aim_y = ((grid_y - self._centre[1]) / self._eyes).astype(np.float32)
        x, y = aim_x, aim_y
        for _ in range(8):
            shown_x, shown_y = self._shown(x, y, t_seconds)
            x, y = x + (aim_x - shown_x), y + (aim_y - shown_y)
        map_x = (x * self._eyes + self._width / 2).astype(np.float32)
        map_y = ((y + PRINT_UP) * self._eyes).astype(np.float32)
        layer = cv2.remap(
            self._plane.lit(t_seconds),
            cv2.resize(map_x, (width, height), interpolation=cv2.INTER_LINEAR),
            cv2.resize(map_y, (width, height), interpolation=cv2.INTER_LINEAR),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(0, 0, 0, 0),
        )
        blend(frame, cast(Pixels, layer), 0, 0)

    def _shown(self, x: Floats, y: Floats, t: float) -> tuple[Floats, Floats]:
        """Return where a point of the sheet (in E from the eyes) is seen, in E."""
        seed = self._seed
        yaw = wave(t, seed, (0.29, 0.85), (1.7, 0.1), (7.9, 0.05)) * self._tilt
        yaw = np.radians(yaw + turned(t, self._turns))
        pitch = np.radians(wave(t, seed + 1, (0.19, 0.6), (2.3, 0.1)) * self._tilt)
        dx = wave(t, seed + 3, (0.35, 0.06), (4.7, 0.008), (8.6, 0.006))
        dy = wave(t, seed + 4, (0.27, 0.05), (5.3, 0.008), (9.1, 0.006))
        flex = 1 + wave(t, seed + 5, (0.4, 0.1))
        across = x if self._upright else y - 0.5
        z = -self._bend * flex * np.minimum(across**2, 2.5)
        seen_x = x * np.cos(yaw) + z * np.sin(yaw)
        seen_y = y * np.cos(pitch) + z * np.sin(pitch)
        towards = z * np.cos(yaw) * np.cos(pitch) - x * np.sin(yaw) - y * np.sin(pitch)
        near = 11.0 / (11.0 - towards)
        return (
            (seen_x * near + dx).astype(np.float32),
            (seen_y * near + dy).astype(np.float32),
        )


class Film:
    """A film of a turning, nodding and blinking person on a flat screen, in a hand or on a stand.

    A film does not hear what is asked for: it turns when it turns.
    """

    def __init__(
        self,
        row: Picture,
        pixels: Pixels,
        centre: tuple[float, float],
        eyes: float,
        yaw_degrees: float,
        tilt_degrees: float,
        seed: int,
        turns: Turns = (),
    ) -> None:
        flat = crop(row, pixels, eyes, PRINT_SIDE, PRINT_UP, PRINT_DOWN)
        self._eyes = eyes
        self._room = cv2.GaussianBlur(flat, (0, 0), 0.6 * eyes)
        whole = Cutout.of(row, pixels, eyes)
        inside = max(2 * GRID, round(PRINT_DOWN * eyes + whole.anchor[1]))
        place = (flat.shape[1] / 2, PRINT_UP * eyes)
        self._head = Head(whole.cut_below(inside), place, eyes, yaw_degrees, 3.0, seed + 50, turns)
        self._plane = Plane(self._sheet(0.0), centre, eyes, tilt_degrees, seed, screen=True)

    def paint(self, frame: Pixels, t_seconds: float) -> None:
        self._plane.change_to(self._sheet(t_seconds))
        self._plane.paint(frame, t_seconds)

    def _sheet(self, t: float) -> Pixels:
        picture = cast(Pixels, self._room.copy())
        self._head.paint(picture, t)
        return screen(picture, self._eyes)


class CutPrint:
    """A face cut out of its print, with holes for the eyes, before the face of a living person."""

    def __init__(
        self,
        row: Picture,
        pixels: Pixels,
        behind: Painter,
        centre: tuple[float, float],
        eyes: float,
        tilt_degrees: float,
        bend: float,
        seed: int,
        turns: Turns = (),
    ) -> None:
        self._behind = behind
        flat = crop(row, pixels, eyes, PRINT_SIDE, PRINT_UP, PRINT_DOWN)
        matte = cast(Pixels, cv2.convertScaleAbs(flat, alpha=0.86, beta=16))
        sheet = premultiplied(matte, _outline(matte, eyes))
        self._print = BentSheet(
            sheet, centre, eyes, tilt_degrees, bend, seed, upright=True, turns=turns
        )

    def paint(self, frame: Pixels, t_seconds: float) -> None:
        self._behind.paint(frame, t_seconds)
        self._print.paint(frame, t_seconds)


def _outline(flat: Pixels, eyes: float) -> Pixels:
    """Return what is left of a print: the face, without the eyes."""
    alpha = cast(Pixels, np.zeros(flat.shape[:2], np.uint8))
    middle_x, eye_y = flat.shape[1] / 2, PRINT_UP * eyes
    half = (_FACE_UP + _FACE_DOWN) / 2
    place = (round(middle_x), round(eye_y + (_FACE_DOWN - half) * eyes))
    cv2.ellipse(alpha, place, (round(_FACE_WIDTH * eyes), round(half * eyes)), 0, 0, 360, 255, -1)
    for side in (-0.5, 0.5):
        hole = (round(middle_x + side * eyes), round(eye_y))
        axes = (round(_HOLE_WIDTH * eyes), round(_HOLE_HEIGHT * eyes))
        cv2.ellipse(alpha, hole, axes, 0, 0, 360, 0, -1)
    return cast(Pixels, cv2.GaussianBlur(alpha, (3, 3), 0))
