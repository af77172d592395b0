"""Who stands before a simulated camera, and how each kind of actor moves.

``Genuine`` is the only actor with a head's depth: its photograph lies on a dome the size of a
head, which turns, nods and blinks. ``HeldPhoto`` and ``HeldScreen`` are one plane in an unsteady
hand, ``Static`` does not move at all; bent and cut prints and films are in simulated_attacks.
Every painter is a pure function of time and seed.
This is for testing the plumbing: none of it is a measure of liveness against real people.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardware.simulated_attacks import BentSheet, CutPrint, Film
from hardware.simulated_cutouts import Cutout
from hardware.simulated_drawing import Painter, Turns, crop
from hardware.simulated_head import GRID, Head, Still
from hardware.simulated_people import Portraits
from hardware.simulated_plane import PRINT_DOWN, PRINT_SIDE, PRINT_UP, Plane, paper, screen

DEFAULT_X, DEFAULT_Y, DEFAULT_EYE_DISTANCE = 0.5, 0.42, 0.14


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
    """A person: turns by ``yaw_degrees`` and nods by ``pitch_degrees`` either way, blinks.

    ``turns`` are turns that were asked for: when each begins, and by how many degrees (positive:
    the nose goes to the picture's right, which is the person's own left). ``calm_from`` is when
    the person stops turning by himself.
    """

    yaw_degrees: float = 14.0
    pitch_degrees: float = 3.0
    turns: Turns = ()
    calm_from: float | None = None


@dataclass(frozen=True, slots=True)
class HeldPhoto(Actor):
    """A paper print in an unsteady hand, tilted by up to ``tilt_degrees``."""

    tilt_degrees: float = 12.0
    turns: Turns = ()


@dataclass(frozen=True, slots=True)
class HeldScreen(Actor):
    """The same on a telephone's screen: dark bezel, interference pattern, stronger glare."""

    tilt_degrees: float = 12.0
    turns: Turns = ()


@dataclass(frozen=True, slots=True)
class BentPhoto(Actor):
    """A paper print bent around an upright or a lying axis; see ``BentSheet``."""

    tilt_degrees: float = 12.0
    bend: float = 0.3
    upright: bool = True
    turns: Turns = ()


@dataclass(frozen=True, slots=True)
class HeldVideo(Actor):
    """A film of a moving person on a flat screen; no tilt is a screen on a stand."""

    yaw_degrees: float = 14.0
    tilt_degrees: float = 2.0
    turns: Turns = ()


@dataclass(frozen=True, slots=True)
class CutPhoto(Actor):
    """A face cut out of its print, eyes cut out too, worn by the living person ``behind``."""

    behind: str = "person-b"
    behind_picture: int = 1
    yaw_degrees: float = 10.0
    tilt_degrees: float = 12.0
    bend: float = 0.0
    turns: Turns = ()


@dataclass(frozen=True, slots=True)
class Static(Actor):
    """A picture that does not move at all."""


def painter(actor: Actor, people: Portraits, width: int, height: int, seed: int) -> Painter:
    """Prepare an actor for frames of this size; slow (tenths of a second), so do it once."""
    eyes = actor.eye_distance * width
    centre = (actor.x * width, actor.y * height)
    row, pixels = (
        people.picture(actor.person, actor.picture),
        people.pixels(actor.person, actor.picture),
    )
    match actor:
        case Genuine():
            whole = Cutout.of(row, pixels, eyes)
            inside = max(2 * GRID, round(height - centre[1] + whole.anchor[1]))
            return Head(
                whole.cut_below(inside), centre, eyes, actor.yaw_degrees, actor.pitch_degrees, seed,
                actor.turns, actor.calm_from,
            )  # fmt: skip
        case HeldPhoto():
            flat = crop(row, pixels, eyes, PRINT_SIDE, PRINT_UP, PRINT_DOWN)
            return Plane(paper(flat, eyes), centre, eyes, actor.tilt_degrees, seed, screen=False,
                         turns=actor.turns)  # fmt: skip
        case HeldScreen():
            flat = crop(row, pixels, eyes, PRINT_SIDE, PRINT_UP, PRINT_DOWN)
            return Plane(screen(flat, eyes), centre, eyes, actor.tilt_degrees, seed, screen=True,
                         turns=actor.turns)  # fmt: skip
        case BentPhoto():
            flat = crop(row, pixels, eyes, PRINT_SIDE, PRINT_UP, PRINT_DOWN)
            return BentSheet(
                paper(flat, eyes), centre, eyes, actor.tilt_degrees, actor.bend, seed,
                upright=actor.upright, turns=actor.turns,
            )  # fmt: skip
        case HeldVideo():
            return Film(
                row, pixels, centre, eyes, actor.yaw_degrees, actor.tilt_degrees, seed, actor.turns
            )
        case CutPhoto():
            wearer = Genuine(
                actor.behind, actor.behind_picture, actor.x, actor.y, actor.eye_distance,
                yaw_degrees=actor.yaw_degrees, turns=actor.turns,
            )  # fmt: skip
            behind = painter(wearer, people, width, height, seed + 7)
            return CutPrint(row, pixels, behind, centre, eyes, actor.tilt_degrees, actor.bend, seed)
        case _:
            return Still(Cutout.of(row, pixels, eyes), centre)
