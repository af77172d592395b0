"""Seeded crash points: whatever disk call a recorder dies at, footage and its proof survive.

Each point: a recorder records, changes volumes, and disposes of year-old footage; it is killed
before, after or in the middle of a disk call, or an fsync fails, or the disk is full; the power
takes what was not synced; the next life may die too; the one after that must come back with every
invariant holding, no more than the open GOP lost, nothing deleted that was owed, and everything
due gone. `make test` runs 20 points, `make soak` 200; the seed is all that is needed to repeat one.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from retention.check import Depth, Options, check
from retention.records.clock import ManualClock, to_text
from retention.records.ids import SeededIds
from retention.records.keeping import Hold, HoldPlaced
from retention.store import footage, holds, trusted
from retention.store.database import NodeStore
from tests.conftest import IDENTITY
from tests.crashes.lives import (
    BEGAN,
    NAMES,
    YEAR_LATER,
    Fault,
    Outcome,
    live,
    lose_power,
    read_journal,
)
from tests.edge.recorder.conftest import encoded

SHORT, LONG = 20, 200
KINDS = ("before", "after", "torn", "fsync", "full")
HELD = timedelta(seconds=1)
AFTER = BEGAN + YEAR_LATER


@dataclass(frozen=True)
class Base:
    """A node with a year-old day of footage, one segment of it under a hold."""

    data: Path
    raw: bytes
    calls: int
    held: frozenset[str]
    due: frozenset[str]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    folder = tmp_path_factory.mktemp("base")
    data, raw = folder / "data", encoded(160, 120)
    data.mkdir()
    assert not live(data, raw, BEGAN, 1).killed
    with opened(data) as store, store.write() as connection:
        hold = Hold(
            hold=store.ids.new(), scope="span", session=None, person_ref=None, cameras=(),
            started_at=to_text(BEGAN), ended_at=to_text(BEGAN + HELD),
        )  # fmt: skip
        trusted.advance(store, connection, None)  # An hour on: these were not made later.
        placed = HoldPlaced(hold=hold, authority="inspector", author="a", reason="case 12")
        assert holds.place(store, connection, placed)
    old = rows(data)
    held = frozenset(row.id for row in old if row.started_at < micros(BEGAN + HELD))
    due = frozenset(row.id for row in old) - held
    assert held
    assert due
    trial = folder / "trial"
    shutil.copytree(data, trial)
    return Base(data, raw, live(trial, raw, AFTER, 2).calls, held, due)


@contextmanager
def opened(data: Path) -> Iterator[NodeStore]:
    clock = ManualClock(BEGAN)
    clock.advance(timedelta(hours=2))
    store = NodeStore(data / "node.sqlite3", IDENTITY, clock, SeededIds(9))
    try:
        yield store
    finally:
        store.close()


def micros(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def rows(data: Path) -> list[footage.SegmentRow]:
    with closing(sqlite3.connect(data / "node.sqlite3")) as connection:
        connection.row_factory = sqlite3.Row
        return list(footage.segments_in_log_order(connection))


def fault_of(chance: random.Random, calls: int) -> Fault:
    return Fault(chance.choice(KINDS), chance.randint(1, calls))


def survive(base: Base, folder: Path, seed: int) -> Counter[str]:
    """Run one crash point and look at what is left; returns what happened, counted."""
    chance = random.Random(seed)
    data = folder / f"point-{seed}"
    shutil.copytree(base.data, data)
    happened: Counter[str] = Counter()
    promised: dict[str, int] = {}
    lives = 1 + (chance.random() < 0.4)
    for number in range(lives):
        fault = fault_of(chance, base.calls)
        now, ids = AFTER + number * timedelta(minutes=5), seed * 10 + 3 + number
        outcome = live(data, base.raw, now, ids, fault)
        happened[f"{fault.kind} killed" if outcome.killed else f"{fault.kind} survived"] += 1
        promised |= what_was_promised(data)
        if outcome.killed:
            happened["power took something"] += bool(lose_power(data, chance))
    last = live(data, base.raw, AFTER + timedelta(minutes=30), seed * 10 + 5)
    assert last == Outcome(False, last.calls)
    judge(base, data, promised)
    shutil.rmtree(data)
    return happened


def what_was_promised(data: Path) -> dict[str, int]:
    """Return for each segment how many bytes of whole GOPs an fsync had made durable, and see
    that no more than the open GOP was still in memory."""
    promised: dict[str, int] = {}
    pending = 0
    for one in read_journal(data):
        if "synced" in one and int(str(one["whole"])):
            segment = Path(str(one["synced"])).name.split(".")[0]
            promised[segment] = int(str(one["whole"]))
            pending = 0
        if "gop" in one:
            pending += 1
            assert pending <= 1, "a whole GOP was taken and is not durable"
    return promised


def judge(base: Base, data: Path, promised: dict[str, int]) -> None:
    roots = {name: data / name for name in NAMES}
    now = AFTER + timedelta(hours=1)
    report = check(data, Depth.DIGESTS, Options(roots=roots, now=now))
    assert report.bad == []
    kept = {row.id: row for row in rows(data)}
    assert base.held <= kept.keys(), "held footage is gone"
    assert not base.due & kept.keys(), "what was due is still there"
    for segment, whole in promised.items():
        assert segment in kept, f"{segment}: {whole} durable bytes are gone"
        assert kept[segment].bytes >= whole, f"{segment}: shorter than what was durable"
    assert report.counts["disposed"] == len(base.due)


def run(base: Base, folder: Path, seeds: range, capsys: pytest.CaptureFixture[str]) -> None:
    happened: Counter[str] = Counter()
    for seed in seeds:
        try:
            happened += survive(base, folder, seed)
        except AssertionError as exc:
            raise AssertionError(f"crash point of seed {seed}: {exc}") from exc
    with capsys.disabled():
        print(
            f"\n{len(seeds)} crash points, seeds {seeds[0]} to {seeds[-1]}, "
            f"{base.calls} disk calls a life: {dict(sorted(happened.items()))}"
        )
    assert len([kind for kind in KINDS if any(said.startswith(kind) for said in happened)]) > 3


def test_twenty_crash_points(
    base: Base, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(base, tmp_path, range(SHORT), capsys)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_hundred_crash_points(
    base: Base, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(base, tmp_path, range(LONG), capsys)
