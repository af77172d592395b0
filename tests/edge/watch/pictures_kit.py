"""Pictures to judge: the drawn pharmacy, and what can happen in front of a lens. Grey, uint8.

Drawn, not filmed: they show what a measure answers to, and are no statement about real cameras.
Every picture is made with the generator that the caller seeded.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import av
import cv2
import numpy as np

from edge.watch.measures import Grey
from hardware.simulated_scene import Role, Scene

WIDTH, HEIGHT = 640, 480
ZOOM = 1.15
ROLES: tuple[Role, ...] = ("purchase", "prescription", "dispensing")


class View:
    """A camera on a wall: `at(t)` is its picture at a second, cut from a larger scene so that the
    camera can be turned; the clock and the name are written over it afterwards, as cameras do."""

    def __init__(self, role: Role, *, noise: float = 1.5, seed: int = 1) -> None:
        self._scene = Scene(WIDTH, HEIGHT, people=None, seed=seed, label="x", role=role, noise=0)
        self._random = np.random.default_rng(seed)
        self._noise = noise

    def scene(self, t: float) -> Grey:
        bgr = self._scene.frame(t, clock_seconds=0, ordinal=0)
        return cast(Grey, cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY))

    def at(self, t: float, *, across: float = 0.0, down: float = 0.0, degrees: float = 0.0) -> Grey:
        """Return the picture with the camera shifted (shares of the size) and tilted."""
        turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, ZOOM)
        turn[:, 2] += (across * WIDTH, down * HEIGHT)
        seen = cv2.warpAffine(self.scene(t), turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        return self.filmed(cast(Grey, seen), t)

    def filmed(self, seen: Grey, t: float) -> Grey:
        """Add the sensor's noise and the clock."""
        noisy = seen.astype(np.float32) + self._random.normal(0, self._noise, seen.shape)
        picture = noisy.clip(0, 255).astype(np.uint8)
        text = f"12:{int(t) // 60 % 60:02d}:{int(t) % 60:02d}"
        cv2.rectangle(picture, (8, 12), (160, 50), 30, -1)
        cv2.putText(picture, text, (16, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2)
        return cast(Grey, picture)

    def days(self, seconds: int) -> Iterator[tuple[float, Grey]]:
        for t in range(seconds):
            yield float(t), self.at(float(t))


def blurred(picture: Grey, sigma: float) -> Grey:
    return cast(Grey, cv2.GaussianBlur(picture, (0, 0), sigma))


def covered(picture: Grey, share: float, level: float, random: np.random.Generator) -> Grey:
    """Hold something close before the lens, from the left on: no lines, only soft shades."""
    soft = random.normal(0, 60, picture.shape).astype(np.float32)
    soft = cv2.GaussianBlur(cv2.GaussianBlur(soft, (0, 0), 53) * 12 + level, (0, 0), 32)
    before = np.zeros(picture.shape, np.float32)
    before[:, : int(WIDTH * share)] = 1
    before = cv2.GaussianBlur(before, (0, 0), 11)
    return _grey(picture * (1 - before) + soft * before)


def person(
    picture: Grey, place: float, width: float, random: np.random.Generator, *, plain: bool = False
) -> Grey:
    """Have somebody stand there: head, shoulders and clothes with a pattern, or without."""
    middle, half = int(place * WIDTH), int(width * WIDTH / 2)
    shape = np.zeros(picture.shape, np.uint8)
    cv2.ellipse(shape, (middle, 168), (max(1, int(half * 0.45)), 86), 0, 0, 360, 255, -1)
    cv2.rectangle(shape, (middle - half, 240), (middle + half, HEIGHT), 255, -1)
    clothes = np.full(picture.shape, 60, np.float32)
    if not plain:
        pattern = random.normal(0, 40, (HEIGHT // 12, WIDTH // 12)).astype(np.float32)
        clothes += cv2.resize(pattern, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return _grey(np.where(shape > 0, clothes, picture))


def lit(picture: Grey, gain: float, gamma: float = 1.0) -> Grey:
    """Turn the light up or down."""
    return _grey(255 * (picture / 255.0) ** gamma * gain)


def lit_from_the_side(picture: Grey, amplitude: float) -> Grey:
    return _grey(picture * np.linspace(1 - amplitude, 1 + amplitude, WIDTH)[None])


def _grey(values: np.ndarray[tuple[int, ...], np.dtype[Any]]) -> Grey:
    return cast(Grey, np.clip(values, 0, 255).astype(np.uint8))


def key_picture(grey: np.ndarray) -> bytes:
    """Return a picture as an H.264 key picture."""
    height, width = grey.shape
    coder = av.CodecContext.create("libx264", "w")
    coder.width, coder.height, coder.pix_fmt = width, height, "yuv420p"
    coder.time_base, coder.options = Fraction(1, 10), {"preset": "ultrafast", "crf": "23"}
    frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuv420p")
    return b"".join(bytes(packet) for packet in [*coder.encode(frame), *coder.encode(None)])
