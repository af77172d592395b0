"""The watch itself: each kind of fault fails a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Browser

from retention.pages.headers import SecurityHeaders
from tests.browser.chrome import Tabs, no_serious_findings
from tests.serving import served

PAGES = {
    "/fine": "<h1>好</h1>",
    "/inline": "<h1>好</h1><script>window.ran = 1</script>",
    "/elsewhere": '<h1>好</h1><img src="http://127.0.0.1:9/x.png" alt="">',
    "/broken": '<h1>好</h1><script src="/broken.js"></script>',
    "/missing": '<h1>好</h1><img src="/nothing.png" alt="">',
    "/unlabelled": "<h1>好</h1><input><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>",
}


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    app = FastAPI()
    app.add_middleware(SecurityHeaders)

    @app.get("/broken.js")
    def script() -> HTMLResponse:
        return HTMLResponse("nonsense();", media_type="text/javascript")

    for path, body in PAGES.items():
        page = f'<html lang="zh-CN"><title>页</title><link rel="icon" href="data:,">{body}'
        app.add_api_route(path, lambda page=page: HTMLResponse(page))
    with served(app) as address:
        yield address


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/fine", None),
        ("/inline", "Content Security Policy"),
        ("/elsewhere", "another origin"),
        ("/broken", "script error: nonsense is not defined"),
        ("/missing", "404 from GET"),
    ],
)
def test_what_a_page_does_wrong_fails_the_test(
    browser: Browser, site: str, path: str, fault: str | None
) -> None:
    tabs = Tabs(browser)
    tabs.open(site).goto(site + path)
    if fault is None:
        tabs.close()
        return
    with pytest.raises(AssertionError, match=fault):
        tabs.close()


def test_a_refusal_that_the_test_is_about_is_no_fault(tabs: Tabs, site: str) -> None:
    tabs.watch.allow(404)
    tabs.open(site).goto(site + "/missing")


def test_axe_names_what_a_reader_cannot_use(tabs: Tabs, site: str) -> None:
    page = tabs.open(site)
    page.goto(site + "/unlabelled")
    with pytest.raises(AssertionError, match="image-alt"):
        no_serious_findings(page)
    page.goto(site + "/fine")
    no_serious_findings(page)
