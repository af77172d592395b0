"""People cut out of their photographs: without the backdrop, with eyes open and closed.

Slow (tenths of a second); made once per actor. Lengths marked E are eye distances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from hardware.simulated_drawing import Floats, crop, premultiplied
from hardware.simulated_people import Picture, Pixels

# What is cut out of a photograph around the point between the eyes, in E: left/right, up, down.
_CUT_SIDE, _CUT_UP, _CUT_DOWN = 3.2, 2.2, 4.2


@dataclass(frozen=True, slots=True)
class Cutout:
    """A person without the backdrop: premultiplied BGRA, eyes open and eyes closed."""

    open: Pixels
    closed: Pixels
    eyes: tuple[tuple[float, float], tuple[float, float]]
    anchor: tuple[float, float]

    @classmethod
    def of(cls, row: Picture, pixels: Pixels, eyes: float) -> Cutout:
        image = crop(row, pixels, eyes, _CUT_SIDE, _CUT_UP, _CUT_DOWN)
        anchor = (_CUT_SIDE * eyes, _CUT_UP * eyes)
        places = ((anchor[0] - eyes / 2, anchor[1]), (anchor[0] + eyes / 2, anchor[1]))
        alpha = _silhouette(image, anchor, row)
        shut = _eyes_closed(image, places, eyes)
        whole = cls(premultiplied(image, alpha), premultiplied(shut, alpha), places, anchor)
        return whole._trimmed(alpha, margin=round(0.3 * eyes))

    def _trimmed(self, alpha: Pixels, margin: int) -> Cutout:
        """Leave away the empty sides, which would be warped for nothing."""
        columns = np.flatnonzero(alpha.any(axis=0))
        x0, x1 = max(0, int(columns[0]) - margin), int(columns[-1]) + margin
        left, right = self.eyes
        return Cutout(
            np.ascontiguousarray(self.open[:, x0:x1]),
            np.ascontiguousarray(self.closed[:, x0:x1]),
            ((left[0] - x0, left[1]), (right[0] - x0, right[1])),
            (self.anchor[0] - x0, self.anchor[1]),
        )

    def cut_below(self, row: int) -> Cutout:
        """Leave away what is out of the frame."""
        return Cutout(self.open[:row], self.closed[:row], self.eyes, self.anchor)


def _silhouette(image: Pixels, anchor: tuple[float, float], row: Picture) -> Pixels:
    """Separate the person from the backdrop (GrabCut seeded with a head and shoulders)."""
    eyes = anchor[0] / _CUT_SIDE
    scale = min(1.0, 45.0 / eyes)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    unit, (ax, ay) = eyes * scale, (anchor[0] * scale, anchor[1] * scale)
    (lx, ly), (rx, ry) = row.landmarks[:2]
    aside = (row.face_box[0] + row.face_box[2] / 2 - (lx + rx) / 2) / row.eye_distance
    crown = ((ly + ry) / 2 - row.crown_y) / row.eye_distance

    def ellipse(mask: Pixels, x: float, y: float, rx: float, ry: float, value: int) -> None:
        middle = (round(ax + x * unit), round(ay + y * unit))
        cv2.ellipse(mask, middle, (round(rx * unit), round(ry * unit)), 0, 0, 360, value, -1)

    # The face box says where a turned head is: its middle is not the one between the eyes.
    mask = cast(Pixels, np.full(small.shape[:2], cv2.GC_BGD, np.uint8))
    ellipse(mask, aside, 0.05, 1.5, 1.9, cv2.GC_PR_BGD)
    ellipse(mask, 0, 4.6, 3.0, 2.6, cv2.GC_PR_FGD)
    ellipse(mask, aside, 0.0, 1.22, 1.72, cv2.GC_PR_FGD)
    ellipse(mask, aside, 0.25, 0.9, 1.35, cv2.GC_FGD)
    ellipse(mask, aside, 0.1 - crown / 2, 1.0, crown / 2 - 0.1, cv2.GC_FGD)
    ellipse(mask, 0, 4.6, 1.9, 2.2, cv2.GC_FGD)
    ellipse(mask, aside / 2, 2.2, 0.5, 0.9, cv2.GC_FGD)
    cv2.setRNGSeed(1)
    cv2.grabCut(
        small, mask, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK
    )
    person = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    person = cast(Pixels, cv2.morphologyEx(person, cv2.MORPH_OPEN, kernel))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(person)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    solid = cast(Pixels, (labels == largest).astype(np.uint8) * 255)
    solid = cast(Pixels, cv2.morphologyEx(solid, cv2.MORPH_CLOSE, kernel))
    full = cv2.resize(solid, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    soft = cv2.GaussianBlur(full, (0, 0), 0.05 * eyes)
    # Pull the edge inwards by about the blur, so that no backdrop shines through.
    return cast(Pixels, np.clip((soft.astype(np.float32) - 165) * 3.2, 0, 255).astype(np.uint8))


def _eyes_closed(
    image: Pixels, places: tuple[tuple[float, float], tuple[float, float]], eyes: float
) -> Pixels:
    """Return the picture with both eyes covered by skin stretched up from the lower lids."""
    rows, columns = (cast(Floats, each) for each in np.indices(image.shape[:2], dtype=np.float32))
    lift, cover, line = np.zeros_like(rows), np.zeros_like(rows), np.zeros_like(rows)
    for x, y in places:
        dx, dy = (columns - x) / eyes, (rows - y) / eyes
        across = np.clip(1 - (dx / 0.29) ** 2, 0, 1)
        lower = 0.09 * across
        inside = (dy > -0.12 * across) & (dy < lower) & (across > 0)
        lift += np.where(inside, lower + 0.03 + (lower - dy) * 0.6 - dy, 0)
        cover += inside
        lash = np.exp(-(((dy - lower + 0.012) / 0.018) ** 2))
        line += lash * (across > 0.02) * np.sqrt(across)
    skin = cv2.remap(image, columns, rows + lift * eyes, cv2.INTER_LINEAR).astype(np.float32)
    skin *= (1 - 0.5 * np.clip(line, 0, 1))[:, :, None]
    mask = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), 0.02 * eyes)[:, :, None]
    return cast(Pixels, (skin * mask + image * (1 - mask)).astype(np.uint8))
