"""Several disks, some of them missing, swapped, another node's, read-only or on a network."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from retention.footage import volume as volume_module
from retention.footage.layout import FootageError, SegmentIdentity
from retention.footage.recovery import recover
from retention.footage.sink import SegmentSink, seal
from retention.footage.sweep import sweep
from retention.footage.volume import (
    Condition,
    VolumeRefused,
    open_volume,
    read_volume,
    rebind_volume,
)
from retention.footage.volumes import STICKY_BYTES, VolumeMissing, Volumes
from retention.records.ids import SeededIds
from retention.store import footage
from retention.store.database import NodeStore
from retention.store.log import all_records
from retention.store.reserve import reserve_of
from tests.small_disk import run_on_a_disk


@pytest.fixture
def disks(tmp_path):
    """Two mounted, empty disks."""
    found = {"a": tmp_path / "disk-a", "b": tmp_path / "disk-b"}
    for root in found.values():
        root.mkdir()
    return found


@pytest.fixture
def volumes(store, disks):
    found = Volumes(store, disks)
    found.open()
    return found


def conditions(volumes: Volumes) -> dict[str, Condition]:
    return {volume.name: volume.condition for volume in volumes.look()}


def film(camera, volume) -> str:
    """Record one segment on a volume; returns its path there."""
    if not camera.run:
        camera.begin_run()
    sink = SegmentSink(volume.root, camera.identity())
    camera.ordinal += 1
    sink.write(camera.clip.head)
    for fragment in camera.clip.fragments:
        sink.write(fragment)
    finished = sink.finish(camera.store.clock.now() + timedelta(seconds=4))
    seal(camera.store, volume.root, finished, volume.name)
    return finished.identity.path()


def tree(root) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def rooms(monkeypatch, **free: int) -> None:
    """Let each disk be a file system of its own with so much room."""

    def device(volume) -> int:
        return 1000 + sorted(free).index(volume.name)

    monkeypatch.setattr(volume_module.Volume, "free_bytes", lambda volume: free[volume.name])
    monkeypatch.setattr(volume_module.Volume, "device", device)


# -- taking disks ---------------------------------------------------------------------------------


def test_fresh_disks_become_the_nodes_once_each_with_a_record(store, volumes, disks):
    volumes.open()
    with store.read() as connection:
        said = [
            one.parse().payload["name"]
            for one in all_records(connection)
            if one.kind == "volume.adopted"
        ]
    assert said == ["a", "b"]
    ids = {name: read_volume(root / "volume.json").volume for name, root in disks.items()}
    assert len(set(ids.values())) == 2
    assert conditions(volumes) == dict.fromkeys(disks, Condition.MOUNTED)


def test_disk_with_its_file_systems_own_folder_is_fresh(store, disks):
    (disks["a"] / "lost+found").mkdir()
    volumes = Volumes(store, disks)
    assert [one.condition for one in volumes.open()] == [Condition.MOUNTED] * 2
    assert sweep(store, disks["a"], lambda: None, "a") == 0


def test_named_folder_that_is_not_there_is_not_made(store, tmp_path):
    volumes = Volumes(store, {"a": tmp_path / "not-mounted"})
    assert [one.condition for one in volumes.open()] == [Condition.MISSING]
    assert not (tmp_path / "not-mounted").exists()
    own = Volumes(store, {"main": tmp_path / "footage"}, made_by_us=("main",))
    assert [one.condition for one in own.open()] == [Condition.MOUNTED]


def test_crash_between_the_file_and_the_row_is_made_good(store, disks):
    open_volume(disks["a"], store, "a")
    with store.write() as connection:
        connection.execute("DELETE FROM volumes")
    volumes = Volumes(store, {"a": disks["a"]})
    volumes.open()
    assert conditions(volumes) == {"a": Condition.MOUNTED}


def test_one_disk_under_two_names_is_taken_once_and_the_other_name_is_refused(store, disks):
    link = disks["a"].with_name("link")
    link.symlink_to(disks["a"])
    volumes = Volumes(store, {"a": disks["a"], "again": link, "b": disks["b"]})
    assert [one.condition for one in volumes.open()] == [
        Condition.MOUNTED, Condition.SWAPPED, Condition.MOUNTED,
    ]  # fmt: skip
    assert {one.name for one in volumes.writable()} == {"a", "b"}


def test_disk_that_cannot_be_named_keeps_footage_from_no_other(store, disks, monkeypatch):
    real = volume_module.write_durably

    def refuse(path: Path, content: bytes) -> None:
        if path.parent == disks["a"]:
            raise OSError(errno.EROFS, "Read-only file system")
        real(path, content)

    monkeypatch.setattr(volume_module, "write_durably", refuse)
    volumes = Volumes(store, disks)
    assert [one.condition for one in volumes.open()] == [Condition.UNREADABLE, Condition.MOUNTED]
    assert volumes.for_writing().name == "b"
    with pytest.raises(OSError, match="Read-only"):
        Volumes(store, {"a": disks["a"]}).open()


def test_name_that_holds_no_footage_any_more_may_leave_the_configuration(store, volumes, disks):
    assert conditions(Volumes(store, {"b": disks["b"]})) == {"b": Condition.MOUNTED}


@pytest.mark.parametrize("content", [b"[" * 60_000, b"", b"\xff", b"{}" + b" " * 70_000, b"null"])
def test_odd_identity_file_is_refused(volumes, disks, content):
    (disks["a"] / "volume.json").write_bytes(content)
    assert conditions(volumes) == {"a": Condition.UNREADABLE, "b": Condition.MOUNTED}


# -- wrong disks ----------------------------------------------------------------------------------


def test_disk_that_is_not_mounted_is_missing_and_its_mount_point_stays_empty(
    store, volumes, disks, camera
):
    film(camera, volumes.for_writing("a"))
    shutil.move(disks["a"], disks["a"].with_name("in-the-drawer"))
    disks["a"].mkdir()
    assert conditions(volumes) == {"a": Condition.MISSING, "b": Condition.MOUNTED}
    volumes.open()
    assert [volume.name for volume in volumes.writable()] == ["b"]
    assert volumes.for_writing("a").name == "b"
    assert not any(disks["a"].iterdir())
    row = next(iter(all_rows(store)))
    with pytest.raises(VolumeMissing, match="volume a"):
        volumes.path_of(row)


def test_disk_that_comes_back_is_read_and_written_again(store, volumes, disks, camera):
    path = film(camera, volumes.for_writing("a"))
    drawer = disks["a"].with_name("in-the-drawer")
    shutil.move(disks["a"], drawer)
    assert conditions(volumes)["a"] is Condition.MISSING
    shutil.move(drawer, disks["a"])
    (row,) = all_rows(store)
    assert volumes.path_of(row) == disks["a"] / path
    assert {volume.name for volume in volumes.writable()} == {"a", "b"}


def test_disks_that_changed_places_are_both_refused(store, volumes, disks):
    between = disks["a"].with_name("between")
    before = {name: tree(root) for name, root in disks.items()}
    disks["a"].rename(between)
    disks["b"].rename(disks["a"])
    between.rename(disks["b"])
    assert conditions(volumes) == dict.fromkeys(disks, Condition.SWAPPED)
    volumes.open()
    with pytest.raises(VolumeRefused, match="is volume b, not a"):
        volumes.for_writing()
    assert (tree(disks["a"]), tree(disks["b"])) == (before["b"], before["a"])


def test_other_disk_under_a_known_name_is_refused(store, volumes, disks):
    identity = json.loads((disks["a"] / "volume.json").read_bytes())
    (disks["a"] / "volume.json").write_text(json.dumps(identity | {"volume": store.ids.new()}))
    assert conditions(volumes)["a"] is Condition.SWAPPED


@pytest.mark.parametrize("changed", [{"node": "node-b"}, {"database_id": "other"}])
def test_disk_of_another_node_or_database_is_refused_and_untouched(
    store, volumes, disks, tmp_path, changed
):
    other = NodeStore(tmp_path / "other.sqlite3", store.identity, store.clock, SeededIds(7))
    identity = json.loads((disks["b"] / "volume.json").read_bytes())
    if "database_id" in changed:
        with other.read() as connection:
            changed = {
                "database_id": connection.execute("SELECT database_id FROM node").fetchone()[0]
            }
    other.close()
    (disks["b"] / "volume.json").write_text(json.dumps(identity | changed))
    before = tree(disks["b"])
    assert conditions(volumes) == {"a": Condition.MOUNTED, "b": Condition.FOREIGN}
    volumes.open()
    assert volumes.for_writing("b").name == "a"
    assert tree(disks["b"]) == before


def test_empty_database_beside_full_disks_takes_none_of_them(volumes, disks, camera, tmp_path):
    film(camera, volumes.for_writing("a"))
    before = tree(disks["a"])
    fresh = NodeStore(
        tmp_path / "fresh.sqlite3", camera.store.identity, camera.store.clock, SeededIds(3)
    )
    found = Volumes(fresh, disks)
    assert {one.condition for one in found.open()} == {Condition.FOREIGN}
    with pytest.raises(VolumeRefused):
        found.for_writing()
    fresh.close()
    assert tree(disks["a"]) == before


def test_network_mount_is_refused_with_the_reason(store, disks, monkeypatch):
    monkeypatch.setattr(volume_module, "is_network", lambda root: root == disks["a"])
    monkeypatch.setattr(volume_module, "kind_of_file_system", lambda _: "nfs4")
    volumes = Volumes(store, disks)
    assert [one.condition for one in volumes.open()] == [Condition.NETWORK, Condition.MOUNTED]
    assert "nfs4" in volumes.look()[0].detail
    assert not any(disks["a"].iterdir())


def test_read_only_disk_is_read_and_not_written(store, volumes, disks, camera, monkeypatch):
    path = film(camera, volumes.for_writing("a"))
    real = os.statvfs

    def read_only(place):
        found = real(place)
        if not str(place).startswith(str(disks["a"])):
            return found
        facts = {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}
        return SimpleNamespace(**facts | {"f_flag": found.f_flag | os.ST_RDONLY})

    monkeypatch.setattr(os, "statvfs", read_only)
    assert conditions(volumes)["a"] is Condition.READ_ONLY
    (row,) = all_rows(store)
    assert volumes.path_of(row) == disks["a"] / path
    assert [volume.name for volume in volumes.writable()] == ["b"]
    assert {volume.name for volume in volumes.mounted()} == {"a", "b"}


def test_disk_that_left_the_configuration_is_missing_not_forgotten(store, volumes, disks, camera):
    film(camera, volumes.for_writing("a"))
    fewer = Volumes(store, {"b": disks["b"]})
    assert conditions(fewer) == {"b": Condition.MOUNTED, "a": Condition.MISSING}
    (row,) = all_rows(store)
    with pytest.raises(VolumeMissing):
        fewer.path_of(row)


# -- where footage goes ---------------------------------------------------------------------------


def test_next_segment_goes_where_most_room_is_and_stays_while_it_is_much_the_same(
    volumes, monkeypatch
):
    rooms(monkeypatch, a=50 * STICKY_BYTES, b=51 * STICKY_BYTES)
    assert volumes.for_writing().name == "b"
    assert volumes.for_writing("a").name == "a"
    rooms(monkeypatch, a=50 * STICKY_BYTES, b=51 * STICKY_BYTES + 1)
    assert volumes.for_writing("a").name == "b"


def test_room_of_one_file_system_counts_once(volumes, disks):
    free = os.statvfs(disks["a"]).f_bavail * os.statvfs(disks["a"]).f_frsize
    assert abs(volumes.room().free_bytes - free) < free // 10


def test_database_on_its_reserve_keeps_footage_off_its_disk(store, volumes, monkeypatch):
    reserve_of(store.path).path.write_bytes(b"")
    with pytest.raises(OSError, match="beside the database") as refused:
        volumes.for_writing()
    assert refused.value.errno == errno.ENOSPC
    rooms(monkeypatch, a=1, b=1)  # other disks than the database's
    assert volumes.for_writing().name in {"a", "b"}


# -- rows, files and volumes ----------------------------------------------------------------------


def test_sweep_and_recovery_look_at_their_own_volume_only(store, volumes, disks, camera):
    kept = film(camera, volumes.look()[0])
    lost = film(camera, volumes.look()[1])
    (disks["b"] / lost).unlink()
    stray = disks["b"] / "stray"
    stray.write_text("x")
    assert sweep(store, disks["a"], lambda: None, "a") == 0
    assert recover(store, disks["a"], camera.name, volume="a").incidents == 0
    assert sweep(store, disks["b"], lambda: None, "b") == 2
    with store.read() as connection:
        said = footage.incident_subjects(connection)
    assert said == {f"b:{lost}", "b:stray"}
    assert (disks["a"] / kept).exists()


def test_folder_that_cannot_be_read_hides_nothing_beside_it(
    store, volumes, disks, camera, monkeypatch
):
    film(camera, volumes.for_writing("a"))
    (disks["a"] / "stray").write_text("x")
    bad, listing, asking = disks["a"] / camera.name, Path.iterdir, Path.is_dir

    def iterdir(path: Path):
        if path == bad:
            raise OSError(errno.EIO, "Input/output error")
        return listing(path)

    def is_dir(path: Path) -> bool:
        if bad in path.parents:
            raise OSError(errno.EIO, "Input/output error")
        return asking(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    monkeypatch.setattr(Path, "is_dir", is_dir)
    sweep(store, disks["a"], lambda: None, "a")
    with store.read() as connection:
        assert footage.incident_subjects(connection) == {f"a:{camera.name}", "a:stray"}


def test_disk_pulled_out_in_a_sweep_is_no_lost_footage(store, volumes, disks, camera):
    film(camera, volumes.for_writing("a"))
    drawer = disks["a"].with_name("in-the-drawer")

    def pull() -> None:
        if disks["a"].exists():
            disks["a"].rename(drawer)

    with pytest.raises(FootageError, match="changed while"):
        sweep(store, disks["a"], pull, "a")
    with store.read() as connection:
        assert footage.incident_subjects(connection) == set()


def test_crash_on_one_volume_is_recovered_there(store, volumes, disks, camera):
    volume = volumes.for_writing("b")
    camera.begin_run()
    sink = SegmentSink(volume.root, camera.identity())
    sink.write(camera.clip.head)
    sink.write(camera.clip.fragments[0])
    sink.sync()
    found = recover(store, volume.root, camera.name, volume=volume.name)
    assert found.sealed == 1
    (row,) = all_rows(store)
    assert row.volume == volume.name
    assert volumes.path_of(row).is_file()


def test_rebuilt_database_takes_its_disks_over_and_they_keep_their_past(
    store, volumes, disks, tmp_path
):
    before = read_volume(disks["a"] / "volume.json")
    rebuilt = NodeStore(tmp_path / "rebuilt.sqlite3", store.identity, store.clock, SeededIds(5))
    after = rebind_volume(disks["a"], before, rebuilt)
    assert (after.volume, after.previous_databases) == (before.volume, (before.database_id,))
    assert rebind_volume(disks["a"], after, rebuilt) == after
    assert [one.condition for one in Volumes(rebuilt, {"a": disks["a"]}).open()] == [
        Condition.MOUNTED
    ]
    with pytest.raises(VolumeRefused):
        rebind_volume(disks["a"], before, rebuilt)  # it says something else by now
    rebuilt.close()


def all_rows(store) -> list[footage.SegmentRow]:
    with store.read() as connection:
        return list(footage.all_segments(connection))


def test_identity_of_a_segment_does_not_name_its_volume():
    """A file may be moved to a larger disk and the index rebuilt: nothing inside it changes."""
    assert "volume" not in SegmentIdentity.model_fields


def test_really_mounted_disk_is_read_only_then_missing_then_back(tmp_path):
    function = "tests.retention.footage.test_volumes:come_and_go"
    said = run_on_a_disk(tmp_path, 32 * 2**20, function)
    assert said.split() == ["mounted", "read_only", "mounted", "missing", "mounted"]


def come_and_go(disk: Path) -> None:
    """Remount a disk read-only and writable, take it away and bring it back; say what it is."""
    from retention.records.clock import SystemClock
    from retention.records.ids import SystemIds
    from retention.store.database import NodeIdentity

    def mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True)

    spare, data = disk.with_name("spare"), disk.with_name("data")
    for folder in (spare, data):
        folder.mkdir()
    mount("--bind", str(disk), str(spare))  # the disk itself, whatever is mounted where
    store = NodeStore(
        data / "node.sqlite3", NodeIdentity("1", "P1", "n1"), SystemClock(), SystemIds()
    )
    volumes = Volumes(store, {"disk": disk})
    volumes.open()

    def say() -> None:
        (volume,) = volumes.look()
        print(volume.condition.value)
        if not volume.writable:
            with pytest.raises(VolumeRefused):
                volumes.for_writing()

    say()
    mount("-o", "remount,bind,ro", str(disk))
    say()
    mount("-o", "remount,bind,rw", str(disk))
    say()
    subprocess.run(["umount", str(disk)], check=True)
    say()
    assert not any(disk.iterdir())
    mount("--bind", str(spare), str(disk))
    say()
    store.close()
