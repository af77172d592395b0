"""Asking for footage: once, with visible progress, and words for whatever comes of it."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import update

from central.enrolment import revoke
from central.tables import Opening, table_of
from tests.central.pages.conftest import Pages, csrf
from tests.central.pages.review_kit import ROLES, SESSION, Review
from tests.central.wirekit import TestCentral, TestNode

HERE = f"/sessions/{SESSION}?node=node-a"
FOOTAGE = f"/sessions/{SESSION}/footage?node=node-a"
BADGES = f"/sessions/{SESSION}/badges?node=node-a"
REPLAY = f"/sessions/{SESSION}/replay.json?node=node-a"


@pytest.fixture
def review(central: TestCentral, node: TestNode) -> Review:
    made = Review(central, node)
    made.session()
    return made


@pytest.fixture
def inspector(pages: Pages, review: Review) -> httpx.Client:
    """Somebody who opened the session."""
    browser = pages.signed_in()
    browser.headers["X-CSRF"] = csrf(browser)
    browser.post(HERE, data={"choice": "sample"})
    return browser


def scenes(browser: httpx.Client) -> list[set[str]]:
    """Return the states of the pieces of each scene."""
    told = browser.get(REPLAY).json()
    return [{piece["state"] for piece in scene["pieces"]} for scene in told["scenes"]]


def texts(browser: httpx.Client) -> set[str]:
    told = browser.get(REPLAY).json()
    return {piece["text"] for scene in told["scenes"] for piece in scene["pieces"]}


def test_double_click_asks_once(pages: Pages, review: Review, inspector: httpx.Client) -> None:
    assert "录像还在药店节点" in inspector.get(HERE).text
    for _ in range(2):
        assert inspector.post(FOOTAGE).headers["location"] == HERE
    assert len(review.commands()) == 1
    assert pages.rows("footage.ask") == [("li", f"session {SESSION}")]


def test_htmx_gets_the_fragment_alone_and_asks_on(review: Review, inspector: httpx.Client) -> None:
    answer = inspector.post(FOOTAGE, headers={"HX-Request": "true"})
    assert "<html" not in answer.text
    assert 'hx-trigger="every 2s"' in answer.text
    assert "已调取，等待药店节点应答" in answer.text
    assert answer.headers["hx-trigger"] == "footage-complete"


def test_progress_is_shown_until_all_has_come(review: Review, inspector: httpx.Client) -> None:
    segments = [review.seal(camera, (60, 0)) for camera in ROLES]
    inspector.post(FOOTAGE)
    assert scenes(inspector) == [{"coming"}] * 3
    review.send(segments[:2], total=3)
    under_way = inspector.get(FOOTAGE + "&was=waiting")
    assert "正在上传 2 / 3 段" in under_way.text
    assert '<progress max="3" value="2"' in under_way.text
    assert "hx-trigger" not in under_way.headers
    review.send(segments)
    review.conclude("sent", 3)
    done = inspector.get(FOOTAGE + "&was=waiting")
    assert "录像已到，共 3 段" in done.text
    assert done.headers["hx-trigger"] == "footage-complete"
    assert "every 2s" not in done.text
    assert 'data-test="ask-footage"' not in done.text
    assert scenes(inspector) == [{"footage"}] * 3
    assert "hx-trigger" not in inspector.get(FOOTAGE).headers


def test_footage_of_another_session_at_the_same_time_is_not_this_ones(
    pages: Pages, review: Review, inspector: httpx.Client
) -> None:
    segments = [review.seal(camera, (60, 0)) for camera in ROLES]
    other = SESSION[:-2] + "bb"
    review.session(other)
    inspector.post(f"/sessions/{other}?node=node-a", data={"choice": "sample"})
    inspector.post(f"/sessions/{other}/footage?node=node-a")
    assert segments
    assert scenes(inspector) == [{"absent"}] * 3
    assert texts(inspector) == {"尚未调取这段录像"}


def test_node_that_never_answers_is_named_with_since_when(
    pages: Pages, review: Review, inspector: httpx.Client
) -> None:
    inspector.post(FOOTAGE)
    pages.clock.advance(timedelta(seconds=91))
    fragment = inspector.get(FOOTAGE).text
    assert "节点无联系" in fragment
    assert "起没有联系" in fragment
    assert "every 2s" in fragment
    assert all("起没有联系" in text for text in texts(inspector))
    assert 'data-test="ask-footage"' not in fragment


def test_request_that_expired_may_be_made_again(
    pages: Pages, review: Review, inspector: httpx.Client
) -> None:
    inspector.post(FOOTAGE)
    body = "UPDATE commands SET expires_at = issued_at"
    with pages.central.database.write() as connection:
        connection.exec_driver_sql(body)
    fragment = inspector.get(FOOTAGE).text
    assert "节点一直没有应答，请重新调取" in fragment
    assert texts(inspector) == {"调取已过期，请重新调取"}
    inspector.post(FOOTAGE)
    assert len(review.commands()) == 2
    assert "等待药店节点应答" in inspector.get(FOOTAGE).text


@pytest.mark.parametrize(
    ("outcome", "reason", "words"),
    [
        ("refused", "NOT_SIMULATED", "真实摄像头的录像暂不上传"),
        ("failed", "FILE_UNREADABLE 0190", "节点上的录像文件无法读取"),
        ("failed", "<b>new</b>", "&lt;b&gt;new&lt;/b&gt;"),
        ("refused", None, "没有说明原因"),
    ],
)
def test_refusal_is_told_in_words_and_may_be_asked_again(
    review: Review, inspector: httpx.Client, outcome: str, reason: str | None, words: str
) -> None:
    inspector.post(FOOTAGE)
    review.conclude(outcome, 0, reason)
    fragment = inspector.get(FOOTAGE).text
    assert words in fragment
    assert 'data-test="ask-footage"' in fragment
    assert scenes(inspector) == [{"absent"}] * 3


def test_camera_that_sent_nothing_and_gave_no_cause_is_told_apart(
    review: Review, inspector: httpx.Client
) -> None:
    segment = review.seal("cam-1", (60, 0))
    inspector.post(FOOTAGE)
    review.send([segment])
    review.conclude("sent", 1)
    assert scenes(inspector) == [{"footage"}, {"absent"}, {"absent"}]
    assert "药店节点没有这一段录像，也没有说明原因" in texts(inspector)


def test_footage_deleted_meanwhile_is_absent_in_words(
    review: Review, inspector: httpx.Client
) -> None:
    segment = review.seal("cam-1", (60, 0))
    inspector.post(FOOTAGE)
    review.send([segment])
    review.conclude("sent", 1)
    review.file(segment).unlink()
    assert scenes(inspector)[0] == {"absent"}
    assert any("文件已不在复核中心" in text for text in texts(inspector))
    assert inspector.get(HERE).status_code == 200


def test_segment_that_came_otherwise_than_recorded_is_broken(
    review: Review, inspector: httpx.Client
) -> None:
    segment = review.seal("cam-1", (60, 0))
    inspector.post(FOOTAGE)
    review.send([segment], bend=True)
    assert scenes(inspector)[0] == {"broken"}
    badges = inspector.get(f"/sessions/{SESSION}/badges?node=node-a").text
    assert 'data-test="broken"' in badges
    assert "录像内容与记录不符" in badges


def test_what_was_asked_for_too_early_may_be_asked_for_again(
    pages: Pages, review: Review, inspector: httpx.Client
) -> None:
    with pages.central.database.write() as connection:
        connection.exec_driver_sql("UPDATE sessions SET span_ended_at = span_ended_at - 20000000")
    inspector.post(FOOTAGE)
    review.conclude("sent", 0)
    with pages.central.database.write() as connection:
        connection.exec_driver_sql("UPDATE commands SET outcome = 'sent'")
        connection.exec_driver_sql("UPDATE sessions SET span_ended_at = span_ended_at + 20000000")
    fragment = inspector.get(FOOTAGE).text
    assert "后来的部分没有包括在内" in fragment
    assert 'data-test="ask-footage"' in fragment
    assert "尚未调取这段录像" in texts(inspector)


def test_revoked_node_is_not_asked(pages: Pages, review: Review, inspector: httpx.Client) -> None:
    with pages.central.database.write() as connection:
        revoke(connection, "node-a", 1)
    assert "这一节点已停用" in inspector.get(HERE).text
    inspector.post(FOOTAGE)
    assert review.commands() == []


def test_without_an_opening_nothing_is_asked_and_nothing_told(pages: Pages, review: Review) -> None:
    browser = pages.signed_in()
    browser.headers["X-CSRF"] = csrf(browser)
    for answer in (browser.post(FOOTAGE), browser.get(FOOTAGE)):
        assert answer.status_code == 403
        assert "请回到业务页，填写理由后重新打开" in answer.text
    assert review.commands() == []


@pytest.mark.parametrize(("path", "part"), [(FOOTAGE, "footage"), (BADGES, "badges")])
def test_part_of_a_page_whose_opening_is_over_asks_no_more(
    pages: Pages, inspector: httpx.Client, path: str, part: str
) -> None:
    with pages.central.database.write() as connection:
        connection.execute(update(table_of(Opening)).values(expires_at=pages.state.now()))
    htmx = {"HX-Request": "true"}
    for answer in (inspector.get(path, headers=htmx), inspector.post(path, headers=htmx)):
        assert answer.status_code == 403
        assert f'<div id="{part}"' in answer.text
        assert "hx-get" not in answer.text
        assert "hx-reswap" not in answer.headers  # it takes the part's own place
        assert f'href="{HERE}"' in answer.text


def test_polling_is_no_look_of_its_own(pages: Pages, inspector: httpx.Client) -> None:
    before = len(pages.rows("session.read"))
    for _ in range(3):
        inspector.get(FOOTAGE)
    assert len(pages.rows("session.read")) == before
    assert pages.rows("footage.read") == []
