"""The pictures of the READMEs. Made only when COUNTERSIGHT_SCREENSHOTS names a folder.

Nobody stands before the cameras while they are taken: no picture of a person is published.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from edge.simulators.demo_stack import DemoStack
from edge.simulators.pharmacy import PharmacyClient
from hardware.simulated_actors import Genuine
from tests.browser.chrome import COUNTER, SCREENSHOTS, Tabs, picture_of
from tests.browser.counter_steps import agree_and_enrol, begin, pair, picture_of_card, somebody
from tests.browser.live import account, address, fetch_footage, open_session, purchase
from tests.browser.office import office, sign_in
from tests.browser.rows import Plan

pytestmark = pytest.mark.skipif(
    SCREENSHOTS not in os.environ, reason=f"{SCREENSHOTS} names no folder for pictures"
)
LANGUAGES = ("zh", "en")


@pytest.fixture(scope="module")
def empty_counter(stack: DemoStack, client: PharmacyClient) -> Iterator[DemoStack]:
    stack.cameras.control("counter").show()
    yield stack
    stack.cameras.control("counter").show(Genuine("person-a", 2))


def test_pictures_of_central(tabs: Tabs, tmp_path: Path) -> None:
    with office(tmp_path / "office", Plan(nodes=12, sessions=400, days=60, access=60)) as filled:
        filled.account("wang", "admin")
        for lang in LANGUAGES:
            page = tabs.open(filled.url, lang=lang)
            sign_in(page, filled.url, "wang")
            for name, path in (
                ("nodes", "/nodes"),
                ("coverage", "/coverage"),
                ("sessions", "/sessions"),
                ("access", "/access"),
            ):
                page.goto(filled.url + path)
                picture_of(page, f"{name}.{lang}")


def test_pictures_of_a_session(
    tabs: Tabs, empty_counter: DemoStack, client: PharmacyClient
) -> None:
    session = purchase(empty_counter, client, gap_of="shelf")
    fetch_footage(empty_counter, session)
    account(empty_counter, "chen", "inspector")
    for lang, reason in (("zh", "随机复审"), ("en", "Random re-review")):
        page = tabs.open(empty_counter.central_url, lang=lang)
        open_session(page, address(empty_counter, session), "chen", reason)
        page.wait_for_function("() => window.countersightReplay?.ready")
        expect(page.locator("[data-test=badge]").first).to_be_visible()
        picture_of(page, f"session.{lang}")


def test_pictures_of_the_counter(tabs: Tabs, empty_counter: DemoStack) -> None:
    for lang in LANGUAGES:
        page = tabs.open(empty_counter.terminal_url, lang=lang, size=COUNTER)
        pair(page, empty_counter)
        begin(page, empty_counter, somebody())
        agree_and_enrol(page, picture_of_card("person-a"))
        page.locator("[data-test=verify] [data-test=next]").click()
        page.wait_for_function("() => document.querySelector('[data-test=live]')?.naturalWidth > 0")
        expect(page.locator("[data-test=guidance] .ring")).to_be_visible()
        picture_of(page, f"counter.{lang}")
        expect(page.locator("[data-test=last-decision]")).to_be_visible()
