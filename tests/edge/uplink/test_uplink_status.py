"""What a node tells of itself, and that it needs no central to run."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.uplink.process import run
from edge.uplink.status import status_of
from retention.records.clock import ManualClock, to_micros
from retention.records.payloads import NodeStopped
from retention.store.database import NodeStore
from retention.store.log import append
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
    assert beats.wait(10)
    stop.set()
    thread.join(10)
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
