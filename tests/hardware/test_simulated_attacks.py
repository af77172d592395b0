"""The drawn attacks: they move as their shapes do, and only as time and seed say."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.errors import PeopleMissing
from hardware.simulated_control import CastMember
from hardware.simulated_drawing import TURN_SECONDS, turned
from hardware.simulated_people import People, load_people
from hardware.simulated_scene import (
    Actor,
    BentPhoto,
    CutPhoto,
    Genuine,
    HeldPhoto,
    HeldVideo,
    Scene,
)

ATTACKS = [
    BentPhoto("person-a"),
    BentPhoto("person-a", upright=False, tilt_degrees=30, bend=0.5),
    CutPhoto("person-a", bend=0.3),
    HeldVideo("person-a"),
]


@pytest.fixture(scope="module")
def people() -> People:
    try:
        return load_people()
    except PeopleMissing as missing:
        pytest.skip(f"the demo's photographs are not fetched: {missing}")


def scene(people: People, actor: Actor, seed: int = 1) -> Scene:
    made = Scene(320, 240, people=people, seed=seed, label="x", noise=0)
    made.show([actor])
    return made


@pytest.mark.parametrize("actor", ATTACKS, ids=lambda actor: type(actor).__name__)
def test_a_drawn_attack_is_a_function_of_time_and_seed(people: People, actor: Actor) -> None:
    one, other = scene(people, actor), scene(people, actor)
    first = one.frame(0.4, ordinal=0, clock_seconds=0)
    one.frame(2.0)
    assert np.array_equal(one.frame(0.4, ordinal=0, clock_seconds=0), first)
    assert np.array_equal(other.frame(0.4, ordinal=0, clock_seconds=0), first)
    later = other.frame(1.3, ordinal=0, clock_seconds=0)
    assert np.abs(first.astype(int) - later).mean() > 0.5
    empty = Scene(320, 240, people=people, seed=1, label="x", noise=0)
    assert not np.array_equal(first, empty.frame(0.4, ordinal=0, clock_seconds=0))


def test_an_unbent_sheet_is_drawn_as_the_flat_print_is(people: People) -> None:
    """Both project the same sheet; only the trembling roll of the flat one is left out."""
    flat = scene(people, HeldPhoto("person-a", tilt_degrees=0)).frame(0.5)
    unbent = scene(people, BentPhoto("person-a", tilt_degrees=0, bend=0.0)).frame(0.5)
    bent = scene(people, BentPhoto("person-a", tilt_degrees=0, bend=0.8)).frame(0.5)
    near = np.abs(flat.astype(int) - unbent).mean()
    assert near < np.abs(flat.astype(int) - bent).mean()


@pytest.mark.parametrize(
    "kind", [Genuine, HeldPhoto, BentPhoto, HeldVideo, CutPhoto], ids=lambda kind: kind.__name__
)
def test_what_is_asked_to_turn_turns_then_and_comes_back(people: People, kind: type[Actor]) -> None:
    plain = scene(people, kind("person-a"))
    turning = scene(people, kind("person-a", turns=((1.0, 25.0),)))  # type: ignore[call-arg]

    def difference(t: float) -> float:
        one, other = plain.frame(t, ordinal=0), turning.frame(t, ordinal=0)
        return float(np.abs(one.astype(int) - other).mean())

    assert difference(0.5) == 0
    assert difference(1.0 + TURN_SECONDS / 2) > 1
    assert difference(1.1 + TURN_SECONDS) == 0


def test_a_turn_goes_there_rests_and_comes_back() -> None:
    turns = ((2.0, 20.0), (6.0, -10.0))
    assert [round(turned(t, turns), 6) for t in (1.9, 3.1, 4.3, 7.1, 9.0)] == [0, 20, 0, -10, 0]


def test_who_is_spoken_to_stops_turning_by_himself(people: People) -> None:
    calm = scene(people, Genuine("person-a", pitch_degrees=0, calm_from=1.0))
    never = scene(people, Genuine("person-a", pitch_degrees=0, yaw_degrees=0))
    restless = scene(people, Genuine("person-a", pitch_degrees=0))
    assert np.array_equal(calm.frame(0.8), restless.frame(0.8))
    assert np.array_equal(calm.frame(2.0), never.frame(2.0))


@pytest.mark.parametrize("actor", [BentPhoto("person-a"), CutPhoto("person-a"),
                                   HeldVideo("person-a")],
                         ids=lambda actor: type(actor).__name__)  # fmt: skip
def test_a_control_line_can_show_every_attack(actor: Actor) -> None:
    assert CastMember.of(actor).actor() == actor
