"""The access log: found by what stands in it, exported as it is, and itself written down."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.access import write_access
from central.access_log import CHUNK, PAGE
from central.pages.access_pages import cell
from tests.central.pages.conftest import ACCESS, Pages

OWNER = {"agency": "430100", "pharmacy": "P43010000001", "node": "shop/a"}
ROW = re.compile(r'<tr data-test="access-row">(.*?)</tr>', re.DOTALL)
TAG = re.compile(r"<[^>]*>")


@pytest.fixture
def admin(pages: Pages) -> httpx.Client:
    return pages.signed_in("chen", "admin")


def write(pages: Pages, count: int = 1, **values: object) -> None:
    row = {"actor": "li", "action": "session.read", "subject": "session 1", **values}
    with pages.central.database.write() as connection:
        write_access(connection, pages.state.ids, pages.state.now(), **row)  # type: ignore[arg-type]
        (first,) = connection.execute(ACCESS.select().order_by(ACCESS.c.id.desc()).limit(1))
        more = [{**first._mapping, "id": pages.state.ids.new()} for _ in range(count - 1)]
        if more:
            connection.execute(ACCESS.insert(), more)


def shown(browser: httpx.Client, **query: str) -> list[list[str]]:
    """Return the cells of the rows that a page shows."""
    found = browser.get("/access", params=query)
    assert found.status_code == 200
    rows = ROW.findall(found.text)
    return [
        [" ".join(TAG.sub("", part).split()) for part in row.split("</td>")[:-1]] for row in rows
    ]


def exported(browser: httpx.Client, **query: str) -> list[list[str]]:
    found = browser.get("/access.csv", params=query)
    assert found.status_code == 200
    assert found.content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(found.content.decode("utf-8-sig"), newline="")))


def test_newest_row_is_first_with_time_of_shanghai_and_words(
    pages: Pages, admin: httpx.Client
) -> None:
    pages.clock.advance(timedelta(minutes=1))
    write(pages, reason="随机复审", owner=OWNER)
    assert shown(admin)[0] == [
        "2026-01-02 11:05:05", "li", "查看业务", "session 1", "随机复审", "P43010000001 shop/a",
    ]  # fmt: skip
    assert shown(admin)[0][2:4] == ["查看访问记录", "access everything"]


@pytest.mark.parametrize(
    ("query", "subjects"),
    [
        ({"who": "li"}, ["session 3", "session 2", "session 1"]),
        ({"who": "wang"}, ["nodes"]),
        ({"action": "nodes.list"}, ["nodes"]),
        ({"action": "no.such"}, []),
        ({"node": "shop/a"}, ["session 2"]),
        ({"subject": "SESSION", "who": "li"}, ["session 3", "session 2", "session 1"]),
        ({"subject": "100%_"}, ["100%_ <b>"]),
        ({"subject": "%"}, ["100%_ <b>"]),
        ({"who": "li", "from": "2026-01-03"}, ["session 3", "session 2"]),
        ({"who": "li", "to": "2026-01-02"}, ["session 1"]),
        ({"who": "li", "from": "2026-01-03", "to": "2026-01-03"}, ["session 2"]),
        ({"who": " li ", "subject": " session 1 "}, ["session 1"]),
    ],
)
def test_filters_of_the_url_choose_rows_of_page_and_export(
    pages: Pages, admin: httpx.Client, query: dict[str, str], subjects: list[str]
) -> None:
    write(pages, subject="session 1")
    write(pages, subject="nodes", actor="wang", action="nodes.list")
    write(pages, subject="100%_ <b>", actor="zhao")
    pages.clock.advance(timedelta(hours=12, minutes=55, seconds=55))  # midnight in Shanghai
    write(pages, subject="session 2", owner=OWNER)
    pages.clock.advance(timedelta(days=1))
    write(pages, subject="session 3")
    admin = pages.signed_in("sun", "admin")
    found = [row[3] for row in shown(admin, **query)]
    assert [text.replace("&lt;b&gt;", "<b>") for text in found] == subjects
    lines = [row[4] for row in exported(admin, **query)[1:]]
    # An export tells of itself first; what looked for the same words stands in the log as well.
    assert [line for line in lines if not line.startswith("access ")] == subjects


def test_pages_go_on_where_the_last_ended(pages: Pages, admin: httpx.Client) -> None:
    for n in range(PAGE + 5):
        write(pages, subject=f"session {n}")
    first = admin.get("/access?who=li")
    assert f"{PAGE + 5} 条" in first.text
    found = re.search(r'href="(/access\?who=li&amp;before=[^"]+)" rel="next"', first.text)
    assert found is not None
    write(pages, subject="session late")  # a row on top moves nothing
    second = admin.get(found.group(1).replace("&amp;", "&"))
    subjects = [" ".join(TAG.sub(" ", row).split()) for row in ROW.findall(second.text)]
    assert [text.partition("session ")[2][0] for text in subjects] == list("43210")
    assert "没有更早的记录" in second.text


def test_no_fit_says_what_fills_the_log(admin: httpx.Client) -> None:
    assert "没有符合条件的记录" in admin.get("/access?who=nobody").text


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "0001-01-01", "9999-12-31"])
@pytest.mark.parametrize("path", ["/access", "/access.csv"])
def test_day_that_is_none_is_refused_in_words(admin: httpx.Client, path: str, day: str) -> None:
    answer = admin.get(path, params={"to": day})
    assert answer.status_code == 422
    assert "日期不对" in answer.text


def test_markup_in_a_row_is_text(pages: Pages, admin: httpx.Client) -> None:
    evil = "<script>alert(1)</script>\"'&"
    write(pages, actor=evil, subject=evil, reason=evil, action=evil[:60], owner={"node": evil})
    for query in ({}, {"who": evil, "node": evil, "subject": evil, "action": evil}):
        text = admin.get("/access", params=query).text
        assert "<script" not in text
        assert "&lt;script&gt;" in text


def test_every_value_leads_to_its_list(pages: Pages, admin: httpx.Client) -> None:
    write(pages, actor="li & wang", subject="session 1+2", owner=OWNER)
    text = admin.get("/access?who=li+%26+wang").text
    for query in (
        {"who": "li & wang"}, {"action": "session.read"}, {"node": "shop/a"},
        {"subject": "session 1+2"},
    ):  # fmt: skip
        link = "/access?" + urlencode(query).replace("+", "%20").replace("%2B", "%2B")
        assert f'href="{link}"' in text, link
        assert len(shown(admin, **query)) == 1


def test_reading_and_exporting_are_written_down(pages: Pages, admin: httpx.Client) -> None:
    admin.get("/access?who=li&from=2026-01-01")
    admin.get("/access.csv?node=shop/a")
    assert pages.rows("access.read") == [("chen", "access who=li from=2026-01-01")]
    assert pages.rows("access.export") == [("chen", "access node=shop/a")]


def test_export_is_whole_and_named(pages: Pages, admin: httpx.Client) -> None:
    write(pages, CHUNK + 3, reason='a "quoted", reason', owner=OWNER)
    answer = admin.get("/access.csv?who=li")
    assert answer.headers["content-disposition"] == 'attachment; filename="access-2026-01-02.csv"'
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = exported(admin, who="li")
    assert len(rows) == 1 + CHUNK + 3
    assert rows[0][:2] == ["时间（北京时间）", "操作人"]
    assert rows[1][:9] == [
        "2026-01-02 11:04:05", "li", "查看业务", "session.read", "session 1", 'a "quoted", reason',
        "430100", "P43010000001", "shop/a",
    ]  # fmt: skip
    assert len({row[9] for row in rows[1:]}) == CHUNK + 3


def test_export_speaks_the_language_of_the_page(pages: Pages, admin: httpx.Client) -> None:
    write(pages)
    admin.cookies.set("lang", "en")
    rows = exported(admin, who="li")
    assert rows[0][1] == "Who"
    assert rows[1][2] == "Read a session"
    assert "Export CSV" in admin.get("/access").text


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠a"]
)
def test_export_runs_nothing_in_a_spreadsheet(pages: Pages, admin: httpx.Client, text: str) -> None:
    write(pages, reason=text, subject=f"{text}|cmd")
    (row,) = exported(admin, who="li")[1:]
    assert row[4:6] == [f"'{text}|cmd", f"'{text}"]


@given(st.text(max_size=40))
def test_cell_is_the_value_or_the_value_after_an_apostrophe(text: str) -> None:
    assert cell(text) in (text, f"'{text}")
    assert not cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_log_can_be_read_while_it_is_exported(pages_on_disk: Pages) -> None:
    pages = pages_on_disk
    browser = pages.signed_in("chen", "admin")
    write(pages, 3 * CHUNK, reason="x" * 150)
    with browser.stream("GET", "/access.csv") as answer:
        parts = answer.iter_bytes(1000)
        begun = next(parts)
        write(pages, subject="session late")  # nobody waits for somebody who downloads
        whole = begun + b"".join(parts)
    assert b"session late" not in whole
    assert whole.count(b"\r\n") >= 3 * CHUNK
