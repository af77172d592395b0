"""The cameras' page in a real browser, before a real node with simulated cameras."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from edge.simulators.demo_stack import DemoStack
from tests.browser.chrome import COUNTER, Tabs, fits, no_serious_findings, picture_of
from tests.browser.counter_steps import pair
from tests.browser.live import gaps

WATCHED = "desk"
LOADED = """() => [...document.querySelectorAll('.camera img')].every(
    (image) => !image.hidden && image.naturalWidth > 0 && Number(image.dataset.seen) > 2)"""


def test_cameras_show_what_they_see_and_say_when_they_see_nothing(
    tabs: Tabs, stack: DemoStack
) -> None:
    page = tabs.open(stack.terminal_url, size=COUNTER)
    pair(page, stack)
    page.get_by_role("link", name="摄像头画面").click()
    cameras = page.locator("[data-test=camera]")
    expect(cameras).to_have_count(len(stack.edge_config.cameras))
    page.wait_for_function(LOADED, timeout=60_000)
    for number in range(len(stack.edge_config.cameras)):
        expect(cameras.nth(number)).to_contain_text("录像中")
        expect(cameras.nth(number)).to_contain_text("画面正常")
    no_serious_findings(page)
    fits(page)
    picture_of(page, "cameras.zh", mask=".camera img")
    _freeze_one(page, stack)


def _freeze_one(page: Page, stack: DemoStack) -> None:
    """A camera that repeats its picture is told of here and at the counter, and its end too."""
    camera = page.locator("[data-test=camera]").filter(has_text=WATCHED)
    before = gaps(stack, WATCHED)
    control = stack.cameras.control(WATCHED)
    control.freeze()
    try:
        expect(camera).to_contain_text("画面静止不变", timeout=90_000)
        expect(page.locator("[data-test=condition]")).to_contain_text("画面不可用", timeout=30_000)
    finally:
        control.resume()
        stack.wait_for("end of the gap", lambda: gaps(stack, WATCHED, open_ones=True) == 0, 60)
    assert gaps(stack, WATCHED) == before + 1
    expect(camera).to_contain_text("画面正常", timeout=30_000)
