"""The player against pictures that carry their own number: the right picture, at the right moment.

Also what it says when it cannot play: refused, gone, offline, or a browser without H.264.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import update

from central.collector.receiving import file_of
from central.tables import Opening, table_of
from retention.keyfiles import KeyDirectory
from tests.browser.chrome import Tabs, fits, no_serious_findings
from tests.browser.office import Office, office, sign_in
from tests.browser.rows import CAMERAS, Plan
from tests.central.wirekit import NODE_SIGNER
from tests.filming import READ_NUMBER, SECOND, Film, clip

FPS, SECONDS, LATE_US, HOLE = 25, 16, 700_000, (52.0, 60.0)
READY = "() => window.countersightReplay && window.countersightReplay.ready"
NUMBERS = f"() => [...document.querySelectorAll('video[data-scene]')].map({READ_NUMBER})"


@dataclass(frozen=True, slots=True)
class Cinema:
    """A session of which the seconds 20 to 52 and 60 to 76 are filmed; each camera begins later."""

    central: Office
    film: Film

    @property
    def address(self) -> str:
        return f"{self.central.url}/sessions/{self.film.session}?node={self.film.node}"

    def number(self, ms: float, scene: int) -> int:
        """Return the number of the picture that a scene shows at a moment."""
        into = ms / 1000 - scene * LATE_US / SECOND
        begins = 60.0 if into >= 60 else 36.0 if into >= 36 else 20.0
        return int((into - begins) * FPS + 1e-6)


@pytest.fixture(scope="module")
def cinema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cinema]:
    folder = tmp_path_factory.mktemp("cinema") / "data"
    raw = clip(SECONDS, size=(320, 180), fps=FPS, gop=50)
    with office(folder, Plan(nodes=1, sessions=3, days=1, access=0)) as central:
        node, session = central.sessions[0]
        film = Film(central.database, folder / "footage", node, session)
        start, end = film.row.span_started_at, film.row.span_ended_at
        command = film.asked(start, end)
        for number, (camera, role) in enumerate(CAMERAS):
            for begins in (20, 36, 60):
                at = start + begins * SECOND + number * LATE_US
                film.keep(command, camera, role, at, raw, SECONDS)
        film.prove(NODE_SIGNER, KeyDirectory(folder / "keys").signer("signing"))
        central.account("li", "inspector")
        yield Cinema(central, film)


def open_page(page: Page, cinema: Cinema, at: str = "") -> None:
    """Sign in, open the session and wait for the player."""
    sign_in(page, cinema.central.url, "li")
    page.goto(cinema.address + at)
    form = page.locator("[data-test=opening]")
    if form.count():
        form.locator("[name=choice]").first.check()
        form.locator("button.primary").click()
        page.goto("about:blank")
        page.goto(cinema.address + at)


@pytest.fixture
def page(tabs: Tabs, cinema: Cinema) -> Page:
    made = tabs.open(cinema.central.url)
    open_page(made, cinema, "#t=30")
    made.wait_for_function(READY)
    return made


@pytest.mark.parametrize("ms", [25_010, 35_990, 37_500, 51_000, 62_345, 70_010])
def test_seek_shows_the_picture_of_that_moment_in_every_scene(
    page: Page, cinema: Cinema, ms: int
) -> None:
    page.evaluate(f"() => window.countersightReplay.seek({ms})")
    page.wait_for_function(READY)
    assert page.evaluate(NUMBERS) == [cinema.number(ms, scene) for scene in range(3)]


def test_pictures_stay_on_the_clock_across_files_and_gaps(page: Page, cinema: Cinema) -> None:
    page.evaluate("() => window.countersightReplay.seek(48000)")
    page.locator("select[data-part=speed]").select_option("4")
    page.locator("[data-test=play]").click()
    page.wait_for_function("() => window.countersightReplay.clockMs() > 52500")
    expect(page.locator(".scene-cover:visible").first).not_to_be_empty()
    page.wait_for_function("() => window.countersightReplay.clockMs() > 64000", timeout=60_000)
    page.locator("select[data-part=speed]").select_option("1")
    page.wait_for_function("() => window.countersightReplay.clockMs() > 66000")
    page.locator("[data-test=play]").click()
    expect(page.locator("[data-test=play]")).to_have_attribute("aria-pressed", "false")
    page.wait_for_function(READY)
    clock = page.evaluate("() => window.countersightReplay.clockMs()")
    assert page.evaluate(NUMBERS) == [cinema.number(clock, scene) for scene in range(3)]


def test_address_opens_at_its_moment_and_the_page_is_sound(page: Page, cinema: Cinema) -> None:
    assert page.evaluate("() => window.countersightReplay.clockMs()") == 30_000
    page.locator("video[data-scene='1']").dblclick()
    expect(page.locator(".scene.large")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".scene.large")).to_have_count(0)
    fits(page)
    no_serious_findings(page)


def test_clear_pictures_and_a_timeline_drawn_anew_stand_at_the_same_moment(page: Page) -> None:
    head = "() => document.querySelector('.t-head line').getAttribute('x1')"
    page.evaluate("() => window.countersightReplay.seek(41000)")
    page.locator("[data-test=clear]").click()
    page.wait_for_function("() => !document.querySelector('video.blurred')")
    page.wait_for_function(READY)
    assert page.evaluate("() => window.countersightReplay.clockMs()") == 41_000
    before = page.evaluate(head)
    drawn = page.locator("[data-test=timeline]").element_handle()
    page.evaluate("() => document.body.dispatchEvent(new Event('footage-complete'))")
    page.wait_for_function("(drawn) => !drawn.isConnected", arg=drawn)
    page.wait_for_function(READY)
    assert page.evaluate("() => window.countersightReplay.clockMs()") == 41_000
    assert page.evaluate(head) == before
    page.locator("[data-test=clear]").click()


def test_lost_connection_of_what_the_page_asks_by_itself_is_told(page: Page) -> None:
    note = page.locator("[data-part=note]")
    page.evaluate("() => document.body.dispatchEvent(new Event('htmx:sendError'))")
    expect(note).to_contain_text("连接中断")
    page.evaluate(
        "() => document.body.dispatchEvent(new CustomEvent('htmx:afterRequest',"
        " { detail: { successful: true } }))"
    )
    expect(note).to_be_hidden()


def test_opening_that_expires_while_playing_is_told(tabs: Tabs, page: Page, cinema: Cinema) -> None:
    tabs.watch.allow(403)
    page.locator("[data-test=play]").click()
    with cinema.central.database.write() as connection:
        connection.execute(update(table_of(Opening)).values(expires_at=0))
    page.evaluate("() => window.countersightReplay.seek(70000)")
    expect(page.locator("[data-part=note]")).to_contain_text("打开已过期")
    expect(page.locator("[data-test=play]")).to_have_attribute("aria-pressed", "false")
    page.locator("[data-part=note] a").click()
    expect(page.locator("[data-test=opening]")).to_be_visible()


def test_footage_that_goes_while_playing_is_told_and_the_rest_plays(
    tabs: Tabs, page: Page, cinema: Cinema
) -> None:
    tabs.watch.allow(404)
    name = next(
        segment
        for segment in page.evaluate(
            "() => JSON.parse(document.getElementById('replay-now').textContent)"
            ".scenes[2].pieces.filter((p) => p.from_ms > 55000 && p.segment).map((p) => p.segment)"
        )
    )
    path = file_of(cinema.central.folder / "footage", cinema.film.node, name)
    kept: Path = path.rename(path.with_suffix(".away"))
    try:
        page.evaluate("() => window.countersightReplay.seek(70000)")
        expect(page.locator("[data-part=note]")).to_contain_text("已不在复核中心")
        page.wait_for_function("() => window.countersightReplay.times()[0] === 70000")
    finally:
        kept.rename(path)


def test_lost_connection_is_told_and_mends_itself(tabs: Tabs, page: Page, cinema: Cinema) -> None:
    tabs.watch.unreachable_is_fine = True
    page.context.set_offline(True)
    page.evaluate("() => window.countersightReplay.seek(70000)")
    expect(page.locator("[data-part=note]")).to_contain_text("连接中断")
    page.context.set_offline(False)
    expect(page.locator("[data-part=note]")).to_be_hidden()
    page.wait_for_function("() => window.countersightReplay.times().every((ms) => ms === 70000)")


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_browser_without_h264_gets_a_sentence(tabs: Tabs, cinema: Cinema, lang: str) -> None:
    def without(context: BrowserContext) -> None:
        context.add_init_script("MediaSource.isTypeSupported = () => false")

    page = tabs.open(cinema.central.url, lang=lang, prepare=without)
    open_page(page, cinema)
    words = "不能播放 H.264" if lang == "zh" else "cannot play H.264"
    page.evaluate("() => window.countersightReplay.seek(40000)")
    expect(page.locator(".scene-cover").first).to_contain_text(words)
    expect(page.locator("[data-part=note]")).to_be_visible()
    expect(page.locator("[data-test=timeline] [data-step='1']")).to_be_visible()
