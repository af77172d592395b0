"""The cameras' page in a real browser, before a real node with simulated cameras."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from edge.simulators.demo_stack import DemoStack
from tests.browser.chrome import COUNTER, Tabs, fits, no_serious_findings, picture_of
from tests.browser.counter_steps import pair

WATCHED = "desk"
LOADED = """() => [...document.querySelectorAll('.camera img')].every(
    (image) => !image.hidden && image.naturalWidth > 0 && Number(image.dataset.seen) > 2)"""


def test_cameras_show_what_they_see_and_say_when_they_see_nothing(
    tabs: Tabs, stack: DemoStack
) -> None:
    control = stack.cameras.control(WATCHED)
    control.black()  # noticed while the page is opened
    try:
        page = tabs.open(stack.terminal_url, size=COUNTER)
        pair(page, stack)
        page.get_by_role("link", name="摄像头画面").click()
        cameras = page.locator("[data-test=camera]")
        expect(cameras).to_have_count(len(stack.edge_config.cameras))
        one = cameras.filter(has_text=WATCHED)
        expect(one).to_contain_text("画面全黑", timeout=60_000)
        expect(page.locator("[data-test=condition]")).to_contain_text("画面不可用")
    finally:
        control.resume()
    expect(one).to_contain_text("画面正常", timeout=60_000)
    page.wait_for_function(LOADED, timeout=60_000)
    _all_is_well(page, len(stack.edge_config.cameras))
    no_serious_findings(page)
    fits(page)
    picture_of(page, "cameras.zh", mask=".camera img")


def _all_is_well(page: Page, number: int) -> None:
    cameras = page.locator("[data-test=camera]")
    for one in range(number):
        expect(cameras.nth(one)).to_contain_text("录像中")
        expect(cameras.nth(one)).to_contain_text("画面正常")
