"""The list of sessions: what needs a look, filters in the address, and why it is empty."""

from __future__ import annotations

import html
import random
import re
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import insert

from central.tables import Flag, Session, table_of
from retention.records.clock import to_micros
from tests.central.pages.conftest import Pages
from tests.central.pages.review_kit import SESSION, Review
from tests.central.wirekit import TestCentral, TestNode

DAY = 86_400_000_000


@pytest.fixture
def review(central: TestCentral, node: TestNode) -> Review:
    return Review(central, node)


def put(
    pages: Pages, count: int, *, flags: tuple[str, ...] = ("PROXY",), **changes: object
) -> None:
    """Put sessions into the projections, two at each moment, newest first."""
    now = pages.state.now()
    with pages.central.database.write() as connection:
        for n in range(count):
            values = {
                "agency": "430100", "pharmacy": "P1", "node": "node-a", "counter": None,
                "session": f"0190{n:04d}-0000-7000-8000-{random.Random(n).getrandbits(48):012x}",
                "opened_at": now - (n // 2) * 1_000_000, "closed_at": now, "proxy": 0, **changes,
            }  # fmt: skip
            connection.execute(insert(table_of(Session)).values(values))
            for code in flags[: 1 + n % len(flags)] if flags else ():
                connection.execute(
                    insert(table_of(Flag)).values(
                        agency="430100", pharmacy="P1", node=values["node"], code=code,
                        subject=values["session"], session=values["session"], sequence=n,
                        raised_at=now,
                    )
                )  # fmt: skip


def shown(browser: httpx.Client, query: str = "") -> list[str]:
    answer = browser.get(f"/sessions{query}")
    assert answer.status_code == 200
    return re.findall(r'class="open" href="/sessions/([^?"]+)', answer.text)


def every_page(browser: httpx.Client, query: str) -> list[str]:
    found, address = [], f"/sessions{query}"
    while address:
        answer = browser.get(address)
        found += re.findall(r'class="open" href="/sessions/([^?"]+)', answer.text)
        more = re.search(r'rel="next" href="([^"]+)"', answer.text)
        address = html.unescape(more.group(1)) if more else ""
    return found


def test_flagged_session_is_listed_with_its_facts_in_words(pages: Pages, review: Review) -> None:
    review.session(outcome="REFER", reasons=("MISMATCH",))
    answer = pages.signed_in().get("/sessions")
    assert answer.text.count('data-test="session-row"') == 1
    for words in ("人证不符", "录像不完整", "张*三", "已结算", "93.3 %", "未调取", "1 分钟前"):
        assert words in answer.text
    assert f'href="/sessions/{SESSION}?node=node-a"' in answer.text
    assert 'data-flag="MISMATCH"' in answer.text
    assert "P43010000001" in answer.text


def test_session_without_an_open_flag_is_listed_only_among_all(
    pages: Pages, review: Review
) -> None:
    review.session(covered_ms=180_000)
    browser = pages.signed_in()
    assert shown(browser) == []
    assert 'data-empty="flagged"' in browser.get("/sessions").text
    assert shown(browser, "?show=all") == [SESSION]


FILTERS = (
        ("?code=PROXY", 1), ("?code=ATTESTED", 0), ("?code=%3Cb%3E", 0),
        ("?pharmacy=P1", 1), ("?pharmacy=P9", 0), ("?pharmacy=%25", 0),
        ("?node=node-a", 1), ("?node=node", 0),
        ("?state=closed", 1), ("?state=open", 0),
        ("?decision=ACCEPT", 1), ("?decision=REFER", 0), ("?decision=none", 0),
        ("?from=2026-01-02", 1), ("?from=2026-01-03", 0),
        ("?to=2026-01-02", 1), ("?to=2026-01-01", 0),
        ("?q=01900000", 1), ("?q=01900000-0000-7000-8000", 1), ("?q=zz", 0),
        ("?show=nonsense&sort=nonsense&state=nonsense&decision=nonsense", 1),
        ("?from=0001-01-01&to=9999-12-31", 1),
)  # fmt: skip


def test_each_filter_finds_what_it_names(pages: Pages) -> None:
    put(pages, 1, decision="ACCEPT")
    browser = pages.signed_in()
    assert {query: len(shown(browser, query)) for query, _ in FILTERS} == dict(FILTERS)


def test_day_is_one_of_shanghai(pages: Pages) -> None:
    last_moment = to_micros(pages.clock.now()) // DAY * DAY + 16 * 3_600_000_000 - 1
    put(pages, 1, opened_at=last_moment)
    browser = pages.signed_in()
    assert len(shown(browser, "?from=2026-01-02&to=2026-01-02")) == 1
    assert shown(browser, "?from=2026-01-03") == []


def test_day_that_is_none_is_named_and_not_used(pages: Pages) -> None:
    put(pages, 1)
    browser = pages.signed_in()
    for day in ("heute", "2026-02-30", "2026-1-1", "99999-01-01", "<script>"):
        answer = browser.get(f"/sessions?from={quote(day)}")
        assert f"“{html.escape(day)}”不是日期" in answer.text
        assert answer.text.count('data-test="session-row"') == 1


@pytest.mark.parametrize("sort", ["newest", "oldest", "flags"])
def test_pages_go_on_where_the_one_before_ended(pages: Pages, sort: str) -> None:
    put(pages, 120, flags=("PROXY", "ATTESTED", "MISMATCH"))
    found = every_page(pages.signed_in(), f"?sort={sort}")
    assert len(found) == len(set(found)) == 120
    order = [int(session[4:8]) // 2 for session in found]
    if sort == "flags":
        assert [1 + int(session[4:8]) % 3 for session in found] == [3] * 40 + [2] * 40 + [1] * 40
    else:
        assert order == sorted(order, reverse=sort == "oldest")


def test_key_that_is_none_begins_at_the_start(pages: Pages) -> None:
    put(pages, 1)
    browser = pages.signed_in()
    nines = "9" * 99
    for after in ("x", "1~2~3", "a~b~c~d", f"{nines}~1~n~s", f"0~{nines}~n~s", "²~1~n~s"):
        assert browser.get(f"/sessions?after={quote(after)}").status_code == 200


def test_every_number_by_flag_opens_as_many_sessions(pages: Pages) -> None:
    put(pages, 12, flags=("PROXY", "ATTESTED"))
    put(pages, 40, flags=(), node="node-b")
    browser = pages.signed_in()
    for query, numbers in (
        ("", {12, 6}),
        ("?pharmacy=P1&node=node-a", {12, 6}),
        ("?node=x", set()),
    ):
        text = browser.get(f"/sessions{query}").text
        counted = re.findall(r'href="(/sessions\?[^"]+)"[^>]*>[^<]+<b>(\d+)</b>', text)
        assert {int(number) for _, number in counted} == numbers
        for address, number in counted:
            path = html.unescape(address).removeprefix("/sessions")
            assert len(shown(browser, path)) == int(number)


def test_cleared_flag_is_none(pages: Pages) -> None:
    put(pages, 1)
    with pages.central.database.write() as connection:
        connection.execute(table_of(Flag).update().values(cleared_at=1))
    browser = pages.signed_in()
    assert shown(browser) == []
    assert "代购 <b>" not in browser.get("/sessions").text


def test_emptiness_says_why_and_what_to_do(pages: Pages) -> None:
    browser, admin = pages.signed_in(), pages.signed_in("wang", "admin")
    assert 'data-empty="sessions"' in browser.get("/sessions").text
    put(pages, 1)
    text = browser.get("/sessions?pharmacy=P9").text
    assert 'data-empty="filters"' in text
    assert 'href="/sessions?show=all&amp;pharmacy=P9"' in text
    with pages.central.database.write() as connection:
        for table in ("sessions", "flags", "nodes"):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
    assert "请联系管理员登记节点" in browser.get("/sessions").text
    assert 'href="/nodes/enrol"' in admin.get("/sessions").text


def test_reading_the_list_is_written_down_with_what_was_asked_for(pages: Pages) -> None:
    browser = pages.signed_in()
    browser.get("/sessions?code=MISMATCH&pharmacy=P1")
    assert pages.rows("sessions.list") == [("li", "sessions code=MISMATCH&pharmacy=P1")]


def test_list_speaks_english_too(pages: Pages, review: Review) -> None:
    review.session(outcome="REFER", reasons=("MISMATCH",))
    browser = pages.signed_in()
    browser.cookies.set("lang", "en")
    text = browser.get("/sessions?from=x").text
    for words in ("Sessions to review", "The face did not match", "Not asked for", "is no date"):
        assert words in text


def test_nothing_that_is_asked_for_or_told_can_be_markup(pages: Pages) -> None:
    put(pages, 1, counter="<i>1</i>", outcome="<u>x</u>")
    browser = pages.signed_in()
    told = browser.get("/sessions").text
    assert "&lt;i&gt;1&lt;/i&gt;" in told
    assert "&lt;u&gt;x&lt;/u&gt;" in told
    asked = browser.get('/sessions?q="><s>&pharmacy=<s>&node=<s>&code=<s>&show=all').text
    assert "<s>" not in asked
    assert 'value="&#34;&gt;&lt;s&gt;"' in asked
