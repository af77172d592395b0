"""The list of nodes and the page of one: what is said first, what is stale, what is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, update

from central.days import DAY_US, HOUR_US
from central.pages import fleet, nodes_pages
from central.tables import CheckpointRow, Flag, Node, WireIncident, table_of
from retention.records.clock import from_micros, to_text
from tests.central.pages.conftest import Pages
from tests.central.pages.fleet_kit import SECOND, add_gap, add_node, now_of, status, tell
from tests.central.wirekit import KEY, TestCentral

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture
def admin(pages: Pages) -> httpx.Client:
    return pages.signed_in("wang", "admin")


def ids(page: httpx.Response) -> list[str]:
    """Return the nodes of a list in its order."""
    assert page.status_code == 200, page.text
    return re.findall(r'name="node" value="([^"]*)"', page.text)


def card(central: TestCentral, node: str = "node-a") -> fleet.NodeCard:
    with central.database.read() as connection:
        return fleet.cards(connection, now_of(central), node)[0]


def warnings(central: TestCentral, node: str = "node-a") -> list[str]:
    return [code for code, _ in card(central, node).warnings]


def row_html(page: httpx.Response, node: str) -> str:
    found = re.search(rf'<tr [^>]*>(?:(?!</tr>).)*value="{node}".*?</tr>', page.text, re.DOTALL)
    assert found is not None
    return found.group(0)


# -- judging a node -------------------------------------------------------------------------------


def test_node_that_talks_and_has_nothing_wrong_is_online_and_good(central: TestCentral) -> None:
    tell(central, "node-a")
    assert (card(central).state, card(central).level, warnings(central)) == ("online", "ok", [])


def test_node_that_was_never_seen_needs_a_look(central: TestCentral) -> None:
    assert (card(central).state, card(central).level) == ("never", "look")


@pytest.mark.parametrize(
    ("seconds", "state", "level"), [(59, "online", "ok"), (60, "silent", "look"),
                                    (901, "silent", "stop")]
)  # fmt: skip
def test_silence_is_judged_by_its_length(
    central: TestCentral, seconds: int, state: str, level: str
) -> None:
    tell(central, "node-a", seconds_ago=seconds)
    assert (card(central).state, card(central).level) == (state, level)


def test_online_node_without_a_status_is_not_good(central: TestCentral) -> None:
    with central.database.write() as connection:
        connection.execute(update(table_of(Node)).values(last_seen=now_of(central)))
    assert (card(central).state, card(central).level) == ("online", "unknown")


def with_camera(state: str) -> list[dict[str, object]]:
    cameras: list[dict[str, object]] = json.loads(status(1_800_000_000_000_000))["cameras"]
    cameras[1]["state"] = state
    return cameras


@pytest.mark.parametrize(
    ("changes", "code", "level"),
    [
        ({"cameras": with_camera("down")}, "camera", "stop"),
        ({"disk_free_bytes": 89 * 10**9, "bytes_per_day": 10**9}, "disk", "look"),
        ({"disk_free_bytes": 29 * 10**9, "bytes_per_day": 10**9}, "disk", "stop"),
        ({"offset_ms": 6000}, "clock", "look"),
        ({"offset_ms": -6000}, "clock", "look"),
        ({"clock_state": "jumped"}, "clock", "look"),
    ],
)
def test_what_a_status_tells_is_judged(
    central: TestCentral, changes: dict[str, Any], code: str, level: str
) -> None:
    tell(central, "node-a", **changes)
    assert card(central).warnings == ((code, level),)
    assert card(central).level == level


@pytest.mark.parametrize(
    "changes",
    [{"disk_free_bytes": 90 * 10**9, "bytes_per_day": 10**9}, {"offset_ms": 5000},
     {"cameras": with_camera("starting")}, {"bytes_per_day": None}, {"bytes_per_day": 0}],
)  # fmt: skip
def test_what_is_within_its_limits_is_no_warning(
    central: TestCentral, changes: dict[str, Any]
) -> None:
    tell(central, "node-a", **changes)
    assert warnings(central) == []


@pytest.mark.parametrize(("age", "expected"), [(3599, []), (3601, ["backlog"])])
def test_record_that_waits_for_an_hour_needs_a_look(
    central: TestCentral, age: int, expected: list[str]
) -> None:
    oldest = to_text(from_micros(now_of(central) - age * SECOND))
    tell(central, "node-a", backlog=7, oldest_unsent_at=oldest)
    assert warnings(central) == expected


def test_records_that_no_checkpoint_covers_for_an_hour_need_a_look(central: TestCentral) -> None:
    tell(central, "node-a")
    with central.database.write() as connection:
        connection.execute(
            update(table_of(Node)).values(
                expected_sent=5, tree_sent=3, projected_sent=5,
                enrolled_at=now_of(central) - 2 * HOUR_US,
            )
        )  # fmt: skip
    assert warnings(central) == ["checkpoint"]


def test_incident_on_the_wire_is_worse_than_one_that_the_node_told_of(central: TestCentral) -> None:
    tell(central, "node-a")
    add_flag(central, "INCIDENT")
    assert card(central).warnings == (("incidents", "look"),)
    add_incident(central)
    assert card(central).warnings == (("wire", "stop"),)
    assert card(central).incidents == 2


def add_flag(central: TestCentral, code: str, subject: str = "a.mp4") -> None:
    with central.database.write() as connection:
        connection.execute(
            insert(table_of(Flag)).values(
                agency="430100", pharmacy="P43010000001", node="node-a", code=code,
                subject=subject, sequence=4, raised_at=now_of(central),
            )
        )  # fmt: skip


def add_incident(central: TestCentral, node: str = "node-a") -> None:
    with central.database.write() as connection:
        connection.execute(
            insert(table_of(WireIncident)).values(
                agency="430100", pharmacy="P43010000001", node=node, code="FORK",
                subject="leaf 7", detail="<b>two</b> trees", found_at=now_of(central),
            )
        )  # fmt: skip


OLDER = {"bytes_per_day"}


def test_status_of_an_older_node_lacks_what_it_did_not_know(
    pages: Pages, central: TestCentral, admin: httpx.Client
) -> None:
    value = {k: v for k, v in json.loads(status(now_of(central))).items() if k not in OLDER}
    write_status(central, json.dumps(value))
    assert warnings(central) == []
    assert "天数未知" in row_html(admin.get("/nodes"), "node-a")


FAR = "9999-12-31T23:59:59"
UNREADABLE = (
    "{}", "[]", "not json", '{"occurred_at": "2026-13-01T00:00:00.000000Z"}',
    status(1_800_000_000_000_000).replace("2027-01-15T07:59:40", FAR),
)  # fmt: skip


@pytest.mark.parametrize("text", UNREADABLE)
def test_status_that_cannot_be_read_is_a_warning(central: TestCentral, text: str) -> None:
    write_status(central, text)
    assert warnings(central) == ["unread"]


def test_status_that_cannot_be_read_is_said_and_breaks_nothing(
    central: TestCentral, admin: httpx.Client
) -> None:
    write_status(central, UNREADABLE[0])
    assert "状态读不懂" in row_html(admin.get("/nodes"), "node-a")
    assert "软件版本" in admin.get("/nodes/one?node=node-a").text


def write_status(central: TestCentral, text: str) -> None:
    now = now_of(central)
    with central.database.write() as connection:
        connection.execute(
            update(table_of(Node)).values(status=text, status_received_at=now, last_seen=now)
        )


# -- the list -------------------------------------------------------------------------------------


def test_without_a_node_the_page_says_what_a_node_is(pages: Pages, central: TestCentral) -> None:
    with central.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM nodes")
    text = pages.signed_in("wang", "admin").get("/nodes").text
    assert "还没有节点" in text
    for command in ("enrol", "check", "run"):
        assert f"countersight edge {command} --config edge.toml" in text


def fill(central: TestCentral) -> None:
    """Four nodes: one good, one with a camera down, one silent for three days, one never seen."""
    for node in ("quiet", "broken", "new"):
        add_node(central, node, "P9" if node == "quiet" else "P8")
    tell(central, "node-a")
    tell(central, "broken", cameras=with_camera("down"))
    tell(central, "quiet", seconds_ago=3 * 86400 + 60)


def test_sentence_comes_first_and_rows_come_worst_first(
    central: TestCentral, admin: httpx.Client
) -> None:
    fill(central)
    page = admin.get("/nodes")
    assert ids(page) == ["quiet", "broken", "new", "node-a"]
    sentence = re.sub(r"<[^>]+>|\s", "", page.text[page.text.index('id="fleet-sentence"') :])
    assert "4家节点：2家在线，1家没有消息（最久的3天前），1家从未连接。3家需要看一看。" in sentence


def test_stale_status_is_shown_as_stale_and_never_as_good(
    central: TestCentral, admin: httpx.Client
) -> None:
    fill(central)
    html = row_html(admin.get("/nodes"), "quiet")
    assert "录像中" not in html
    assert html.count("未知") == 3
    assert "最后状态" in html
    assert "3 天前" in html


FILTERED = {
    "state=silent": ["quiet"],
    "state=never": ["new"],
    "state=online": ["broken", "node-a"],
    "state=attention": ["quiet", "broken", "new"],
    "pharmacy=P8": ["broken", "new"],
    "pharmacy=QUIET": ["quiet"],
    "state=online&pharmacy=P8": ["broken"],
    "state=revoked": [],
    "state=nonsense": ["quiet", "broken", "new", "node-a"],
}


def test_filters_are_in_the_address(central: TestCentral, admin: httpx.Client) -> None:
    fill(central)
    found = {query: ids(admin.get(f"/nodes?{query}")) for query in FILTERED}
    assert found == FILTERED


def test_long_list_has_pages(
    central: TestCentral, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(central)
    monkeypatch.setattr(nodes_pages, "PAGE", 3)
    assert ids(admin.get("/nodes")) == ["quiet", "broken", "new"]
    second = admin.get("/nodes?page=1")
    assert ids(second) == ["node-a"]
    assert "4–4 / 4" in second.text


def test_renewed_rows_are_those_that_the_page_shows_as_they_are_now(
    central: TestCentral, admin: httpx.Client
) -> None:
    fill(central)
    tell(central, "quiet")
    asked = {"node": ["quiet", "broken", "gone"]}
    page = admin.get("/nodes/rows", params=asked)
    assert sorted(ids(page)) == ["broken", "quiet"]
    assert page.text.count('hx-swap-oob="true"') == 4  # two rows, the sentence, the time
    assert "在线" in row_html(page, "quiet")
    first = re.search(r'<tr id="([^"]+)"', row_html(admin.get("/nodes"), "quiet"))
    assert first is not None
    assert f'<tr id="{first.group(1)}"' in page.text


def test_list_that_stays_open_leaves_a_row_now_and_then(
    pages: Pages, central: TestCentral, admin: httpx.Client
) -> None:
    admin.get("/nodes")
    admin.get("/nodes/rows?node=node-a")
    assert len(pages.rows("nodes.list")) == 1
    pages.clock.advance(from_micros(nodes_pages.WATCH_US) - from_micros(0))
    admin.get("/nodes/rows?node=node-a")
    admin.get("/nodes/rows?node=node-a")
    assert pages.rows("nodes.list") == [("wang", "nodes"), ("wang", "nodes, still open")]


# -- one node -------------------------------------------------------------------------------------


def test_page_of_a_node_shows_everything_of_it(
    pages: Pages, central: TestCentral, admin: httpx.Client
) -> None:
    tell(central, "node-a", cameras=with_camera("down"), backlog=3)
    add_flag(central, "CLOCK_JUMPED", "record 9")
    add_incident(central)
    add_gap(central, "node-a", 1, now_of(central) - HOUR_US, None, cause="disk_failed")
    add_gap(central, "node-a", 2, now_of(central) - DAY_US, now_of(central) - HOUR_US)
    with central.database.write() as connection:
        connection.execute(
            insert(table_of(CheckpointRow)).values(
                agency="430100", pharmacy="P43010000001", node="node-a", tree_size=4711,
                previous_size=0, sent_count=42, root_hash=b"", leaves=b"", body=b"",
                countersigned=b"", seen_at=now_of(central) - 60 * SECOND,
            )
        )  # fmt: skip
    text = admin.get("/nodes/one?node=node-a").text
    for shown in (
        "中断", "磁盘无法写入", "时钟跳变", "FORK", "&lt;b&gt;two&lt;/b&gt; trees", "4711", "42",
        "P43010000001", "/nodes/revoke?node=node-a", "/sessions?pharmacy=P43010000001",
        "/coverage?pharmacy=P43010000001", "camera=rx-desk",
    ):  # fmt: skip
        assert shown in text
    assert "摄像头连接不上" not in text  # the gap that ended
    assert KEY.replace(">", "&gt;") in text
    assert pages.rows("node.read") == [("wang", "node node-a")]


def test_node_that_was_never_seen_says_what_to_check(admin: httpx.Client) -> None:
    text = admin.get("/nodes/one?node=node-a").text
    assert "从未连接过，请在节点上检查" in text
    assert "[central]" in text


def test_unknown_node_is_said_in_words(admin: httpx.Client) -> None:
    for path in ("/nodes/one", "/nodes/revoke"):
        for node in ("node-z", "", "<b>x", "a" * 3000):
            found = admin.get(path, params={"node": node})
            assert found.status_code == 404
            assert "没有这一节点" in found.text
            assert "<b>x" not in found.text


def test_node_with_a_slash_in_its_id_has_its_page(
    pages: Pages, central: TestCentral, admin: httpx.Client
) -> None:
    add_node(central, "shop/b+1", "P8")
    listed = admin.get("/nodes").text
    assert "/nodes/one?node=shop%2Fb%2B1" in listed
    assert "shop/b+1" in admin.get("/nodes/one?node=shop%2Fb%2B1").text


PATHS = (
    "/nodes", "/nodes/rows?node=node-a", "/nodes/one?node=node-a", "/nodes/one?node=quiet",
    "/nodes/enrol", "/nodes/revoke?node=node-a", "/nodes/one?node=zz", "/nodes?state=revoked",
)  # fmt: skip


def test_every_page_is_there_in_both_languages_and_for_admins_only(
    pages: Pages, central: TestCentral, admin: httpx.Client
) -> None:
    fill(central)
    inspector, nobody = pages.signed_in("li", "inspector"), pages.browser()
    for path in PATHS:
        chinese = admin.get(path)
        english = admin.get(path, headers={"Cookie": f"{cookies(admin)}; lang=en"})
        assert chinese.status_code == english.status_code
        assert not CHINESE.search(english.text.replace("中文", ""))
        assert CHINESE.search(chinese.text)
        assert inspector.get(path).status_code == 403
        assert nobody.get(path).status_code == 303


def cookies(client: httpx.Client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())
