from __future__ import annotations

import json
import os
import threading
import time
from datetime import timedelta

import pytest
import zmq

from edge.config import (
    CameraConfig,
    EdgeConfig,
    NodeConfig,
    RecordingConfig,
    SessionConfig,
    VerificationConfig,
)
from edge.custodian.process import Custodian, SealAsker
from edge.process import ProcessContext
from edge.processes import recorder_lock
from edge.recorder.process import SealRequests
from retention.durable import FileLock
from retention.footage.layout import SegmentIdentity
from retention.footage.volume import VolumeRefused, open_volume
from retention.records.clock import from_micros, to_micros, to_text
from retention.records.payloads import GapCause, RunStarted, SceneRole, SegmentSealed
from retention.store import footage
from retention.store.log import of_session

SECOND = 1_000_000


class Asked(SealAsker):
    """Remembers who was asked to seal."""

    def __init__(self) -> None:
        self.cameras: list[str] = []

    def ask(self, camera: str) -> None:
        self.cameras.append(camera)

    def close(self) -> None:
        return


@pytest.fixture
def config(tmp_path):
    cameras = tuple(
        CameraConfig(id=role.value, scene_role=role, url="rtsp://camera/stream")
        for role in (SceneRole.PURCHASE, SceneRole.DISPENSING)
    )
    return EdgeConfig(
        node=NodeConfig(agency="430100", pharmacy="P1", node="node-a", data=tmp_path),
        cameras=cameras,
        recording=RecordingConfig(segment_seconds=10),
        session=SessionConfig(pre_roll_seconds=30, post_roll_seconds=30),
        verification=VerificationConfig(camera="purchase"),
    )


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def custodian(config, store, asked) -> Custodian:
    return Custodian(config, store, asked)


@pytest.fixture
def session(store, clock) -> str:
    """A session that was open for 60 s and closed now."""
    now, session = to_micros(clock.now()), store.ids.new()
    with store.write() as connection:
        connection.execute(
            "INSERT INTO sessions VALUES (?, 'c1', ?, ?, NULL)", (session, now - 60 * SECOND, now)
        )
    return session


def film(store, camera: str, start: int, end: int) -> None:
    """Index footage of a camera; the file does not matter here."""
    segment = store.ids.new()
    with store.write() as connection:
        sealed = SegmentSealed(
            segment=segment,
            camera=camera,
            scene_role=SceneRole(camera),
            run=store.ids.new(),
            ordinal=0,
            started_at=to_text(from_micros(start)),
            ended_at=to_text(from_micros(end)),
            duration_ms=(end - start) // 1000,
            bytes=1,
            codec="h264",
            file_sha256="0" * 64,
            chunk_root="0" * 64,
            recovered=False,
            truncated_bytes=0,
        )
        footage.insert_segment(store, connection, sealed, f"{camera}/20260102/{segment}.mp4")


def covered(store, session: str) -> list[dict]:
    with store.read() as connection:
        return [stored.parse().payload for stored in of_session(connection, session)]


def test_session_waits_for_its_post_roll_then_for_the_segments(
    custodian, config, store, clock, session, asked
):
    closed = to_micros(clock.now())
    assert custodian.step() == 1
    assert asked.cameras == []  # the post-roll is not over
    clock.advance(timedelta(seconds=31))
    assert custodian.step() == 1
    assert asked.cameras == ["purchase", "dispensing"]
    custodian.step()
    assert len(asked.cameras) == 2  # not asked again at once
    for camera in asked.cameras:
        film(store, camera, closed - 120 * SECOND, closed + 31 * SECOND)
    assert custodian.step() == 1  # what the pictures showed may be told still
    clock.advance(timedelta(seconds=6))
    assert custodian.step() == 0
    (record,) = covered(store, session)
    assert (record["owed_ms"], record["covered_ms"]) == (240_000, 240_000)
    assert [scene["gap_causes"] for scene in record["scenes"]] == [[], []]
    custodian.step()
    assert len(covered(store, session)) == 1


def test_missing_footage_is_owed_and_its_cause_is_named(custodian, store, clock, session):
    closed = to_micros(clock.now())
    clock.advance(timedelta(seconds=40))
    film(store, "purchase", closed - 50 * SECOND, closed + 35 * SECOND)
    with store.write() as connection:
        footage.open_gap(
            store,
            connection,
            "dispensing",
            SceneRole.DISPENSING,
            closed - 10_000 * SECOND,
            GapCause.CAMERA_UNREACHABLE,
        )
    custodian.step()
    (record,) = covered(store, session)
    assert (record["owed_ms"], record["covered_ms"]) == (240_000, 80_000)
    worst, other = record["scenes"]
    assert (worst["camera"], worst["covered_ms"]) == ("dispensing", 0)
    assert worst["gap_causes"] == ["camera_unreachable"]
    # Before the node's first footage nothing explains the hole, and it is owed all the same.
    assert (other["covered_ms"], other["gap_causes"]) == (80_000, ["unknown"])


def test_coverage_is_recorded_as_it_stands_after_two_segment_lengths(
    custodian, store, clock, session
):
    clock.advance(timedelta(seconds=49))
    custodian.step()
    assert covered(store, session) == []
    clock.advance(timedelta(seconds=2))
    assert custodian.step() == 0
    assert covered(store, session)[0]["covered_ms"] == 0


def test_session_left_open_for_days_is_covered_after_it_closes(custodian, store, clock):
    opened, session = to_micros(clock.now()), store.ids.new()
    clock.advance(timedelta(days=5))
    custodian.step()
    with store.write() as connection:
        connection.execute(
            "INSERT INTO sessions VALUES (?, 'c1', ?, ?, NULL)",
            (session, opened, to_micros(clock.now())),
        )
    clock.advance(timedelta(minutes=10))
    custodian.step()
    assert len(covered(store, session)) == 1


def begin(store, camera: str) -> SegmentIdentity:
    """Say that a camera recorded here once; returns the identity of its first segment."""
    node, now = store.identity, to_text(store.clock.now())
    run, role = store.ids.new(), SceneRole.PURCHASE
    with store.write() as connection:
        started = RunStarted(
            run=run, camera=camera, scene_role=role, codec="h264", width=1, height=1, started_at=now
        )
        footage.insert_run(store, connection, started)
    return SegmentIdentity(
        agency=node.agency,
        pharmacy=node.pharmacy,
        node=node.node,
        camera=camera,
        scene_role=role,
        run=run,
        ordinal=0,
        segment=store.ids.new(),
        started_at=now,
        codec="h264",
    )


def incidents(store) -> list[tuple[str, str]]:
    with store.read() as connection:
        return [tuple(row) for row in connection.execute("SELECT incident, subject FROM incidents")]


def test_sweep_does_for_a_retired_camera_what_its_recorder_would(custodian, config, store):
    context = ProcessContext(config, threading.Event(), lambda: None)
    root = config.footage_root
    open_volume(root, store)
    for camera in ("retired", "purchase"):
        part = root / begin(store, camera).path(".mp4.part")
        part.parent.mkdir(parents=True)
        part.write_bytes(b"no fragment")
        os.utime(part, (store.clock.now().timestamp(),) * 2)
    custodian.sweep(context)
    (found,) = incidents(store)  # the other one is the recorder's own
    assert found[0] == "PART_UNUSABLE"
    assert found[1].startswith("retired/")
    lock = FileLock(recorder_lock(config, "retired"))  # nothing is held afterwards
    lock.release()


def test_sweep_says_nothing_about_a_disk_that_is_not_the_nodes(custodian, config, store):
    context = ProcessContext(config, threading.Event(), lambda: None)
    film(store, "purchase", 0, 10 * SECOND)
    config.footage_root.mkdir()
    with pytest.raises(VolumeRefused, match="missing"):
        custodian.sweep(context)
    identity = {"format": 1, "node": "node-b", "database_id": store.ids.new()}
    (config.footage_root / "volume.json").write_text(
        json.dumps(identity | {"volume": store.ids.new()})
    )
    with pytest.raises(VolumeRefused):
        custodian.sweep(context)
    assert incidents(store) == []


def test_asked_recorder_hears_it_and_an_absent_one_is_no_trouble(config):
    asker = SealAsker(config)
    asker.ask("dispensing")  # nobody there
    deadline = time.monotonic() + 20
    with SealRequests(config.socket("recorder-purchase")) as requests:
        heard = False
        while not heard:
            assert time.monotonic() < deadline
            asker.ask("purchase")
            threading.Event().wait(0.05)
            heard = requests.asked()
    asker.close()


@pytest.mark.timeout(30)
def test_socket_that_cannot_be_made_ends_the_asker_at_once(config, monkeypatch):
    """It used to wait for ever, in the end of its context, for the socket of the other camera."""
    addresses = iter([config.socket("recorder-purchase"), "nowhere://"])
    monkeypatch.setattr(EdgeConfig, "socket", lambda _, _name: next(addresses))
    with pytest.raises(zmq.ZMQError):
        SealAsker(config)


def test_view_gap_that_is_told_late_takes_the_sessions_worth_away(
    config, store, clock, session, asked
):
    """Without a post-roll everything may be sealed before the watch is sure."""
    config = config.model_copy(update={"session": SessionConfig(post_roll_seconds=0)})
    custodian = Custodian(config, store, asked)
    closed = to_micros(clock.now())
    for camera in config.cameras:
        film(store, camera.id, closed - 120 * SECOND, closed + 10 * SECOND)
    clock.advance(timedelta(seconds=5))
    custodian.step()
    with store.write() as connection:
        footage.open_gap(
            store,
            connection,
            "purchase",
            SceneRole.PURCHASE,
            closed - 40 * SECOND,
            GapCause.VIEW_BLACK,
        )
    clock.advance(timedelta(seconds=2))
    assert custodian.step() == 0
    (record,) = covered(store, session)
    worst, _ = record["scenes"]
    assert (worst["camera"], worst["gap_causes"]) == ("purchase", ["view_black"])
    assert worst["covered_ms"] == worst["owed_ms"] - 40_000
