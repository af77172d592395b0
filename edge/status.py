"""What a node's database says about now; read-only, so it can be asked while the node runs."""

from __future__ import annotations

import sqlite3
from typing import Any

from edge.config import CameraConfig, EdgeConfig
from identity.errors import PolicyRefused
from identity.policy_files import policy_in_force
from retention.durable import is_held
from retention.keyfiles import KeyRefused
from retention.nodefile import NodeFile
from retention.plan import Plan, gather
from retention.records.clock import SystemClock, from_micros, to_text
from retention.store import alarms, face_locks, footage
from retention.store.alarms import Alarm
from retention.store.database import open_read_only
from retention.store.subjects import face_counts


def read(config: EdgeConfig) -> dict[str, Any]:
    """Return the status as one JSON object. Raises StoreUnavailable, OSError, sqlite3.Error."""
    connection = open_read_only(config.node.data / "node.sqlite3")
    plan = gather(NodeFile.model_validate(config.model_dump()), SystemClock().now())
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
            "alarms": [
                {"alarm": one.alarm, "subject": one.subject, "detail": one.detail}
                for one in alarms.open_alarms(connection)
            ],
            **_room(plan),
            "faces": _faces(config, connection),
            "cameras": [_camera(connection, camera) for camera in config.cameras],
        }
    finally:
        connection.close()


def _faces(config: EdgeConfig, connection: sqlite3.Connection) -> dict[str, Any]:
    """Return what the node holds of faces, by which policy they are judged, and why the method is
    off, if it is. Keys that only the running node is given cannot be counted here."""
    try:
        known = {key.key_id for key in config.reference_keys().all()}
    except KeyRefused:
        known = None
    held = face_counts(connection, known or ())
    off = [one for one in alarms.open_alarms(connection) if one.alarm == Alarm.FACE_METHOD_OFF]
    policy, refused = _policy(config)
    return {
        "subjects": held.subjects,
        "references": held.references,
        "references_outdated": held.outdated,
        "references_without_key": None if known is None else held.key_missing,
        "probes": held.probes,
        "probes_without_key": None if known is None else held.probes_key_missing,
        "locked": len(face_locks.locked(connection)),
        "policy": policy,
        "policy_refused": refused,
        "off": off[0].detail if off else None,
    }


def _policy(config: EdgeConfig) -> tuple[dict[str, str] | None, str | None]:
    try:
        found = policy_in_force(config.verification.policy, config.policy_key, SystemClock().now())
    except PolicyRefused as exc:
        return None, str(exc)
    return {
        "name": found.name,
        "version": found.version,
        "effective_from": found.effective_from,
        "digest": found.digest,
    }, None


def _room(plan: Plan) -> dict[str, Any]:
    ahead = plan.outlook.forecast
    return {
        "disk_free_bytes": ahead.free_bytes,
        "bytes_per_day": ahead.rate.bytes_per_day,
        "rate_basis": ahead.rate.basis,
        "disk_days": ahead.days_left,
        "first_missed": None if ahead.full_on is None else ahead.full_on.isoformat(),
        "volumes": [
            {"name": volume.name, "condition": volume.condition.value, "free_bytes": room}
            for volume, room in zip(plan.volumes, plan.room, strict=True)
        ],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """Return the status for people."""
    running = "运行中 / running" if found["running"] else "未运行 / not running"
    said = [
        f"节点 / node {found['node']}: {running}",
        f"记录 / records {found['records']}, 待传 / backlog {found['backlog']}, "
        f"异常 / incidents {found['incidents']}",
        _room_line(found),
        *_face_lines(found["faces"]),
    ]
    said += [
        f"存储卷 / volume {one['name']}: {one['condition']}"
        for one in found["volumes"]
        if one["condition"] not in ("mounted", "fresh")
    ]
    said += [
        f"报警 / alarm {one['alarm']} {one['subject']}: {one['detail']}" for one in found["alarms"]
    ]
    for camera in found["cameras"]:
        gap = camera["gap"]
        state = f"缺口 / gap {gap['cause']} since {gap['since']}" if gap else "录像中 / recording"
        said.append(f"{camera['camera']}: {state}; 最近 / last segment {camera['last_segment']}")
    return said


def _face_lines(faces: dict[str, Any]) -> list[str]:
    policy = faces["policy"]
    named = faces["policy_refused"] if policy is None else f"{policy['name']} {policy['version']}"
    said = [
        f"人脸核验 / faces: 策略 / policy {named}; 人数 / people {faces['subjects']}, "
        f"照片 / references {faces['references']}, 待重采 / outdated "
        f"{faces['references_outdated']}, 已锁定 / locked {faces['locked']}"
    ]
    lost = (faces["references_without_key"] or 0) + (faces["probes_without_key"] or 0)
    if lost:
        said.append(f"密钥缺失 / key missing: {lost}")
    if faces["off"] is not None:
        said.append(f"人脸核验已停用 / the face method is off: {faces['off']}")
    return said


def _room_line(found: dict[str, Any]) -> str:
    said = f"存储 / storage: 剩余 / free {found['disk_free_bytes'] / 1e9:.1f} GB"
    if found["rate_basis"] == "assumed":
        return said
    if found["first_missed"] is None:
        return f"{said}, 可录满期限 / enough for the floor"
    days = found["disk_days"]
    return f"{said}, 还可录 {days} 天，{found['first_missed']} 起不足 / {days} days left"


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
