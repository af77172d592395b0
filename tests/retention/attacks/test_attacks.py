"""Every attack on a node's disk is found, and the first bad thing is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from retention.check import Depth
from tests.retention.attacks.table import CASES, CUT, VICTIM, Case, rendered
from tests.retention.attacks.world import Pristine, World, pristine
from tests.retention.footage.conftest import Clip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Pristine:
    return pristine(tmp_path_factory.mktemp("pristine"), clip)


def names(world: World) -> dict[str, object]:
    """What the table's words stand for in this copy."""
    row = world.segments[VICTIM]
    with world.sql() as connection:
        sent = [
            found["sequence"]
            for found in connection.execute(
                "SELECT sequence FROM log WHERE sent_sequence IS NOT NULL ORDER BY sequence"
            )
        ]
        place = {
            found["kind"]: found["sequence"]
            for found in connection.execute("SELECT kind, sequence FROM log")
        }
        sizes = [
            found["tree_size"]
            for found in connection.execute("SELECT tree_size FROM checkpoints ORDER BY tree_size")
        ]
    yesterday, size = sizes
    return {
        "gap": place["gap.closed"], "opened": place["gap.opened"], "size": size,
        "shorter": size - 2, "cut": size - CUT, "yesterday": yesterday,
        "path": row.path, "segment": row.id, "sealed": row.sequence,
        # Central asks for what it lacks: the first record beyond as many as it holds.
        "after_cut": size - CUT + sum(one >= size - CUT for one in sent),
        "after_yesterday": yesterday + sum(one >= yesterday for one in sent),
        "after_sealed": next(one for one in sent if one > row.sequence),
    }  # fmt: skip


def test_the_node_holds_before_any_attack(made: Pristine, tmp_path: Path) -> None:
    world = made.copy(tmp_path)
    assert world.check(Depth.DIGESTS) == []
    assert world.go_on() == []
    assert world.check(Depth.DIGESTS) == []
    world.central.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_attack_is_found_and_the_first_bad_thing_is_named(
    made: Pristine, tmp_path: Path, case: Case
) -> None:
    world = made.copy(tmp_path)
    try:
        named = names(world)
        case.attack(world, made)
        found = {depth: world.check(depth) for depth in Depth}
        shallowest = next((depth for depth in Depth if found[depth]), None)
        first = found[shallowest][0] if shallowest else None
        said = f"{first.check}: {first.subject}" if first else ""
        assert (shallowest, said[: len(case.first.format(**named))]) == (
            case.depth,
            case.first.format(**named),
        ), found
        if case.central is not None:
            # A first word that names no place yet asks the node for all its leaves.
            told = [f"{code} {subject}" for code, subject in world.go_on()]
            placed = sorted(one for one in told if not one.endswith("unknown"))
            assert "; ".join(placed) == case.central.format(**named)
        assert case.depth is not None or case.central is not None
    finally:
        world.central.close()


def test_the_documented_table_is_the_tested_one() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "design" / "attacks.md").read_text()
    assert rendered() in page


FILM = [case for case in CASES if case.scrub or case.challenge]


@pytest.mark.parametrize("case", FILM, ids=lambda case: case.name)
def test_scrubbing_and_challenges_find_what_a_checkpoint_cannot(
    made: Pristine, tmp_path: Path, case: Case
) -> None:
    """The log is whole, or central would have seen it; it is the footage that is asked for."""
    world = made.copy(tmp_path)
    try:
        case.attack(world, made)
        assert world.scrub() == ([case.scrub] if case.scrub else [])
        assert world.challenge() == ([case.challenge] if case.challenge else [])
    finally:
        world.central.close()


def test_scrubbing_and_challenges_find_nothing_where_nothing_was_done(
    made: Pristine, tmp_path: Path
) -> None:
    world = made.copy(tmp_path)
    assert (world.scrub(), world.challenge()) == ([], [])
    world.central.close()
