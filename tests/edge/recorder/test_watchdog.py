"""A segment that does not come, or cannot be read, is an alarm until a valid one comes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge.process import ProcessContext
from edge.recorder import process as recorder_process
from edge.recorder import recording
from edge.recorder.process import run
from edge.recorder.watchdog import SegmentFacts, Watchdog, facts_of, is_overdue, trouble_of
from hardware.errors import CameraUnavailable
from hardware.packets import ReceivedPacket
from retention.store import footage
from retention.store.alarms import open_alarms
from retention.store.database import NodeStore, StoreUnavailable
from retention.store.log import all_records
from tests.edge.recorder.conftest import ListedCamera

SOUND = SegmentFacts(whole=True, is_ours=True, begins_with_key=True, duration_us=1)


def alarms(store: NodeStore) -> list[tuple[str, str]]:
    with store.read() as connection:
        return [(row.alarm, row.subject) for row in open_alarms(connection)]


def kinds(store: NodeStore) -> list[str]:
    with store.read() as connection:
        return [one.kind for one in all_records(connection) if one.kind.startswith("alarm.")]


@pytest.fixture
def sealed(config, listed, transport_stream, monkeypatch) -> tuple[Path, str]:
    """A file that the recorder made, and its segment's id."""
    monkeypatch.setattr(recorder_process.Backoff, "next_seconds", lambda _: 0.01)
    stop, camera = threading.Event(), listed(transport_stream)

    def once(_camera: object):
        stop.set()
        return camera

    run(ProcessContext(config, stop, lambda: None, "cam"), once)
    opened = config.open_store()
    with opened.read() as connection:
        row = next(iter(footage.all_segments(connection)))
    assert alarms(opened) == []
    opened.close()
    return config.footage_root / row.path, row.id


def test_every_way_to_be_invalid_is_named():
    assert trouble_of(SOUND) is None
    found = {
        trouble_of(SegmentFacts(whole, is_ours, key, duration))
        for whole, is_ours, key, duration in (
            (False, True, True, 1), (True, False, True, 1), (True, True, False, 1),
            (True, True, True, 0),
        )
    }  # fmt: skip
    assert len(found) == 4
    assert None not in found


def test_segment_is_overdue_after_two_and_a_half_lengths_and_never_before_ten_seconds():
    assert not is_overdue(150_000_000, 0, 60.0)
    assert is_overdue(150_000_001, 0, 60.0)
    assert not is_overdue(10_000_000, 0, 2.0)
    assert is_overdue(10_000_001, 0, 2.0)


def test_files_are_read_back_and_damage_is_seen(sealed):
    path, segment = sealed
    content = path.read_bytes()
    assert trouble_of(facts_of(path, segment)) is None
    assert trouble_of(facts_of(path, "00000000-0000-7000-8000-000000000009")) is not None
    path.write_bytes(content[:-1])
    assert not facts_of(path, segment).whole
    path.write_bytes(content + b"more")
    assert not facts_of(path, segment).whole
    path.write_bytes(b"")
    assert facts_of(path, segment) == SegmentFacts(False, False, False, 0)


def test_alarm_is_raised_once_and_over_with_the_next_valid_segment(store, sealed):
    path, segment = sealed
    watchdog = Watchdog(store, "cam", 60.0)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    watchdog.sealed(path, segment)
    watchdog.sealed(path.with_name("gone.mp4"), segment)
    assert alarms(store) == [("SEGMENT_INVALID", "cam")]
    path.write_bytes(content)
    watchdog.sealed(path, segment)
    watchdog.sealed(path, segment)
    assert alarms(store) == []
    assert kinds(store) == ["alarm.raised", "alarm.cleared"]


def test_alarm_of_an_earlier_process_is_over_too(store, sealed):
    Watchdog(store, "cam", 60.0).sealed(sealed[0].with_name("gone.mp4"), sealed[1])
    Watchdog(store, "cam", 60.0).sealed(*sealed)
    assert alarms(store) == []


def test_packets_without_a_segment_are_an_alarm_but_a_silent_camera_is_not_ours(store, sealed):
    watchdog = Watchdog(store, "cam", 2.0)
    watchdog.arrived(0)
    watchdog.left()
    watchdog.arrived(60_000_000)  # a new connection: nothing is due yet
    watchdog.arrived(69_000_000)
    watchdog.sealed(*sealed)
    watchdog.arrived(78_000_000)
    assert alarms(store) == []
    watchdog.arrived(80_000_000)
    assert alarms(store) == [("SEGMENT_INVALID", "cam")]


def test_segment_sealed_as_the_connection_ends_makes_nothing_due_on_the_next(store, sealed):
    watchdog = Watchdog(store, "cam", 2.0)
    watchdog.arrived(0)
    watchdog.left()
    watchdog.sealed(*sealed)
    watchdog.arrived(3_600_000_000)
    assert alarms(store) == []


def test_alarm_that_cannot_be_written_is_tried_again(store, sealed, monkeypatch):
    def refuse(_store: NodeStore) -> object:
        raise StoreUnavailable("locked")

    watchdog = Watchdog(store, "cam", 2.0)
    watchdog.arrived(0)
    with monkeypatch.context() as patch:
        patch.setattr(NodeStore, "write", refuse)
        watchdog.arrived(11_000_000)
        watchdog.sealed(*sealed)
    assert alarms(store) == []
    watchdog.arrived(30_000_000)
    assert alarms(store) == [("SEGMENT_INVALID", "cam")]


def test_camera_without_key_pictures_is_an_alarm_and_another_connection_begins_anew(
    config, store, listed, transport_stream, monkeypatch
):
    monkeypatch.setattr(recorder_process.Backoff, "next_seconds", lambda _: 0.01)

    class Keyless(ListedCamera):
        def packets(self):
            for number, received in enumerate(super().packets()):
                received.packet.is_keyframe = False
                yield ReceivedPacket(received.packet, self.received_ns + number * step_ns)

    def recorded_from(*cameras):
        waiting, stop = list(cameras), threading.Event()

        def next_one(_camera: object):
            if not waiting:
                stop.set()
                raise CameraUnavailable("rtsp://camera", "no more")
            return waiting.pop(0)

        run(ProcessContext(config, stop, lambda: None, "cam"), next_one)
        return alarms(config.open_store())

    step_ns = 150_000_000  # sixty packets, nine seconds; connections are 100 s apart
    first, second = listed(transport_stream), listed(transport_stream)
    first.__class__ = second.__class__ = Keyless
    assert recorded_from(first, second) == []
    step_ns = 200_000_000
    third = listed(transport_stream)
    third.__class__ = Keyless
    assert recorded_from(third) == [("SEGMENT_INVALID", "cam")]


def test_recorder_reads_back_what_it_seals(config, listed, transport_stream, monkeypatch):
    """A disk that answers every write and keeps nothing."""
    monkeypatch.setattr(recorder_process.Backoff, "next_seconds", lambda _: 0.01)
    seal = recording.seal

    def losing(store, root, finished, *rest):
        done = seal(store, root, finished, *rest)
        if finished.identity.ordinal == 2:
            (root / finished.identity.path()).write_bytes(b"")
        return done

    monkeypatch.setattr(recording, "seal", losing)
    stop, waiting = threading.Event(), [listed(transport_stream)]

    def once(_camera: object):
        if waiting:
            return waiting.pop()
        stop.set()
        raise CameraUnavailable("camera", "no more")

    run(ProcessContext(config, stop, lambda: None, "cam"), once)
    opened = config.open_store()
    assert alarms(opened) == [("SEGMENT_INVALID", "cam")]
    opened.close()
