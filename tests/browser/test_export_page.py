"""The page of an export opens from a folder: no server, no network, no software of ours."""

from __future__ import annotations

import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.chrome import Tabs, fits, no_serious_findings, picture_of
from tests.retention.export.conftest import Node, clip, node

__all__ = ["clip", "node"]
PLAYS = "video => video.currentTime > 1 && !video.paused && video.videoWidth > 0"


def opened(node: Node, tabs: Tabs, folder: Path) -> Page:
    made = node.export()
    with zipfile.ZipFile(made.out) as archive:
        archive.extractall(folder)
    page = tabs.open()
    page.goto((folder / "index.html").as_uri())
    return page


def test_the_page_plays_the_footage_and_tells_steps_and_gaps(
    node: Node, tabs: Tabs, tmp_path: Path
) -> None:
    page = opened(node, tabs, tmp_path / "unpacked")
    fits(page)
    expect(page.get_by_text("含人脸信息")).to_be_visible()
    expect(page.get_by_text("录入购药清单")).to_be_visible()
    expect(page.get_by_text("摄像头连接不上").first).to_be_visible()
    expect(page.locator("td a", has_text="manifest.json")).to_have_count(0)
    expect(page.locator("td a", has_text=".mp4")).to_have_count(4)
    # the session was opened after two segments: its first step leads to the gap behind them
    page.locator("button[data-at]").first.click()
    expect(page.locator(".nothing")).to_contain_text("无录像：摄像头连接不上")
    # from the beginning of the footage it plays
    page.locator("#seek").evaluate(
        "bar => { bar.value = '0'; bar.dispatchEvent(new Event('input')); }"
    )
    page.get_by_role("button", name="播放").click()
    video = page.locator("video").element_handle()
    assert video is not None
    page.wait_for_function(PLAYS, arg=video)
    expect(page.locator("#now")).to_contain_text("2026-01-02 11:04:0")
    page.evaluate("scrollTo(0, 0)")
    picture_of(page, "evidence.zh", mask="video")
    no_serious_findings(page)


def test_text_of_a_record_stays_text(node: Node, tabs: Tabs, tmp_path: Path) -> None:
    node.reason = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>"
    page = opened(node, tabs, tmp_path / "unpacked")
    assert page.title().startswith("证据导出")
    expect(page.get_by_text("<img src=x").first).to_be_visible()
