"""The recorder's loop against cameras and disks that fail, without waiting for real time."""

from __future__ import annotations

import errno
import io
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import av
import pytest
import zmq

from edge import stopping
from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.recorder import process as recorder_process
from edge.recorder.backoff import Backoff
from edge.recorder.process import disk_cause, run
from edge.recorder.recording import Recording
from edge.recorder.sockets import SealRequests
from edge.recorder.writer import SegmentWriter, StreamRefused
from hardware.errors import CameraUnavailable, UnsupportedCodec
from hardware.packets import PacketSource
from retention.check import Depth, check
from retention.durable import FileLock, HeldElsewhere
from retention.footage import sink as sink_module
from retention.footage.sink import DirectorySyncFailed
from retention.records.clock import SystemClock, to_micros
from retention.store import footage
from retention.store.database import StoreUnavailable
from retention.store.footage import GapRow, SegmentRow
from retention.store.log import all_records

URL = "rtsp://camera/stream"
Opening = Callable[[], PacketSource]


@dataclass
class Node:
    """Runs the recorder once per planned connection, then stops it."""

    config: EdgeConfig
    openings: list[Opening] = field(default_factory=list)

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

    def assert_sound(self) -> None:
        assert check(self.config.node.data, Depth.DIGESTS).bad == []


@pytest.fixture
def node(config, monkeypatch) -> Node:
    monkeypatch.setattr(recorder_process, "UNSUPPORTED_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(recorder_process.Backoff, "next_seconds", lambda _: 0.01)
    return Node(config)


@pytest.fixture
def film(listed, transport_stream) -> Opening:
    return lambda: listed(transport_stream)


def records(node: Node, kind: str) -> list[dict[str, object]]:
    store = node.config.open_store()
    with store.read() as connection:
        found = [one.parse().payload for one in all_records(connection) if one.kind == kind]
    store.close()
    return found


def refuse(exc: Exception) -> Opening:
    def opening() -> PacketSource:
        raise exc

    return opening


def gone() -> PacketSource:
    raise CameraUnavailable(URL, "no answer in time")


def pictures(path: os.PathLike[str]) -> int:
    with open(path, "rb") as file, av.open(io.BytesIO(file.read())) as container:
        return sum(1 for _ in container.decode(video=0))


def test_stream_becomes_touching_segments_that_play_and_lose_no_picture(node, film):
    node.run(film, gone)
    segments, gaps = node.rows()
    assert [row.ordinal for row in segments] == [0, 1, 2]
    assert [row.ended_at - row.started_at for row in segments] == [2_000_000] * 3
    assert [row.started_at for row in segments[1:]] == [row.ended_at for row in segments[:-1]]
    root = node.config.footage_root
    assert sum(pictures(root / row.path) for row in segments) == 60
    assert [gap.cause for gap in gaps] == ["camera_unreachable"]
    node.assert_sound()


def test_every_outage_is_one_gap_from_footage_to_footage(node, film):
    node.run(film, gone, gone, film, gone)
    segments, (first, last) = node.rows()
    assert len(segments) == 6
    assert (first.started_at, first.ended_at) == (segments[2].ended_at, segments[3].started_at)
    assert (last.started_at, last.ended_at) == (segments[5].ended_at, None)
    node.assert_sound()


def test_camera_that_sends_old_pictures_after_a_reconnection_overlaps_nothing(
    node, listed, transport_stream
):
    """It begins with 0.7 s from its buffer, which the footage has already; that is worked off."""
    first, second = listed(transport_stream), listed(transport_stream)
    second.received_ns = first.received_ns + 5_300_000_000
    node.run(lambda: first, lambda: second, gone)
    segments, gaps = node.rows()
    assert [row.started_at for row in segments[1:]] == [row.ended_at for row in segments[:-1]]
    assert len({row.run for row in segments}) == 2
    assert (gaps[0].started_at, gaps[0].ended_at) == (segments[2].ended_at, segments[3].started_at)
    assert [row.ended_at - row.started_at for row in segments[3:5]] == [1_999_000] * 2
    node.assert_sound()


def test_orderly_stop_seals_and_says_why_the_footage_ends(node, listed, transport_stream):
    stop = threading.Event()

    def stop_in_third_gop(number: int) -> None:
        if number == 25:
            stop.set()

    camera = listed(transport_stream, before=stop_in_third_gop)
    run(ProcessContext(node.config, stop, lambda: None, "cam"), lambda _: camera)
    segments, (gap,) = node.rows()
    assert sum(row.ended_at - row.started_at for row in segments) == 2_600_000
    assert (gap.cause, gap.started_at) == ("recorder_stopped", segments[-1].ended_at)
    node.assert_sound()


@pytest.mark.parametrize("reason", ["planned_shutdown", "power_failing"])
def test_gap_after_a_stop_says_why_the_node_was_stopped(node, listed, transport_stream, reason):
    stop = threading.Event()

    def stop_with_a_reason(number: int) -> None:
        if number == 25:
            stopping.tell(node.config.node.data, reason)
            stop.set()

    camera = listed(transport_stream, before=stop_with_a_reason)
    run(ProcessContext(node.config, stop, lambda: None, "cam"), lambda _: camera)
    segments, (gap,) = node.rows()
    assert (gap.cause, gap.started_at) == (reason, segments[-1].ended_at)
    node.assert_sound()


def test_full_database_is_a_full_disk_and_a_broken_one_is_not():
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA max_page_count = 2")
    connection.execute("CREATE TABLE t (x)")
    with pytest.raises(sqlite3.Error) as full:
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    connection.close()
    wrapped = StoreUnavailable("node.sqlite3: full")
    wrapped.__cause__ = full.value
    assert disk_cause(wrapped) == "disk_full"
    assert disk_cause(OSError(errno.EDQUOT, "Disk quota exceeded")) == "disk_full"
    assert disk_cause(OSError(errno.EIO, "Input/output error")) == "disk_failed"
    assert disk_cause(StoreUnavailable("node.sqlite3: locked")) == "disk_failed"


def test_unsupported_codec_is_a_gap_with_its_own_cause(node):
    node.run(refuse(UnsupportedCodec("mjpeg")), refuse(UnsupportedCodec("mjpeg")))
    assert [gap.cause for gap in node.rows()[1]] == ["unsupported_codec"]


def test_full_disk_is_one_gap_without_litter_and_recording_goes_on_when_there_is_room(
    node, film, listed, transport_stream, monkeypatch
):
    written, tries = os.write, iter(range(5))

    def full(descriptor: int, raw: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(number: int) -> None:
        if number == 35:
            monkeypatch.setattr(os, "write", full)

    def wait(_backoff: Backoff) -> float:
        if next(tries, None) is None:
            monkeypatch.setattr(os, "write", written)
        return 0.01

    monkeypatch.setattr(recorder_process.Backoff, "next_seconds", wait)
    node.run(lambda: listed(transport_stream, before=fill), film, gone)
    segments, gaps = node.rows()
    assert [gap.cause for gap in gaps] == ["disk_full", "camera_unreachable"]
    assert len(segments) == 5
    assert len(records(node, "camera.run_started")) == 2
    assert records(node, "incident.recorded") == []
    node.assert_sound()


def test_segment_of_which_nothing_became_durable_leaves_no_file(
    node, listed, film, transport_stream, monkeypatch
):
    written = os.write

    def full_for_footage(descriptor: int, raw: bytes) -> int:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".part"):
            monkeypatch.setattr(os, "write", written)
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(descriptor, raw)

    monkeypatch.setattr(os, "write", full_for_footage)
    node.run(film, film, gone)
    assert [gap.cause for gap in node.rows()[1]] == ["disk_full", "camera_unreachable"]
    assert records(node, "incident.recorded") == []
    node.assert_sound()


def test_failed_fsync_abandons_the_segment_and_keeps_its_durable_part(
    node, film, listed, transport_stream, monkeypatch
):
    synced = os.fdatasync

    def failing(descriptor: int) -> None:
        monkeypatch.setattr(os, "fdatasync", synced)
        raise OSError(errno.EIO, "Input/output error")

    def break_in_fourth_gop(number: int) -> None:
        if number == 33:
            monkeypatch.setattr(os, "fdatasync", failing)

    node.run(lambda: listed(transport_stream, before=break_in_fourth_gop), film, gone)
    segments, gaps = node.rows()
    assert gaps[0].cause == "disk_failed"
    assert len(segments) >= 4
    node.assert_sound()


def test_gap_that_could_not_be_written_at_once_is_written_before_the_next_run(
    node, film, listed, transport_stream, monkeypatch
):
    written, opened = os.write, Recording.open_gap

    def full_once(descriptor: int, raw: bytes) -> int:
        monkeypatch.setattr(os, "write", written)
        raise OSError(errno.ENOSPC, "No space left on device")

    def refused_once(_recording: Recording, _cause: object) -> None:
        monkeypatch.setattr(Recording, "open_gap", opened)
        raise StoreUnavailable("database is locked")

    def break_in_fourth_gop(number: int) -> None:
        if number == 35:
            monkeypatch.setattr(os, "write", full_once)
            monkeypatch.setattr(Recording, "open_gap", refused_once)

    node.run(lambda: listed(transport_stream, before=break_in_fourth_gop), film, gone)
    segments, gaps = node.rows()
    assert gaps[0].cause == "disk_full"
    assert (gaps[0].started_at, gaps[0].ended_at) == (
        segments[1].ended_at,
        segments[2].started_at,
    )
    node.assert_sound()


def test_back_off_begins_anew_only_after_footage_became_durable(node, film, monkeypatch):
    resets: list[int] = []
    monkeypatch.setattr(recorder_process.Backoff, "reset", lambda _: resets.append(1))
    node.run(film, gone, gone, film, gone)
    assert len(resets) == 2


def test_hours_are_summarised_while_the_camera_is_gone_and_when_a_segment_is_sealed(
    node, film, listed, transport_stream, monkeypatch
):
    looked = SystemClock.now

    def later(hours: int) -> None:
        monkeypatch.setattr(
            SystemClock, "now", lambda clock: looked(clock) + timedelta(hours=hours)
        )

    def gone_for_four_hours() -> PacketSource:
        later(4)
        return gone()

    node.run(film, gone_for_four_hours)
    before = len(records(node, "coverage.summarised"))
    assert before >= 4  # the film is older than an hour already
    stop = threading.Event()

    def set_forward(number: int) -> None:
        if number == 13:
            later(9)
        if number == 25:
            stop.set()  # an orderly end, so nothing but the seal can have summarised

    camera = listed(transport_stream, before=set_forward)
    run(ProcessContext(node.config, stop, lambda: None, "cam"), lambda _: camera)
    assert len(records(node, "coverage.summarised")) > before


def test_wall_clock_set_back_never_makes_a_gap_in_the_future(
    node, listed, transport_stream, monkeypatch
):
    looked = SystemClock.now

    def set_back(number: int) -> None:
        if number == 33:
            monkeypatch.setattr(
                SystemClock, "now", lambda clock: looked(clock) - timedelta(hours=5)
            )

    node.run(lambda: listed(transport_stream, before=set_back), gone)
    now = to_micros(SystemClock().now())  # as it was set
    segments, gaps = node.rows()
    assert segments[2].run != segments[1].run
    assert segments[2].started_at < segments[1].started_at
    (change,) = [gap for gap in gaps if gap.cause == "stream_changed"]
    assert segments[1].ended_at > now + 60_000_000 > change.started_at
    assert change.ended_at is not None


def test_unsynced_directory_stops_the_recorder(node, film, monkeypatch):
    def failing(path: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    calls = iter([None, failing])
    original = sink_module.fsync_directory

    def first_is_well(path: object) -> None:
        (next(calls, failing) or original)(path)

    monkeypatch.setattr(sink_module, "fsync_directory", first_is_well)
    with pytest.raises(DirectorySyncFailed):
        node.run(film, gone)
    monkeypatch.undo()
    monkeypatch.setattr(recorder_process.Backoff, "next_seconds", lambda _: 0.01)
    node.run(gone)  # started again by the supervisor: the named file is adopted
    segments, gaps = node.rows()
    assert len(segments) == 1
    assert [gap.cause for gap in gaps] == ["recorder_crashed"]
    node.assert_sound()


def test_wrong_volume_is_never_written_to(node, film):
    root = node.config.footage_root
    root.mkdir(parents=True)
    (root / "photos").mkdir()
    stop = threading.Event()
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        if len(beats) > 6:
            stop.set()

    run(ProcessContext(node.config, stop, beat, "cam"), lambda _: film())
    assert [entry.name for entry in root.iterdir()] == ["photos"]
    assert [gap.cause for gap in node.rows()[1]] == ["disk_failed"]


def test_second_recorder_of_a_camera_is_refused(node, monkeypatch):
    monkeypatch.setattr(recorder_process, "LOCK_WAIT_SECONDS", 0.05)
    lock = FileLock(node.config.node.data / "run" / "recorder-cam.lock")
    with pytest.raises(HeldElsewhere, match=f"process {os.getpid()}"):
        node.run(gone)
    lock.release()
    node.run(gone)


def test_seal_message_cuts_at_the_next_key_picture(
    node, listed, transport_stream, config, zmq_context, monkeypatch
):
    sent, asked = threading.Event(), SealRequests.asked

    def asked_in_time(requests: SealRequests) -> bool:
        """Ask again until what was sent has crossed to the recorder's thread."""
        found, until = asked(requests), time.monotonic() + 20
        while sent.is_set() and not found and time.monotonic() < until:
            threading.Event().wait(0.01)
            found = asked(requests)
        sent.clear()
        return found

    monkeypatch.setattr(SealRequests, "asked", asked_in_time)
    with zmq_context.socket(zmq.PUSH) as socket:
        socket.connect(config.socket("recorder-cam"))

        def ask(number: int) -> None:
            if number == 22:
                socket.send(b"seal")
                sent.set()

        node.run(lambda: listed(transport_stream, before=ask), gone)
    lengths = [row.ended_at - row.started_at for row in node.rows()[0]]
    assert lengths == [2_000_000, 1_000_000, 2_000_000, 1_000_000]


def test_wall_clock_jump_is_recorded_and_begins_a_run(node, listed, transport_stream, monkeypatch):
    looked = SystemClock.now

    def set_forward(number: int) -> None:
        if number == 33:
            monkeypatch.setattr(
                SystemClock, "now", lambda clock: looked(clock) + timedelta(hours=1)
            )

    node.run(lambda: listed(transport_stream, before=set_forward), gone)
    monkeypatch.undo()
    assert len(records(node, "camera.run_started")) == 2
    assert len(records(node, "clock.jumped")) == 1
    segments, gaps = node.rows()
    assert sum(row.ended_at - row.started_at for row in segments) == 6_000_000
    assert (gaps[0].started_at, gaps[0].ended_at) == (segments[1].ended_at, segments[2].started_at)
    node.assert_sound()


def test_wall_clock_jump_between_connections_is_recorded(node, film, monkeypatch):
    looked = SystemClock.now

    def after_a_jump() -> PacketSource:
        later = timedelta(hours=1)
        monkeypatch.setattr(SystemClock, "now", lambda clock: looked(clock) + later)
        return film()

    node.run(film, after_a_jump, gone)
    monkeypatch.undo()
    (jump,) = records(node, "clock.jumped")
    assert 3_599_000 < jump["moved_ms"] < 3_601_000


def test_crash_between_runs_is_a_gap_from_the_last_footage(node, film):
    node.run(film, gone)
    store = node.config.open_store()
    with store.write() as connection:
        connection.execute("DELETE FROM gaps")  # as if the recorder had died before it wrote one
    store.close()
    node.run(gone)
    segments, (gap,) = node.rows()
    assert (gap.cause, gap.started_at) == ("recorder_crashed", segments[-1].ended_at)


def test_crash_is_a_gap_from_the_last_footage_although_the_clock_was_wrong_before(
    node, film, monkeypatch
):
    """Footage of another day, hours ahead, must not hide the end of today's."""
    looked = SystemClock.now
    with monkeypatch.context() as patch:
        patch.setattr(SystemClock, "now", lambda clock: looked(clock) + timedelta(hours=5))
        node.run(film, gone)
    node.run(film, gone)
    store = node.config.open_store()
    with store.write() as connection:
        connection.execute("DELETE FROM gaps WHERE ended_at IS NULL")  # it died before it wrote one
    store.close()
    node.run(gone)
    segments, gaps = node.rows()
    assert segments[2].started_at > to_micros(SystemClock().now()) > segments[-1].ended_at
    (crash,) = [gap for gap in gaps if gap.cause == "recorder_crashed"]
    assert crash.started_at == segments[-1].ended_at


def test_changed_picture_format_ends_the_run_before_the_first_such_picture(
    node, film, transport_stream, larger_transport_stream, listed
):
    node.run(lambda: listed(transport_stream + larger_transport_stream), film, gone)
    segments, gaps = node.rows()
    assert gaps[0].cause == "stream_changed"
    root = node.config.footage_root
    assert [pictures(root / row.path) for row in segments] == [20] * 6
    node.assert_sound()


def test_file_that_libav_cannot_finish_is_left_to_recovery(node, film, monkeypatch):
    closed, refusals = SegmentWriter.close, iter([True])

    def refusing(writer: SegmentWriter) -> None:
        if next(refusals, False):
            raise StreamRefused("damaged")
        closed(writer)

    monkeypatch.setattr(SegmentWriter, "close", refusing)
    node.run(film, film, gone)
    segments, gaps = node.rows()
    assert gaps[0].cause == "stream_changed"
    # The durable GOP of the first segment, and all of the second film.
    assert [row.ended_at - row.started_at for row in segments] == [1_000_000] + [2_000_000] * 3
    node.assert_sound()
