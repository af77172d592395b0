"""Attacks and living people before the simulated camera: rendered photographs, no real attacks.

The short version shows some species once, on the demo's photographs; the soak shows all of them
often. SIMULATION: no test to ISO/IEC 30107-3.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.errors import PeopleMissing
from hardware.simulated_people import load_people
from tests.identity.attacks import measure
from tests.identity.attacks.looking import Looker
from tests.identity.attacks.species import FIRST_TABLE_SEED, SPECIES, Victim
from tests.identity.attacks.table import Row, markdown

BY_NAME = {species.name: species for species in SPECIES}
# What is known to pass, wholly or by the chance of a side; nothing else may.
KNOWN_TO_PASS = {
    "film_held",
    "film_on_stand",
    "film_asked",
    "film_asked_twice",
    "film_chosen",
    "injected_anew",
}
SOAK_ATTEMPTS = 10


@pytest.fixture(scope="module")
def victim() -> Victim:
    try:
        people = load_people()
    except PeopleMissing as missing:
        pytest.skip(f"the demo's photographs are not fetched: {missing}")
    return measure.victim(people, "person-a", 1, 3, "person-b")


@pytest.fixture(scope="module")
def looker() -> Looker:
    return measure.looker()


def shown(name: str, victim: Victim, looker: Looker, seed: int = 5) -> Row:
    return measure.shown(BY_NAME[name], victim, seed, looker)


def test_a_person_who_moves_is_taken_for_living_at_once(victim: Victim, looker: Looker) -> None:
    seen = shown("living_moving", victim, looker, seed=7)
    assert (seen.live, seen.asked) == (True, False)


def test_a_person_who_keeps_still_is_asked_to_turn_and_then_passes(
    victim: Victim, looker: Looker
) -> None:
    seen = shown("living_still", victim, looker)
    assert (seen.live, seen.asked, seen.challenge) == (True, True, "passed")


@pytest.mark.parametrize(
    "name",
    [
        "print_turned",
        "bent_print_turned",
        "virtual_camera",
        "injected_loop",
    ],
)
def test_an_attack_is_not_taken_for_a_living_person(
    victim: Victim, looker: Looker, name: str
) -> None:
    seen = shown(name, victim, looker)
    assert not seen.live
    assert seen.reasons


def test_a_film_that_turns_as_asked_is_known_to_pass(victim: Victim, looker: Looker) -> None:
    """The documented limit of a flat screen with a moving head on it. Should this fail, the
    product has become better than docs/design/identity.md says."""
    assert shown("film_chosen", victim, looker, seed=7).live


@pytest.mark.soak
def test_only_what_is_documented_passes(tmp_path: Path, looker: Looker) -> None:
    people, rows = measure.victims(for_table=True), []
    for number in range(SOAK_ATTEMPTS):
        for place, species in enumerate(SPECIES):
            # Beyond the seeds of the committed table.
            seed = 3 * FIRST_TABLE_SEED + 100 * number + place
            rows.append(measure.shown(species, people[number % len(people)], seed, looker))
    (tmp_path / "table.md").write_text(markdown(rows), encoding="utf-8")
    accepted = {
        row.species for row in rows if row.accepted and BY_NAME[row.species].kind != "living"
    }
    assert accepted <= KNOWN_TO_PASS, markdown(rows)
    for name in ("living_moving", "living_still"):
        mine = [row for row in rows if row.species == name]
        assert sum(row.live for row in mine) >= 0.7 * len(mine), markdown(rows)
