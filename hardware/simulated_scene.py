"""What a simulated camera sees: a pharmacy counter, a ticking clock, and a cast of actors.

Pure rendering: a frame is a function of the cast, the seed and the times passed in; no clock,
no thread, no file. Each frame also carries a **stamp**, a row of black and white cells that
survives H.264 and says which frame it is and what its clock showed, so that a test of what
was recorded can count frames instead of trusting container times.

A frame is BGR uint8, HxWx3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import cv2
import numpy as np

from hardware.simulated_actors import (
    Actor,
    BentPhoto,
    CutPhoto,
    Genuine,
    HeldPhoto,
    HeldScreen,
    HeldVideo,
    Static,
    painter,
)
from hardware.simulated_backdrops import counter_line, draw_backdrop, draw_props
from hardware.simulated_drawing import Painter
from hardware.simulated_people import Pixels, Portraits, load_people

__all__ = [
    "Actor",
    "BentPhoto",
    "CutPhoto",
    "Genuine",
    "HeldPhoto",
    "HeldScreen",
    "HeldVideo",
    "Role",
    "Scene",
    "Stamp",
    "Static",
    "load_people",
    "read_stamp",
]

Role = Literal["purchase", "prescription", "dispensing"]
_DAY_TENTHS = 24 * 60 * 60 * 10
_ORDINAL_BITS, _CLOCK_BITS, _CHECK_BITS = 24, 20, 4
_CELLS = _ORDINAL_BITS + _CLOCK_BITS + _CHECK_BITS


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a frame says about itself: its ordinal, and its clock in tenths since midnight."""

    ordinal: int
    clock_tenths: int


class Scene:
    """A camera's view. ``show`` may be slow; ``frame`` is a few milliseconds.

    ``people`` may be None for a view without actors; ``noise`` is the sensor noise's standard
    deviation in grey levels (0 for none).
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        people: Portraits | None,
        seed: int,
        label: str,
        role: Role = "purchase",
        noise: float = 1.5,
    ) -> None:
        self.width, self.height, self.label, self.role = width, height, label, role
        self._people, self._seed = people, seed
        self._backdrop = draw_backdrop(width, height, role, seed)
        self._text_scale = width / 640
        self._put(self._backdrop, label, (0.02, 0.055), 0.5)
        self._counter_line = counter_line(height, role)
        self._painters: tuple[Painter, ...] = ()
        self._prepared: dict[tuple[Actor, int], Painter] = {}
        # Twice a random tile's edge is free to slide, so that noise differs between frames.
        grain = np.random.default_rng(seed).normal(0, noise, (height + 64, width + 64))
        self._brighter = _grey(grain.clip(0, 40)) if noise > 0 else None
        self._darker = _grey((-grain).clip(0, 40)) if noise > 0 else None

    def show(self, cast_list: Sequence[Actor]) -> None:
        """Put these actors in view, first one at the back, from the next frame on.

        Raises ``LookupError`` for a person or picture that does not exist and ``ValueError``
        when this scene has no people to show.
        """
        ready: list[Painter] = []
        for place, actor in enumerate(cast_list):
            if self._people is None:
                raise ValueError("This scene was made without people")
            key = (actor, self._seed + 101 * place)
            if key not in self._prepared:
                if len(self._prepared) >= 8:
                    self._prepared.clear()
                self._prepared[key] = painter(actor, self._people, self.width, self.height, key[1])
            ready.append(self._prepared[key])
        self._painters = tuple(ready)

    def frame(
        self, t_seconds: float, *, clock_seconds: float | None = None, ordinal: int | None = None
    ) -> Pixels:
        """Render the view ``t_seconds`` into the scene.

        ``clock_seconds`` (since midnight; default ``t_seconds``) is what the drawn clock shows;
        ``ordinal`` (default: 15 a second) is the drawn frame counter.
        """
        ordinal = round(t_seconds * 15) if ordinal is None else ordinal
        tenths = round((t_seconds if clock_seconds is None else clock_seconds) * 10) % _DAY_TENTHS
        frame = self._backdrop.copy()
        for each in self._painters:
            each.paint(frame, t_seconds)
        frame[self._counter_line :] = self._backdrop[self._counter_line :]
        draw_props(frame, self.role, t_seconds)
        frame = self._with_noise(frame, ordinal)
        self._put(frame, _clock_text(tenths), (0.76, 0.055), 0.5)
        self._put(frame, f"F{ordinal:07d}", (0.84, 0.955), 0.4)
        _draw_stamp(frame, Stamp(ordinal % (1 << _ORDINAL_BITS), tenths))
        return frame

    def _with_noise(self, frame: Pixels, ordinal: int) -> Pixels:
        if self._brighter is None or self._darker is None:
            return frame
        y, x = (int(v) for v in np.random.default_rng((self._seed, ordinal)).integers(0, 64, 2))
        window = np.s_[y : y + self.height, x : x + self.width]
        frame = cast(Pixels, cv2.add(frame, self._brighter[window]))
        return cast(Pixels, cv2.subtract(frame, self._darker[window]))

    def _put(self, image: Pixels, text: str, place: tuple[float, float], size: float) -> None:
        """Write white text on a dark box; the place is its lower left corner as shares."""
        x, y = round(place[0] * self.width), round(place[1] * self.height)
        scale = size * self._text_scale
        (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        cv2.rectangle(image, (x - 4, y - h - 5), (x + w + 4, y + 5), (32, 28, 26), -1)
        cv2.putText(
            image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (240, 240, 240), 1, cv2.LINE_AA
        )


def read_stamp(frame: Pixels) -> Stamp | None:
    """Read a frame's stamp; None when it has none that can be read (black, torn, other)."""
    top, cell, edge = _stamp_place(frame)
    row = frame[top + edge // 3 : top + max(edge // 3 + 1, edge - edge // 3)].mean(axis=(0, 2))
    bits = 0
    for index in range(_CELLS):
        level = float(row[round((index + 0.3) * cell) : round((index + 0.7) * cell)].mean())
        if 90 < level < 165:
            return None
        bits = (bits << 1) | (level > 128)
    value, check = bits >> _CHECK_BITS, bits & ((1 << _CHECK_BITS) - 1)
    if check != _check(value):
        return None
    return Stamp(value >> _CLOCK_BITS, value & ((1 << _CLOCK_BITS) - 1))


def _draw_stamp(frame: Pixels, stamp: Stamp) -> None:
    top, cell, edge = _stamp_place(frame)
    value = (stamp.ordinal << _CLOCK_BITS) | stamp.clock_tenths
    bits = (value << _CHECK_BITS) | _check(value)
    for index in range(_CELLS):
        level = 235 if bits >> (_CELLS - 1 - index) & 1 else 20
        frame[top : top + edge, round(index * cell) : round((index + 1) * cell)] = level


def _stamp_place(frame: Pixels) -> tuple[int, float, int]:
    height, width = frame.shape[:2]
    edge = max(6, width // 64)
    return height - edge, width / _CELLS, edge


def _check(value: int) -> int:
    """Return four check bits; never zero for zero, so that a black frame has no stamp."""
    total = 5
    while value:
        total = (total * 3 + (value & 15)) % 16
        value >>= 4
    return total


def _clock_text(tenths: int) -> str:
    seconds, tenth = divmod(tenths, 10)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{tenth}"


def _grey(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Pixels:
    return cast(Pixels, np.repeat(values.round().astype(np.uint8)[:, :, None], 3, axis=2))
