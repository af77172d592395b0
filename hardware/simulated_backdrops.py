"""The drawn backdrops of the three scene roles, and the things that move in them.

Purchase looks across the counter at shelves; prescription and dispensing look down on the
counter. Everything is drawn, nothing is photographed.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from hardware.simulated_people import Pixels

_COUNTER_SHARE = 0.9


def counter_line(height: int, role: str) -> int:
    """Return the first row of the counter, which hides what stands behind it."""
    return round(_COUNTER_SHARE * height) if role == "purchase" else height


def draw_backdrop(width: int, height: int, role: str, seed: int) -> Pixels:
    """Draw everything that never moves; BGR uint8, HxWx3."""
    image = cast(Pixels, np.zeros((height, width, 3), np.uint8))
    if role == "purchase":
        _draw_shelves(image, seed)
        _draw_counter(image)
    else:
        _draw_table(image, seed)
    return image


def draw_props(frame: Pixels, role: str, t_seconds: float) -> None:
    """Draw what moves without people: a prescription being slid, boxes being handed over."""
    height, width = frame.shape[:2]
    sway = float(np.sin(2 * np.pi * t_seconds / 6.0))
    if role == "prescription":
        x, y = round((0.3 + 0.04 * sway) * width), round((0.2 + 0.02 * sway) * height)
        _draw_prescription(frame, x, y, round(0.4 * width), round(0.62 * height))
    elif role == "dispensing":
        for index, colour in enumerate(((90, 150, 60), (170, 120, 60), (70, 90, 190))):
            drift = 0.05 * sway if index == 1 else 0.0
            x = round((0.16 + 0.24 * index + drift) * width)
            _draw_box(frame, x, round((0.4 - drift) * height), width // 6, height // 4, colour)


def _draw_shelves(image: Pixels, seed: int) -> None:
    height, width = image.shape[:2]
    rng = np.random.default_rng(seed)
    shade = np.linspace(205, 170, height, dtype=np.float32)[:, None, None]
    image[:] = (shade * (0.97, 1.0, 0.98)).astype(np.uint8)
    for shelf in range(4):
        floor = round((0.24 + 0.2 * shelf) * height)
        x = round(0.02 * width)
        while x < 0.97 * width:
            w = round(rng.uniform(0.03, 0.065) * width)
            h = round(rng.uniform(0.07, 0.14) * height)
            colour = tuple(int(c) for c in rng.integers(95, 235, 3))
            cv2.rectangle(image, (x, floor - h), (x + w, floor), colour, -1)
            lighter = tuple(min(255, c + 30) for c in colour)
            cv2.rectangle(image, (x, floor - h + h // 3), (x + w, floor - h // 3), lighter, -1)
            x += w + round(rng.uniform(0.004, 0.02) * width)
        cv2.rectangle(image, (0, floor), (width, floor + height // 60), (120, 138, 150), -1)
    # Shelves stand a step behind the customer: out of focus.
    image[:] = cv2.GaussianBlur(image, (0, 0), width / 320)


def _draw_counter(image: Pixels) -> None:
    height, width = image.shape[:2]
    top = counter_line(height, "purchase")
    image[top:] = (116, 142, 160)
    cv2.rectangle(image, (0, top), (width, top + max(2, height // 96)), (170, 192, 205), -1)
    arm, x, y = height // 80, round(0.06 * width), round(0.945 * height)
    cv2.rectangle(
        image, (x - 2 * arm, y - arm // 2), (x + 2 * arm, y + arm // 2), (70, 150, 40), -1
    )
    cv2.rectangle(
        image, (x - arm // 2, y - 2 * arm), (x + arm // 2, y + 2 * arm), (70, 150, 40), -1
    )


def _draw_table(image: Pixels, seed: int) -> None:
    height, width = image.shape[:2]
    grain = np.random.default_rng(seed).normal(0, 5, (height, 1)).astype(np.float32)
    lines = cv2.GaussianBlur(grain, (1, 9), 0)
    image[:] = np.clip(np.array((120, 150, 172)) + lines[:, :, None], 0, 255).astype(np.uint8)
    cv2.rectangle(image, (0, round(0.9 * height)), (width, height), (96, 118, 136), -1)


def _draw_prescription(frame: Pixels, x: int, y: int, w: int, h: int) -> None:
    cv2.rectangle(frame, (x + 5, y + 5), (x + w + 5, y + h + 5), (92, 116, 134), -1)
    cv2.rectangle(frame, (x, y), (x + w, y + h), (238, 241, 243), -1)
    for line in range(9):
        left = x + w // 10
        length = (0.78, 0.5, 0.66, 0.72, 0.4)[line % 5]
        below = y + round((0.14 + 0.075 * line) * h)
        cv2.line(frame, (left, below), (left + round(length * w), below), (96, 90, 88), 2)
    cv2.circle(frame, (x + round(0.76 * w), y + round(0.82 * h)), h // 9, (60, 60, 205), 2)


def _draw_box(frame: Pixels, x: int, y: int, w: int, h: int, colour: tuple[int, int, int]) -> None:
    cv2.rectangle(frame, (x + 5, y + 5), (x + w + 5, y + h + 5), (92, 116, 134), -1)
    cv2.rectangle(frame, (x, y), (x + w, y + h), colour, -1)
    cv2.rectangle(frame, (x, y + h // 3), (x + w, y + h // 2), (235, 238, 240), -1)
    cv2.line(frame, (x + w // 8, y + 5 * h // 12), (x + w // 2, y + 5 * h // 12), (60, 60, 60), 2)
