"""The first start of a central, signing in, and a sign-in that ends in the middle of a form."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chrome import Tabs, fits, no_serious_findings
from tests.browser.office import PASSWORD, TOKEN, Office, fill_sign_in, office, sign_in


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Office]:
    with office(tmp_path / "central") as opened:
        yield opened


def test_the_first_start_leads_to_the_first_account_and_on_to_enrolling_a_node(
    tabs: Tabs, empty: Office
) -> None:
    page = tabs.open(empty.url)
    page.goto(empty.url)
    form = page.locator("[data-test=first]")
    form.locator("[name=token]").fill(TOKEN)
    form.locator("[name=name]").fill("wang")
    for field in form.locator("[type=password]:not([name=token])").all():
        field.fill(PASSWORD)
    fits(page)
    no_serious_findings(page)
    form.locator("button").click()
    expect(page).to_have_url(f"{empty.url}/nodes")
    fits(page)
    no_serious_findings(page)
    page.goto(f"{empty.url}/sessions")
    expect(page.locator("[data-test=session-row]")).to_have_count(0)
    expect(page.locator("main .empty")).to_be_visible()


def test_a_wrong_password_is_told_in_words_and_the_name_is_kept(tabs: Tabs, empty: Office) -> None:
    empty.account("li", "inspector")
    tabs.watch.allow(401, 403)
    page = tabs.open(empty.url)
    page.goto(f"{empty.url}/sign-in")
    fill_sign_in(page, "li", "not the password")
    expect(page.locator("[name=name]")).to_have_value("li")
    expect(page.locator("main .notice, main .problem").first).to_be_visible()
    fits(page)
    fill_sign_in(page, "li")
    expect(page).to_have_url(f"{empty.url}/sessions")


def test_signing_in_goes_back_to_the_page_that_was_wanted(tabs: Tabs, empty: Office) -> None:
    empty.account("li", "inspector")
    page = tabs.open(empty.url)
    page.goto(f"{empty.url}/password")
    fill_sign_in(page, "li")
    expect(page).to_have_url(f"{empty.url}/password")


def test_a_sign_in_that_ended_in_the_middle_of_a_form_says_what_was_lost(
    tabs: Tabs, empty: Office
) -> None:
    empty.account("li", "inspector")
    page = tabs.open(empty.url)
    sign_in(page, empty.url, "li")
    page.goto(f"{empty.url}/password")
    fields = page.locator("main input[type=password]").all()
    for field in fields:
        field.fill("a new password 新密码")
    empty.clock.advance(timedelta(hours=13))
    page.locator("main form button").first.click()
    expect(page.locator("[data-test=sign-in]")).to_be_visible()
    expect(page.locator("main .notice")).to_contain_text("登录已过期")
    expect(page.locator("main .notice")).to_contain_text("没有保存")
    fill_sign_in(page, "li")  # the old password: the change was not made behind our back
    expect(page).to_have_url(f"{empty.url}/password")


def test_signing_out_in_one_tab_signs_out_the_other(tabs: Tabs, empty: Office) -> None:
    empty.account("li", "inspector")
    page = tabs.open(empty.url)
    sign_in(page, empty.url, "li")
    other = tabs.another(page.context)
    other.goto(f"{empty.url}/sessions")
    page.locator("form[action='/sign-out'] button").click()
    expect(page.locator("[data-test=sign-in]")).to_be_visible()
    other.reload()
    expect(other.locator("[data-test=sign-in]")).to_be_visible()


def test_an_inspector_is_refused_admin_pages_in_words(tabs: Tabs, empty: Office) -> None:
    empty.account("li", "inspector")
    tabs.watch.allow(403)
    page = tabs.open(empty.url)
    sign_in(page, empty.url, "li")
    page.goto(f"{empty.url}/accounts")
    expect(page.locator(".problem h1")).not_to_be_empty()
    expect(page.locator("nav a[href='/accounts']")).to_have_count(0)
    fits(page)
    no_serious_findings(page)
