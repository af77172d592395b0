"""What a node's database says about now; read-only, so it can be asked while the node runs."""

from __future__ import annotations

import shutil
import sqlite3
from typing import Any

from edge.config import CameraConfig, EdgeConfig
from retention.durable import is_held
from retention.records.clock import from_micros, to_text
from retention.store import footage
from retention.store.database import open_read_only


def read(config: EdgeConfig) -> dict[str, Any]:
    """Return the status as one JSON object. Raises StoreUnavailable."""
    connection = open_read_only(config.node.data / "node.sqlite3")
    try:
        (acked,) = connection.execute("SELECT acked_sent FROM uplink").fetchone()
        records, sent = connection.execute("SELECT size, sent_count FROM frontier").fetchone()
        (incidents,) = connection.execute("SELECT count(*) FROM incidents").fetchone()
        return {
            "node": config.node.node,
            "running": is_held(config.node.data / "run" / "supervisor.lock"),
            "records": records,
            "backlog": sent - acked,
            "incidents": incidents,
            "disk_free_bytes": shutil.disk_usage(config.node.data).free,
            "cameras": [_camera(connection, camera) for camera in config.cameras],
        }
    finally:
        connection.close()


def lines(found: dict[str, Any]) -> list[str]:
    """Return the status for people."""
    running = "运行中 / running" if found["running"] else "未运行 / not running"
    said = [
        f"节点 / node {found['node']}: {running}",
        f"记录 / records {found['records']}, 待传 / backlog {found['backlog']}, "
        f"异常 / incidents {found['incidents']}",
    ]
    for camera in found["cameras"]:
        gap = camera["gap"]
        state = f"缺口 / gap {gap['cause']} since {gap['since']}" if gap else "录像中 / recording"
        said.append(f"{camera['camera']}: {state}; 最近 / last segment {camera['last_segment']}")
    return said


def _camera(connection: sqlite3.Connection, camera: CameraConfig) -> dict[str, Any]:
    segment = footage.last_segment(connection, camera.id)
    gap = footage.open_gap_of(connection, camera.id)
    return {
        "camera": camera.id,
        "scene_role": camera.scene_role.value,
        "last_segment": None if segment is None else to_text(from_micros(segment.ended_at)),
        "gap": None
        if gap is None
        else {"cause": gap.cause, "since": to_text(from_micros(gap.started_at))},
    }
