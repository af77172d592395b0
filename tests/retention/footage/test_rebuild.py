"""A lost index is made again from the files alone, and nothing is deleted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from retention import cli
from retention.check import Depth, Options, check
from retention.durable import FileLock, HeldElsewhere
from retention.footage.sink import seal
from retention.footage.volume import VolumeRefused, open_volume
from retention.footage.volumes import Volumes
from retention.nodefile import NodeFile, load_node_file
from retention.rebuild import RebuildRefused, Rebuilt, rebuild
from retention.records.clock import Clock
from retention.records.ids import SeededIds
from retention.records.keeping import HoldReleased
from retention.records.payloads import NodeStarted, NodeStopped
from retention.store import footage, holds
from retention.store.database import NodeStore
from retention.store.footage import SegmentRow
from retention.store.log import append
from tests.conftest import IDENTITY

STEP = timedelta(seconds=4)


@pytest.fixture
def node(tmp_path: Path) -> NodeFile:
    return load_node_file(config(tmp_path))


def config(data: Path) -> Path:
    path = data / "edge.toml"
    path.write_text(
        f'[node]\nagency = "430100"\npharmacy = "P43010000001"\nnode = "node-a"\ndata = "{data}"\n'
        '[[cameras]]\nid = "counter-1"\nscene_role = "purchase"\nurl = "rtsp://127.0.0.1/1"\n'
        '[verification]\ncamera = "counter-1"\n'
    )
    return path


@pytest.fixture
def recorded(camera, store, root, clock) -> list[SegmentRow]:
    """Five segments: three of a run, an hour of nothing, two of another."""
    open_volume(root, store)
    for number in range(5):
        if number == 3:
            clock.advance(timedelta(hours=1))
            camera.run = ""
        camera.record()
        clock.advance(STEP)
    with store.read() as connection:
        return list(footage.segments_of(connection, "counter-1"))


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.mp4*"))}


def again(node: NodeFile, clock: Clock, seed: int = 77) -> Rebuilt:
    return rebuild(node, clock, SeededIds(seed), "inspector Li", "the disk broke")


def rows_of(data: Path) -> list[SegmentRow]:
    with closing(sqlite3.connect(data / "node.sqlite3")) as connection:
        connection.row_factory = sqlite3.Row
        return list(footage.segments_of(connection, "counter-1"))


def facts(row: SegmentRow) -> tuple[object, ...]:
    return (
        row.id, row.run, row.ordinal, row.camera, row.scene_role, row.started_at, row.ended_at,
        row.bytes, row.codec, row.file_sha256, row.chunk_root, row.path, row.volume,
    )  # fmt: skip


def lose(data: Path, how: str) -> None:
    path = data / "node.sqlite3"
    if how == "gone":
        for name in ("node.sqlite3", "node.sqlite3-wal", "node.sqlite3-shm"):
            (data / name).unlink(missing_ok=True)
    elif how == "overwritten":
        path.write_bytes(b"\x5a" * path.stat().st_size)
    elif how == "torn":
        raw = bytearray(path.read_bytes())
        raw[4096 : 4096 * 6] = bytes(4096 * 5)
        path.write_bytes(raw)
    else:
        path.write_bytes(b"")


@pytest.mark.parametrize("how", ["gone", "overwritten", "torn", "empty"])
def test_rows_gaps_and_records_come_back_from_the_files(
    recorded, store, root, node, clock, tmp_path, how
):
    store.close()
    lose(tmp_path, how)
    before = content(root)
    made = again(node, clock)
    assert [facts(row) for row in rows_of(tmp_path)] == [facts(row) for row in recorded]
    assert content(root) == before
    assert (made.indexed.segments, made.indexed.gaps, made.indexed.unexplained) == (5, 1, 0)
    report = check(tmp_path, Depth.DIGESTS)
    assert report.bad == []
    assert report.counts["gaps"] == 1
    if how != "gone":
        assert any(name.startswith("node.sqlite3.before-rebuild") for name in made.aside)
        assert all((tmp_path / name).exists() for name in made.aside)


def test_the_volume_goes_with_the_new_index_and_keeps_its_past(
    recorded, store, root, node, clock, tmp_path
):
    store.close()
    old = json.loads((root / "volume.json").read_text())
    lose(tmp_path, "gone")
    again(node, clock)
    new = json.loads((root / "volume.json").read_text())
    assert new["volume"] == old["volume"]
    assert new["previous_databases"] == [old["database_id"]]
    with closing(NodeStore(tmp_path / "node.sqlite3", node.identity, clock, SeededIds(5))) as now:
        open_volume(root, now)


def test_a_database_that_can_be_used_is_never_replaced(recorded, store, node, clock, tmp_path):
    before = (tmp_path / "node.sqlite3").stat().st_ino
    with pytest.raises(RebuildRefused, match="knows footage"):
        again(node, clock)
    assert (tmp_path / "node.sqlite3").stat().st_ino == before
    assert not list(tmp_path.glob("*.rebuilding*"))


def test_an_empty_database_beside_a_full_folder_is_refused_by_the_recorder_and_then_continued(
    recorded, store, root, node, clock, tmp_path
):
    """Its records may be at central already, so the new index begins with them."""
    store.close()
    lose(tmp_path, "gone")
    empty = NodeStore(tmp_path / "node.sqlite3", node.identity, clock, SeededIds(9))
    before = content(root)
    with pytest.raises(VolumeRefused):
        open_volume(root, empty)
    with empty.write() as connection:
        started = append(
            empty, connection, NodeStarted(software="x", signing_key_id="y", cameras=("counter-1",))
        )
        (identity,) = connection.execute("SELECT database_id FROM node").fetchone()
    empty.close()
    again(node, clock)
    assert content(root) == before
    with closing(sqlite3.connect(tmp_path / "node.sqlite3")) as connection:
        assert connection.execute("SELECT database_id FROM node").fetchone() == (identity,)
        first = connection.execute("SELECT id FROM log WHERE sequence = 0").fetchone()
    assert first == (started.id,)
    assert check(tmp_path, Depth.DIGESTS).bad == []


def test_a_running_node_is_left_alone(recorded, store, node, clock, tmp_path):
    store.close()
    lose(tmp_path, "gone")
    lock = FileLock(tmp_path / "run" / "recorder-counter-1.lock")
    try:
        with pytest.raises(HeldElsewhere):
            again(node, clock)
    finally:
        lock.release()
    assert not (tmp_path / "node.sqlite3").exists()


@pytest.mark.parametrize("kind", ["missing", "foreign"])
def test_a_volume_that_is_not_there_or_not_ours_is_refused(
    recorded, store, root, node, clock, tmp_path, kind
):
    store.close()
    lose(tmp_path, "gone")
    path = root / "volume.json"
    if kind == "missing":
        path.rename(tmp_path / "elsewhere.json")
    else:
        path.write_text(path.read_text().replace("node-a", "node-b"))
    before = content(root)
    with pytest.raises(RebuildRefused):
        again(node, clock)
    assert content(root) == before
    assert not (tmp_path / "node.sqlite3").exists()


def test_what_cannot_be_explained_is_an_incident_and_stays(
    recorded, store, root, node, clock, tmp_path
):
    store.close()
    files = sorted(root.rglob("*.mp4"))
    cut, forged = files[0], files[1]
    cut.write_bytes(cut.read_bytes()[:-1])
    forged.write_bytes(forged.read_bytes().replace(b'"node":"node-a"', b'"node":"node-b"'))
    (root / "counter-1" / "holiday.jpg").write_bytes(b"x")
    lose(tmp_path, "gone")
    before = content(root)
    made = again(node, clock)
    assert (made.indexed.segments, made.indexed.unexplained) == (3, 2)
    assert content(root) == before
    settled = Options(now=datetime.now(UTC) + timedelta(minutes=2))
    report = check(tmp_path, Depth.DIGESTS, settled)
    assert report.bad == []
    assert report.counts["files_under_incident"] == 3


class Killed(BaseException):
    """The power goes."""


DISK_CALLS = ("rename", "fsync", "link", "unlink")


def die_at(step: int, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> bool:
    """Do `act` and die before its `step`th disk call; tell whether it came so far."""
    seen = 0
    with monkeypatch.context() as patched:
        for name in DISK_CALLS:
            original = getattr(os, name)

            def counted(*args: object, _original: Callable[..., object] = original) -> object:
                nonlocal seen
                seen += 1
                if seen == step:
                    raise Killed
                return _original(*args)

            patched.setattr(os, name, counted)
        try:
            act()
        except Killed:
            return True
    return False


def test_broken_off_anywhere_the_same_command_goes_on(
    recorded, store, clock, tmp_path, monkeypatch
):
    """One try dies before its first disk call, one before its second, …; the next goes on."""
    store.close()
    lose(tmp_path, "torn")
    died, step = True, 0
    while died:
        step += 1
        data = tmp_path / f"try-{step}"
        data.mkdir()
        shutil.copy(tmp_path / "node.sqlite3", data)
        shutil.copytree(tmp_path / "footage", data / "footage")
        node, before = load_node_file(config(data)), content(data / "footage")
        died = die_at(step, monkeypatch, lambda node=node: again(node, clock, 1))
        with contextlib.suppress(RebuildRefused):  # It was in place already when it died.
            again(node, clock, 2)
        assert content(data / "footage") == before
        assert [facts(row) for row in rows_of(data)] == [facts(row) for row in recorded]
        assert check(data, Depth.DIGESTS).bad == []
        assert list(data.glob("node.sqlite3.before-rebuild-*"))
    assert step > 6


def test_the_command_says_what_it_made_and_what_is_gone(
    recorded, store, node, clock, tmp_path, capsys
):
    store.close()
    asked = ["rebuild", "--config", str(tmp_path / "edge.toml"), "--author", "a", "--reason", "b"]
    assert cli.main(asked) == 2
    assert "nothing to make again" in capsys.readouterr().err
    lose(tmp_path, "gone")
    assert cli.main(asked) == 0
    said = capsys.readouterr()
    assert "5 段 / segments" in said.out
    assert "holds" in said.out
    assert "5/5" in said.err
    assert cli.main([*asked[:-1], ""]) == 2


def test_the_rebuild_itself_is_on_record(recorded, store, node, clock, tmp_path):
    store.close()
    lose(tmp_path, "gone")
    again(node, clock)
    with closing(sqlite3.connect(tmp_path / "node.sqlite3")) as connection:
        said = {
            kind: json.loads(raw)["payload"]
            for kind, raw in connection.execute(
                "SELECT kind, bytes FROM log WHERE kind IN ('index.rebuilt', 'access.recorded')"
            )
        }
    assert said["access.recorded"]["actor"] == "inspector Li"
    assert said["access.recorded"]["reason"] == "the disk broke"
    assert said["index.rebuilt"]["segments"] == 5


def test_a_hold_that_was_lost_with_the_database_is_not_outlived(
    recorded, store, node, clock, tmp_path
):
    """Nobody knows any more what was held: everything is, once, until an inspector releases it."""
    store.close()
    lose(tmp_path, "gone")
    again(node, clock)
    with closing(NodeStore(tmp_path / "node.sqlite3", node.identity, clock, SeededIds(5))) as now:
        with now.read() as connection:
            (row,) = holds.listed(connection)
        assert (row.hold.scope, row.authority, row.author) == (
            "pharmacy", "inspector", "inspector Li",
        )  # fmt: skip
        released = HoldReleased(
            hold=row.hold.hold, authority="inspector", author="inspector-2", reason="looked into"
        )
        with now.write() as connection:
            assert holds.release(now, connection, released) == "released"
    assert check(tmp_path, Depth.ROWS).bad == []


def test_segments_of_another_time_count_from_their_own(recorded, store, node, clock, tmp_path):
    """What was recorded a year ago is owed from then on, not from the day of the rebuild."""
    with store.write() as connection:
        append(store, connection, NodeStopped(reason="asked"))
    store.close()
    lose(tmp_path, "gone")
    clock.advance(timedelta(days=300))
    again(node, clock)
    assert [row.ended_at for row in rows_of(tmp_path)] == [row.ended_at for row in recorded]


def test_footage_on_several_disks_becomes_one_index(camera, store, root, clock, tmp_path):
    """Every other segment lies on the second disk; each is bound to the new database."""
    disks = {"main": root, "second": tmp_path / "second"}
    volumes = Volumes(store, disks, disks)
    volumes.open()
    for number in range(4):
        camera.root, name = (disks["second"], "second") if number % 2 else (root, "main")
        done = camera.open_segment().finish(clock.now() + STEP)
        seal(store, camera.root, done, name)
        clock.advance(STEP)
    with store.read() as connection:
        recorded = list(footage.segments_of(connection, "counter-1"))
    store.close()
    lose(tmp_path, "gone")
    path = config(tmp_path)
    listed = "".join(
        f'[[recording.volumes]]\nname = "{name}"\npath = "{disk}"\n' for name, disk in disks.items()
    )
    path.write_text(path.read_text() + listed)
    made = again(load_node_file(path), clock)
    assert (made.indexed.segments, made.indexed.gaps) == (4, 0)
    assert [facts(row) for row in rows_of(tmp_path)] == [facts(row) for row in recorded]
    assert {row.volume for row in recorded} == {"main", "second"}
    assert check(tmp_path, Depth.DIGESTS, Options(roots=disks)).bad == []
    with closing(NodeStore(tmp_path / "node.sqlite3", IDENTITY, clock, SeededIds(5))) as now:
        assert all(one.writable for one in Volumes(now, disks).open())
