"""The disk reserve: what is given up so that the database can say that the disk is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from retention.records.payloads import GapCause, NodeStopped, SceneRole
from retention.store import footage
from retention.store.database import StoreUnavailable
from retention.store.log import append, read_frontier
from retention.store.reserve import RESERVE_BYTES, Reserve, reserve_of
from tests.small_disk import fill_up, run_on_a_disk


@pytest.fixture
def reserve(tmp_path) -> Reserve:
    return Reserve(tmp_path / "reserve", 1_000_000)


def free(monkeypatch, size: int) -> None:
    found = SimpleNamespace(f_bavail=size, f_frsize=1)
    monkeypatch.setattr(os, "statvfs", lambda _: found)


def test_it_takes_up_its_room_and_gives_it_back(reserve):
    assert not reserve.held
    assert not reserve.given_up  # never made: nothing was given up
    assert reserve.keep()
    assert reserve.path.stat().st_blocks * 512 >= reserve.bytes
    assert reserve.keep()
    assert reserve.give_up()
    assert reserve.given_up
    assert reserve.path.stat().st_blocks == 0
    assert not reserve.give_up()


def test_crash_while_it_is_made_leaves_no_hollow_reserve(reserve, monkeypatch):
    def die(descriptor: int, offset: int, length: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", die)
        with pytest.raises(KeyboardInterrupt):
            reserve.keep()
    assert not reserve.held
    assert reserve.keep()
    assert reserve.path.stat().st_blocks * 512 >= reserve.bytes


def test_it_is_made_again_only_when_there_is_room_to_go_on(reserve, monkeypatch):
    reserve.keep()
    reserve.give_up()
    free(monkeypatch, 3 * reserve.bytes - 1)
    assert not reserve.keep()
    assert reserve.given_up
    free(monkeypatch, 3 * reserve.bytes)
    assert reserve.keep()


def test_disk_that_is_full_from_the_start_holds_none(reserve, monkeypatch):
    free(monkeypatch, reserve.bytes - 1)
    assert not reserve.keep()
    assert reserve.given_up


def test_room_that_others_took_first_is_given_back(reserve, monkeypatch):
    def full(descriptor: int, offset: int, length: int) -> None:
        os.ftruncate(descriptor, length // 2)
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert not reserve.keep()
    assert reserve.given_up


def test_broken_disk_is_no_full_one(reserve, monkeypatch):
    def broken(*_: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "posix_fallocate", broken)
    with pytest.raises(OSError, match="broken"):
        reserve.keep()


def test_full_database_gives_the_reserve_up_and_writes_next_time(store):
    reserve = reserve_of(store.path)
    reserve.keep()
    with store.read() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="full"):
        fill(store)
    assert reserve.given_up
    store._connection.execute(f"PRAGMA max_page_count = {pages + 1000}")  # the room given up
    fill(store)
    with store.read() as connection:
        assert read_frontier(connection)[0].size == 100


def test_other_trouble_leaves_the_reserve_alone(store):
    reserve_of(store.path).keep()
    with pytest.raises(StoreUnavailable, match="no such table"), store.write() as connection:
        connection.execute("INSERT INTO nowhere VALUES (1)")
    assert reserve_of(store.path).held


def fill(store) -> None:
    with store.write() as connection:
        for _ in range(100):
            append(store, connection, NodeStopped(reason="x" * 60))


def test_really_full_disk_still_takes_the_gap_that_says_so(tmp_path):
    function = "tests.retention.test_store_reserve:fill_a_real_disk"
    said = run_on_a_disk(tmp_path, RESERVE_BYTES + 16 * 2**20, function)
    assert "gap written" in said


def fill_a_real_disk(disk: Path) -> None:
    """Fill a small disk with something else, then with records, and see that the gap is written."""
    from retention.records.clock import SystemClock, to_micros
    from retention.records.ids import SystemIds
    from retention.store.database import NodeIdentity, NodeStore

    store = NodeStore(disk / "node.sqlite3", NodeIdentity("1", "P1", "n1"), SystemClock(),
                      SystemIds())  # fmt: skip
    reserve = reserve_of(store.path)
    assert reserve.keep()
    fill_up(disk)

    def write_the_gap() -> None:
        with store.write() as connection:
            now = to_micros(store.clock.now())
            footage.open_gap(store, connection, "cam", SceneRole.PURCHASE, now, GapCause.DISK_FULL)

    tries = 0
    while not reserve.given_up:  # What is left of the last pages of the log takes a few records.
        tries += 1
        assert tries < 1000
        try:
            fill(store)
        except StoreUnavailable:
            break
    assert reserve.given_up
    write_the_gap()
    with store.read() as connection:
        assert footage.open_gap_of(connection, "cam") is not None
    store.close()
    print("gap written")
