"""The committed table says what its own counts say, names every species, and calls itself what it
is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from identity.statistics import clopper_pearson
from tests.identity.attacks.species import SPECIES, Species
from tests.identity.attacks.test_attacks import KNOWN_TO_PASS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "design" / "identity-attacks.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
_ROW = re.compile(r"^\| ([a-z_]+) \|(.*)\|$", re.MULTILINE)
ROWS = {name: [cell.strip() for cell in rest.split("|")] for name, rest in _ROW.findall(TEXT)}


def test_the_table_calls_itself_a_simulation() -> None:
    first = TEXT.split("\n\n", 2)[1]
    assert "SIMULATION" in first
    assert "not a test to ISO/IEC 30107-3" in first


@pytest.mark.parametrize("species", SPECIES, ids=lambda species: species.name)
def test_every_species_has_a_row_whose_rate_follows_from_its_counts(species: Species) -> None:
    name = species.name
    cells = ROWS[name]
    assert cells[0] == species.what
    attempts, counted = int(cells[1]), int(cells[2])
    rate = cells[4] if species.kind == "attack" else cells[3]
    low, high = clopper_pearson(counted, attempts)
    assert rate == f"{counted / attempts:.1%} ({low:.1%} to {high:.1%})"


def test_what_was_accepted_is_known_to_pass() -> None:
    attacks = [species.name for species in SPECIES if species.kind == "attack"]
    accepted = {name for name in attacks if int(ROWS[name][3]) > 0}
    assert accepted <= KNOWN_TO_PASS
    company = [species.name for species in SPECIES if species.kind == "company"]
    assert all(ROWS[name][2] == "0" for name in company)
    for name in accepted:
        assert f"`{name}`" in TEXT
