"""Where segments go when there are several disks, and what happens when one is lost."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.config import EdgeConfig, RecordingConfig, VolumeConfig
from edge.process import ProcessContext
from edge.recorder import places as places_module
from edge.recorder import process as recorder_process
from edge.recorder.places import Places, VolumeInUse
from edge.recorder.process import run
from hardware.errors import CameraUnavailable
from hardware.packets import PacketSource
from retention.footage import sink as sink_module
from retention.footage import volume as volume_module
from retention.footage.volume import VolumeRefused
from retention.store import footage
from retention.store.footage import GapRow, SegmentRow
from retention.store.reserve import reserve_of

Opening = Callable[[], PacketSource]


@dataclass
class Node:
    """A recorder over two disks, run once per planned connection."""

    config: EdgeConfig
    disks: dict[str, Path]

    def run(self, *openings: Opening) -> None:
        stop, waiting = threading.Event(), list(openings)

        def open_next(_camera: object) -> PacketSource:
            found = waiting.pop(0)
            if not waiting:
                stop.set()
            return found()

        run(ProcessContext(self.config, stop, lambda: None, "cam"), open_next)

    def rows(self) -> tuple[list[SegmentRow], list[GapRow]]:
        store = self.config.open_store()
        with store.read() as connection:
            segments = list(footage.all_segments(connection))
            gaps = footage.gaps_between(connection, "cam", 0, 2**60)
        store.close()
        return sorted(segments, key=lambda row: row.sequence), gaps

    def prefer(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """Let one disk have much more room."""
        monkeypatch.setattr(
            volume_module.Volume,
            "free_bytes",
            lambda volume: 2**41 if volume.name == name else 2**40,
        )


@pytest.fixture
def node(config, tmp_path, monkeypatch) -> Node:
    monkeypatch.setattr(recorder_process.Backoff, "next_seconds", lambda _: 0.01)
    disks = {name: tmp_path / f"disk-{name}" for name in ("a", "b")}
    for root in disks.values():
        root.mkdir()
    volumes = tuple(VolumeConfig(name=name, path=root) for name, root in disks.items())
    recording = RecordingConfig(segment_seconds=config.recording.segment_seconds, volumes=volumes)
    return Node(config.model_copy(update={"recording": recording}), disks)


def stop_after(
    monkeypatch: pytest.MonkeyPatch, waits: int, act: Callable[[threading.Event], None]
) -> None:
    """Run a recorder that is asked to stop when it waited so often before its next try."""
    stop, tries = threading.Event(), []

    def wait(_: object) -> float:
        tries.append(0)
        if len(tries) == waits:
            stop.set()
        return 0.01

    with monkeypatch.context() as patched:
        patched.setattr(recorder_process.Backoff, "next_seconds", wait)
        act(stop)


def gone() -> PacketSource:
    raise CameraUnavailable("rtsp://camera/stream", "no answer in time")


@pytest.fixture
def film(listed, transport_stream) -> Opening:
    return lambda: listed(transport_stream)


def test_segments_go_to_the_disk_with_most_room_and_their_rows_say_so(node, film, monkeypatch):
    node.prefer(monkeypatch, "b")
    node.run(film, gone)
    node.prefer(monkeypatch, "a")
    node.run(film, gone)
    segments, _ = node.rows()
    assert [row.volume for row in segments] == ["b"] * 3 + ["a"] * 3
    assert all((node.disks[row.volume] / row.path).is_file() for row in segments)


def test_disk_that_refuses_writes_gives_way_to_the_other(node, film, monkeypatch):
    node.prefer(monkeypatch, "a")
    real = os.write

    def broken(descriptor: int, raw: bytes) -> int:
        if os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(node.disks["a"])):
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, raw)

    monkeypatch.setattr(sink_module.os, "write", broken)
    node.run(film, gone)
    segments, gaps = node.rows()
    assert [row.volume for row in segments] == ["b"] * 3
    assert [gap.cause for gap in gaps] == ["camera_unreachable"]


def test_disk_that_breaks_in_the_middle_loses_a_picture_group_and_the_other_goes_on(
    node, film, monkeypatch
):
    recording = node.config.recording.model_copy(update={"segment_seconds": 5.0})
    node.config = node.config.model_copy(update={"recording": recording})
    node.prefer(monkeypatch, "a")
    real, syncs = os.fdatasync, []

    def breaking(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(node.disks["a"])):
            syncs.append(descriptor)
            if len(syncs) == 3:
                node.prefer(monkeypatch, "b")
                raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(sink_module.os, "fdatasync", breaking)
    node.run(film, film, gone)
    segments, gaps = node.rows()
    assert [row.volume for row in segments] == ["a", "b", "b"]
    recovered = segments[0]
    assert recovered.ended_at - recovered.started_at == 2_000_000  # two groups were durable
    assert [gap.cause for gap in gaps] == ["disk_failed", "camera_unreachable"]


def test_recording_stops_within_a_picture_group_when_the_database_needs_the_room(
    node, listed, transport_stream, film, monkeypatch
):
    reserve = reserve_of(node.config.node.data / "node.sqlite3").path

    def give_up(packet: int) -> None:
        if packet == 25:
            reserve.write_bytes(b"")

    stop_after(monkeypatch, 3, lambda stop: run(
        ProcessContext(node.config, stop, lambda: None, "cam"),
        lambda _: listed(transport_stream, before=give_up),
    ))  # fmt: skip
    before, gaps = node.rows()
    assert [row.ordinal for row in before] == [0]
    assert [gap.cause for gap in gaps] == ["disk_full"]
    reserve.unlink()
    node.run(film, gone)
    after, gaps = node.rows()
    assert gaps[0].ended_at is not None
    durable = next(row for row in after if row.ordinal == 1 and row.run == before[0].run)
    assert durable.ended_at - durable.started_at == 1_000_000  # what was durable was recovered


def test_disk_that_is_pulled_out_takes_no_more_and_is_recovered_when_it_is_back(
    node, film, monkeypatch, config
):
    node.prefer(monkeypatch, "a")
    node.run(film, gone)
    drawer = node.disks["a"].with_name("drawer")
    node.disks["a"].rename(drawer)
    node.disks["a"].mkdir()
    node.run(film, gone)
    segments, _ = node.rows()
    assert [row.volume for row in segments] == ["a"] * 3 + ["b"] * 3
    assert not any(node.disks["a"].iterdir())
    node.disks["a"].rmdir()
    drawer.rename(node.disks["a"])
    node.run(film, gone)
    segments, _ = node.rows()
    assert [row.volume for row in segments[6:]] == ["a"] * 3


def test_no_disk_at_all_is_one_gap_and_nothing_is_written(node, film, monkeypatch):
    node.run(film, gone)
    for root in node.disks.values():
        root.rename(root.with_name(f"{root.name}-gone"))
        root.mkdir()
    before, _ = node.rows()
    stop_after(monkeypatch, 5, lambda stop: run(
        ProcessContext(node.config, stop, lambda: None, "cam"), lambda _: film()
    ))  # fmt: skip
    after, gaps = node.rows()
    assert after == before
    assert len(gaps) == 1
    assert all(not any(root.iterdir()) for root in node.disks.values())
    assert gaps[-1].ended_at is None


@pytest.fixture
def places(node):
    made: list[Places] = []
    store = node.config.open_store()

    def make() -> Places:
        made.append(Places(store, node.config.volumes(store), "cam", lambda: None))
        return made[-1]

    yield make
    for one in made:
        one.close()
    store.close()


def test_two_recorders_never_share_a_folder_on_a_disk(node, places):
    """Two nodes with copies of one database and the same disks: names and ids agree."""
    first, second = places(), places()
    first.recover()
    with pytest.raises(VolumeInUse, match="another recorder"):
        second.recover()
    first.close()
    second.recover()


def test_footage_stops_before_it_takes_what_the_database_lives_on(node, places):
    place = places()
    place.recover()
    volume = place.next(None)
    place.leave_room(volume)
    reserve_of(node.config.node.data / "node.sqlite3").path.write_bytes(b"")
    with pytest.raises(OSError, match="No space left") as refused:
        place.leave_room(volume)
    assert refused.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="beside the database"):
        place.next(volume)


def test_disk_that_failed_is_tried_again_after_a_while(node, places, monkeypatch):
    monkeypatch.setattr("edge.recorder.places.ASIDE_SECONDS", 0.0)
    place = places()
    node.prefer(monkeypatch, "a")
    calls: list[Path] = []

    def prove(folder: Path) -> None:
        calls.append(folder)
        if len(calls) == 1:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("edge.recorder.places.prove_writable", prove)
    place.recover()
    assert [folder.parent.name for folder in calls] == ["disk-a", "disk-b"]
    assert place.next(None).name == "a"  # it took the bytes this time


def test_when_every_disk_fails_the_reason_is_raised(node, places, monkeypatch):
    def prove(_folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("edge.recorder.places.prove_writable", prove)
    with pytest.raises(OSError, match="No space left"):
        places().recover()


def test_volumes_that_lie_in_one_another_are_refused(node, tmp_path):
    one = VolumeConfig(name="a", path=tmp_path / "x")
    with pytest.raises(ValueError, match="in one another"):
        RecordingConfig(volumes=(one, VolumeConfig(name="b", path=tmp_path / "x" / "y")))
    with pytest.raises(ValueError, match="used twice"):
        RecordingConfig(volumes=(one, VolumeConfig(name="a", path=tmp_path / "z")))


def test_missing_volumes_say_which_and_why(node, places):
    places().recover()
    for root in node.disks.values():
        (root / "volume.json").unlink()
    with pytest.raises(VolumeRefused, match=r"disk-a.*disk-b"):
        places().next(None)


def test_disk_that_was_left_out_is_not_tried_with_every_connection_while_there_is_another(
    node, places, monkeypatch
):
    broken, tried = {node.disks["a"]}, []

    def prove(folder: Path) -> None:
        tried.append(folder.parent)
        if folder.parent in broken:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(places_module, "prove_writable", prove)
    found = places()
    found.recover()
    found.recover()
    assert sorted(tried) == [node.disks["a"], node.disks["b"], node.disks["b"]]
    assert found.next(None).name == "b"
    broken.add(node.disks["b"])
    with pytest.raises(OSError, match="Input/output"):
        found.recover()
    broken.clear()
    found.recover()  # all were left out: then each is tried
    assert found.next(None).name in {"a", "b"}
