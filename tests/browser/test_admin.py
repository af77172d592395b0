"""The admin's pages in a real browser, over fifty nodes and sixty days."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chrome import Tabs, fits, no_serious_findings
from tests.browser.office import PASSWORD, Office, fill_sign_in, office, sign_in
from tests.browser.rows import Plan, node_name, pharmacy_of
from tests.central.wirekit import OTHER_KEY

NEW_NODE = {
    "agency": "430100",
    "pharmacy": "P43010099999",
    "node": "new-node/1",
    "curve_public_key": OTHER_KEY,
    "signing_public_key": "ab" * 32,
}
NEW_PASSWORD = "my own words 我自己的"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    plan = Plan(nodes=12, sessions=200, days=30, access=150)
    with office(tmp_path_factory.mktemp("office"), plan) as opened:
        opened.account("wang", "admin")
        opened.account("li", "inspector")
        yield opened


@pytest.fixture
def admin(tabs: Tabs, filled: Office) -> Page:
    page = tabs.open(filled.url)
    sign_in(page, filled.url, "wang")
    return page


def test_a_node_is_enrolled_from_what_it_prints_and_revoked_by_typing_its_name(
    tabs: Tabs, admin: Page, filled: Office
) -> None:
    admin.goto(f"{filled.url}/nodes/enrol")
    form = admin.locator("[data-test=enrol]")
    form.locator("textarea").fill('{"agency": "430100"')
    tabs.watch.allow(422)
    form.locator("button.primary").click()
    expect(admin.locator("[role=alert]").first).to_contain_text("读不懂")
    admin.locator("[data-test=enrol] textarea").fill(json.dumps(NEW_NODE))
    admin.locator("[data-test=enrol] button.primary").click()
    expect(admin.locator("main")).to_contain_text("[central]")
    expect(admin.locator("main")).to_contain_text("server_key")
    fits(admin)
    no_serious_findings(admin)
    admin.goto(f"{filled.url}/nodes?pharmacy=P43010099999")
    row = admin.locator("[data-test=node-row]")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("从未")
    admin.goto(f"{filled.url}/nodes/revoke?node=new-node%2F1")
    admin.locator("[name=typed]").fill("another")
    admin.locator("main button.danger").click()
    expect(admin.locator("main .error")).to_contain_text("没有停用")
    admin.locator("[name=typed]").fill("new-node/1")
    admin.locator("main button.danger").click()
    expect(admin.locator("main")).to_contain_text("停用")
    admin.goto(f"{filled.url}/nodes?state=revoked")
    expect(admin.locator("[data-test=node-row]")).to_contain_text("new-node/1")


def test_an_account_is_made_with_a_password_that_is_shown_once_and_changed_at_first_use(
    tabs: Tabs, admin: Page, filled: Office
) -> None:
    admin.goto(f"{filled.url}/accounts")
    form = admin.locator("[data-test=add-account]")
    form.locator("[name=name]").fill("zhao")
    form.locator("[name=role][value=inspector]").check()
    form.locator("button.primary").click()
    given = admin.locator("[data-test=one-time]").inner_text().strip()
    no_serious_findings(admin)
    theirs = tabs.open(filled.url)
    theirs.goto(f"{filled.url}/sign-in")
    fill_sign_in(theirs, "zhao", given)
    expect(theirs).to_have_url(f"{filled.url}/password")
    present, *chosen = theirs.locator("[data-test=password] input[type=password]").all()
    present.fill(given)
    for field in chosen:
        field.fill(NEW_PASSWORD)
    theirs.locator("[data-test=password] button.primary").click()
    expect(theirs).to_have_url(f"{filled.url}/sessions")
    expect(theirs.locator("[data-test=session-row]").first).to_be_visible()
    admin.goto(f"{filled.url}/accounts/one?name=zhao")
    admin.locator("[data-test=account-disable] button").click()
    expect(admin.locator(".notice.ok")).to_contain_text("停用")
    theirs.reload()
    expect(theirs.locator("[data-test=sign-in]")).to_be_visible()


def test_the_access_log_is_filtered_by_its_address_and_exported_as_it_is_shown(
    admin: Page, filled: Office
) -> None:
    admin.goto(f"{filled.url}/access")
    filters = admin.locator("[data-test=access-filters]")
    filters.locator("[name=who]").fill("inspector-3")
    filters.locator("button.primary").click()
    expect(admin).to_have_url(re.compile("who=inspector-3"))
    rows = admin.locator("[data-test=access-row]")
    shown = rows.count()
    assert 0 < shown <= 100
    assert {"inspector-3"} == set(rows.locator("td:nth-child(2)").all_inner_texts())
    with admin.expect_download() as download:
        admin.locator("a[download]").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    exported = list(csv.reader(text.splitlines()))
    assert len(exported) == shown + 1
    admin.goto(f"{filled.url}/access")
    expect(rows.first).to_contain_text("wang")  # reading the log is in the log


def test_the_nodes_that_need_a_look_come_first_and_numbers_lead_on(
    admin: Page, filled: Office
) -> None:
    admin.goto(f"{filled.url}/nodes")
    rows = admin.locator("[data-test=node-row]")
    expect(rows).to_have_count(12 + admin.locator("[data-test=node-row]:has-text('new-')").count())
    texts = rows.all_inner_texts()
    silent = [n for n, text in enumerate(texts) if node_name(7) in text]
    assert silent[0] < 4, texts
    fits(admin)
    admin.goto(f"{filled.url}/nodes/one?node={node_name(4)}")
    expect(admin.locator("main")).to_contain_text(pharmacy_of(4))
    expect(admin.locator("main a[href*='/coverage']").first).to_be_visible()
    expect(admin.locator("main a[href*='/sessions']").first).to_be_visible()


def test_a_cell_of_the_heat_map_leads_to_the_day_of_its_camera(admin: Page, filled: Office) -> None:
    admin.goto(f"{filled.url}/coverage?days=30")
    cells = admin.locator("[data-test=day]")
    assert cells.count() >= 30 * 3
    cell = cells.nth(40)
    cell.focus()
    admin.keyboard.press("Enter")
    admin.wait_for_url("**/coverage/day?*")
    expect(admin.locator("h1")).not_to_be_empty()
    fits(admin)


@pytest.mark.parametrize(
    "path",
    [
        "/nodes/one?node=nobody",
        "/coverage/day?node=node-000&camera=gone&day=2026-01-02",
        "/coverage/day?node=node-000&camera=counter&day=not-a-day",
        "/accounts/one?name=nobody",
        "/nothing/here",
    ],
)
def test_what_is_not_there_is_told_in_words(
    tabs: Tabs, admin: Page, filled: Office, path: str
) -> None:
    tabs.watch.allow(404, 422)
    admin.goto(filled.url + path)
    expect(admin.locator("h1")).not_to_be_empty()
    assert "Traceback" not in admin.content()
    fits(admin)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_admin_page_is_readable(tabs: Tabs, filled: Office, lang: str) -> None:
    page = tabs.open(filled.url, lang=lang)
    page.goto(f"{filled.url}/sign-in")
    no_serious_findings(page)
    fill_sign_in(page, "wang", PASSWORD)
    expect(page.locator("nav [aria-current]")).to_be_visible()
    node, session = filled.sessions[-1]
    few = f"pharmacy={pharmacy_of(3)}"  # axe looks at every element; a few rows tell as much
    for path in (
        f"/nodes?{few}",
        f"/nodes/one?node={node}",
        "/nodes/enrol",
        f"/nodes/revoke?node={node}",
        f"/coverage?days=30&{few}",
        f"/coverage/day?node={node}&camera=counter&day=2026-01-02",
        "/accounts",
        "/accounts/one?name=li",
        "/access?who=inspector-3",
        "/password",
        f"/sessions?{few}",
        "/sessions?show=all&pharmacy=nobody",
        f"/sessions/{session}?node={node}",
    ):
        page.goto(filled.url + path)
        fits(page)
        no_serious_findings(page)
