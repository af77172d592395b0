"""`countersight retention plan`: numbers, words, picture and exit codes."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from retention import cli
from retention.footage import volumes as volumes_module
from retention.footage.volume import Condition, open_volume
from retention.footage.volumes import FreeSpace
from retention.nodefile import NodeFile, RecordingPart, VolumePart, load_node_file
from retention.outlook import look_ahead
from retention.plan import gather, lines, to_json
from retention.plan_picture import picture
from retention.records.clock import to_micros, to_text
from retention.records.keeping import Hold, HoldPlaced, PolicyAdopted, RetentionPolicy, Term
from retention.records.payloads import RunStarted, SceneRole, SegmentSealed
from retention.store import footage, holds, policies

CONFIG = """
[node]
agency = "430100"
pharmacy = "P43010000001"
node = "node-a"
data = "{data}"
[[cameras]]
id = "till"
scene_role = "purchase"
url = "rtsp://192.0.2.1/s"
[[cameras]]
id = "shelf"
scene_role = "dispensing"
url = "v4l2:///dev/video0"
encode_bits_per_second = 1000000
[verification]
camera = "till"
"""
GB = 10**9
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
def node(tmp_path) -> NodeFile:
    path = tmp_path / "edge.toml"
    path.write_text(CONFIG.format(data=tmp_path))
    return load_node_file(path)


@pytest.fixture
def free(monkeypatch) -> dict[str, int]:
    """Let every disk have so much room."""
    room = {"bytes": 10_000 * GB}
    real = os.statvfs

    def statvfs(place: object) -> object:
        found = real(str(place))
        facts = {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}
        return SimpleNamespace(**facts | {"f_bavail": room["bytes"], "f_frsize": 1})

    monkeypatch.setattr(volumes_module.os, "statvfs", statvfs)
    return room


@pytest.fixture
def recorded(store, node):
    """Forty days of footage of both cameras, up to this morning."""
    open_volume(node.volume_roots["main"], store)
    for camera, size in (("till", 2 * GB), ("shelf", GB)):
        film(store, camera, 40, size)
    return store


def film(store, camera: str, days: int, size: int) -> None:
    run = store.ids.new()
    with store.write() as connection:
        for number in range(days, -1, -1):
            start = NOW - timedelta(days=number)
            end = start + timedelta(minutes=1)
            sealed = SegmentSealed(
                segment=store.ids.new(), camera=camera, scene_role=SceneRole.PURCHASE, run=run,
                ordinal=days - number, started_at=to_text(start), ended_at=to_text(end),
                duration_ms=60_000, bytes=size, codec="h264", file_sha256="0" * 64,
                chunk_root="0" * 64, recovered=False, truncated_bytes=0,
            )  # fmt: skip
            if number == days:
                began = RunStarted(
                    run=run, camera=camera, scene_role=SceneRole.PURCHASE, codec="h264",
                    width=1, height=1, started_at=to_text(start),
                )  # fmt: skip
                footage.insert_run(store, connection, began)
            footage.insert_segment(store, connection, sealed, f"{camera}/x/{sealed.segment}.mp4")


def test_node_that_never_ran_is_planned_from_what_is_configured(node, free):
    plan = gather(node, NOW)
    told = to_json(plan)
    assert {one["camera"]: (one["basis"], one["bits_per_second"]) for one in told["cameras"]} == {
        "till": ("assumed", 4_000_000),
        "shelf": ("assumed", 1_000_000),
    }
    assert told["bytes_per_day"] == 5_000_000 // 8 * 86_400
    assert told["need_bytes"] == told["bytes_per_day"] * 366
    assert not told["ok"]
    assert not node.database.exists()  # looking changes nothing


def test_measured_node_says_what_it_holds_and_needs(node, recorded, free):
    told = to_json(gather(node, NOW))
    assert told["ok"]
    assert (told["basis"], told["days_measured"]) == ("measured", 28)
    assert told["bytes_per_day"] == 3 * GB
    assert told["need_bytes"] == 366 * 3 * GB
    assert told["held_bytes"] == 41 * 3 * GB
    assert {one["camera"]: one["days_held"] for one in told["cameras"]} == {"till": 40, "shelf": 40}
    assert told["first_missed"] is None
    assert told["advice"] == []


def test_short_node_says_when_how_much_and_what_to_change(node, recorded, free):
    free["bytes"] = 300 * GB
    told = to_json(gather(node, NOW))
    assert (told["ok"], told["days_left"]) == (False, 100)
    assert told["first_missed"] == "2027-03-03"
    assert date.fromisoformat(told["resumes"]) - date(2026, 10, 13) == timedelta(days=368)
    assert told["missing_bytes"] == pytest.approx((367 - 41 - 100) * 3 * GB, abs=6 * GB)
    (more,) = told["advice"]  # at these rates nothing can be lowered and still show a face
    assert "TB" in more["en"] or "GB" in more["en"]
    assert "增加存储" in more["zh"]


def test_rates_that_can_be_lowered_are_named(node, store, free):
    open_volume(node.volume_roots["main"], store)
    for camera in ("till", "shelf"):
        film(store, camera, 40, 43 * GB)  # 4 Mb/s
    free["bytes"] = 16_000 * GB
    told = to_json(gather(node, NOW))
    (_, lower) = told["advice"]
    assert "till" in lower["en"]
    assert "Mb/s" in lower["zh"]


def test_longer_policy_needs_more_and_hold_keeps_more(node, recorded, free):
    before = to_json(gather(node, NOW))
    policy = RetentionPolicy(
        policy="hunan", version=1, province=None, agreement=None,
        effective_from=to_text(NOW - timedelta(days=1)),
        terms=(Term(subject="footage", years=4, days=1500),), ceilings=(),
    )  # fmt: skip
    with recorded.write() as connection:
        adopted = PolicyAdopted(policy=policy, authority="central", author="a", reason="b")
        policies.adopt(recorded, connection, adopted)
    after = to_json(gather(node, NOW))
    assert after["owed_days"] == 1500
    assert after["need_bytes"] == 1500 * before["bytes_per_day"]
    free["bytes"] = 1200 * 3 * GB  # more than three years, less than four
    assert not to_json(gather(node, NOW))["ok"]


def test_hold_of_everything_makes_no_room(node, recorded, free):
    free["bytes"] = 400 * 3 * GB
    assert gather(node, NOW).meets_floor
    hold = Hold(hold=recorded.ids.new(), scope="pharmacy", session=None, person_ref=None,
                started_at=None, ended_at=None, cameras=())  # fmt: skip
    with recorded.write() as connection:
        placed = HoldPlaced(hold=hold, authority="central", author="a", reason="b")
        holds.place(recorded, connection, placed)
    assert gather(node, NOW).outlook.forecast.days_left == 400


def test_segment_kept_by_a_hold_for_years_does_not_look_like_years_of_footage(node, recorded, free):
    old = to_micros(NOW - timedelta(days=900))
    with recorded.write() as connection:
        connection.execute("UPDATE segments SET started_at = ? WHERE ordinal = 0", (old,))
        connection.execute(
            "INSERT INTO intake VALUES ('till', ?, ?, 60000)",
            (f"{NOW - timedelta(days=900):%Y-%m-%d}", 50 * GB),
        )
    told = to_json(gather(node, NOW))
    assert {one["days_held"] for one in told["cameras"]} == {40}
    assert told["held_bytes"] == 41 * 3 * GB


def test_disk_that_is_not_there_comes_first_in_the_advice(node, recorded, free):
    (node.volume_roots["main"] / "volume.json").unlink()
    told = to_json(gather(node, NOW))
    assert told["volumes"][0]["condition"] == "missing"
    assert told["free_bytes"] == 0
    assert "main" in told["advice"][0]["en"]


def test_words_are_chinese_first_with_english_beside(node, recorded, free):
    free["bytes"] = 300 * GB
    said = lines(gather(node, NOW))
    assert all(" / " in line for line in said)
    assert any(line.startswith("存储不足：2027-03-03") for line in said)


# -- the picture ----------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, GB, 300 * GB, 3000 * GB])
def test_picture_is_well_formed_and_shows_the_day(node, recorded, free, room):
    free["bytes"] = room
    plan = gather(node, NOW)
    root = ElementTree.fromstring(picture(plan))  # noqa: S314 - our own text
    said = " ".join(text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text"))
    assert ("可满足存储期限" in said) == plan.meets_floor
    missed = plan.outlook.forecast.full_on
    assert missed is None or str(missed) in said
    for line in root.iter("{http://www.w3.org/2000/svg}line"):
        assert all(0 <= float(line.attrib[end]) <= 960 for end in ("x1", "x2", "y1", "y2"))


# -- the command ----------------------------------------------------------------------------------


def run(tmp_path: Path, *more: str) -> int:
    return cli.main(["plan", "--config", str(tmp_path / "edge.toml"), *more])


def test_command_prints_one_object_and_its_exit_code(tmp_path, node, recorded, free, capsys):
    assert run(tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    free["bytes"] = GB
    assert run(tmp_path, "--json", "--plot", str(tmp_path / "plan.svg")) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert (tmp_path / "plan.svg").read_text().startswith("<svg")
    assert run(tmp_path) == 1
    assert "存储不足" in capsys.readouterr().out


@pytest.mark.parametrize("more", [["--plot", "plan.png"], ["--nonsense"]])
def test_wrong_usage_is_two(tmp_path, node, capsys, more):
    assert run(tmp_path, *more) == 2


def test_database_of_an_older_version_is_one_clear_line(tmp_path, store, node, capsys):
    with store.write() as connection:
        connection.execute("DROP TABLE intake")
    assert run(tmp_path) == 2
    assert "start the node once" in capsys.readouterr().err


def test_looking_costs_the_same_however_many_segments_there_are(node, recorded):
    """The forecast reads days, not segments: a year of them must not slow the counter's bar."""
    with recorded.read() as connection:
        cost = {"steps": 0}

        def count() -> int:
            cost["steps"] += 1
            return 0

        def steps() -> int:
            cost["steps"] = 0
            connection.set_progress_handler(count, 100)
            look_ahead(connection, {"till": None, "shelf": None}, FreeSpace(0), NOW)
            connection.set_progress_handler(None, 0)
            return cost["steps"]

        before = steps()
    with recorded.write() as connection:
        connection.execute(
            "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 100)"
            " INSERT INTO segments SELECT n || '-' || id, camera, scene_role, n || '-' || run,"
            " ordinal, started_at + n, ended_at + n, bytes, codec, file_sha256, chunk_root,"
            " n || '-' || path, state, sequence, volume FROM segments JOIN n"
        )
    assert steps() <= before * 1.5 + 5


def test_disk_that_is_not_there_has_no_room_and_one_with_footage_is_not_forgotten(
    recorded, node, free, tmp_path
):
    away = VolumePart(name="a", path=tmp_path / "not-mounted")
    plan = gather(node.model_copy(update={"recording": RecordingPart(volumes=(away,))}), NOW)
    assert {one.name: one.condition for one in plan.volumes} == {
        "a": Condition.MISSING,
        "main": Condition.MISSING,
    }
    assert plan.room == (None, None)
    assert plan.outlook.forecast.free_bytes == 0
    assert not plan.meets_floor
    assert len([one for one in to_json(plan)["advice"] if "writable" in one["en"]]) == 2
