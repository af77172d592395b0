"""The calendar of coverage and the day of a camera, as an admin meets them."""

from __future__ import annotations

import gzip
import re
from html import unescape

import httpx
import pytest
from sqlalchemy import insert, update

from central.days import DAY_US, HOUR_US, bounds_of
from central.pages import coverage_pages, coverage_rows
from central.pages.coverage_rows import ToldDay
from central.pages.heatmap import CameraRow
from central.tables import Flag, Node, Session, table_of
from tests.central.pages.conftest import Pages
from tests.central.pages.fleet_kit import (
    DAY_MS,
    SCENES,
    add_gap,
    add_node,
    cover,
    days_before,
    now_of,
    tell,
)
from tests.central.wirekit import TestCentral

TODAY = "2026-01-02"  # 11:04 in Shanghai
START = bounds_of(TODAY)[0]
MINUTE_MS = 60_000
HOUR_MS = HOUR_US // 1000
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture
def admin(pages: Pages) -> httpx.Client:
    return pages.signed_in("wang", "admin")


def days(page: httpx.Response) -> list[tuple[str, str, str]]:
    """Return class, address and title of every square of the calendar."""
    assert page.status_code == 200, page.text
    return [
        (found[0], unescape(found[1]), unescape(found[2]))
        for found in re.findall(
            r'<a data-test=day class="([^"]*)" href="([^"]*)" title="([^"]*)"></a>', page.text
        )
    ]


def sentence(page: httpx.Response) -> str:
    found = re.search(r'<p class="sentence".*?</p>', page.text, re.DOTALL)
    assert found is not None
    return re.sub(r"<[^>]+>|\s", "", unescape(found.group(0)))


def fill(central: TestCentral) -> None:
    """Ten whole days of three cameras, but for 26 minutes of one on its second day."""
    for camera in SCENES:
        for number, day in enumerate(days_before(TODAY, 10)):
            missing = 26 * MINUTE_MS if (camera, number) == ("rx-desk", 1) else 0
            cover(central, "node-a", day, camera=camera, missing_ms=missing)


def so_far(central: TestCentral, camera: str, hours: int = 11) -> None:
    cover(
        central, "node-a", TODAY, camera=camera, owed_ms=hours * HOUR_MS,
        known_until=START + hours * HOUR_US,
    )  # fmt: skip


# -- the calendar ---------------------------------------------------------------------------------


def test_without_a_summary_the_page_says_what_fills_it(admin: httpx.Client) -> None:
    text = admin.get("/coverage").text
    assert "节点每小时汇总一次" in text
    assert "<h1>" in text


def test_sentence_squares_and_line_say_the_same(central: TestCentral, admin: httpx.Client) -> None:
    fill(central)
    for camera in SCENES:
        so_far(central, camera)
    page = admin.get("/coverage")
    assert sentence(page) == (
        "2025-11-04至2026-01-02，3路摄像应存33路·天，已录99.9%；1路·天有缺失，共26分钟。"
    )
    squares = days(page)
    assert len(squares) == 33
    (short,) = [square for square in squares if square[0].startswith("p")]
    assert short == (
        "p9",
        "/coverage/day?node=node-a&camera=rx-desk&day=2025-12-24",
        "2025-12-24 处方 98.2 % 缺 26 分钟",
    )
    assert [square[0] for square in squares].count("f t") == 3
    line = re.search(r'data-day="2025-12-24" data-share="([0-9.]+)"', page.text)
    assert line is not None
    assert line.group(1) == f"{100 * (3 * DAY_MS - 26 * MINUTE_MS) / (3 * DAY_MS):.3f}"
    assert page.text.count("data-day=") == 11
    worst = page.text[page.text.index('id="worst"') :]
    assert worst.count('<th scope="row">') == 1
    assert "处方" in worst


def test_node_that_went_silent_is_unknown_since_and_not_good(
    central: TestCentral, admin: httpx.Client
) -> None:
    fill(central)
    page = admin.get("/coverage")
    assert [square[0] for square in days(page)].count("u t") == 3
    assert "3路·天未知，共33小时" in sentence(page)
    assert "最后一天有3路不知道情况" in sentence(page)
    assert "100%" not in sentence(page)


def test_camera_that_never_told_is_unknown_today(central: TestCentral, admin: httpx.Client) -> None:
    tell(central, "node-a")
    assert [square[0] for square in days(admin.get("/coverage"))] == ["u t"] * 3


def test_revoked_node_owes_nothing_since(central: TestCentral, admin: httpx.Client) -> None:
    fill(central)
    with central.database.write() as connection:
        connection.execute(update(table_of(Node)).values(revoked_at=START - 3 * DAY_US))
    squares = days(admin.get("/coverage"))
    assert {square[0] for square in squares} == {"f", "p9"}
    assert len(squares) == 21


def test_time_and_filters_are_in_the_address(central: TestCentral, admin: httpx.Client) -> None:
    fill(central)
    add_node(central, "other", "P9")
    cover(central, "other", "2025-12-30", pharmacy="P9")
    assert len(days(admin.get("/coverage?pharmacy=p9"))) == 4
    assert len(days(admin.get("/coverage?end=2025-12-24&days=30"))) == 6
    assert admin.get("/coverage?end=2025-12-24").text.count('<th scope="col"><span') == 60
    assert len(days(admin.get("/coverage?end=2025-12-25&show=missing"))) == 3
    assert days(admin.get("/coverage?end=2025-12-25&show=unknown")) == []
    assert len(days(admin.get("/coverage?days=7"))) == len(days(admin.get("/coverage?days=60")))
    assert "end=2025-11-03" in admin.get("/coverage").text  # earlier
    assert "更晚" not in admin.get("/coverage?end=2199-01-01").text
    for nobody in ("nobody", "%25", "node_a"):
        assert "没有符合条件的摄像" in admin.get(f"/coverage?pharmacy={nobody}").text


def test_filter_reads_the_nodes_that_fit_and_no_others(
    central: TestCentral, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(central)
    add_node(central, "other", "P9")
    cover(central, "other", "2025-12-30", pharmacy="P9")
    read: list[tuple[int, ...]] = []

    def counted(*sums: int) -> ToldDay:
        read.append(sums)
        return ToldDay(*sums)

    monkeypatch.setattr(coverage_rows, "ToldDay", counted)
    admin.get("/coverage?pharmacy=P9")
    assert len(read) == 1


def test_records_come_in_while_a_calendar_is_made(
    pages_on_disk: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = pages_on_disk.central.database

    def reading(*_: object) -> list[CameraRow]:
        with database.write():  # as the collector would
            return []

    monkeypatch.setattr(coverage_pages, "camera_rows", reading)
    browser = pages_on_disk.signed_in("wang", "admin")
    assert browser.get("/coverage").status_code == 200
    assert len(pages_on_disk.rows("coverage.read")) == 1


def test_more_cameras_than_can_be_drawn_are_counted_and_said(
    central: TestCentral, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(central)
    monkeypatch.setattr(coverage_pages, "MOST_CELLS", 120)
    page = admin.get("/coverage")
    assert "3路摄像" in sentence(page)
    assert page.text.count('<tr><th scope="row"><a href="/nodes/one?node=node-a">') == 2
    assert "符合条件的有 3 路，这里画前 2 路" in page.text


def test_what_is_no_day_is_refused_in_words(central: TestCentral, admin: httpx.Client) -> None:
    for day in ("2026-02-30", "yesterday", "<b>x", "9999-12-31", "2026-01-02T00:00", "99999999"):
        for path in ("/coverage?end=", "/coverage/day?node=node-a&camera=counter&day="):
            found = admin.get(path + day)
            assert found.status_code == 422, day
            assert "日期写作 2026-01-02" in found.text
            assert "<b>x" not in found.text


def test_long_page_goes_compressed_to_those_who_take_it(
    central: TestCentral, admin: httpx.Client
) -> None:
    fill(central)
    plain = admin.get("/coverage", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with admin.stream("GET", "/coverage", headers={"Accept-Encoding": "gzip"}) as found:
        raw = b"".join(found.iter_raw())
        assert found.headers["content-encoding"] == "gzip"
        assert int(found.headers["content-length"]) == len(raw)
    assert len(days(plain)) == gzip.decompress(raw).decode().count("data-test=day")


# -- one day --------------------------------------------------------------------------------------


def add_session(central: TestCentral, number: int, opened_at: int, node: str = "node-a") -> str:
    session = f"01900000-0000-7000-8000-{number:012d}"
    with central.database.write() as connection:
        connection.execute(
            insert(table_of(Session)).values(
                agency="430100", pharmacy="P43010000001", node=node, session=session,
                opened_at=opened_at, proxy=0, outcome="settled", owed_ms=90_000, covered_ms=81_000,
            )
        )  # fmt: skip
        connection.execute(
            insert(table_of(Flag)).values(
                agency="430100", pharmacy="P43010000001", node=node, code="MISMATCH",
                subject=session, session=session, sequence=number, raised_at=opened_at,
            )
        )  # fmt: skip
    return session


def day_page(admin: httpx.Client, day: str = "2025-12-24", camera: str = "rx-desk") -> str:
    found = admin.get("/coverage/day", params={"node": "node-a", "camera": camera, "day": day})
    assert found.status_code == 200, found.text
    return found.text


def test_day_shows_its_gaps_its_hours_and_its_sessions(
    pages: Pages, central: TestCentral, admin: httpx.Client
) -> None:
    fill(central)
    start, end = bounds_of("2025-12-24")
    add_gap(central, "node-a", 1, start + 3 * HOUR_US, start + 3 * HOUR_US + 26 * 60_000_000,
            camera="rx-desk", cause="stream_stalled")  # fmt: skip
    add_gap(central, "node-a", 2, start, end, camera="counter", cause="disk_failed")
    session = add_session(central, 5, start + 9 * HOUR_US)
    add_session(central, 6, end)
    add_session(central, 7, start + HOUR_US, node="elsewhere")
    text = day_page(admin)
    for shown in (
        "98.2 %", "缺 26 分钟", "摄像头没有送来画面", "2025-12-24 03:00:00", "2025-12-24 03:26:00",
        "09:00:00", f"/sessions/{session}?node=node-a", "已结算", "90.0 %",
    ):  # fmt: skip
        assert shown in text
    assert "磁盘无法写入" not in text  # another camera's
    assert text.count("/sessions/0190") == 1
    assert "没有对应的中断记录" not in text
    hour = re.search(r"03:00–04:00</th>(.*?)</tr>", text)
    assert hour is not None
    assert re.findall(r"[\d.]+ [^<]+", hour.group(1)) == ["34 分钟", "26 分钟"]
    subject = "coverage of node-a rx-desk on 2025-12-24"
    assert ("wang", subject) in pages.rows("coverage.read")


def test_missing_time_that_no_gap_explains_is_said(
    central: TestCentral, admin: httpx.Client
) -> None:
    fill(central)
    assert "26 分钟 缺失，却没有对应的中断记录" in day_page(admin)


def test_gap_over_midnight_shows_on_both_days(central: TestCentral, admin: httpx.Client) -> None:
    fill(central)
    start = bounds_of("2025-12-24")[0]
    add_gap(central, "node-a", 1, start - HOUR_US, start + HOUR_US, camera="rx-desk")
    for day, seen in (("2025-12-23", True), ("2025-12-24", True), ("2025-12-25", False)):
        assert ("摄像头连接不上" in day_page(admin, day)) is seen


def test_open_gap_says_so(central: TestCentral, admin: httpx.Client) -> None:
    fill(central)
    so_far(central, "rx-desk", 9)
    add_gap(central, "node-a", 1, now_of(central) - HOUR_US, None, camera="rx-desk")
    text = day_page(admin, TODAY)
    assert "还没有恢复" in text
    assert "到目前为止" in text


def test_day_that_is_not_owed_says_why(central: TestCentral, admin: httpx.Client) -> None:
    fill(central)
    assert "从 2025-12-23 起录像" in day_page(admin, "2025-12-01")
    assert "这一天还没有到" in day_page(admin, "2026-01-03")
    assert "未知" in day_page(admin, TODAY)
    with central.database.write() as connection:
        connection.execute(update(table_of(Node)).values(revoked_at=START - 3 * DAY_US))
    assert "节点已停用" in day_page(admin, TODAY)


def test_unknown_node_or_camera_is_said_in_words(central: TestCentral, admin: httpx.Client) -> None:
    fill(central)
    for node, camera, says in (
        ("node-z", "counter", "没有这一节点"),
        ("node-a", "<b>x", "没有这一路摄像的记录"),
        ("node-a", "", "没有这一路摄像的记录"),
    ):
        asked = {"node": node, "camera": camera, "day": TODAY}
        found = admin.get("/coverage/day", params=asked)
        assert found.status_code == 404
        assert says in found.text
        assert "<b>x" not in found.text


def test_every_page_is_there_in_both_languages_and_for_admins_only(
    pages: Pages, central: TestCentral, admin: httpx.Client
) -> None:
    fill(central)
    add_gap(central, "node-a", 1, START - DAY_US, None, camera="rx-desk")
    inspector, nobody = pages.signed_in("li", "inspector"), pages.browser()
    at = "/coverage/day?node=node-a&camera=rx-desk&day="
    cookies = "; ".join(f"{name}={value}" for name, value in admin.cookies.items())
    for path in (
        "/coverage", "/coverage?pharmacy=nobody", "/coverage?end=x", "/coverage?end=2010-01-01",
        f"{at}2025-12-24", f"{at}{TODAY}", f"{at}2026-02-01", f"{at}2025-01-01",
        "/coverage/day?node=node-a&camera=zz&day=2025-12-24",
    ):  # fmt: skip
        english = admin.get(path, headers={"Cookie": f"{cookies}; lang=en"})
        assert english.status_code == admin.get(path).status_code
        assert not CHINESE.search(english.text.replace("中文", ""))
        assert inspector.get(path).status_code == 403
        assert nobody.get(path).status_code == 303
