"""Retention in the pages and over the API: one number, and everything behind it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert, select

from central import keeping
from central.commands import COMMANDS
from central.projector import project_all
from central.standing import HOLDS
from central.tables import Audit, table_of
from retention.records import keeping as k
from retention.records.clock import to_text
from retention.store.log import append
from tests.central.auditkit import AuditRig
from tests.central.pages.conftest import TOKEN, Pages, csrf
from tests.central.pages.review_kit import SESSION, Review
from tests.central.wirekit import IDENTITY, OTHER_KEY, TestNode, settle

WHERE = {"agency": IDENTITY.agency, "pharmacy": IDENTITY.pharmacy}
PHARMACY = f"/retention/pharmacy?agency={IDENTITY.agency}&pharmacy={IDENTITY.pharmacy}"


@pytest.fixture
def rig(pages: Pages, tmp_path: Path) -> Iterator[AuditRig]:
    (tmp_path / "node").mkdir()
    made = AuditRig(tmp_path / "node", central=pages.central)
    yield made
    made.node.close()


def admin(pages: Pages) -> httpx.Client:
    return pages.signed_in("zhang", "admin")


def text_of(page: httpx.Response) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def send(browser: httpx.Client, path: str, **values: object) -> httpx.Response:
    return browser.post(path, data={"csrf": csrf(browser), **WHERE, **values})


def start(browser: httpx.Client, **values: object) -> httpx.Response:
    asked = {"node": IDENTITY.node, "samples": "300", "hours": "1", "reason": "spot check"}
    return send(browser, "/retention/audits", **{**asked, **values})


def answer(rig: AuditRig) -> None:
    with rig.central.database.read() as connection:
        body = connection.execute(
            select(COMMANDS.c.body)
            .where(COMMANDS.c.kind == "challenge")
            .order_by(COMMANDS.c.issued_at.desc(), COMMANDS.c.command.desc())
            .limit(1)
        ).scalar_one()
    rig.answer(rig.take(body))


# -- audits ---------------------------------------------------------------------------------------


def test_number_is_unknown_until_it_is_proven(pages: Pages, rig: AuditRig) -> None:
    browser = admin(pages)
    assert "未知" in text_of(browser.get("/retention"))
    started = start(browser)
    assert started.status_code == 303
    shown = browser.get(started.headers["location"])
    assert 'data-state="running"' in shown.text
    assert "应存 6 份；抽查 6 份：证实 0 份，缺失 0 份，未答 6 份。 还没有结果。" in text_of(shown)
    answer(rig)
    done = text_of(browser.get(started.headers["location"]))
    # 1 - 0.05^(1/6) = 39.304 %, rounded up.
    assert "证实 6 份，缺失 0 份。 以 95 % 的置信度，丢失不超过 39.31 % 。" in done
    listed = text_of(browser.get("/retention"))
    assert "≥ 60.69 %" in listed
    assert pages.rows("audit.start")[0][0] == "zhang"
    assert len(pages.rows("audit.read")) == 2
    assert len(pages.rows("retention.read")) == 2


def test_missing_footage_is_named_with_time_and_cause(pages: Pages, rig: AuditRig) -> None:
    browser = admin(pages)
    rig.path(1).unlink()
    where = start(browser).headers["location"]
    answer(rig)
    shown = browser.get(where)
    assert shown.text.count('data-test="unproven"') == 1
    assert "cam-0" in shown.text
    assert "录像文件不在" in shown.text
    browser.get("/language/en")
    english = text_of(browser.get(where))
    assert "Owed 6; of 6 drawn 5 were proven, 1 missing." in english
    assert "the file is missing" in english
    assert "1 missing" in text_of(browser.get("/retention"))


def test_pharmacy_is_unknown_while_one_of_its_nodes_is(pages: Pages, rig: AuditRig) -> None:
    browser = admin(pages)
    start(browser)
    answer(rig)
    assert "≥ 60.69 %" in text_of(browser.get("/retention"))
    second = type(IDENTITY)(IDENTITY.agency, IDENTITY.pharmacy, "node-b")
    pages.central.enrol(second, OTHER_KEY)
    listed = text_of(browser.get("/retention"))
    assert "≥" not in listed
    assert "未知" in listed


def test_proof_of_last_month_is_not_shown_as_the_proof_of_today(
    pages: Pages, rig: AuditRig
) -> None:
    browser = admin(pages)
    start(browser)
    answer(rig)
    pages.clock.advance(timedelta(days=35))
    assert "≥ 60.69 %" in text_of(pages.signed_in("li3", "admin").get("/retention"))
    pages.clock.advance(timedelta(seconds=1))
    listed = text_of(pages.signed_in("li4", "admin").get("/retention"))
    assert "≥" not in listed
    assert "未知 证明已过期" in listed
    assert "已证实 0 家" in listed
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
    told = pages.browser().get("/v1/retention", headers=headers).json()
    (one,) = told["pharmacies"]
    assert (one["proven"], one["standing"]) == (None, "aged")


def test_audit_that_met_no_footage_is_not_called_proven(pages: Pages, rig: AuditRig) -> None:
    with rig.central.database.write() as connection:
        whose = {**WHERE, "node": IDENTITY.node}
        connection.execute(
            insert(table_of(Audit)).values(
                **whose, audit=rig.node.ids.new(), command="c", tree_size=9, owed=2, samples=2,
                actor="a", reason="r", asked_at=rig.now, expires_at=rig.now, records=2,
            )
        )  # fmt: skip
    shown = text_of(admin(pages).get(PHARMACY))
    assert "另有记录 2 份" in shown
    assert "已证实" not in shown


@pytest.mark.parametrize(
    ("lost", "shown", "proven"),
    [
        (0.00993608, "1.00 %", "99.00 %"),
        (0.00999999, "1.00 %", "99.00 %"),
        (0.0100001, "1.01 %", "98.99 %"),
        (0.0, "0.00 %", "100.00 %"),
        (1.0, "100.00 %", "0.00 %"),
    ],
)
def test_percentages_never_flatter(lost: float, shown: str, proven: str) -> None:
    assert keeping.percent(lost) == shown
    assert keeping.proven_percent(1 - lost) == proven


def test_audit_that_was_not_answered_in_time_is_unknown(pages: Pages, rig: AuditRig) -> None:
    browser = admin(pages)
    where = start(browser).headers["location"]
    pages.clock.advance(timedelta(minutes=59))
    assert 'data-state="running"' in browser.get(where).text
    pages.clock.advance(timedelta(minutes=2))
    browser = pages.signed_in("li2", "admin")  # the first one was idle for too long
    shown = browser.get(where)
    assert 'data-state="unknown"' in shown.text
    assert "hx-get" not in shown.text
    assert "不视为合规" in shown.text
    assert "未知" in text_of(browser.get("/retention"))


def test_progress_is_a_part_and_no_new_look(pages: Pages, rig: AuditRig) -> None:
    browser = admin(pages)
    where = start(browser).headers["location"]
    browser.get(where)
    part = browser.get(where.replace("/audit?", "/audit/progress?"), headers={"HX-Request": "true"})
    assert part.text.lstrip().startswith('<div id="audit"')
    assert len(pages.rows("audit.read")) == 1


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"samples": "0"}, "INVALID_REQUEST"),
        ({"samples": "1001"}, "INVALID_REQUEST"),
        ({"samples": "many"}, "INVALID_REQUEST"),
        ({"reason": "  "}, "REASON_NEEDED"),
        ({"node": "nobody"}, "NODE_UNKNOWN"),
    ],
)
def test_audit_that_cannot_be_says_why_beside_its_form(
    pages: Pages, rig: AuditRig, values: dict[str, str], code: str
) -> None:
    refused = start(admin(pages), **values)
    assert refused.status_code in (404, 422)
    assert f'data-code="{code}"' in refused.text
    assert pages.rows("audit.start") == []


def test_second_audit_waits_for_the_first(pages: Pages, rig: AuditRig) -> None:
    browser = admin(pages)
    start(browser)
    assert 'data-code="AUDIT_UNDER_WAY"' in start(browser).text


# -- holds and policies ---------------------------------------------------------------------------


def test_hold_is_placed_shown_and_released_with_a_reason(pages: Pages, rig: AuditRig) -> None:
    browser = admin(pages)
    placed = send(
        browser, "/retention/holds", scope="span", started_at="2026-01-01T08:00",
        ended_at="2026-01-02T08:00", cameras="cam-0, cam-1", reason="case 12",
    )  # fmt: skip
    assert placed.headers["location"].endswith("&done=held")
    shown = browser.get(placed.headers["location"])
    assert "2026-01-01 08:00:00" in shown.text
    assert "cam-0, cam-1" in shown.text
    assert "待送达" in shown.text
    (link,) = re.findall(r'href="(/retention/hold\?hold=[^"]+)"', shown.text)
    hold = link.rpartition("=")[2]
    assert (
        'data-code="REASON_NEEDED"'
        in send(browser, "/retention/holds/release", hold=hold, reason=" ").text
    )
    assert send(browser, "/retention/holds/release", hold=hold, reason="over").status_code == 303
    released = text_of(browser.get(link))
    assert "over" in released
    assert "release-hold" not in browser.get(link).text
    assert pages.rows("hold.place") == [("zhang", f"hold {hold} (span)")]
    assert pages.rows("hold.release") == [("zhang", f"hold {hold}")]


@pytest.mark.parametrize(
    "values",
    [
        {"scope": "span", "started_at": "", "ended_at": "2026-01-02T08:00"},
        {"scope": "span", "started_at": "2026-01-03T08:00", "ended_at": "2026-01-02T08:00"},
        {"scope": "span", "started_at": "9999-01-03T08:00", "ended_at": "2026-01-02T08:00"},
        {"scope": "span", "started_at": "x", "ended_at": "y"},
        {"scope": "everything"},
        {"scope": "person"},
    ],
)
def test_hold_of_no_sensible_scope_is_refused(
    pages: Pages, rig: AuditRig, values: dict[str, str]
) -> None:
    refused = send(admin(pages), "/retention/holds", reason="r", **values)
    assert refused.status_code == 422
    assert 'data-code="HOLD_REFUSED"' in refused.text
    with pages.central.database.read() as connection:
        assert connection.execute(select(HOLDS)).all() == []


def test_policy_is_decided_and_listed_with_its_version(pages: Pages, rig: AuditRig) -> None:
    browser = admin(pages)
    for years in ("2", "3"):
        answered = send(
            browser, "/retention/policies", policy="province", years_footage=years,
            days_probe_crop="7", reason="agreement",
        )  # fmt: skip
        assert answered.headers["location"].endswith("&done=adopted")
    shown = text_of(browser.get(PHARMACY))
    assert "province v2" in shown
    assert "录像 3 年" in shown
    assert "现场人脸截图 至多 7 天" in shown
    assert pages.rows("policy.adopt")[-1] == ("zhang", "policy province@2")


@pytest.mark.parametrize(
    "values",
    [{"years_archive": "1"}, {"years_footage": "x"}, {}, {"years_faces": "5"}],
)
def test_policy_below_the_law_is_refused_beside_its_form(
    pages: Pages, rig: AuditRig, values: dict[str, str]
) -> None:
    refused = send(
        admin(pages), "/retention/policies", policy="province", reason="agreement", **values
    )
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text
    assert pages.rows("policy.adopt") == []


def test_session_is_held_from_its_page_by_whoever_opened_it(pages: Pages, tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    node = TestNode(tmp_path / "node")
    Review(pages.central, node).session()
    browser = pages.signed_in("li", "inspector")
    path = f"/sessions/{SESSION}"
    query = f"?node={IDENTITY.node}"
    refused = send(browser, f"{path}/hold{query}")
    assert refused.status_code == 403
    send(browser, path + query, choice="complaint", text="case 12")
    for scope in ("session", "person", "session"):
        assert send(browser, f"{path}/hold{query}", scope=scope).status_code == 303
    assert send(browser, f"{path}/hold{query}", scope="pharmacy").status_code == 422
    with pages.central.database.read() as connection:
        held = keeping.holds(connection)
    assert sorted(one.content["scope"] for one in held) == ["person", "session"]
    assert {one.row.actor for one in held} == {"li"}
    assert {one.row.reason for one in held} == {"投诉举报：case 12"}
    shown = browser.get(path + query).text
    assert "已封存" in shown
    assert 'data-test="hold-session"' not in shown
    assert len(pages.rows("hold.place")) == 2
    node.close()


# -- who may, and what is told --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/retention"), ("GET", PHARMACY), ("GET", "/retention/audit?audit=x"),
        ("GET", "/retention/audit/progress?audit=x"), ("GET", "/retention/hold?hold=x"),
        ("POST", "/retention/audits"), ("POST", "/retention/holds"),
        ("POST", "/retention/holds/release"), ("POST", "/retention/policies"),
    ],
)  # fmt: skip
def test_retention_is_the_admins(pages: Pages, method: str, path: str) -> None:
    browser = pages.signed_in()
    data = {"csrf": csrf(browser)} if method == "POST" else None
    assert browser.request(method, path, data=data).status_code == 403
    stranger = pages.browser().request(method, path)
    assert stranger.status_code == 303
    assert stranger.headers["location"].startswith("/sign-in")


def test_form_without_its_token_changes_nothing(pages: Pages, rig: AuditRig) -> None:
    browser = admin(pages)
    for path in ("audits", "holds", "holds/release", "policies"):
        refused = browser.post(f"/retention/{path}", data={**WHERE, "scope": "pharmacy"})
        assert refused.status_code == 403
    assert pages.rows("hold.place") == []


@pytest.mark.parametrize(
    "path",
    [
        "/retention/audit?audit=01900000-0000-7000-8000-0000000000aa",
        "/retention/hold?hold=x", "/retention/pharmacy?agency=a&pharmacy=b",
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_404_in_words(pages: Pages, path: str) -> None:
    assert admin(pages).get(path).status_code == 404


def test_alarms_breaches_hours_and_local_holds_are_shown(pages: Pages, rig: AuditRig) -> None:
    store, now = rig.node.store, to_text(rig.node.clock.now())
    hold = k.Hold(
        hold=rig.node.ids.new(), scope="pharmacy", session=None, person_ref=None,
        started_at=None, ended_at=None, cameras=(),
    )  # fmt: skip
    told = [
        k.AlarmRaised(alarm="CAMERA_SILENT", subject="cam-0", detail="30 s", since=now),
        k.RetentionBreach(
            breach=hold.hold, stage="announced", camera=None, started_at=now, ended_at=None,
            cause="disk_full", detail="",
        ),
        k.OpeningAdopted(hours=("08:00-22:00",) * 6 + ("closed",), effective_from=now),
        k.ClosureDeclared(
            closure=hold.hold, kind="closed", started_at=now,
            ended_at=to_text(rig.node.clock.now() + timedelta(days=3)), author="a",
            reason="holiday",
        ),
        k.HoldPlaced(hold=hold, authority="inspector", author="wang", reason="on site"),
    ]  # fmt: skip
    with store.write() as connection:
        for payload in told:
            append(store, connection, payload)
    settle(rig.node, rig.central, start=9e6)
    project_all(pages.central.database)
    browser = admin(pages)
    listed = text_of(browser.get("/retention"))
    assert "摄像头没有新录像" in listed
    assert "存储空间不足" in listed
    shown = text_of(browser.get(PHARMACY))
    for words in ("摄像头没有新录像", "08:00-22:00", "休息", "holiday", "wang", "on site"):
        assert words in shown
    assert "节点告警" in text_of(browser.get(f"/nodes/one?node={IDENTITY.node}"))


def test_reason_with_markup_is_shown_as_text(pages: Pages, rig: AuditRig) -> None:
    browser = admin(pages)
    send(browser, "/retention/holds", scope="pharmacy", reason="<script>alert(1)</script>")
    assert "<script>alert(1)" not in browser.get(PHARMACY).text


# -- the API --------------------------------------------------------------------------------------


def test_api_says_and_does_the_same(pages: Pages, rig: AuditRig) -> None:
    api = pages.browser()
    api.headers.update({"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"})
    assert api.get("/v1/retention").json()["pharmacies"][0]["proven"] is None
    asked = {"node": IDENTITY.node, "reason": "spot check"}
    started = api.post("/v1/audits", json=asked)
    assert (started.status_code, started.json()["state"]) == (202, "running")
    assert len(started.json()["not_proven"]) == 6
    assert api.post("/v1/audits", json=asked).status_code == 409
    answer(rig)
    done = api.get(f"/v1/audits/{started.json()['audit']}").json()
    assert (done["state"], done["held"], done["not_proven"]) == ("done", 6, [])
    assert api.get("/v1/retention").json()["pharmacies"][0]["standing"] == "proven"
    assert len(api.get("/v1/audits").json()["audits"]) == 1
    assert api.get(f"/v1/audits/{SESSION}").status_code == 404

    held = api.post("/v1/holds", json={**WHERE, "scope": "pharmacy", "reason": "case"})
    assert held.status_code == 201
    assert held.json()["nodes"] == [{"node": IDENTITY.node, "state": "waiting", "detail": ""}]
    hold = held.json()["hold"]["hold"]
    assert len(api.get("/v1/holds").json()["holds"]) == 1
    released = api.post(f"/v1/holds/{hold}/release", json={"reason": "over"})
    assert released.json()["released_by"] == "admin token"
    assert api.get("/v1/holds").json()["holds"] == []
    assert len(api.get("/v1/holds?released=true").json()["holds"]) == 1
    assert api.post(f"/v1/holds/{SESSION}/release", json={"reason": "x"}).status_code == 404

    policy = {**WHERE, "policy": "province", "years": {"footage": 2}, "reason": "agreement"}
    assert api.post("/v1/policies", json=policy).json()["policy"]["version"] == 1
    low = api.post("/v1/policies", json={**policy, "years": {"archive": 1}})
    assert (low.status_code, low.json()["code"]) == (422, "POLICY_REFUSED")
    assert len(api.get("/v1/policies").json()["policies"]) == 1
    elsewhere = api.post("/v1/policies", json={**policy, "pharmacy": "nowhere"})
    assert elsewhere.status_code == 404
    moment = {**WHERE, "scope": "span", "reason": "r", "started_at": "2026-02-30T00:00:00.000000Z",
              "ended_at": "2026-03-30T00:00:00.000000Z"}  # fmt: skip
    assert api.post("/v1/holds", json=moment).status_code == 422
    for action in ("audit.start", "hold.place", "hold.release", "policy.adopt", "retention.read"):
        assert pages.rows(action)[0][0] == "admin token"
    assert b"countersight_central_holds_standing 0.0" in api.get("/metrics").content
