"""Who stands before a simulated camera, and how each kind of actor moves.

``Genuine`` is the only actor with depth: its photograph lies on a dome the size of a head,
which turns, nods and blinks. ``HeldPhoto`` and ``HeldScreen`` are one plane in an unsteady
hand, ``Static`` does not move at all. Every painter is a pure function of time and seed.
This is for testing the plumbing: none of it is a measure of liveness against real people.

Lengths marked E are in units of the distance between the eyes on screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware.simulated_people import People, Picture, Pixels

Floats = NDArray[np.float32]
DEFAULT_X, DEFAULT_Y, DEFAULT_EYE_DISTANCE = 0.5, 0.42, 0.14

# The head as a dome, in E, measured on the four pictures: chin 1.8 below the eyes, hair 1.65
# above, half width with ears 1.25. The depth is a little less than an adult's.
_HEAD_HALF_WIDTH, _HEAD_HALF_HEIGHT, _HEAD_CENTRE_Y, _HEAD_DEPTH = 1.25, 1.75, 0.07, 1.2
_NOSE_HEIGHT, _NOSE_WIDTH = 0.28, 0.24
_NECK_FROM, _NECK_TO = 1.5, 2.7
# What is cut out of a photograph around the point between the eyes, in E: left/right, up, down.
_CUT_SIDE, _CUT_UP, _CUT_DOWN = 3.2, 2.2, 4.2
_PRINT_SIDE, _PRINT_UP, _PRINT_DOWN = 1.65, 1.8, 2.5
_GRID = 8


@dataclass(frozen=True, slots=True)
class Actor:
    """One thing in view: which picture, and where the point between its eyes is.

    ``x`` and ``y`` are shares of the frame's width and height; ``eye_distance`` is a share of
    the frame's width (0.14 is 90 px at 640).
    """

    person: str
    picture: int = 1
    x: float = DEFAULT_X
    y: float = DEFAULT_Y
    eye_distance: float = DEFAULT_EYE_DISTANCE


@dataclass(frozen=True, slots=True)
class Genuine(Actor):
    """A person: turns by ``yaw_degrees`` and nods by ``pitch_degrees`` either way, blinks."""

    yaw_degrees: float = 14.0
    pitch_degrees: float = 3.0


@dataclass(frozen=True, slots=True)
class HeldPhoto(Actor):
    """A paper print in an unsteady hand, tilted by up to ``tilt_degrees``."""

    tilt_degrees: float = 12.0


@dataclass(frozen=True, slots=True)
class HeldScreen(Actor):
    """The same on a telephone's screen: dark bezel, interference pattern, stronger glare."""

    tilt_degrees: float = 12.0


@dataclass(frozen=True, slots=True)
class Static(Actor):
    """A picture that does not move at all."""


class Painter(Protocol):
    """Paints one actor onto a frame (BGR uint8, HxWx3, changed in place)."""

    def paint(self, frame: Pixels, t_seconds: float) -> None: ...


def painter(actor: Actor, people: People, width: int, height: int, seed: int) -> Painter:
    """Prepare an actor for frames of this size; slow (tenths of a second), so do it once."""
    eyes = actor.eye_distance * width
    centre = (actor.x * width, actor.y * height)
    row, pixels = (
        people.picture(actor.person, actor.picture),
        people.pixels(actor.person, actor.picture),
    )
    match actor:
        case Genuine():
            whole = _Cutout.of(row, pixels, eyes)
            inside = max(2 * _GRID, round(height - centre[1] + whole.anchor[1]))
            return _Head(whole.cut_below(inside), centre, eyes, actor, seed)
        case HeldPhoto():
            flat = _crop(row, pixels, eyes, _PRINT_SIDE, _PRINT_UP, _PRINT_DOWN)
            return _Plane(_paper(flat, eyes), centre, eyes, actor.tilt_degrees, seed, screen=False)
        case HeldScreen():
            flat = _crop(row, pixels, eyes, _PRINT_SIDE, _PRINT_UP, _PRINT_DOWN)
            return _Plane(_screen(flat, eyes), centre, eyes, actor.tilt_degrees, seed, screen=True)
        case _:
            return _Still(_Cutout.of(row, pixels, eyes), centre)


def _crop(row: Picture, pixels: Pixels, eyes: float, side: float, up: float, down: float) -> Pixels:
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


def _blend(frame: Pixels, layer: Pixels, left: int, top: int) -> None:
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


def _premultiplied(colour: Pixels, alpha: Pixels) -> Pixels:
    mask = cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR)
    return cast(Pixels, np.dstack([cv2.multiply(colour, mask, scale=1 / 255), alpha]))


@dataclass(frozen=True, slots=True)
class _Cutout:
    """A person without the backdrop: premultiplied BGRA, eyes open and eyes closed."""

    open: Pixels
    closed: Pixels
    eyes: tuple[tuple[float, float], tuple[float, float]]
    anchor: tuple[float, float]

    @classmethod
    def of(cls, row: Picture, pixels: Pixels, eyes: float) -> _Cutout:
        image = _crop(row, pixels, eyes, _CUT_SIDE, _CUT_UP, _CUT_DOWN)
        anchor = (_CUT_SIDE * eyes, _CUT_UP * eyes)
        places = ((anchor[0] - eyes / 2, anchor[1]), (anchor[0] + eyes / 2, anchor[1]))
        alpha = _silhouette(image, anchor, row)
        shut = _eyes_closed(image, places, eyes)
        whole = cls(_premultiplied(image, alpha), _premultiplied(shut, alpha), places, anchor)
        return whole._trimmed(alpha, margin=round(0.3 * eyes))

    def _trimmed(self, alpha: Pixels, margin: int) -> _Cutout:
        """Leave away the empty sides, which would be warped for nothing."""
        columns = np.flatnonzero(alpha.any(axis=0))
        x0, x1 = max(0, int(columns[0]) - margin), int(columns[-1]) + margin
        left, right = self.eyes
        return _Cutout(
            np.ascontiguousarray(self.open[:, x0:x1]),
            np.ascontiguousarray(self.closed[:, x0:x1]),
            ((left[0] - x0, left[1]), (right[0] - x0, right[1])),
            (self.anchor[0] - x0, self.anchor[1]),
        )

    def cut_below(self, row: int) -> _Cutout:
        """Leave away what is out of the frame."""
        return _Cutout(self.open[:row], self.closed[:row], self.eyes, self.anchor)


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


def _wave(t: float, seed: int, *terms: tuple[float, float]) -> float:
    """Sum sines of (hertz, amplitude) whose phases come from the seed."""
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(terms))
    return float(
        sum(a * np.sin(2 * np.pi * hz * t + p) for (hz, a), p in zip(terms, phases, strict=True))
    )


@dataclass(frozen=True, slots=True)
class _Still:
    cutout: _Cutout
    centre: tuple[float, float]

    def paint(self, frame: Pixels, t_seconds: float) -> None:
        left = round(self.centre[0] - self.cutout.anchor[0])
        _blend(frame, self.cutout.open, left, round(self.centre[1] - self.cutout.anchor[1]))


class _Head:
    """A picture on a dome. The backward map is found on a coarse grid by fixed-point steps."""

    def __init__(
        self,
        cutout: _Cutout,
        centre: tuple[float, float],
        eyes: float,
        actor: Genuine,
        seed: int,
    ) -> None:
        self._cutout, self._eyes, self._actor, self._seed = cutout, eyes, actor, seed
        self._left = round(centre[0] - cutout.anchor[0])
        self._top = round(centre[1] - cutout.anchor[1])
        height, width = cutout.open.shape[:2]
        self._size = (width, height)
        columns = np.linspace(0, width - 1, width // _GRID + 1, dtype=np.float32)
        rows = np.linspace(0, height - 1, height // _GRID + 1, dtype=np.float32)
        grid_x, grid_y = np.meshgrid(columns, rows)
        self._x = ((grid_x - cutout.anchor[0]) / eyes).astype(np.float32)
        self._y = ((grid_y - cutout.anchor[1]) / eyes).astype(np.float32)

    def pose(self, t: float) -> tuple[float, float]:
        """Return yaw and pitch in radians at a time."""
        yaw = _wave(t, self._seed, (0.31, 0.88), (0.13, 0.12)) * self._actor.yaw_degrees
        pitch = _wave(t, self._seed + 1, (0.23, 0.8), (0.57, 0.2)) * self._actor.pitch_degrees
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
        _blend(frame, cast(Pixels, layer), self._left, self._top)

    def _maps(self, t: float) -> tuple[Floats, Floats]:
        yaw, pitch = self.pose(t)
        body = _wave(t, self._seed + 3, (0.11, 0.03), (0.27, 0.015))
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


class _Plane:
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
    ) -> None:
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
        yaw = np.radians(_wave(t, seed, (0.29, 0.85), (1.7, 0.1), (7.9, 0.05)) * self._tilt)
        pitch = np.radians(_wave(t, seed + 1, (0.19, 0.6), (2.3, 0.1)) * self._tilt)
        roll = np.radians(_wave(t, seed + 2, (0.4, 1.2), (6.1, 0.25)))
        dx = _wave(t, seed + 3, (0.35, 0.06), (4.7, 0.008), (8.6, 0.006)) * eyes
        dy = _wave(t, seed + 4, (0.27, 0.05), (5.3, 0.008), (9.1, 0.006)) * eyes
        width = self._sheet.shape[1]
        flat = (self._corners - (width / 2, _PRINT_UP * eyes)) / eyes
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
        height, width = self._sheet.shape[:2]
        x = int((0.5 + 0.5 * _wave(t_seconds, self._seed, (0.29, 0.9), (1.7, 0.1))) * width)
        y = int((0.5 + 0.5 * _wave(t_seconds, self._seed + 1, (0.19, 1.0))) * height)
        mask = cv2.cvtColor(self._sheet[:, :, 3], cv2.COLOR_GRAY2BGR)
        light = cv2.add(self._shine[y : y + height, x : x + width], self._grain)
        colour = cv2.cvtColor(self._sheet, cv2.COLOR_BGRA2BGR)
        colour = cv2.add(colour, cv2.multiply(light, mask, scale=1 / 255))
        sheet = cv2.merge([*cv2.split(colour), self._sheet[:, :, 3]])
        layer = cv2.warpPerspective(
            sheet, self.homography(t_seconds), (frame.shape[1], frame.shape[0])
        )
        _blend(frame, cast(Pixels, layer), 0, 0)


def _shine(width: int, height: int, *, screen: bool) -> Pixels:
    """Return reflected light, twice the sheet's size, of which a sliding part is added."""
    rows, columns = np.indices((2 * height + 1, 2 * width + 1), dtype=np.float32)
    u, v = (columns - width) / width, (rows - height) / height
    spot = np.exp(-(((u + 0.4 * v) / 0.16) ** 2) - (v / 0.45) ** 2)
    light = (70.0 if screen else 45.0) * spot + (10.0 if screen else 4.0)
    if screen:
        light += 7 * (1 + np.sin(columns * 0.55 + rows * 0.08)) * (0.5 + 0.5 * np.sin(rows * 0.09))
    return cast(Pixels, np.repeat(light.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2))


def _paper(flat: Pixels, eyes: float) -> Pixels:
    edge = round(0.14 * eyes)
    matte = cast(Pixels, cv2.convertScaleAbs(flat, alpha=0.86, beta=16))
    sheet = cv2.copyMakeBorder(
        matte, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=(226, 232, 235)
    )
    return _with_hand(cast(Pixels, sheet), eyes, radius=0)


def _screen(flat: Pixels, eyes: float) -> Pixels:
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
    return _premultiplied(cast(Pixels, colour), soft)
