"""What the custodian tells of rooms, volumes, full disks and lost footage."""

from __future__ import annotations

import errno
from datetime import timedelta
from pathlib import Path

import pytest

from edge.config import (
    CameraConfig,
    EdgeConfig,
    NodeConfig,
    RecordingConfig,
    VerificationConfig,
    VolumeConfig,
)
from edge.custodian import capacity as module
from edge.custodian.capacity import CapacityWatch
from edge.room import RoomWatch
from retention.footage import volume as volume_module
from retention.footage.volumes import FreeSpace, Volumes, room_on
from retention.records.clock import ManualClock, to_micros, to_text
from retention.records.payloads import GapCause, RunStarted, SceneRole, SegmentSealed
from retention.store import breaches, footage, trusted
from retention.store.alarms import open_alarms
from retention.store.database import NodeStore
from retention.store.log import all_records
from retention.store.reserve import reserve_of

GB = 10**9
DAY = timedelta(days=1)


@pytest.fixture
def config(tmp_path) -> EdgeConfig:
    disks = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        disks.append(VolumeConfig(name=name, path=tmp_path / name))
    return EdgeConfig(
        node=NodeConfig(agency="430100", pharmacy="P43010000001", node="node-a", data=tmp_path),
        cameras=(CameraConfig(id="till", scene_role=SceneRole.PURCHASE, url="rtsp://c/s"),),
        recording=RecordingConfig(volumes=tuple(disks)),
        verification=VerificationConfig(camera="till"),
    )


@pytest.fixture
def volumes(config, store) -> Volumes:
    found = config.volumes(store)
    found.open()
    return found


@pytest.fixture
def watch(config, store, volumes) -> CapacityWatch:
    return CapacityWatch(config, store, volumes)


@pytest.fixture
def room(monkeypatch) -> dict[str, int]:
    """Let there be so much room, whatever this machine's disks have."""
    free = {"bytes": 0}
    monkeypatch.setattr(Volumes, "room", lambda _: FreeSpace(free["bytes"]))
    return free


def seal(
    store: NodeStore, clock: ManualClock, size: int, volume: str = "a", camera: str = "till"
) -> SegmentSealed:
    """Seal a segment of a minute that ends now; its file is nobody's business here."""
    with store.read() as connection:
        known = connection.execute("SELECT 1 FROM runs WHERE camera = ?", (camera,)).fetchone()
    start, end = (to_text(at) for at in (clock.now() - timedelta(minutes=1), clock.now()))
    run = store.ids.new()
    sealed = SegmentSealed(
        segment=store.ids.new(), camera=camera, scene_role=SceneRole.PURCHASE, run=run, ordinal=0,
        started_at=start, ended_at=end, duration_ms=60_000, bytes=size, codec="h264",
        file_sha256="0" * 64, chunk_root="0" * 64, recovered=False, truncated_bytes=0,
    )  # fmt: skip
    with store.write() as connection:
        if known is None:
            began = RunStarted(run=run, camera=camera, scene_role=SceneRole.PURCHASE, codec="h264",
                               width=1, height=1, started_at=start)  # fmt: skip
            footage.insert_run(store, connection, began)
        day = start[:10].replace("-", "")
        path = f"{camera}/{day}/{sealed.segment}.mp4"
        footage.insert_segment(store, connection, sealed, path, volume)
    return sealed


def record_days(store: NodeStore, clock: ManualClock, days: int, size: int = GB) -> None:
    for _ in range(days):
        seal(store, clock, size)
        clock.advance(DAY)


def alarms(store: NodeStore) -> set[tuple[str, str]]:
    with store.read() as connection:
        return {(one.alarm, one.subject) for one in open_alarms(connection)}


def told(store: NodeStore) -> list[tuple[str, str]]:
    """Return stage and cause of every breach record, in order."""
    with store.read() as connection:
        found = [
            one.parse().payload for one in all_records(connection) if one.kind == "retention.breach"
        ]
    return [(str(one["stage"]), str(one["cause"])) for one in found]


# -- the forecast ---------------------------------------------------------------------------------


def test_disk_that_will_not_last_is_announced_alarmed_and_averted(watch, store, clock, room):
    record_days(store, clock, 5)
    room["bytes"] = 200 * GB
    watch.look_ahead()
    assert alarms(store) == {("FLOOR_AT_RISK", "room")}
    assert told(store) == [("announced", "disk_full")]
    with store.read() as connection:
        (breach,) = breaches.all_breaches(connection)
    assert (breach.started_at.date() - clock.now().date()).days == 201
    assert breach.ended_at is not None
    assert (breach.ended_at - breach.started_at).days == pytest.approx(163, abs=3)
    watch.look_ahead()
    assert len(told(store)) == 1
    room["bytes"] = 80 * GB
    watch.look_ahead()
    assert alarms(store) == {("FLOOR_AT_RISK", "room"), ("DISK_WARN", "room")}
    assert told(store) == [("announced", "disk_full")] * 2  # 120 days earlier than it was said
    room["bytes"] = 20 * GB
    watch.look_ahead()
    assert ("DISK_ALARM", "room") in alarms(store)
    room["bytes"] = 1000 * GB
    watch.look_ahead()
    assert alarms(store) == set()
    assert told(store)[-1] == ("averted", "disk_full")
    with store.read() as connection:
        (breach,) = breaches.all_breaches(connection)
    assert breach.stage == "averted"
    room["bytes"] = 200 * GB
    watch.look_ahead()
    with store.read() as connection:
        assert [one.stage for one in breaches.all_breaches(connection)] == ["averted", "announced"]


def test_camera_that_never_works_hides_no_full_disk(watch, store, clock, room, config):
    other = config.cameras[0].model_copy(update={"id": "shelf"})
    cameras = (*config.cameras, other)
    two = CapacityWatch(config.model_copy(update={"cameras": cameras}), store, watch._volumes)
    record_days(store, clock, 5)
    room["bytes"] = 20 * GB
    two.look_ahead()
    assert ("DISK_ALARM", "room") in alarms(store)


def test_clock_in_doubt_changes_no_forecast(watch, store, clock, room):
    record_days(store, clock, 5)
    room["bytes"] = 200 * GB
    watch.look_ahead()
    with store.write() as connection:
        trusted.advance(store, connection, None)
    clock.jump(-timedelta(days=800))
    watch.look_ahead()
    assert alarms(store) == {("FLOOR_AT_RISK", "room")}
    assert told(store) == [("announced", "disk_full")]


def test_nothing_is_announced_on_the_first_hours_of_a_node(watch, store, clock, room):
    seal(store, clock, GB)
    clock.advance(timedelta(hours=3))
    watch.look_ahead()
    assert alarms(store) == set()
    assert told(store) == []


def test_steps_look_when_it_is_time(watch, store, clock, room, monkeypatch):
    done: list[str] = []
    monkeypatch.setattr(CapacityWatch, "look", lambda _: done.append("look"))
    monkeypatch.setattr(CapacityWatch, "look_ahead", lambda _: done.append("ahead"))
    for _ in range(1300):
        watch.step()
        clock.advance(timedelta(seconds=0.5))
    assert done.count("look") == 65
    assert done.count("ahead") == 2


# -- disks ----------------------------------------------------------------------------------------


def test_missing_disk_is_alarmed_and_its_footage_announced_until_it_is_back(
    watch, store, clock, config
):
    seal(store, clock, GB, "b")
    disk = config.volume_roots["b"]
    watch.look()
    assert alarms(store) == set()
    disk.rename(disk.with_name("in-the-drawer"))
    watch.look()
    watch.look()
    assert alarms(store) == {("VOLUME_MISSING", "b")}
    assert told(store) == [("announced", "volume_missing")]
    disk.with_name("in-the-drawer").rename(disk)
    watch.look()
    assert alarms(store) == set()
    assert told(store) == [("announced", "volume_missing"), ("averted", "volume_missing")]
    with store.read() as connection:
        assert breaches.untold_incidents(connection) == []


def test_footage_on_a_disk_that_is_away_makes_no_room_when_it_goes(
    watch, store, clock, config, monkeypatch
):
    monkeypatch.setattr(
        Volumes, "room", lambda self: FreeSpace(363 * GB, room_on(self.look()).closed)
    )
    for _ in range(5):
        seal(store, clock, GB, "b")
        clock.advance(DAY)
    watch.look_ahead()
    assert alarms(store) == set()
    config.volume_roots["b"].rename(config.volume_roots["b"].with_name("in-the-drawer"))
    watch.look_ahead()
    assert alarms(store) == {("FLOOR_AT_RISK", "room")}


def test_missing_disk_without_footage_breaks_no_floor(watch, store, config):
    config.volume_roots["b"].rename(config.volume_roots["b"].with_name("gone"))
    watch.look()
    assert alarms(store) == {("VOLUME_MISSING", "b")}
    assert told(store) == []


def test_lost_reserve_is_the_alarm_of_a_full_disk(watch, store, monkeypatch):
    watch.look()
    assert reserve_of(store.path).held
    reserve_of(store.path).give_up()
    monkeypatch.setattr(module.reserve_of(store.path).__class__, "keep", lambda _: False)
    watch.look()
    assert alarms(store) == {("DISK_FULL", "room")}
    monkeypatch.undo()
    watch.look()
    assert alarms(store) == set()
    assert reserve_of(store.path).held


def test_reserve_that_a_broken_disk_refuses_stops_nothing_else(watch, store, config, monkeypatch):
    def broken(_: object) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module.reserve_of(store.path).__class__, "keep", broken)
    config.volume_roots["b"].rename(config.volume_roots["b"].with_name("gone"))
    watch.look()
    assert alarms(store) == {("VOLUME_MISSING", "b")}


def test_disk_that_is_mounted_late_is_taken_and_one_that_cannot_be_is_an_alarm(
    config, store, monkeypatch
):
    watch = CapacityWatch(config, store, config.volumes(store))
    root = config.volume_roots["b"]
    root.rmdir()
    watch.look()
    assert alarms(store) == {("VOLUME_MISSING", "b")}
    root.mkdir()
    real = volume_module.write_durably

    def refuse(path: Path, content: bytes) -> None:
        if path.parent == root:
            raise OSError(errno.EIO, "Input/output error")
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(volume_module, "write_durably", refuse)
        watch.look()
        assert alarms(store) == {("VOLUME_MISSING", "b")}
    watch.look()
    assert alarms(store) == set()


# -- what was lost --------------------------------------------------------------------------------


def test_gap_of_a_full_disk_is_a_breach_with_its_span(watch, store, clock):
    with store.write() as connection:
        now = to_micros(clock.now())
        footage.open_gap(store, connection, "till", SceneRole.PURCHASE, now, GapCause.DISK_FULL)
    watch.look()
    watch.look()
    assert told(store) == [("recorded", "disk_full")]
    assert alarms(store) == {("DISK_FULL", "room")}
    clock.advance(timedelta(hours=2))
    with store.write() as connection:
        footage.close_gap(store, connection, "till", to_micros(clock.now()))
    watch.look()
    watch.look()
    assert told(store) == [("recorded", "disk_full")] * 2
    assert alarms(store) == set()
    with store.read() as connection:
        (breach,) = breaches.all_breaches(connection)
    assert (breach.camera, breach.ended_at) == ("till", clock.now())
    assert clock.now() - breach.started_at == timedelta(hours=2)


@pytest.mark.parametrize(
    ("incident", "cause"),
    [
        ("FOOTAGE_MISSING", "footage_missing"),
        ("FOOTAGE_CHANGED", "footage_changed"),
        ("UNREADABLE_FILE", "footage_missing"),
    ],
)
@pytest.mark.parametrize("age_days", [10, 400])
def test_lost_file_inside_its_floor_is_a_breach_of_its_span(
    watch, store, clock, config, incident, cause, age_days
):
    sealed = seal(store, clock, GB, "b")
    with store.read() as connection:
        (row,) = footage.all_segments(connection)
    (config.volume_roots["b"] / row.path).parent.mkdir(parents=True)
    with store.write() as connection:
        trusted.advance(store, connection, None)
    clock.advance(timedelta(days=age_days))
    with store.write() as connection:
        footage.add_incident(store, connection, incident, f"b:{row.path}", "lost")
    watch.look()
    watch.look()
    assert told(store) == ([("recorded", cause)] if age_days < 366 else [])
    if age_days < 366:
        with store.read() as connection:
            (breach,) = breaches.all_breaches(connection)
        assert breach.camera == "till"
        assert to_text(breach.started_at) == sealed.started_at
        assert breach.ended_at is not None
        assert to_text(breach.ended_at) == sealed.ended_at


def test_clock_that_jumped_forward_makes_no_lost_file_old(watch, store, clock, config):
    seal(store, clock, GB, "b")
    with store.read() as connection:
        (row,) = footage.all_segments(connection)
    with store.write() as connection:
        trusted.advance(store, connection, None)
    clock.jump(timedelta(days=400))
    with store.write() as connection:
        footage.add_incident(store, connection, "FOOTAGE_MISSING", f"b:{row.path}", "lost")
    watch.look()
    assert told(store) == [("recorded", "footage_missing")]


def test_folder_that_is_gone_is_one_breach_from_its_first_to_its_last(watch, store, clock):
    first = seal(store, clock, GB)
    clock.advance(timedelta(hours=2))
    last = seal(store, clock, GB)
    with store.read() as connection:
        paths = sorted(row.path for row in footage.all_segments(connection))
    with store.write() as connection:
        footage.add_incident(store, connection, "FOOTAGE_MISSING", f"a:{paths[0]}", "2 segments")
    watch.look()
    with store.read() as connection:
        (breach,) = breaches.all_breaches(connection)
    assert breach.ended_at is not None
    assert (to_text(breach.started_at), to_text(breach.ended_at)) == (
        first.started_at,
        last.ended_at,
    )


def test_stray_file_is_an_incident_and_no_breach(watch, store):
    with store.write() as connection:
        footage.add_incident(store, connection, "UNREADABLE_FILE", "a:till/20260102/x", "?")
        footage.add_incident(store, connection, "UNEXPLAINED_FILE", "a:stray", "?")
    watch.look()
    assert told(store) == []


def test_incidents_that_break_no_floor_are_judged_once(watch, store, monkeypatch):
    asked: list[str] = []
    real = CapacityWatch._rows_of
    monkeypatch.setattr(
        CapacityWatch, "_rows_of", lambda self, one: (asked.append(one), real(self, one))[1]
    )
    with store.write() as connection:
        for number in range(150):
            footage.add_incident(store, connection, "UNREADABLE_FILE", f"a:x/{number}", "?")
    for _ in range(4):
        watch.look()
    assert len(asked) == len(set(asked)) == 150
    assert told(store) == []


def test_file_that_is_unreadable_and_then_gone_is_one_breach(watch, store, clock, config):
    seal(store, clock, GB, "b")
    with store.read() as connection:
        (row,) = footage.all_segments(connection)
    with store.write() as connection:
        for incident in ("UNREADABLE_FILE", "FOOTAGE_MISSING"):
            footage.add_incident(store, connection, incident, f"b:{row.path}", "lost")
    watch.look()
    assert told(store) == [("recorded", "footage_missing")]


# -- the room as pages are told -------------------------------------------------------------------


def test_room_is_reckoned_once_a_minute(config, store, volumes, clock, room):
    watch = RoomWatch(config, store)
    room["bytes"] = 100 * GB
    assert watch.now().days_left is None
    record_days(store, clock, 3)
    found = watch.now()
    assert (found.bytes_per_day, found.days_left) == (GB, 100)
    room["bytes"] = 1000 * GB
    assert watch.now().days_left == 100
    clock.advance(timedelta(seconds=61))
    assert watch.now().days_left == 1096  # the whole horizon fits
