from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path

import pytest

from retention.check import Depth, check
from retention.footage import recovery
from retention.footage.boxes import Scan
from retention.footage.layout import SegmentIdentity
from retention.footage.recovery import recover
from retention.footage.sink import SegmentSink, seal
from retention.footage.sweep import LIVE_SECONDS, sweep
from retention.footage.volume import open_volume
from retention.records.ids import SeededIds
from retention.store import footage
from retention.store.database import NodeStore
from tests.dying import die_at

STEPS = ("write", "fdatasync", "fsync", "rename", "link", "close")


def incidents(store: NodeStore) -> set[tuple[str, str]]:
    with store.read() as connection:
        return {tuple(row) for row in connection.execute("SELECT incident, subject FROM incidents")}


def rows(store: NodeStore) -> list[footage.SegmentRow]:
    with store.read() as connection:
        return list(footage.all_segments(connection))


def test_killed_before_any_disk_call_loses_at_most_the_open_gop(
    store, tmp_path, clip, camera, clock, pictures_in
):
    """Invariant 2: one child is killed before its first disk call, one before its second, …"""
    camera.begin_run()
    store.close()
    died, step, most_rows = True, 0, 0
    while died:
        step += 1
        data = tmp_path / f"crash-{step}"
        root = data / "footage"
        data.mkdir()
        (data / "node.sqlite3").write_bytes((tmp_path / "node.sqlite3").read_bytes())
        ids = SeededIds(step)
        identity = camera.identity().model_copy(update={"segment": ids.new()})
        synced = data / "synced"

        def act(data=data, root=root, identity=identity, ids=ids, synced=synced) -> None:
            opened = NodeStore(data / "node.sqlite3", store.identity, clock, ids)
            open_volume(root, opened)
            sink = SegmentSink(root, identity)
            sink.write(clip.head)
            for number, fragment in enumerate(clip.fragments, start=1):
                sink.write(fragment)
                sink.sync()
                synced.write_text(str(number))
            seal(opened, root, sink.finish(clock.now() + timedelta(seconds=4)))

        died = die_at(step, STEPS, act)
        reopened = NodeStore(data / "node.sqlite3", store.identity, clock, SeededIds(step + 1000))
        open_volume(root, reopened)
        recover(reopened, root, camera.name)
        recover(reopened, root, camera.name)  # a second pass changes nothing
        held = rows(reopened)
        durable = int(synced.read_text()) if synced.exists() else 0
        pictures = sum(pictures_in(root / row.path) for row in held)
        assert pictures >= durable * 5
        report = check(data, Depth.DIGESTS)
        assert report.bad == []
        most_rows = max(most_rows, len(held))
        reopened.close()
    assert step > 15
    assert most_rows == 1


def test_part_of_a_crash_is_cut_hashed_and_sealed(camera, store, root, clip, pictures_in):
    sink = camera.open_segment(2)
    sink.write(clip.fragments[2][:-10])
    del sink  # the process is gone
    found = recover(store, root, camera.name)
    (row,) = rows(store)
    assert (found.sealed, found.truncated_bytes) == (1, len(clip.fragments[2]) - 10)
    assert row.ended_at - row.started_at == 2_000_000
    assert pictures_in(root / row.path) == 10


def test_part_without_a_whole_fragment_is_kept_aside(camera, store, root, clip):
    sink = camera.open_segment(0)
    sink.write(clip.fragments[0][:-1])
    recover(store, root, camera.name)
    path = sink.identity.path(".mp4.part.unusable")
    assert (root / path).exists()
    assert incidents(store) == {("PART_UNUSABLE", path)}
    recover(store, root, camera.name)
    assert sweep(store, root, lambda: None) == 0
    assert rows(store) == []


def test_sealed_file_without_its_row_is_adopted(camera, store, root):
    finished = camera.open_segment().finish(store.clock.now())
    os.rename(finished.part, root / finished.identity.path())
    found = recover(store, root, camera.name)
    (row,) = rows(store)
    assert (found.adopted, row.file_sha256) == (1, finished.fingerprint.file_sha256())


@pytest.mark.parametrize("other", [{"node": "node-b"}, {"camera": "counter-2"}, {"pharmacy": "P2"}])
def test_file_of_another_node_or_camera_is_never_taken(camera, store, root, clip, other):
    camera.begin_run()
    identity = SegmentIdentity(**{**camera.identity().model_dump(), **other})
    sink = SegmentSink(root, identity)
    for raw in (clip.head, *clip.fragments):
        sink.write(raw)
    target = root / camera.identity().path().rsplit("/", 1)[0] / f"{identity.segment}.mp4"
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(sink.finish(store.clock.now()).part, target)
    recover(store, root, camera.name)
    assert rows(store) == []
    assert incidents(store) == {("UNEXPLAINED_FILE", str(target.relative_to(root)))}
    assert target.exists()


def test_lost_changed_and_foreign_files_are_incidents_and_nothing_is_deleted(camera, store, root):
    lost, changed = camera.record(), camera.record()
    folder = next(root.rglob("*.mp4")).parent
    (folder / f"{lost.segment}.mp4").unlink()
    with (folder / f"{changed.segment}.mp4").open("ab") as file:
        file.write(b"x")
    (folder / "holiday.jpg").write_bytes(b"picture")
    before = sorted(root.rglob("*"))
    recover(store, root, camera.name)
    name = str(folder.relative_to(root))
    assert incidents(store) == {
        ("FOOTAGE_MISSING", f"{name}/{lost.segment}.mp4"),
        ("FOOTAGE_CHANGED", f"{name}/{changed.segment}.mp4"),
        ("UNEXPLAINED_FILE", f"{name}/holiday.jpg"),
    }
    assert sorted(root.rglob("*")) == before


def test_sweep_names_what_recovery_does_not_reach(camera, store, root):
    camera.record()
    day = next(root.rglob("*.mp4")).parent
    (root / "stray.txt").write_text("x")
    assert sweep(store, root, lambda: None) == 1
    day.rename(root / "elsewhere")
    assert sweep(store, root, lambda: None) >= 1
    assert "FOOTAGE_MISSING" in {incident for incident, _ in incidents(store)}


def test_open_part_is_explained(camera, store, root):
    part, now = camera.open_segment(1).part, store.clock.now().timestamp()
    os.utime(part, (now, now))
    assert sweep(store, root, lambda: None) == 0


NAMES = {
    "bytes that are no text": b"\xff\xfe.mp4",
    "control characters": b"a\nb.mp4.part",
    "a very long name": b"x" * 240,
}


@pytest.mark.parametrize("name", NAMES)
def test_file_with_any_name_is_an_incident_and_keeps_nobody_from_work(camera, store, root, name):
    camera.record()
    folder = next(root.rglob("*.mp4")).parent
    for where in (folder, root / camera.name / "\udcff", root / "\udcfe"):
        where.mkdir(exist_ok=True)
        (where / os.fsdecode(NAMES[name])).symlink_to("/nowhere")
    recover(store, root, camera.name)
    recover(store, root, camera.name)
    first = incidents(store)
    assert len(first) == 2
    assert sweep(store, root, lambda: None) == 1  # outside the camera's folder
    assert {incident for incident, _ in incidents(store)} == {"UNEXPLAINED_FILE"}
    assert all(subject.isprintable() for _, subject in incidents(store))
    store.close()
    (root.parent / "footage" / "volume.json").write_text("{}")
    said = check(root.parent, Depth.SIZES).bad
    assert [bad.check for bad in said] == ["volume"]


def test_unreadable_leftover_is_an_incident_and_the_others_are_recovered(
    camera, store, root, monkeypatch
):
    bad, good = camera.open_segment(2), camera.open_segment(2)
    looked = recovery.scan

    def failing(path: Path) -> Scan:
        if path == bad.part:
            raise OSError(errno.EIO, "Input/output error")
        return looked(path)

    monkeypatch.setattr(recovery, "scan", failing)
    recover(store, root, camera.name)
    assert [row.id for row in rows(store)] == [good.identity.segment]
    assert incidents(store) == {("UNREADABLE_FILE", bad.identity.path(".mp4.part"))}
    assert bad.part.exists()


def test_read_only_disk_is_no_incident_of_a_file(camera, store, root, monkeypatch):
    camera.open_segment(2)

    def refusing(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "ftruncate", refusing)
    with pytest.raises(OSError, match="Read-only"):
        recover(store, root, camera.name)
    assert incidents(store) == set()


@pytest.mark.parametrize("moved", [timedelta(days=-400), timedelta(days=400)])
def test_part_left_after_the_clock_was_wrong_is_recovered(camera, store, root, clock, moved):
    camera.record()
    clock.jump(moved)
    camera.open_segment(1)
    recover(store, root, camera.name)
    assert len(rows(store)) == 2
    clock.jump(-moved)
    camera.open_segment(1)
    recover(store, root, camera.name)
    assert len(rows(store)) == 3


def test_part_older_than_the_clock_and_an_earlier_mistake_is_recovered(camera, store, root, clock):
    for moved in (timedelta(days=400), timedelta(days=-400)):
        clock.jump(moved)
        camera.record()
    camera.open_segment(1)
    clock.jump(timedelta(days=400))
    recover(store, root, camera.name)
    assert len(rows(store)) == 3


def test_only_a_plain_file_can_be_an_open_part(camera, store, root, clock):
    folder, now = camera.open_segment(1).part.parent, clock.now().timestamp()
    (folder / "x.mp4.part").mkdir()
    for part in folder.iterdir():
        os.utime(part, (now, now))
    assert sweep(store, root, lambda: None) == 1
    assert {incident for incident, _ in incidents(store)} == {"UNEXPLAINED_FILE"}


def test_part_that_nobody_writes_to_is_an_incident(camera, store, root, clock):
    part = camera.open_segment(1).part
    written = clock.now().timestamp() - LIVE_SECONDS - 1
    os.utime(part, (written, written))
    stray = root / "gone" / "20200101" / "x.mp4.part"
    stray.parent.mkdir(parents=True)
    stray.write_text("x")
    os.utime(stray, (written, written))
    assert sweep(store, root, lambda: None) == 2
    assert {incident for incident, _ in incidents(store)} == {"PART_LEFT"}


def test_recovery_of_an_empty_disk_does_nothing(store, tmp_path: Path):
    assert recover(store, tmp_path / "nothing", "counter-1").incidents == 0


def test_second_file_for_one_place_in_a_run_is_never_indexed(camera, store, root):
    camera.record()
    camera.ordinal -= 1
    sink = camera.open_segment()
    sink.finish(store.clock.now())
    recover(store, root, camera.name)
    assert len(rows(store)) == 1
    assert incidents(store) == {("PART_UNUSABLE", sink.identity.path(".mp4.part.unusable"))}


def test_sweep_names_a_file_of_another_size(camera, store, root):
    camera.record()
    with next(root.rglob("*.mp4")).open("ab") as file:
        file.write(b"x")
    assert sweep(store, root, lambda: None) == 1
    assert {incident for incident, _ in incidents(store)} == {"FOOTAGE_CHANGED"}
