"""The node's condition in words: what fails, since when, and what to do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from edge.config import EdgeConfig
from edge.simulators.pharmacy import PharmacyClient
from edge.terminal.app import create_app
from edge.terminal.condition import CameraCondition, CentralCondition, condition
from edge.terminal.live import LiveView
from edge.terminal.parts import Parts
from edge.uplink.contact import note_of
from retention.capacity import HORIZON_DAYS
from retention.footage.volume import open_volume
from retention.footage.volumes import FreeSpace, Volumes
from retention.keyfiles import KeyDirectory
from retention.records.clock import ManualClock, from_text, to_micros
from retention.records.payloads import GapCause, NodeStopped, SceneRole
from retention.store import alarms, footage, log
from retention.store.database import NodeStore
from tests.edge.counter_kit import FakeVerifier, config_for
from tests.edge.terminal.test_live import Browser
from tests.serving import served

CENTRAL = {
    "endpoint": "tcp://127.0.0.1:1", "server_key": "k" * 40, "signing_key": "ab" * 32,
}  # fmt: skip
STARTED = "2026-01-02T03:04:05.000000Z"  # of ManualClock: 11:04:05 in Shanghai
DAY_BYTES = 1440 * 1000


@pytest.fixture
def config(tmp_path: Path) -> EdgeConfig:
    return config_for(
        tmp_path,
        central=CENTRAL,
        cameras=[
            {"id": "till", "scene_role": "purchase", "url": "rtsp://127.0.0.1:1/a"},
            {"id": "shelf", "scene_role": "dispensing", "url": "rtsp://127.0.0.1:1/b"},
        ],
    )


@pytest.fixture
def view(clock: ManualClock) -> LiveView:
    return LiveView(clock)


@pytest.fixture
def app(
    store: NodeStore, verifier: FakeVerifier, keys: KeyDirectory, config: EdgeConfig, view: LiveView
) -> FastAPI:
    return create_app(store=store, verifier=verifier, keys=keys, config=config, live=view)


@pytest.fixture
def parts(app: FastAPI) -> Parts:
    found = app.state.parts
    assert isinstance(found, Parts)
    return found


def sealed(store: NodeStore, clock: ManualClock, camera: str, minutes: int = 1) -> None:
    """Have segments of a minute end now."""
    end = to_micros(clock.now())
    with store.write() as connection:
        sequence = log.append(store, connection, NodeStopped(reason="asked")).sequence
        for number in range(minutes):
            ended = end - number * 60_000_000
            name = f"{camera}{ended}"
            connection.execute(
                "INSERT INTO segments VALUES (?, ?, 'purchase', ?, 0, ?, ?, 1000, 'h264', 'x', 'y',"
                " ?, 'sealed', ?, 'main')",
                (name, camera, name, ended - 60_000_000, ended, name, sequence),
            )


def broken(store: NodeStore, clock: ManualClock, camera: str) -> None:
    with store.write() as connection:
        role = SceneRole.PURCHASE if camera == "till" else SceneRole.DISPENSING
        since = to_micros(clock.now())
        footage.open_gap(store, connection, camera, role, since, GapCause.CAMERA_UNREACHABLE)


def free(monkeypatch: pytest.MonkeyPatch, days: float, cameras: int = 2) -> None:
    """Have room for some days of recording."""
    monkeypatch.setattr(Volumes, "room", lambda _: FreeSpace(int(days * cameras * DAY_BYTES)))


# -- what is known --------------------------------------------------------------------------------


def test_a_camera_records_waits_or_is_down_since_and_why(
    parts: Parts, store: NodeStore, clock: ManualClock
) -> None:
    sealed(store, clock, "till")
    broken(store, clock, "shelf")
    assert condition(parts).cameras == (
        CameraCondition("till", "purchase", "recording"),
        CameraCondition("shelf", "dispensing", "down", from_text(STARTED), "camera_unreachable"),
    )
    clock.advance(timedelta(minutes=3))
    waiting = condition(parts).cameras[0]
    assert waiting == CameraCondition("till", "purchase", "starting", from_text(STARTED))


def test_a_camera_whose_pictures_nobody_checks_is_not_well(
    parts: Parts, store: NodeStore, clock: ManualClock
) -> None:
    sealed(store, clock, "till")
    with store.write() as connection:
        now = to_micros(clock.now())
        alarms.raise_alarm(store, connection, "VIEW_UNWATCHED", "till", "", now)
    assert condition(parts).cameras[0] == CameraCondition("till", "purchase", "unwatched")


def test_a_camera_that_never_recorded_is_waited_for(parts: Parts) -> None:
    assert condition(parts).cameras[0] == CameraCondition("till", "purchase", "starting")


def test_central_is_connected_offline_since_or_never_reached(
    parts: Parts, config: EdgeConfig, clock: ManualClock
) -> None:
    assert condition(parts).central == CentralCondition("offline")
    note = note_of(config, clock)
    note.answered()
    note.write(connected=True)
    assert condition(parts).central.state == "connected"
    clock.advance(timedelta(minutes=5))
    assert condition(parts).central == CentralCondition("offline", from_text(STARTED))


def test_without_central_in_the_configuration_the_node_is_alone(
    store: NodeStore, verifier: FakeVerifier, keys: KeyDirectory, tmp_path: Path
) -> None:
    app = create_app(store=store, verifier=verifier, keys=keys, config=config_for(tmp_path))
    assert condition(app.state.parts).central == CentralCondition("alone")
    assert condition(app.state.parts).face


@pytest.mark.parametrize(
    ("days", "mark"), [(360.0, "ok"), (90.0, "ok"), (89.9, "look"), (30, "look"), (29.9, "stop"),
                       (0, "stop")],
)  # fmt: skip
def test_disk_days_are_counted_down_and_marked(
    parts: Parts, store: NodeStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch,
    days: float, mark: str,
) -> None:  # fmt: skip
    for camera in ("till", "shelf"):
        sealed(store, clock, camera, minutes=3)
    free(monkeypatch, days)
    found = condition(parts)
    assert (found.disk_days, found.disk_mark) == (int(days), mark)


def test_disk_that_holds_the_whole_term_has_room_for_all_that_is_looked_at(
    parts: Parts, store: NodeStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for camera in ("till", "shelf"):
        sealed(store, clock, camera, minutes=3)
    free(monkeypatch, 368)  # what is recorded today may go when the last of it is needed
    assert condition(parts).disk_days == HORIZON_DAYS


def test_disk_days_are_unknown_while_too_little_is_recorded(
    parts: Parts, store: NodeStore, clock: ManualClock
) -> None:
    open_volume(parts.config.footage_root, store)
    sealed(store, clock, "till", minutes=3)
    found = condition(parts)
    assert (found.disk_days, found.disk_mark) == (None, "ok")
    assert 0 < found.disk_free <= shutil.disk_usage(parts.config.node.data).total


def test_reading_the_condition_waits_for_no_writer(parts: Parts, store: NodeStore) -> None:
    with store.write():
        assert condition(parts).cameras


# -- the bar --------------------------------------------------------------------------------------


@pytest.fixture
def bar(
    app: FastAPI, terminal: Callable[..., PharmacyClient], browser: Browser
) -> Iterator[httpx.Client]:
    with served(app) as url:
        yield browser(url, terminal(url))


@pytest.fixture
def browser() -> Iterator[Browser]:
    with httpx.Client(headers={"Accept": "text/html"}, trust_env=False, timeout=20) as client:

        def opened(url: str, paired: PharmacyClient | None = None) -> httpx.Client:
            client.base_url = httpx.URL(url)
            if paired is not None:
                client.cookies.set("terminal", paired.token or "")
            return client

        yield opened


def said(bar: httpx.Client, lang: str = "zh") -> str:
    bar.cookies.set("lang", lang)
    answer = bar.get("/counter/condition").raise_for_status()
    return re.sub(r"\s+", " ", answer.text)


def test_every_fault_is_a_sentence_with_what_to_do(
    bar: httpx.Client, store: NodeStore, clock: ManualClock, config: EdgeConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for camera in ("till", "shelf"):
        sealed(store, clock, camera, minutes=3)
    note = note_of(config, clock)
    note.answered()
    note.write(connected=True)
    free(monkeypatch, 100)
    calm = said(bar)
    assert "notice" not in calm
    assert "存储 100 天" in calm
    broken(store, clock, "till")
    clock.advance(timedelta(minutes=2))
    free(monkeypatch, 12)
    text = said(bar)
    for words in (
        "摄像头“购药”中断，自 11:04 起：摄像头连接不上。请检查摄像头的电源和网线。",
        "中心离线，自 11:04 起；记录保存在本机，恢复后自动上传，业务照常。",
        "人脸核验暂不可用，请换一种方式。",
        "存储还可录 12 天。请联系管理员扩容；录像不会提前删除。",
    ):
        assert words in text
    english = said(bar, "en")
    for words in ("The Purchase camera is down since 11:04", "Central is offline since 11:04",
                  "Use another way", "room for 12 more days"):  # fmt: skip
        assert words in english
    assert "style=" not in text


def test_a_fault_of_another_day_is_told_with_its_day(
    bar: httpx.Client, store: NodeStore, clock: ManualClock
) -> None:
    broken(store, clock, "till")
    clock.advance(timedelta(days=1))
    assert "自 01-02 11:04 起" in said(bar)


def test_before_anything_ran_the_bar_says_what_is_waited_for(bar: httpx.Client) -> None:
    text = said(bar)
    assert "还没有录像，正在等待画面" in text
    assert "还没有连上中心" in text
    assert "存储余" in text


def test_what_has_not_changed_is_not_sent_again(
    bar: httpx.Client, store: NodeStore, clock: ManualClock
) -> None:
    seen = re.search(r'name="seen" value="(\w+)"', said(bar))
    assert seen is not None
    query = {"seen": seen[1]}
    unchanged = bar.get("/counter/condition", params=query)
    assert (unchanged.status_code, unchanged.content) == (204, b"")
    broken(store, clock, "till")
    changed = bar.get("/counter/condition", params=query)
    assert changed.status_code == 200
    assert "中断" in changed.text


def test_a_browser_that_is_not_paired_learns_nothing(app: FastAPI, browser: Browser) -> None:
    with served(app) as url:
        answer = browser(url).get("/counter/condition", headers={"Accept": "*/*"})
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
