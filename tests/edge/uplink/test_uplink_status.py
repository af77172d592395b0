"""What a node tells of itself, and that it needs no central to run."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.room import RoomWatch
from edge.uplink.process import run
from edge.uplink.status import status_of
from retention.records.clock import ManualClock, to_micros
from retention.records.payloads import NodeStopped
from retention.store.database import NodeStore
from retention.store.log import append
from retention.store.uplink import bytes_per_day
from tests.conftest import IDENTITY


def config_in(folder: Path) -> EdgeConfig:
    return EdgeConfig.model_validate(
        {
            "node": {
                "agency": IDENTITY.agency, "pharmacy": IDENTITY.pharmacy, "node": IDENTITY.node,
                "data": str(folder),
            },
            "cameras": [
                {"id": "a", "scene_role": "purchase", "url": "rtsp://x/y", "simulated": True},
                {"id": "b", "scene_role": "dispensing", "url": "rtsp://x/z"},
            ],
            "verification": {"camera": "a"},
        }
    )  # fmt: skip


def test_without_central_the_uplink_only_beats(tmp_path: Path) -> None:
    beats, stop = threading.Event(), threading.Event()
    context = ProcessContext(config_in(tmp_path), stop, beats.set)
    thread = threading.Thread(target=run, args=(context,))
    thread.start()
    assert beats.wait(30)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert not (tmp_path / "node.sqlite3").exists()


def test_status_tells_backlog_and_what_each_camera_does(
    store: NodeStore, clock: ManualClock, tmp_path: Path
) -> None:
    with store.write() as connection:
        for _ in range(3):
            append(store, connection, NodeStopped(reason="asked"))
        connection.execute(
            "INSERT INTO gaps (id, camera, scene_role, started_at, ended_at, cause)"
            " VALUES ('g', 'b', 'dispensing', ?, NULL, 'unknown')",
            (to_micros(clock.now()),),
        )
    clock.advance(timedelta(seconds=9))
    status = status_of(config_in(tmp_path), store, confirmed=1)
    assert status.backlog == 2
    assert status.oldest_unsent_at == "2026-01-02T03:04:05.000000Z"
    assert [(c.camera, c.state, c.simulated) for c in status.cameras] == [
        ("a", "starting", True),
        ("b", "down", False),
    ]
    assert status.disk_free_bytes > 0
    assert status.bytes_per_day is None


# -- how much a day takes -------------------------------------------------------------------------

HOUR = 3600


def record(
    store: NodeStore, camera: str, first: int, hours: int, *, minute_bytes: int = 1000
) -> None:
    """Seal a segment a minute for some hours, beginning at second `first`."""
    with store.write() as connection:
        sequence = append(store, connection, NodeStopped(reason="asked")).sequence
        connection.executemany(
            "INSERT INTO segments VALUES (?, ?, 'purchase', ?, ?, ?, ?, ?, 'h264', 'x', 'y', ?,"
            " 'sealed', ?, 'main')",
            [
                (f"{camera}{at}", camera, camera, at, at * 10**6, (at + 60) * 10**6, minute_bytes,
                 f"{camera}/{at}", sequence)
                for at in range(first, first + hours * HOUR, 60)
            ],
        )  # fmt: skip


def per_day(store: NodeStore, *cameras: str) -> int | None:
    with store.read() as connection:
        return bytes_per_day(connection, cameras)


def test_a_day_is_reckoned_from_the_newest_day_of_footage(store: NodeStore) -> None:
    record(store, "a", 0, 30, minute_bytes=9000)
    record(store, "a", 30 * HOUR, 24, minute_bytes=1000)
    assert per_day(store, "a") == 1440 * 1000


def test_hours_without_footage_do_not_make_a_day_look_smaller(store: NodeStore) -> None:
    record(store, "a", 0, 6)
    record(store, "a", 20 * HOUR, 2)
    assert per_day(store, "a") == 1440 * 1000


def test_cameras_add_up_and_one_that_recorded_too_little_makes_it_unknown(
    store: NodeStore,
) -> None:
    record(store, "a", 0, 1)
    record(store, "b", 0, 1, minute_bytes=500)
    assert per_day(store, "a", "b") == 1440 * 1500
    assert per_day(store, "a", "b", "c") is None
    assert per_day(store, "c") is None


def test_it_is_reckoned_once_a_minute_and_sooner_while_unknown(
    store: NodeStore, clock: ManualClock, tmp_path: Path
) -> None:
    watch = RoomWatch(config_in(tmp_path), store)
    assert watch.now().bytes_per_day is None
    record(store, "a", 0, 1)
    record(store, "b", 0, 1)
    assert watch.now().bytes_per_day is None
    clock.advance(timedelta(seconds=11))
    assert watch.now().bytes_per_day == 1440 * 2000
    record(store, "a", HOUR, 1, minute_bytes=3000)
    clock.advance(timedelta(seconds=59))
    assert watch.now().bytes_per_day == 1440 * 2000
    clock.advance(timedelta(seconds=2))
    assert watch.now().bytes_per_day == 1440 * 3000
    assert status_of(config_in(tmp_path), store, 0, watch).bytes_per_day == 1440 * 3000
