"""What can go wrong for an inspector, each told in words: over a central that the test can age."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import func, insert, select

from central.tables import CommandRow, Session, table_of
from tests.browser.chrome import Tabs, fits, no_serious_findings
from tests.browser.live import give_reason
from tests.browser.office import Office, fill_sign_in, office, sign_in
from tests.browser.rows import DRUG, Plan

UNKNOWN = "01900000-0000-7000-8000-000000000000"
COMMANDS, SESSIONS = table_of(CommandRow), table_of(Session)


@pytest.fixture
def aging(tmp_path: Path) -> Iterator[Office]:
    """A central of a few sessions whose clock the test moves."""
    with office(tmp_path / "central", Plan(nodes=3, sessions=24, days=2, access=0)) as opened:
        opened.account("li", "inspector")
        yield opened


@pytest.fixture
def page(tabs: Tabs, aging: Office) -> Page:
    made = tabs.open(aging.url)
    sign_in(made, aging.url, "li")
    return made


def at(aging: Office, number: int = 10) -> str:
    node, session = aging.sessions[number]
    return f"{aging.url}/sessions/{session}?node={node}"


def commands(aging: Office) -> int:
    with aging.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(COMMANDS)).scalar_one())


def test_a_node_that_never_answers_is_named_and_the_request_expires_in_words(
    page: Page, aging: Office
) -> None:
    page.goto(at(aging))
    give_reason(page)
    page.locator("[data-test=ask-footage]").dblclick()  # the second click finds the first
    progress = page.locator("[data-test=footage-progress]")
    expect(progress).to_contain_text("已调取")
    assert commands(aging) == 1
    aging.clock.advance(timedelta(minutes=20))
    expect(progress).to_contain_text("没有联系")
    no_serious_findings(page)
    aging.clock.advance(timedelta(hours=25))
    page.goto(at(aging))
    fill_sign_in(page, "li")
    give_reason(page)
    expect(page.locator("[data-test=footage-progress]")).to_contain_text("过期")
    page.locator("[data-test=ask-footage]").click()
    expect(page.locator("[data-test=footage-progress]")).to_contain_text("已调取")
    assert commands(aging) == 2


def test_a_sign_in_that_ended_leads_from_a_button_of_the_page_to_signing_in_and_back(
    tabs: Tabs, page: Page, aging: Office
) -> None:
    tabs.watch.allow(401)
    page.goto(at(aging))
    give_reason(page)
    expect(page.locator("[data-test=checking]")).to_have_count(0)
    expect(page.locator("[data-test=clock]")).not_to_have_text("--:--:--")
    aging.clock.advance(timedelta(hours=13))  # after all that the page fetches by itself
    page.locator("[data-test=ask-footage]").click()
    expect(page.locator("main .notice").first).to_contain_text("登录已过期")
    fill_sign_in(page, "li")
    expect(page.locator("[data-test=opening]")).to_be_visible()  # back, and asked why once more
    assert commands(aging) == 0


def test_an_opening_that_ended_asks_for_a_reason_again(
    tabs: Tabs, page: Page, aging: Office
) -> None:
    tabs.watch.allow(403)  # what the page asks for by itself before it is loaded again
    page.goto(at(aging))
    give_reason(page)
    aging.clock.advance(timedelta(minutes=59))
    page.reload()  # keeps the sign-in awake
    expect(page.locator("[data-test=opening]")).to_have_count(0)
    aging.clock.advance(timedelta(minutes=2))
    page.reload()
    expect(page.locator("[data-test=opening]")).to_be_visible()
    expect(page.locator("main")).to_contain_text("已过期")


def test_markup_in_a_drugs_name_is_text(page: Page, aging: Office) -> None:
    page.goto(at(aging))
    give_reason(page)
    page.locator("summary", has_text="药品清单").click()
    expect(page.locator("main")).to_contain_text(DRUG)
    assert page.locator("b[onmouseover]").count() == 0


def test_unknown_sessions_and_those_of_another_pharmacy_are_told_in_words(
    tabs: Tabs, page: Page, aging: Office
) -> None:
    tabs.watch.allow(404, 422)
    _, session = aging.sessions[10]
    other, _ = aging.sessions[11]
    for path in (
        f"/sessions/{session}?node={other}",
        f"/sessions/{UNKNOWN}",
        f"/sessions/{UNKNOWN}?node=nobody",
        "/sessions/nonsense",
    ):
        page.goto(aging.url + path)
        expect(page.locator(".problem h1")).not_to_be_empty()
        assert "Traceback" not in page.content()
        fits(page)
    page.goto(f"{aging.url}/sessions/{session}")  # one node has it: on to its full address
    expect(page.locator("[data-test=opening]")).to_be_visible()
    assert "node=" in page.url


def test_a_session_id_that_two_nodes_have_asks_which(page: Page, aging: Office) -> None:
    node, session = aging.sessions[10]
    other, _ = aging.sessions[11]
    with aging.database.write() as connection:
        row = connection.execute(select(SESSIONS).where(SESSIONS.c.session == session)).one()
        shadow = {**row._mapping, "node": other, "pharmacy": "P43010000666"}
        connection.execute(insert(SESSIONS).values(**shadow))
    page.goto(f"{aging.url}/sessions/{session}")
    expect(page.locator("main")).to_contain_text("P43010000666")
    no_serious_findings(page)
    page.locator(f"main a[href*='node={node}']").first.click()
    expect(page.locator("[data-test=opening]")).to_be_visible()


def test_a_form_of_two_megabytes_is_refused_in_words(tabs: Tabs, page: Page, aging: Office) -> None:
    tabs.watch.allow(413)
    page.goto(at(aging))
    form = page.locator("[data-test=opening]")
    form.get_by_label("随机复审").check()
    page.evaluate(
        "() => { const note = document.querySelector('[data-test=opening] [name=text]');"
        " note.removeAttribute('maxlength'); note.value = '理'.repeat(700000); }"
    )
    form.locator("button.primary").click()
    expect(page.locator(".problem h1")).not_to_be_empty()
    no_serious_findings(page)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_inspectors_pages_are_readable(tabs: Tabs, aging: Office, lang: str) -> None:
    page = tabs.open(aging.url, lang=lang)
    sign_in(page, aging.url, "li")
    for number in (0, 8, 16, 23):  # one of each story, the last one still open
        page.goto(at(aging, number))
        give_reason(page, "随机复审" if lang == "zh" else "Random re-review")
        expect(page.locator("[data-test=timeline]")).to_be_visible()
        fits(page)
        no_serious_findings(page)
