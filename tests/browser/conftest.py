"""One Chromium a module, one profile a test.

A module, not a session: playwright's loop runs in this thread as long as it is started, and tests
of other modules start loops of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.chrome import CHROMIUM, FLAGS, PATIENCE_MS, Tabs, missing


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    why = missing()
    if why is not None:
        pytest.skip(why)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=str(CHROMIUM),
            args=list(FLAGS),
            chromium_sandbox=os.geteuid() != 0,  # Chromium refuses its sandbox to root
            timeout=2 * PATIENCE_MS,
        )
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Tabs]:
    made = Tabs(browser)
    yield made
    made.close()
