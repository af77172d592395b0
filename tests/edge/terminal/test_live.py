"""The live picture at the counter: from the verifier's socket to the browser, and no further."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
import zmq

from edge.config import EdgeConfig
from edge.simulators.pharmacy import PharmacyClient
from edge.terminal.app import create_app
from edge.terminal.live import FRESH_NS, HEARD_NS, LiveView
from edge.terminal.pages import live_routes
from edge.verifier import live as verifier_live
from edge.verifier.live import LivePublisher
from edge.verifier.protocol import PICTURE, STATE, LiveState
from models.opencv import cv2
from retention.keyfiles import KeyDirectory
from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.store.database import NodeStore
from tests.edge.counter_kit import FakeVerifier
from tests.identity import support
from tests.serving import served

DEADLINE_SECONDS = 20.0
SESSION, OTHER = (SeededIds(number).new() for number in (11, 12))
HTML = {"Accept": "text/html"}


def looking(session: str = SESSION, **changes: object) -> LiveState:
    values: dict[str, object] = {
        "state": "looking", "session": session, "attempt": 1, "frames_wanted": 4,
        "seconds_left": 3.2,
    }  # fmt: skip
    return LiveState.model_validate(values | changes)


def state(said: LiveState) -> list[bytes]:
    return [STATE, said.model_dump_json().encode()]


def until(found: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + DEADLINE_SECONDS, threading.Event()
    while not found():
        assert time.monotonic() < deadline, "not in time"
        pause.wait(0.01)


# -- what is kept ---------------------------------------------------------------------------------


@pytest.fixture
def view(clock: ManualClock) -> LiveView:
    return LiveView(clock)


def test_only_the_newest_state_and_picture_are_kept(view: LiveView) -> None:
    for used in range(3):
        view.take(state(looking(frames_used=used)))
        view.take([PICTURE, SESSION.encode(), b"jpeg %d" % used])
    kept, picture = view.state_of(SESSION), view.picture_of(SESSION, 0)
    assert kept is not None
    assert picture is not None
    assert (kept.frames_used, picture.jpeg) == (2, b"jpeg 2")
    assert view.picture_of(SESSION, picture.number) is None


def test_a_session_is_told_nothing_of_another_ones_attempt(view: LiveView) -> None:
    view.take(state(looking(OTHER)))
    view.take([PICTURE, OTHER.encode(), b"jpeg"])
    assert view.state_of(SESSION) is None
    assert view.picture_of(SESSION, 0) is None


def test_the_end_of_an_attempt_takes_its_picture_away(view: LiveView) -> None:
    view.take([PICTURE, SESSION.encode(), b"jpeg"])
    view.take(state(LiveState(state="ended", session=SESSION, attempt=1)))
    assert view.picture_of(SESSION, 0) is None


def test_nobody_looking_any_more_takes_the_picture_away(view: LiveView) -> None:
    with view.watching(), view.watching():
        view.take([PICTURE, SESSION.encode(), b"jpeg"])
        assert view.watched
    assert not view.watched
    assert view.picture_of(SESSION, 0) is None


def test_what_a_dead_verifier_said_last_is_not_shown_for_long(
    view: LiveView, clock: ManualClock
) -> None:
    view.take(state(looking()))
    clock.advance(timedelta(microseconds=FRESH_NS / 1000 - 1))
    assert view.state_of(SESSION) is not None
    clock.advance(timedelta(microseconds=2))
    assert view.state_of(SESSION) is None


def test_a_verifier_is_given_time_to_start_and_then_has_to_be_heard(
    view: LiveView, clock: ManualClock
) -> None:
    assert view.verifier_heard
    clock.advance(timedelta(microseconds=HEARD_NS / 1000))
    assert not view.verifier_heard
    view.take(state(LiveState(state="idle")))
    assert view.verifier_heard


@pytest.mark.parametrize(
    "frames",
    [[], [STATE], [STATE, b"{}"], [STATE, b"\xff"], [STATE, b'{"state": "looking", "score": 1}'],
     [b"else", b"x"], [PICTURE, b"x"], [PICTURE, b"\xff", b"x", b"y"]],
)  # fmt: skip
def test_what_cannot_be_read_changes_nothing(view: LiveView, frames: list[bytes]) -> None:
    view.take(state(looking()))
    before = view.state_of(SESSION)
    view.take(frames)
    assert view.state_of(SESSION) == before
    assert view.picture_of(SESSION, 0) is None


# -- from socket to browser -----------------------------------------------------------------------


class Stage:
    """A verifier that publishes rendered frames, a terminal that shows them, a paired browser."""

    def __init__(self, url: str, view: LiveView, publisher: LivePublisher, clock: ManualClock):
        self.url, self.view, self.clock = url, view, clock
        self._publisher = publisher
        self._looking = threading.Event()

    @contextmanager
    def attempt(self, session: str) -> Iterator[None]:
        """Publish frames of a running attempt, and its end."""
        self._looking.set()
        thread = threading.Thread(target=self._publish, args=(session,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._looking.clear()
            thread.join(DEADLINE_SECONDS)
        self._publisher.ended(session, 1)

    def _publish(self, session: str) -> None:
        number, pause = 0, threading.Event()
        while self._looking.is_set():
            self.clock.advance(timedelta(seconds=0.2))
            pixels = support.turning_head(number / 15)[0]
            self._publisher.look(looking(session, frames_used=min(4, number)), pixels)
            number += 1
            pause.wait(0.02)


@pytest.fixture
def stage(
    store: NodeStore, verifier: FakeVerifier, keys: KeyDirectory, config: EdgeConfig,
    clock: ManualClock, tmp_path: Path, zmq_context: zmq.Context[zmq.Socket[bytes]],
) -> Iterator[Stage]:  # fmt: skip
    address, view, stop = f"ipc://{tmp_path}/live", LiveView(clock), threading.Event()
    thread = threading.Thread(target=partial(view.run, zmq_context, address, stop), daemon=True)
    app = create_app(store=store, verifier=verifier, keys=keys, config=config, live=view)
    with LivePublisher(zmq_context, address, clock) as publisher, served(app) as url:
        thread.start()
        yield Stage(url, view, publisher, clock)
        stop.set()
        thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


Browser = Callable[..., httpx.Client]


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Return a browser that holds a terminal's cookie."""
    with ExitStack() as stack:

        def opened(url: str, client: PharmacyClient | None = None) -> httpx.Client:
            cookies = {"terminal": client.token or ""} if client else {}
            made = httpx.Client(
                base_url=url, cookies=cookies, headers=HTML, trust_env=False, timeout=20
            )
            return stack.enter_context(made)

        yield opened


@pytest.fixture
def counter(stage: Stage, terminal: Callable[..., PharmacyClient]) -> PharmacyClient:
    return terminal(stage.url)


def pictures(response: httpx.Response, count: int) -> list[bytes]:
    """Read that many JPEGs off a stream."""
    content = b""
    for piece in response.iter_raw():
        content += piece
        parts = content.split(b"--picture\r\n")[1:-1]
        if len(parts) >= count:
            break
    return [part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for part in parts]


def path(session: str, what: str = "picture") -> str:
    return f"/counter/sessions/{session}/{what}"


def test_a_running_attempt_is_seen_in_the_browser(
    stage: Stage, counter: PharmacyClient, browser: Browser
) -> None:
    session = counter.open()["session"]
    with browser(stage.url, counter).stream("GET", path(session)) as response:
        assert response.headers["content-type"].startswith("multipart/x-mixed-replace")
        with stage.attempt(session):
            seen = pictures(response, 3)
    assert len(set(seen)) > 1
    for jpeg in seen:
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1) is not None
    until(lambda: not stage.view.watched)


def test_the_stream_closes_by_itself_when_the_attempt_ends(
    stage: Stage, counter: PharmacyClient, browser: Browser
) -> None:
    session = counter.open()["session"]
    whole: list[bytes] = []

    def look() -> None:
        whole.append(browser(stage.url, counter).get(path(session)).content)

    thread = threading.Thread(target=look, daemon=True)
    with stage.attempt(session):
        thread.start()
        until(lambda: stage.view.picture_of(session, 0) is not None)
    thread.join(DEADLINE_SECONDS)
    assert whole[0].startswith(b"--picture\r\nContent-Type: image/jpeg\r\n")
    assert whole[0].endswith(b"--picture--\r\n")
    until(lambda: not stage.view.watched)


def test_a_browser_that_goes_away_leaves_nothing_running(
    stage: Stage, counter: PharmacyClient, browser: Browser
) -> None:
    session = counter.open()["session"]
    before = threading.active_count()
    with stage.attempt(session):
        for _ in range(3):
            with browser(stage.url, counter).stream("GET", path(session)) as response:
                pictures(response, 1)
        until(lambda: not stage.view.watched)
    assert not stage.view._waiting
    assert threading.active_count() <= before + 1


def test_many_browsers_are_served_from_one_encoding(
    stage: Stage, counter: PharmacyClient, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []

    def numbered(_: object) -> bytes:
        made.append(b"jpeg %06d" % len(made))
        return made[-1]

    monkeypatch.setattr(verifier_live, "jpeg_of", numbered)
    session = counter.open()["session"]
    with ExitStack() as stack:
        streams = [
            stack.enter_context(browser(stage.url, counter).stream("GET", path(session)))
            for _ in range(5)
        ]
        with stage.attempt(session):
            seen = [pictures(stream, 4) for stream in streams]
    assert all(set(one) <= set(made) for one in seen)


def test_a_stream_is_not_kept_open_for_ever(
    stage: Stage, counter: PharmacyClient, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = counter.open()["session"]
    monkeypatch.setattr(live_routes, "BEGIN_SECONDS", 0.0)
    assert browser(stage.url, counter).get(path(session)).content.count(b"--picture") == 2
    monkeypatch.setattr(live_routes, "LONGEST_SECONDS", 0.5)
    with stage.attempt(session):
        until(lambda: stage.view.state_of(session) is not None)
        assert browser(stage.url, counter).get(path(session)).content.endswith(b"--picture--\r\n")


def test_the_end_of_the_terminal_process_ends_every_stream(
    stage: Stage, counter: PharmacyClient, browser: Browser
) -> None:
    session = counter.open()["session"]
    with (
        browser(stage.url, counter).stream("GET", path(session)) as response,
        stage.attempt(session),
    ):
        pictures(response, 1)
        stage.view.close()
    until(lambda: not stage.view.watched)


@pytest.mark.parametrize("what", ["picture", "guidance"])
def test_only_a_browser_of_the_sessions_own_counter_sees_anything(
    stage: Stage, counter: PharmacyClient, terminal: Callable[..., PharmacyClient],
    browser: Browser, what: str,
) -> None:  # fmt: skip
    session = counter.open()["session"]
    foreign = terminal(stage.url, "counter-2")
    with stage.attempt(session):
        assert browser(stage.url).get(path(session, what)).status_code == 401
        assert browser(stage.url, foreign).get(path(session, what)).status_code == 404
        assert browser(stage.url, counter).get(path(OTHER, what)).status_code == 404
        assert browser(stage.url, counter).get(path("..%2fx", what)).status_code == 404
        bearer = {"Authorization": f"Bearer {counter.token}"}
        assert (
            httpx.get(stage.url + path(session, what), headers=bearer, timeout=30).status_code
            == 401
        )
    assert not stage.view.watched


def test_no_picture_reaches_the_api_or_the_node_s_files(
    stage: Stage, counter: PharmacyClient, browser: Browser, config: EdgeConfig
) -> None:
    session = counter.open()["session"]
    with (
        stage.attempt(session),
        browser(stage.url, counter).stream("GET", path(session)) as response,
    ):
        pictures(response, 2)
        api = browser(stage.url, counter)
        bearer = {"Authorization": f"Bearer {counter.token}"}
        answers = [
            api.get(address, headers=bearer).content
            for address in (f"/v1/sessions/{session}", "/v1/sessions", "/metrics", "/readyz")
        ]
        openapi = api.get("/openapi.json").text
    assert "/counter" not in openapi
    files = [one.read_bytes() for one in config.node.data.rglob("*") if one.is_file()]
    assert not any(b"\xff\xd8\xff" in content for content in (*answers, *files))


# -- guidance -------------------------------------------------------------------------------------


def guidance(stage: Stage, browser: httpx.Client, session: str, lang: str = "zh") -> str:
    browser.cookies.set("lang", lang)
    text = browser.get(path(session, "guidance")).raise_for_status().text
    return re.sub(r"\s+", " ", text)


def test_guidance_gives_one_instruction_the_attempt_and_the_time_left(
    stage: Stage, counter: PharmacyClient, browser: Browser
) -> None:
    session = counter.open()["session"]
    page = browser(stage.url, counter)
    stage.view.take(state(looking(session, attempt=2, instruction="FACE_TOO_SMALL")))
    text = guidance(stage, page, session)
    assert "请靠近一些" in text
    assert "第 2 次" in text
    assert "还有 4 秒" in text
    assert 'data-ring="look"' in text
    assert "Come closer" in guidance(stage, page, session, "en")
    stage.view.take(state(looking(session, instruction="NO_FACE")))
    assert 'data-ring="none"' in guidance(stage, page, session)
    stage.view.take(state(looking(session, frames_used=2)))
    text = guidance(stage, page, session)
    assert "慢慢左右转头" in text
    assert 'data-ring="good"' in text
    assert 'stroke-dasharray="50.0 100"' in text
    assert "style=" not in text


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_guidance_has_words_for_every_moment_around_an_attempt(
    stage: Stage, counter: PharmacyClient, browser: Browser, verifier: FakeVerifier, lang: str
) -> None:
    session = counter.open()["session"]
    page = browser(stage.url, counter)
    said = [guidance(stage, page, session, lang)]
    verifier.hold = threading.Event()
    asking = threading.Thread(target=counter.verify, args=(session,), daemon=True)
    asking.start()
    assert verifier.entered.wait(DEADLINE_SECONDS)
    said.append(guidance(stage, page, session, lang))
    stage.view.take(state(LiveState(state="ended", session=session, attempt=1)))
    said.append(guidance(stage, page, session, lang))
    stage.clock.advance(timedelta(seconds=60))
    said.append(guidance(stage, page, session, lang))
    verifier.hold.set()
    asking.join(DEADLINE_SECONDS)
    expected = {
        "zh": ("准备好后开始核验", "正在打开摄像头", "正在判定", "人脸核验暂不可用"),
        "en": ("then begin", "Opening the camera", "Deciding", "not available"),
    }[lang]
    assert all(words in text for words, text in zip(expected, said, strict=True)), said
