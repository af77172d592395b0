"""The inspector's main job in a real browser: find, open, ask for footage, play, trust."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from edge.simulators.demo_stack import DemoStack
from edge.simulators.pharmacy import PharmacyClient
from retention.pages.formats import time_of_day
from tests.browser.chrome import Tabs, fits, no_serious_findings
from tests.browser.live import (
    PASSWORD,
    account,
    address,
    fetch_footage,
    file_at_central,
    give_reason,
    open_session,
    purchase,
)
from tests.browser.office import fill_sign_in

READY = "() => window.countersightReplay && window.countersightReplay.ready"
TIMES = "() => [...document.querySelectorAll('video[data-scene]')].map((v) => v.currentTime * 1000)"
SCENES_WITH_FOOTAGE = (
    "[...document.querySelectorAll('video[data-scene]')].filter((v) => v.readyState > 0).length"
)
APART_MS = 100
SAMPLES, FEWEST, BETWEEN_MS = 16, 4, 80


@dataclass(frozen=True, slots=True)
class Filmed:
    """A flagged session whose footage is at central; the shelf's camera was away for a while."""

    session: str
    segments: list[dict[str, Any]]


@pytest.fixture(scope="module")
def inspector(stack: DemoStack) -> str:
    account(stack, "li.replay", "inspector")
    return "li.replay"


@pytest.fixture(scope="module")
def filmed(stack: DemoStack, client: PharmacyClient) -> Filmed:
    session = purchase(stack, client, gap_of="shelf")
    return Filmed(session, fetch_footage(stack, session))


@pytest.fixture
def opened(tabs: Tabs, stack: DemoStack, filmed: Filmed, inspector: str) -> Page:
    """The session's page with its player ready."""
    page = tabs.open(stack.central_url)
    open_session(page, address(stack, filmed.session), inspector)
    page.wait_for_function(READY)
    return page


def test_from_the_list_of_flagged_sessions_to_footage_that_plays(
    tabs: Tabs, stack: DemoStack, client: PharmacyClient, inspector: str
) -> None:
    session = purchase(stack, client)
    page = tabs.open(stack.central_url)
    page.goto(stack.central_url)
    fill_sign_in(page, inspector, PASSWORD)
    row = page.locator("[data-test=session-row]").filter(has=page.locator(f"a[href*='{session}']"))
    expect(row).to_contain_text("由药师核对证件")
    row.locator(f"a[href*='{session}']").first.click()
    give_reason(page)
    progress = page.locator("[data-test=footage-progress]")
    clock = page.locator("[data-test=clock]")
    expect(clock).not_to_have_text("--:--:--")
    moment = clock.inner_text()
    page.locator("[data-test=ask-footage]").click()
    expect(progress).to_be_visible()
    expect(page.locator("[data-test=badge]").first).to_be_visible()
    expect(progress).to_contain_text("录像已到")
    page.wait_for_function(f"() => {SCENES_WITH_FOOTAGE} === 3")
    expect(clock).to_have_text(moment)  # what came before the first step moved nothing
    page.wait_for_function(READY)
    page.locator("[data-test=play]").click()
    page.wait_for_function(f"() => ({TIMES})().every((ms) => ms > 1000)")


def test_three_pictures_move_together_and_a_step_is_a_place_to_go_to(opened: Page) -> None:
    assert opened.locator("video[data-scene]").count() == 3
    replay = told(opened)
    pieces = [scene["pieces"] for scene in replay["scenes"]]
    begins = max(next(p["from_ms"] for p in own if p["state"] == "footage") for own in pieces)
    ends = min(
        next(p["to_ms"] for p in own if p["state"] == "footage" and p["to_ms"] > begins)
        for own in pieces
    )
    opened.evaluate(f"() => window.countersightReplay.seek({begins})")
    opened.wait_for_function(READY)
    opened.locator("[data-test=play]").click()
    opened.wait_for_function(f"() => ({TIMES})().every((ms) => ms > {begins} + 200)")
    seen: list[list[float]] = []
    while not seen or (max(seen[-1]) < ends - 400 and len(seen) < SAMPLES):
        seen.append(opened.evaluate(TIMES))
        opened.wait_for_timeout(BETWEEN_MS)
    opened.locator("[data-test=play]").click()
    assert len(seen) >= FEWEST, (seen, replay)
    apart = [max(times) - min(times) for times in seen]
    assert max(apart) <= APART_MS, seen
    assert all(later > earlier for earlier, later in zip(seen[0], seen[-1], strict=True)), seen
    wanted = replay["steps"][1]["at_ms"]
    opened.locator("[data-step='2']").first.click()
    opened.wait_for_function(
        f"() => Math.abs(window.countersightReplay.clockMs() - {wanted}) <= {APART_MS}"
    )
    opened.wait_for_function(READY)
    times = opened.evaluate(TIMES)
    assert max(times) - min(times) <= APART_MS, times


def told(page: Page) -> dict[str, Any]:
    """Return what the player was told: replay.json of the page."""
    found: dict[str, Any] = page.evaluate(
        "async () => (await fetch(document.querySelector('[data-replay]').dataset.replay)).json()"
    )
    return found


def test_the_player_is_driven_by_keys_alone(opened: Page) -> None:
    clock = "() => window.countersightReplay.clockMs()"
    opened.keyboard.press("Home")
    opened.wait_for_function(f"() => ({clock})() === 0")
    opened.keyboard.press("ArrowRight")
    assert 0 < opened.evaluate(clock) <= 100
    opened.keyboard.press("Shift+ArrowRight")
    assert opened.evaluate(clock) > 5_000
    opened.keyboard.press("2")
    at_step = opened.evaluate(clock)
    opened.keyboard.press("1")
    assert opened.evaluate(clock) < at_step
    opened.wait_for_function(READY)
    opened.keyboard.press("Space")
    expect(opened.locator("[data-test=play]")).to_have_attribute("aria-pressed", "true")
    opened.keyboard.press("l")
    expect(opened.locator("select[data-part=speed]")).to_have_value("2")
    opened.keyboard.press("k")
    expect(opened.locator("[data-test=play]")).to_have_attribute("aria-pressed", "false")


def test_a_gap_is_drawn_and_told_in_words(opened: Page) -> None:
    expect(opened.locator("[data-test=timeline]")).to_be_visible()
    (shelf,) = [one for one in told(opened)["scenes"] if one["camera"] == "shelf"]
    gaps = [piece for piece in shelf["pieces"] if piece["state"] == "gap"]
    gap = max(gaps, key=lambda piece: piece["to_ms"] - piece["from_ms"])
    assert "摄像头连接不上" in gap["text"] or "没有送来画面" in gap["text"], gap
    middle = (gap["from_ms"] + gap["to_ms"]) / 2
    opened.evaluate(f"() => window.countersightReplay.seek({middle})")
    expect(opened.locator("[data-part=scenes]")).to_contain_text(gap["text"])


def test_every_segment_is_checked_and_says_so(opened: Page, filmed: Filmed) -> None:
    badge = opened.locator("[data-test=badge]").first
    expect(badge).to_contain_text(f"{len(filmed.segments)}/{len(filmed.segments)}")
    expect(opened.locator("[data-test=broken]")).to_have_count(0)
    fits(opened)
    no_serious_findings(opened)


@pytest.fixture
def edited(stack: DemoStack, filmed: Filmed) -> Iterator[dict[str, Any]]:
    """One byte of one file at central is another; put back afterwards."""
    segment = filmed.segments[1]
    path = file_at_central(stack, segment)
    kept = path.read_bytes()
    try:
        _overwrite(path, kept[:-1] + bytes([kept[-1] ^ 1]))
        yield segment
    finally:
        _overwrite(path, kept)


def test_an_edited_file_is_named_in_a_red_banner_and_not_played(
    tabs: Tabs, stack: DemoStack, filmed: Filmed, inspector: str, edited: dict[str, Any]
) -> None:
    tabs.watch.allow(409, 410)
    page = tabs.open(stack.central_url)
    open_session(page, address(stack, filmed.session), inspector)
    banner = page.locator("[data-test=broken]")
    expect(banner).to_be_visible()
    expect(banner).to_contain_text(time_of_day(edited["started_at"]))
    row = page.locator(f"tr[data-segment='{edited['segment']}']")
    expect(row.locator(".badge.stop")).to_have_count(1)
    played = page.request.get(
        f"{stack.central_url}/sessions/{filmed.session}/segments/{edited['segment']}.mp4"
        f"?node=demo-node"
    )
    assert played.status in (404, 409, 410)
    no_serious_findings(page)


def test_footage_that_was_deleted_meanwhile_is_told_in_words(
    tabs: Tabs, stack: DemoStack, filmed: Filmed, inspector: str
) -> None:
    tabs.watch.allow(404, 410)
    path = file_at_central(stack, filmed.segments[0])
    kept = path.read_bytes()
    path.unlink()
    try:
        page = tabs.open(stack.central_url)
        open_session(page, address(stack, filmed.session), inspector)
        expect(page.locator("[data-test=broken], .notice").first).to_be_visible()
        expect(page.locator("[data-part=outline]")).to_contain_text("文件已不在复核中心")
        assert "Traceback" not in page.content()
    finally:
        _overwrite(path, kept)


def test_a_browser_without_h264_gets_a_sentence(
    tabs: Tabs, stack: DemoStack, filmed: Filmed, inspector: str
) -> None:
    def without_h264(context: BrowserContext) -> None:
        context.add_init_script("window.MediaSource.isTypeSupported = () => false;")

    page = tabs.open(stack.central_url, prepare=without_h264)
    open_session(page, address(stack, filmed.session), inspector)
    expect(page.locator("[data-replay]")).to_contain_text("此浏览器不能播放 H.264")
    expect(page.locator("[data-test=timeline]")).to_be_visible()


def test_two_tabs_play_for_themselves_and_one_opening_serves_both(
    tabs: Tabs, stack: DemoStack, opened: Page, filmed: Filmed
) -> None:
    other = tabs.another(opened.context)
    other.goto(address(stack, filmed.session))
    expect(other.locator("[data-test=opening]")).to_have_count(0)
    other.wait_for_function(READY)
    other.keyboard.press("End")
    assert opened.evaluate("() => window.countersightReplay.clockMs()") < other.evaluate(
        "() => window.countersightReplay.clockMs()"
    )


def _overwrite(path: Path, content: bytes) -> None:
    """Replace a file whole, so that its time and number change as they would by hand."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)
