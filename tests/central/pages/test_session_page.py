"""One session: opened for a reason, told in full, each look written down."""

from __future__ import annotations

import re
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import func, insert, select

from central.tables import Opening, Session, StoredRecord, table_of
from retention.records import payloads as p
from retention.records.canonical import canonical_bytes
from retention.records.envelope import parse_record
from tests.central.pages.conftest import Pages, csrf, sign_in
from tests.central.pages.review_kit import SESSION, Review, sample
from tests.central.wirekit import TestCentral, TestNode
from tests.golden.samples import LINE

OPENINGS = table_of(Opening)
HERE = f"/sessions/{SESSION}?node=node-a"
REPLAY = f"/sessions/{SESSION}/replay.json?node=node-a"


@pytest.fixture
def review(central: TestCentral, node: TestNode) -> Review:
    return Review(central, node)


def opened(pages: Pages, browser: httpx.Client, path: str = HERE) -> httpx.Response:
    """Open a session for a reason and return its page."""
    form = {"csrf": csrf(browser), "choice": "sample", "text": "2026-17"}
    answer = browser.post(path, data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    return browser.get(path)


def openings(pages: Pages) -> int:
    with pages.central.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(OPENINGS)).scalar_one())


def test_session_is_shown_only_after_a_reason(pages: Pages, review: Review) -> None:
    review.session()
    browser = pages.signed_in()
    before = browser.get(HERE)
    assert 'data-test="opening"' in before.text
    assert "张*三" not in before.text
    assert "阿莫西林" not in before.text
    page = opened(pages, browser)
    assert "随机复审：2026-17" in page.text
    assert "张*三" in page.text


BAD_FORMS: tuple[tuple[dict[str, str], str], ...] = (
    ({}, "请选择一个理由"),
    ({"choice": "bored"}, "请选择一个理由"),
    ({"choice": "other", "text": "  "}, "请写明其他理由"),
    ({"choice": "sample", "text": "长" * 191}, "说明太长"),
)


def test_reason_that_is_none_is_asked_for_again_and_nothing_is_lost(
    pages: Pages, review: Review
) -> None:
    review.session()
    browser = pages.signed_in()
    token = csrf(browser)
    for form, words in BAD_FORMS:
        answer = browser.post(HERE, data={"csrf": token, **form})
        assert answer.status_code == 422
        assert words in answer.text
        assert f'value="{form.get("text", "")}"' in answer.text
    assert openings(pages) == 0


def test_other_reason_is_kept_as_it_was_written(pages: Pages, review: Review) -> None:
    review.session()
    browser = pages.signed_in()
    form = {"csrf": csrf(browser), "choice": "other", "text": "案件 <b>12</b>"}
    browser.post(HERE, data=form)
    assert "案件 &lt;b&gt;12&lt;/b&gt;" in browser.get(HERE).text


def test_reason_is_one_line_that_reads_as_it_was_written(pages: Pages, review: Review) -> None:
    review.session()
    browser = pages.signed_in()
    text = "案件\u202e 12\x00\r\nadmin\u3000token "
    browser.post(HERE, data={"csrf": csrf(browser), "choice": "other", "text": text})
    assert "<b>案件 12 admin token</b>" in browser.get(HERE).text


def test_reason_of_nothing_that_can_be_seen_is_none(pages: Pages, review: Review) -> None:
    review.session()
    browser = pages.signed_in()
    form = {"csrf": csrf(browser), "choice": "other", "text": "\u200b\x00\u3000"}
    assert browser.post(HERE, data=form).status_code == 422


def test_step_after_the_footage_is_no_place_to_go_to(pages: Pages, review: Review) -> None:
    review.session()
    review.node.clock.advance(timedelta(minutes=30))
    review.tell(sample(p.SettlementConcluded, session=SESSION, outcome="unknown"))
    browser = pages.signed_in()
    browser.post(HERE, data={"csrf": csrf(browser), "choice": "sample"})
    shown = browser.get(HERE).text
    on_timeline = {step["n"] for step in browser.get(REPLAY).json()["steps"]}
    assert {int(n) for n in re.findall(r'data-seek-step="(\d+)"', shown)} == on_timeline
    assert shown.count('class="step"') == len(on_timeline) + 1


def test_double_click_opens_once(pages: Pages, review: Review) -> None:
    review.session()
    browser = pages.signed_in()
    opened(pages, browser)
    opened(pages, browser)
    assert openings(pages) == 1
    assert len(pages.rows("session.open")) == 1


def test_every_look_is_written_down(pages: Pages, review: Review) -> None:
    review.session()
    browser = pages.signed_in()
    browser.get(HERE)
    opened(pages, browser)
    browser.get(HERE)
    assert pages.rows("session.form") == [("li", f"session {SESSION}")]
    assert len(pages.rows("session.read")) == 2


def test_opening_ends_after_an_hour(pages: Pages, review: Review) -> None:
    review.session()
    browser = pages.signed_in()
    opened(pages, browser)
    pages.clock.advance(timedelta(minutes=40))
    assert "核验凭据" in browser.get(HERE).text
    pages.clock.advance(timedelta(minutes=20))
    answer = browser.get(HERE)
    assert "您先前的打开已过期" in answer.text
    assert "张*三" not in answer.text
    json = browser.get(f"/sessions/{SESSION}/replay.json?node=node-a")
    assert (json.status_code, "没有打开，或打开已过期" in json.text) == (403, True)


def test_opening_of_another_sign_in_opens_nothing(pages: Pages, review: Review) -> None:
    review.session()
    first = pages.signed_in()
    opened(pages, first)
    again = pages.browser()
    sign_in(again, "li")
    assert 'data-test="opening"' in again.get(HERE).text
    assert 'data-test="opening"' in pages.signed_in("chen").get(HERE).text


def test_opening_of_one_node_does_not_open_anothers_session_of_the_same_id(
    pages: Pages, review: Review
) -> None:
    review.session()
    with pages.central.database.write() as connection:
        connection.execute(
            insert(table_of(Session)).values(
                agency="430100", pharmacy="P9", node="shop/b", session=SESSION, opened_at=1, proxy=0
            )
        )
    browser = pages.signed_in()
    opened(pages, browser)
    other = "?node=shop%2Fb"
    assert 'data-test="opening"' in browser.get(f"/sessions/{SESSION}{other}").text
    assert browser.get(f"/sessions/{SESSION}/replay.json{other}").status_code == 403


def test_session_that_nobody_knows_is_said_to_be_unknown(pages: Pages) -> None:
    browser = pages.signed_in()
    for path in ("", "/replay.json", "/footage", "/badges", "/x"):
        for session, node in ((SESSION, "node-a"), ("no-session", ""), (SESSION, "%3Cb%3E/..")):
            answer = browser.get(f"/sessions/{session}{path}?node={node}")
            assert answer.status_code == 404
            assert "<b>" not in answer.text.split("</head>")[-1]


def test_session_id_of_another_pharmacy_is_not_this_ones(pages: Pages, review: Review) -> None:
    review.session()
    answer = pages.signed_in().get(f"/sessions/{SESSION}?node=node-b")
    assert answer.status_code == 404
    assert "没有这笔业务" in answer.text


def test_address_without_its_node_leads_on_or_lets_one_choose(pages: Pages, review: Review) -> None:
    review.session()
    browser = pages.signed_in()
    answer = browser.get(f"/sessions/{SESSION}")
    assert (answer.status_code, answer.headers["location"]) == (303, HERE)
    with pages.central.database.write() as connection:
        connection.execute(
            insert(table_of(Session)).values(
                agency="430100", pharmacy="P9", node="shop/b", session=SESSION, opened_at=1, proxy=0
            )
        )
    answer = browser.get(f"/sessions/{SESSION}")
    assert answer.status_code == 300
    assert f'href="{HERE}"' in answer.text
    assert f'href="/sessions/{SESSION}?node=shop%2Fb"' in answer.text


def test_receipt_is_told_in_words_with_its_scores(pages: Pages, review: Review) -> None:
    review.session(outcome="REFER", reasons=("MISMATCH", "BLURRED"), neg_log10_fmr="1.25")
    text = opened(pages, pages.signed_in()).text
    for words in ("转其他方式", "与登记信息不一致、画面模糊", "1.25", "counter-default", "0.4012",
                  "两眼距离", "81.5", "不低于 0.0060", "看了 42 帧，用了 5 帧", "RX20260102001",
                  "就是参保人", "结算编号"):  # fmt: skip
        assert words in text


def test_markup_in_a_drug_name_is_text(pages: Pages, review: Review) -> None:
    review.session()
    line = LINE.model_copy(update={"name": '<img src=x onerror="alert(1)">'})
    review.tell(sample(p.BasketSet, session=SESSION, lines=(line,)))
    text = opened(pages, pages.signed_in()).text
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;" in text
    assert "<img src=x" not in text


def test_session_still_open_says_so(pages: Pages, review: Review) -> None:
    review.session(closed=False)
    text = opened(pages, pages.signed_in()).text
    assert "这笔业务还没有结束" in text
    assert "业务结束并封存录像后才会核算" in text


def test_session_of_which_only_one_record_is_known_is_shown(pages: Pages, review: Review) -> None:
    review.tell(sample(p.SettlementConcluded, session=SESSION, outcome="unknown"))
    text = opened(pages, pages.signed_in()).text
    for words in ("没有身份核验的记录", "没有录入清单", "没有关联处方", "没有请求结算", "结果未知"):
        assert words in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"payload": {"session": SESSION, "lines": "many"}}, "1 条记录无法读懂"),
        ({"kind": "session.basket", "version": 9}, "1 条记录来自较新的节点软件"),
    ],
)
def test_record_that_central_does_not_understand_is_named(
    pages: Pages, review: Review, change: dict[str, object], words: str
) -> None:
    review.session()
    records = table_of(StoredRecord)
    with pages.central.database.write() as connection:
        row = connection.execute(select(records).where(records.c.kind == "session.basket")).one()
        value = {**parse_record(row.body).model_dump(mode="json"), **change}
        connection.execute(
            records.update()
            .where(records.c.sequence == row.sequence)
            .values(body=canonical_bytes(value), version=value["version"])
        )
    text = opened(pages, pages.signed_in()).text
    assert words in text
    assert "没有录入清单" in text


def test_clear_pictures_are_a_step_of_their_own_and_written_down(
    pages: Pages, review: Review
) -> None:
    review.session()
    browser = pages.signed_in()
    opened(pages, browser)
    replay = f"/sessions/{SESSION}/replay.json?node=node-a"
    assert browser.get(replay).json()["clear"] is False
    for show, clear, action in (
        ("clear", True, "footage.clear"),
        ("blurred", False, "footage.blur"),
    ):
        form = {"csrf": csrf(browser), "show": show}
        answer = browser.post(f"/sessions/{SESSION}/clear?node=node-a", data=form)
        assert answer.headers["location"] == HERE
        assert browser.get(replay).json()["clear"] is clear
        assert pages.rows(action) == [("li", f"session {SESSION}")]


def test_clear_pictures_need_an_opening(pages: Pages, review: Review) -> None:
    review.session()
    browser = pages.signed_in()
    path = f"/sessions/{SESSION}/clear?node=node-a"
    assert browser.post(path, data={"csrf": csrf(browser)}).status_code == 403


def test_session_whose_node_holds_a_slash_works(pages: Pages, review: Review) -> None:
    with pages.central.database.write() as connection:
        connection.execute(
            insert(table_of(Session)).values(
                agency="430100", pharmacy="P9", node="shop/b", session=SESSION, opened_at=1, proxy=0
            )
        )
    browser = pages.signed_in()
    page = opened(pages, browser, f"/sessions/{SESSION}?node=shop%2Fb")
    assert f"/sessions/{SESSION}/replay.json?node=shop%2Fb" in page.text
    assert browser.get(f"/sessions/{SESSION}/replay.json?node=shop%2Fb").json()["scenes"] == []


def test_expired_cookie_in_the_middle_of_the_form_leads_to_signing_in(
    pages: Pages, review: Review
) -> None:
    review.session()
    browser = pages.signed_in()
    token = csrf(browser)
    pages.clock.advance(timedelta(hours=13))
    answer = browser.post(HERE, data={"csrf": token, "choice": "sample"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=")
    assert openings(pages) == 0


def test_page_speaks_english_too(pages: Pages, review: Review) -> None:
    review.session()
    browser = pages.signed_in()
    browser.cookies.set("lang", "en")
    assert "Why do you open this session?" in browser.get(HERE).text
    text = opened(pages, browser).text
    for words in ("Receipt", "All steps", "Basket", "Ask for the footage", "Opened for:"):
        assert words in text
