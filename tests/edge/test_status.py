"""What `countersight edge status` says of room, disks and alarms."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from edge import status
from edge.config import EdgeConfig
from edge.verifier.face_alarm import SUBJECT
from retention.footage.volume import open_volume
from retention.records.clock import SystemClock, to_micros
from retention.store import intake
from retention.store.alarms import Alarm, raise_alarm
from retention.store.database import NodeStore
from tests.edge.counter_kit import config_for
from tests.retention.test_store_face_locks import PERSON, lock

GB = 10**9


@pytest.fixture
def own(config: EdgeConfig) -> Iterator[NodeStore]:
    """The node's own database, with a clock that runs: the status takes the machine's."""
    store = config.open_store()
    yield store
    store.close()


def test_room_is_unknown_before_anything_was_recorded(config, own):
    open_volume(config.footage_root, own)
    found = status.read(config)
    assert (found["rate_basis"], found["alarms"]) == ("assumed", [])
    assert found["disk_free_bytes"] > 0
    assert [one["condition"] for one in found["volumes"]] == ["mounted"]
    assert not any("还可录" in line for line in status.lines(found))


def test_days_left_missing_disk_and_alarms_are_told(config, own):
    open_volume(config.footage_root, own)
    now = SystemClock().now()
    with own.write() as connection:
        for camera in config.cameras:
            began = to_micros(now - timedelta(days=9))
            connection.execute(
                "INSERT INTO runs VALUES (?, ?, 'purchase', 'h264', ?)",
                (camera.id, camera.id, began),
            )
            for day in range(1, 8):
                at = to_micros(now - timedelta(days=day))
                intake.add(connection, camera.id, at, at + 60_000_000, 10**15)
        raise_alarm(own, connection, Alarm.DISK_ALARM, "room", "soon full", to_micros(now))
    found = status.read(config)
    assert (found["rate_basis"], found["disk_days"]) == ("measured", 0)
    assert found["first_missed"] == f"{now.date() + timedelta(days=1)}"
    said = status.lines(found)
    assert any("还可录 0 天" in line for line in said)
    assert any("DISK_ALARM" in line for line in said)
    (config.footage_root / "volume.json").unlink()
    found = status.read(config)
    assert found["disk_free_bytes"] == 0
    assert any("存储卷 / volume main: missing" in line for line in status.lines(found))


def test_what_is_held_of_faces_the_policy_and_a_method_that_is_off_are_told(config, own):
    open_volume(config.footage_root, own)
    found = status.read(config)
    assert found["faces"]["policy"]["name"] == "counter-default"
    assert (found["faces"]["subjects"], found["faces"]["locked"]) == (0, 0)
    assert found["faces"]["off"] is None
    assert not any("已停用" in line for line in status.lines(found))
    with own.write() as connection:
        lock(own, connection, PERSON)
        raise_alarm(own, connection, Alarm.FACE_METHOD_OFF, SUBJECT, "no models", 1)
    found = status.read(config)
    assert (found["faces"]["locked"], found["faces"]["off"]) == (1, "no models")
    said = status.lines(found)
    assert any("已停用" in line and "no models" in line for line in said)
    assert any("已锁定 / locked 1" in line for line in said)


def test_a_policy_that_cannot_be_used_is_told_with_its_reason(tmp_path):
    unsigned = tmp_path / "policy.toml"
    unsigned.write_text("")
    config = config_for(tmp_path, verification={"camera": "till", "policy": unsigned})
    config.open_store().close()
    found = status.read(config)
    assert found["faces"]["policy"] is None
    assert "policy.toml" in found["faces"]["policy_refused"]
    assert any("policy.toml" in line for line in status.lines(found))


def test_keys_that_only_the_running_node_is_given_are_not_counted_as_lost(tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    given = {"camera": "till", "reference_key": "credential"}
    config = config_for(tmp_path, verification=given)
    config.open_store().close()
    found = status.read(config)
    assert found["faces"]["references_without_key"] is None
    assert not any("密钥缺失" in line for line in status.lines(found))
