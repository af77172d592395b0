"""A browser that complains: what the tests open pages with.

Every page is watched. A console error, a script error, a breach of the content policy, a request to
another origin or an answer of 400 and above fails the test, unless the test says beforehand that
it is what it is about.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

CHROMIUM = Path("/usr/bin/chromium")
CHINESE_FONT = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
PATIENCE_MS = 20_000.0  # two busy cores; a wait ends as soon as what it waits for is there
DESK, COUNTER = (1366, 768), (1024, 768)
ABOUT_A_STATUS = ("the server responded with a status of", "Response Status Error Code")
UNREACHABLE = ("net::ERR_", "htmx:sendError", "htmx:afterRequest")
SERIOUS = ("serious", "critical")
SCREENSHOTS = "COUNTERSIGHT_SCREENSHOTS"
SHOT_BYTES = 90_000


def missing() -> str | None:
    """Return why no browser test can run here, or None."""
    if not CHROMIUM.exists():
        return f"{CHROMIUM} is not installed (Debian: chromium)"
    if not CHINESE_FONT.exists():
        return "no Chinese font (Debian: fonts-noto-cjk)"
    return None


@dataclass
class Watch:
    """What went wrong in a page, and what of it the test wanted."""

    origins: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    allowed: set[int] = field(default_factory=set)
    unreachable_is_fine: bool = False

    def attach(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)

    def allow(self, *statuses: int) -> None:
        """Expect answers with these statuses: the test is about a refusal."""
        self.allowed |= set(statuses)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        # What browser and htmx say of an answer >= 400; `_response` judges those by status.
        if any(words in message.text for words in ABOUT_A_STATUS):
            return
        if self.unreachable_is_fine and any(words in message.text for words in UNREACHABLE):
            return
        self.faults.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https") and parts.netloc not in self.origins:
            self.faults.append(f"request to another origin: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.allowed:
            self.faults.append(f"{response.status} from {response.request.method} {response.url}")


class Tabs:
    """Opens watched pages for one test; `close` fails the test for what its pages complained of."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.watch = Watch()

    def open(
        self,
        *origins: str,
        lang: str = "zh",
        size: tuple[int, int] = DESK,
        prepare: Callable[[BrowserContext], None] | None = None,
    ) -> Page:
        """Return a page of a new browser profile that speaks a language, at no address yet."""
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            locale="zh-CN",
            timezone_id="America/New_York",  # pages say Asia/Shanghai wherever the browser is
        )
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        self.watch.origins |= {urlsplit(origin).netloc for origin in origins}
        if lang != "zh":
            for origin in origins:
                context.add_cookies([{"name": "lang", "value": lang, "url": origin}])
        if prepare is not None:
            prepare(context)
        return self.another(context)

    def another(self, context: BrowserContext) -> Page:
        """Return a second tab of the same profile."""
        page = context.new_page()
        self.watch.attach(page)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        assert not self.watch.faults, "\n".join(self.watch.faults)


def no_serious_findings(page: Page) -> None:
    """Run axe-core; fail with what it finds to be serious or critical."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [
        f"{one['id']} ({one['impact']}): {one['help']}: "
        + "; ".join(str(node["html"])[:160] for node in one["nodes"][:3])
        for one in found
        if one["impact"] in SERIOUS
    ]
    assert serious == [], f"{page.url}:\n" + "\n".join(serious)


def fits(page: Page) -> None:
    """Fail when a page is wider than its window, has no title, or not exactly one heading."""
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{page.url} is {wide} px wider than the window"
    assert page.title().strip()
    assert page.locator("h1").count() == 1, f"{page.url}: {page.locator('h1').all_inner_texts()}"


def picture_of(page: Page, name: str, *, mask: str | None = None) -> None:
    """Keep a small picture of a page in the folder that COUNTERSIGHT_SCREENSHOTS names.

    `mask` is a selector of what must not be shown: nobody's face is published.
    """
    folder = os.environ.get(SCREENSHOTS)
    if not folder:
        return
    masked = [page.locator(mask)] if mask else []
    raw = page.screenshot(mask=masked, mask_color="#8a94a0", animations="disabled")
    target = Path(folder) / f"{name}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(small(raw))


def small(raw: bytes, scale: float = 0.75) -> bytes:
    """Return a PNG scaled down, with as many colours as fit into SHOT_BYTES."""
    whole = Image.open(io.BytesIO(raw)).convert("RGB")
    size = (round(whole.width * scale), round(whole.height * scale))
    reduced = whole.resize(size, Image.Resampling.LANCZOS)
    for colours in (128, 64, 32, 16, 8):
        out = io.BytesIO()
        reduced.quantize(colours).save(out, "PNG", optimize=True)
        if out.tell() <= SHOT_BYTES:
            break
    return out.getvalue()
