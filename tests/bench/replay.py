"""First frame and seek of the session page, beside the same files behind a plain static server.

Three scenes of 1080p25 H.264 (4 Mb/s, a key picture a second, segments of a minute). The peer is
the same page with the same player, playlists and files, fetched once from central and then served
by Starlette's StaticFiles: no sign-in, no database, no access row. Both in turn, each first frame
in a browser profile without a cache. First frame: from the navigation until every scene showed a
picture. Seek: from the call until every scene shows the picture of that moment.
"""

from __future__ import annotations

import random
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from starlette.staticfiles import StaticFiles

from retention.keyfiles import KeyDirectory
from tests.bench.replay_page import FIRST_FRAMES, SEEK_FRAMES, WATCH, assets_of
from tests.browser.chrome import CHROMIUM, DESK, FLAGS, missing
from tests.browser.office import Office, office, sign_in
from tests.browser.rows import CAMERAS, Plan
from tests.central.wirekit import NODE_SIGNER
from tests.filming import SECOND, Film, clip
from tests.serving import served

RUNS, SEEKS, SEGMENT_SECONDS = 12, 24, 60
AIMS = "first frame <= 500 ms, seek <= 200 ms, ratio <= 1.5"


def measure() -> Iterator[dict[str, object]]:
    why = missing()
    if why is not None:
        yield {"bench": "replay", "skipped": why}
        return
    raw = clip(SEGMENT_SECONDS, size=(1920, 1080), gop=25, bits_per_second=4_000_000)
    with tempfile.TemporaryDirectory() as name, office(Path(name) / "data", PLAN) as central:
        film(central, raw)
        with sync_playwright() as started:
            browser = started.chromium.launch(
                executable_path=str(CHROMIUM), args=list(FLAGS), chromium_sandbox=False
            )
            try:
                yield from _compare(browser, central, Path(name) / "static")
            finally:
                browser.close()


PLAN = Plan(nodes=1, sessions=50, days=5, access=100)


def film(central: Office, raw: bytes) -> None:
    """Put two segments of every camera at central, from before the session until after it."""
    node, session = central.sessions[0]
    made = Film(central.database, central.folder / "footage", node, session)
    start, end = made.row.span_started_at, made.row.span_ended_at
    command = made.asked(start, end)
    for camera, role in CAMERAS:
        for number in range(2):
            at = start + (number * SEGMENT_SECONDS - 10) * SECOND
            made.keep(command, camera, role, at, raw, SEGMENT_SECONDS)
    made.prove(NODE_SIGNER, KeyDirectory(central.folder / "keys").signer("signing"))


def _compare(browser: Browser, central: Office, folder: Path) -> Iterator[dict[str, object]]:
    node, session = central.sessions[0]
    signed_in = _opened(browser, central, f"/sessions/{session}?node={node}")
    ours = f"{central.url}/sessions/{session}?node={node}"
    copied = copy(central, signed_in, folder, node, session)
    app = FastAPI()
    app.mount("/", StaticFiles(directory=folder))
    with served(app) as url:
        pages = {"": ours, "peer_": f"{url}/{copied}"}
        first: dict[str, list[float]] = {name: [] for name in pages}
        seeks: dict[str, list[float]] = {name: [] for name in pages}
        for _ in range(RUNS):
            for name, address in pages.items():
                with _profile(browser, signed_in) as context:
                    first[name].append(_first_frame(context, address)[1])
        for name, address in pages.items():
            with _profile(browser, signed_in) as context:
                page, _ = _first_frame(context, address)
                seeks[name] = _seeks(page)
    for what, found in (("first_frame", first), ("seek", seeks)):
        yield {
            "bench": f"replay.{what}",
            "peer": "the same page, player and files behind Starlette StaticFiles",
            "scenes": len(CAMERAS),
            "stream": "1080p25 4 Mb/s, GOP 1 s",
            "n": len(found[""]),
            **_percentiles("", found[""]),
            **_percentiles("peer_", found["peer_"]),
            "ratio_p50": round(statistics.median(found[""]) / statistics.median(found["peer_"]), 2),
            "aim": AIMS,
        }


def _percentiles(prefix: str, values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return {f"{prefix}ms_p50": round(cuts[9], 1), f"{prefix}ms_p95": round(cuts[18], 1)}


def _opened(browser: Browser, central: Office, path: str) -> dict[str, object]:
    """Sign in, open the session for a reason, and return the profile's cookies."""
    central.account("li", "inspector")
    context = browser.new_context()
    page = context.new_page()
    sign_in(page, central.url, "li")
    page.goto(central.url + path)
    form = page.locator("[data-test=opening]")
    form.locator("[name=choice]").first.check()
    form.locator("button").click()
    page.locator("video[data-scene]").first.wait_for()
    state = dict(context.storage_state())
    context.close()
    return state


def copy(
    central: Office, signed_in: dict[str, object], folder: Path, node: str, session: str
) -> str:
    """Write everything that the page fetches into a folder; return the page's path there."""
    cookies = {one["name"]: one["value"] for one in signed_in["cookies"]}  # type: ignore[attr-defined]
    with httpx.Client(base_url=central.url, cookies=cookies, trust_env=False) as client:

        def fetch(address: str) -> bytes:
            answer = client.get(address).raise_for_status()
            target = folder / urlsplit(address).path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.suffix:
                target.write_bytes(answer.content)
            return answer.content

        html = fetch(f"/sessions/{session}?node={node}")
        for asset in assets_of(html.decode()):
            fetch(asset)
        fetch(f"/sessions/{session}/replay.json?node={node}")
        for number in range(len(CAMERAS)):
            lines = fetch(f"/sessions/{session}/scenes/{number}.m3u8?node={node}").decode()
            for name in {line.partition("?")[0] for line in lines.splitlines()}:
                if name.endswith(".mp4") and name.startswith("/"):
                    target = folder / name.lstrip("/")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(next(central.folder.glob(f"footage/*/{target.name}")), target)
    page = folder / "sessions" / session / "page.html"
    page.write_bytes(html)
    return str(page.relative_to(folder))


def _profile(browser: Browser, state: dict[str, object]) -> BrowserContext:
    width, height = DESK
    return browser.new_context(
        viewport={"width": width, "height": height},
        storage_state=state,  # type: ignore[arg-type]
    )


def _first_frame(context: BrowserContext, address: str) -> tuple[Page, float]:
    context.add_init_script(WATCH)
    page = context.new_page()
    page.goto(address, wait_until="commit")
    found: float = page.evaluate(FIRST_FRAMES, len(CAMERAS))
    return page, found


def _seeks(page: Page) -> list[float]:
    """Seek to moments all over the session, near ones and far ones, in a fixed order."""
    source = random.Random(5)
    moments = [source.randrange(1_000, 108_000) for _ in range(SEEKS)]
    return [float(page.evaluate(SEEK_FRAMES, moment)) for moment in moments]
