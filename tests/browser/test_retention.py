"""Retention in a real browser: an audit is watched until its sentence stands, a session is held."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from central.commands import COMMANDS
from tests.browser.chrome import Tabs, fits, no_serious_findings
from tests.browser.office import Office, office, sign_in
from tests.browser.rows import Plan
from tests.central.auditkit import AuditRig
from tests.central.wirekit import IDENTITY, TestCentral


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    plan = Plan(nodes=2, sessions=6, days=2, access=3)
    with office(tmp_path_factory.mktemp("office"), plan) as opened:
        opened.account("wang", "admin")
        opened.account("li", "inspector")
        yield opened


@pytest.fixture
def rig(filled: Office, tmp_path: Path) -> Iterator[AuditRig]:
    central = TestCentral(tmp_path, clock=filled.clock, database=filled.database)
    central.enrol()
    made = AuditRig(tmp_path, segments=8, central=central)
    yield made
    made.node.close()
    central.desk.close()


def speak_english(page: Page, filled: Office) -> None:
    page.goto(f"{filled.url}/language/en?to=/retention")


def test_an_audit_is_started_watched_and_read_as_a_sentence(
    tabs: Tabs, filled: Office, rig: AuditRig
) -> None:
    page = tabs.open(filled.url)
    sign_in(page, filled.url, "wang")
    page.goto(f"{filled.url}/retention?pharmacy={IDENTITY.pharmacy}")
    expect(page.locator("[data-test=pharmacy-row]")).to_contain_text("未知")
    fits(page)
    no_serious_findings(page)
    page.locator("[data-test=pharmacy-row] a").first.click()
    form = page.locator("[data-test=start-audit]")
    form.locator("[name=node]").select_option(IDENTITY.node)
    form.locator("[name=reason]").fill("随机抽查")
    fits(page)
    no_serious_findings(page)
    form.locator("button").click()
    shown = page.locator("[data-test=audit]")
    expect(shown).to_have_attribute("data-state", "running")
    no_serious_findings(page)
    rig.path(3).unlink()
    with filled.database.read() as connection:
        body = connection.execute(
            select(COMMANDS.c.body).where(COMMANDS.c.kind == "challenge")
        ).scalar_one()
    rig.answer(rig.take(body))
    expect(shown).to_have_attribute("data-state", "done")  # htmx asks by itself
    expect(shown).to_contain_text("证实 7 份，缺失 1 份")
    expect(page.locator("[data-test=unproven]")).to_contain_text("录像文件不在")
    fits(page)
    no_serious_findings(page)
    speak_english(page, filled)
    expect(page.locator("main")).to_contain_text("1 missing")
    no_serious_findings(page)


def test_a_session_is_held_from_its_page_and_released_by_an_admin(
    tabs: Tabs, filled: Office
) -> None:
    node, session = filled.sessions[0]
    page = tabs.open(filled.url)
    sign_in(page, filled.url, "li")
    page.goto(f"{filled.url}/sessions/{session}?node={node}")
    page.locator("[name=choice]").first.check()
    page.locator("main form button.primary").click()
    hold = page.locator("[data-test=hold]")
    hold.locator("summary").click()
    hold.locator("[data-test=hold-session]").click()
    expect(hold.locator("summary")).to_contain_text("已封存")
    no_serious_findings(page)
    boss = tabs.open(filled.url)
    sign_in(boss, filled.url, "wang")
    boss.goto(f"{filled.url}/retention")
    boss.locator("[data-test=pharmacy-row]", has_text="1").first.wait_for()
    with filled.database.read() as connection:
        name = connection.execute(
            select(COMMANDS.c.subject).where(COMMANDS.c.kind == "hold")
        ).scalar_one()
    boss.goto(f"{filled.url}/retention/hold?hold={name}")
    no_serious_findings(boss)
    form = boss.locator("[data-test=release-hold]")
    form.locator("[name=reason]").fill("已结案")
    form.locator("button").click()
    expect(boss.locator("main")).to_contain_text("已解除")
    expect(form).to_have_count(0)
