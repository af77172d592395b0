"""Damaged and forged input has an answer, and nothing is ever deleted because of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from retention import cli
from retention.check import Depth
from retention.disposal import dispose_due
from retention.footage.layout import IDENTITY_BOX, PART_SUFFIX, FootageError
from retention.footage.recovery import recover
from retention.footage.sweep import sweep
from retention.footage.volume import Condition
from retention.footage.volumes import Volumes
from retention.record_disposal import dispose_records
from retention.records.errors import RecordsError, UsageError
from retention.records.ids import SeededIds
from retention.scrub import Scrub
from retention.store.database import NodeStore, StoreError
from tests.conftest import IDENTITY
from tests.retention.attacks.table import edit_policy, move_trusted_time
from tests.retention.attacks.world import Pristine, World, pristine
from tests.retention.footage.conftest import Clip

ANSWERS = (StoreError, FootageError, UsageError, RecordsError, sqlite3.Error, OSError, ValueError)
"""What a damaged database may be answered with; anything else would be a crash."""
CAMERA = "counter-1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Pristine:
    return pristine(tmp_path_factory.mktemp("pristine"), clip)


@pytest.fixture
def world(made: Pristine, tmp_path: Path) -> Iterator[World]:
    copy = made.copy(tmp_path)
    yield copy
    copy.central.close()


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.mp4*")}


def look_after(world: World, store: NodeStore) -> None:
    """Do all that a node does to its disk by itself."""
    volumes = Volumes(store, {"main": world.root}, ("main",))
    scrub = Scrub(store, volumes, 10**9)
    steps: tuple[Callable[[], object], ...] = (
        volumes.open,
        lambda: volumes.root("main") and recover(store, world.root, CAMERA),
        lambda: volumes.root("main") and sweep(store, world.root, lambda: None),
        lambda: dispose_due(store, volumes, 1000, lambda: None, central=False),
        lambda: dispose_records(store, 1000, lambda: None, central=False),
        scrub.step,
    )
    try:
        for step in steps:
            with contextlib.suppress(*ANSWERS):
                step()
    finally:
        scrub.close()


def whole(path: Path) -> None:
    path.write_bytes(b"\x5a" * path.stat().st_size)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


@pytest.mark.parametrize("harm", [whole, cut])
def test_a_database_that_is_none_is_refused_and_no_footage_goes(world, harm, capsys):
    before = files(world.root)
    with world.sql() as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    harm(world.data / "node.sqlite3")
    try:
        with closing(
            NodeStore(world.data / "node.sqlite3", IDENTITY, world.clock, world.ids)
        ) as store:
            look_after(world, store)
    except StoreError:
        pass
    assert files(world.root) == before
    assert cli.main(["check", "--data", str(world.data), "--json"]) in (1, 2)


@pytest.mark.parametrize("seed", range(8))
def test_a_database_with_torn_pages_deletes_nothing_that_is_owed(world, seed):
    """Pages of zeros, of noise, and bits that fell over; a year later by the node's own clock."""
    before = files(world.root)
    with world.sql() as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path, chance = world.data / "node.sqlite3", random.Random(seed)
    raw = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(4096, len(raw))
        size = chance.choice((1, 8, 4096))
        end = min(len(raw), at + size)
        raw[at:end] = chance.choice((bytes(end - at), chance.randbytes(end - at)))
    path.write_bytes(raw)
    world.clock.advance(timedelta(days=300))
    try:
        with closing(NodeStore(path, IDENTITY, world.clock, world.ids)) as store:
            look_after(world, store)
    except ANSWERS:
        pass
    assert files(world.root).keys() == before.keys()
    assert cli.main(["check", "--data", str(world.data), "--json"]) in (0, 1, 2)


def test_an_empty_database_beside_a_full_folder_takes_nothing_and_deletes_nothing(world, capsys):
    before = files(world.root)
    for name in ("node.sqlite3", "node.sqlite3-wal", "node.sqlite3-shm"):
        (world.data / name).unlink(missing_ok=True)
    world.clock.advance(timedelta(days=4000))
    with closing(
        NodeStore(world.data / "node.sqlite3", IDENTITY, world.clock, SeededIds(7))
    ) as store:
        volumes = Volumes(store, {"main": world.root}, ("main",))
        assert [one.condition for one in volumes.open()] == [Condition.FOREIGN]
        look_after(world, store)
    assert files(world.root) == before
    assert cli.main(["check", "--data", str(world.data), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["first_bad"]["check"] == "volume"


def forged(content: bytes, chance: random.Random) -> bytes:
    """Change the identity box of a file: its length, its name, or any of its JSON."""
    raw = bytearray(content)
    at = raw.index(IDENTITY_BOX)
    size = int.from_bytes(raw[at - 8 : at - 4], "big")
    box = range(at - 8, at - 8 + size)
    match chance.randrange(4):
        case 0:
            raw[at - 8 : at - 4] = chance.randrange(0, 2**32).to_bytes(4, "big")
        case 1:
            for _ in range(chance.randint(1, 20)):
                raw[chance.choice(box)] = chance.randrange(256)
        case 2:
            other = chance.choice((b"../../../..", b"counter-9", b"COUNTER/1", b"\xff" * 9))
            raw = bytearray(bytes(raw).replace(b"counter-1", other[:9].ljust(9, b".")))
        case _:
            raw[at + 16 : at + 17] = chance.choice((b"[", b'"', b"{{", b"\x00"))[:1]
    return bytes(raw)


@pytest.mark.parametrize("suffix", [".mp4", PART_SUFFIX])
@pytest.mark.parametrize("seed", range(10))
def test_a_forged_identity_is_never_taken_for_ours_and_its_file_stays(world, seed, suffix):
    chance = random.Random(seed)
    like = world.path(6)
    target = like.with_name(f"{world.ids.new()}{suffix}")
    content = forged(like.read_bytes(), chance)
    target.write_bytes(content)
    before = files(world.root)
    with world.node() as node:
        recover(node.store, world.root, CAMERA)
        recover(node.store, world.root, CAMERA)
        sweep(node.store, world.root, lambda: None)
        with node.store.read() as connection:
            (count,) = connection.execute("SELECT count(*) FROM segments").fetchone()
    assert count == len(world.segments)
    kept = target if suffix == ".mp4" else target.with_name(target.name + ".unusable")
    assert kept.read_bytes() == content
    assert {path for path in files(world.root) if path in before} >= before.keys() - {
        str(target.relative_to(world.root))
    }
    assert not list(world.root.parent.parent.glob("*.mp4*"))
    assert world.check(Depth.DIGESTS) == []


def long_ago(world: World, _: Pristine) -> None:
    """The index says that everything was recorded three years ago."""
    years = 3 * 366 * 86_400_000_000
    with world.sql() as connection:
        connection.execute(
            "UPDATE segments SET started_at = started_at - ?1, ended_at = ended_at - ?1", (years,)
        )


def all_tombstoned(world: World, _: Pristine) -> None:
    with world.sql() as connection:
        connection.execute("UPDATE segments SET state = 'tombstoned'")


@pytest.mark.parametrize("edit", [long_ago, all_tombstoned, move_trusted_time, edit_policy])
@pytest.mark.parametrize("central", [True, False])
def test_no_edited_row_makes_the_node_delete_what_is_owed(world, made, edit, central):
    """Whoever edits rows can delete files himself; but the node does not do it for him, so that a
    damaged row does no harm either."""
    before = files(world.root)
    edit(world, made)
    with world.node() as node:
        volumes = Volumes(node.store, {"main": world.root}, ("main",))
        for _ in range(2):
            dispose_due(node.store, volumes, 1000, lambda: None, central=central)
            world.clock.advance(timedelta(hours=2))
    assert files(world.root) == before
