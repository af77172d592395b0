"""Weight and server time of each page: 10,000 sessions, 50 nodes, 60 days.

Weight is what a first visit carries, compressed as it goes over the wire: the page and every asset
that it names. Time is measured by a client on loopback, from the request until the whole page is
there, without assets; the process that measures is the process that serves.
"""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from edge.terminal.app import create_app
from edge.terminal.pairing import new_code
from retention.keyfiles import KeyDirectory
from retention.logs import configure
from retention.records import payloads as p
from retention.records.clock import to_text
from retention.records.fields import Frozen
from retention.records.receipts import claim_digest
from retention.store.log import append
from retention.store.sessions import insert_session, mark_closed
from tests.browser.office import PASSWORD, office
from tests.browser.rows import CAMERAS, Plan
from tests.edge.counter_kit import FakeVerifier, config_for
from tests.golden import samples as g
from tests.serving import served

ROUNDS = 30
LIMIT_BYTES = 200_000
ASSET = re.compile(r'(?:src|href)="(/assets/[^"]+)"')
CSRF = re.compile(r'name="csrf" value="([^"]+)"')
CHOICE = re.compile(r'name="choice" value="([^"]+)"')
HTML = {"Accept": "text/html", "Accept-Encoding": "gzip"}


def measure() -> Iterator[dict[str, object]]:
    # Standard output is for the results; the node's log of requests has no business there.
    configure("bench")
    with tempfile.TemporaryDirectory() as folder:
        yield from _central(Path(folder), Plan())
    with tempfile.TemporaryDirectory() as folder:
        yield from _counter(Path(folder), 10_000)


def _central(folder: Path, plan: Plan) -> Iterator[dict[str, object]]:
    held = {"sessions": plan.sessions, "nodes": plan.nodes, "days": plan.days}
    with office(folder, plan) as central, _client(central.url) as client:
        central.account("wang", "admin")
        yield _page(client, "central", "/sign-in", held)
        typed = {"name": "wang", "password": PASSWORD, "next": "/password"}
        _must(client.post("/sign-in", data=typed), 303)
        node, session = central.sessions[-plan.nodes * 3]
        day = (datetime.now().astimezone() - timedelta(days=2)).strftime("%Y-%m-%d")
        at = f"/sessions/{session}?node={node}"
        yield _page(client, "central", at, held, "/sessions/ID (reason)")
        form = client.get(at).text
        csrf, choice = CSRF.findall(form)[0], CHOICE.findall(form)[0]
        _must(client.post(at, data={"csrf": csrf, "choice": choice}), 303)
        pages = {
            "/sessions": "/sessions",
            "/sessions?show=all": "/sessions (all)",
            at: "/sessions/ID",
            f"/sessions/{session}/footage?node={node}": "/sessions/ID/footage",
            f"/sessions/{session}/badges?node={node}": "/sessions/ID/badges",
            f"/sessions/{session}/replay.json?node={node}": "/sessions/ID/replay.json",
            "/nodes": "/nodes",
            f"/nodes/one?node={node}": "/nodes/one",
            "/nodes/enrol": "/nodes/enrol",
            "/coverage": "/coverage",
            f"/coverage/day?node={node}&camera={CAMERAS[0][0]}&day={day}": "/coverage/day",
            "/accounts": "/accounts",
            "/access": "/access",
            "/password": "/password",
        }
        for address, name in pages.items():
            yield _page(client, "central", address, held, name)


def _counter(data: Path, count: int) -> Iterator[dict[str, object]]:
    config = config_for(data)
    store = config.open_store()
    keys = KeyDirectory(data / "keys")
    app = create_app(
        store=store,
        verifier=FakeVerifier(store, keys.signer("signing")),
        keys=keys,
        config=config,
    )
    newest = store.ids.new()
    with store.write() as connection:
        for number in range(count):
            session = newest if number == count - 1 else store.ids.new()
            insert_session(connection, session, "counter-1", store.clock.now())
            for payload in _business(session, to_text(store.clock.now()), number == count - 1):
                append(store, connection, payload, counter="counter-1")
            if session != newest:
                mark_closed(connection, session, store.clock.now())
    held: dict[str, int] = {"sessions": count}
    try:
        with served(app) as url, _client(url) as client:
            yield _page(client, "counter", "/", held, "/ (pairing)")
            code = new_code(store, "counter-1", store.clock)
            _must(client.post("/counter/pairing", data={"code": code, "name": "till"}), 303)
            yield _page(client, "counter", "/", held)
            at = f"/counter/sessions/{newest}"
            yield _page(client, "counter", at, held, "/counter/sessions/ID")
            yield _page(client, "counter", "/counter/condition", held)
            yield _page(client, "counter", "/counter/pair", held)
    finally:
        store.close()


def _business(session: str, now: str, stays_open: bool) -> Iterator[Frozen]:
    yield p.SessionOpened(
        session=session, terminal=g.B, operator="op-7", claim=g.CLAIM,
        claim_digest=claim_digest(g.CLAIM),
    )  # fmt: skip
    if not stays_open:
        yield p.SessionClosed(session=session, outcome="settled", opened_at=now, closed_at=now)


def _page(
    client: httpx.Client, service: str, address: str, held: dict[str, int], name: str | None = None
) -> dict[str, object]:
    """Return one line about one page. Raises AssertionError for one that does not answer."""
    first = _must(client.get(address), 200)
    assets = {path: _weight(client, path) for path in sorted(set(ASSET.findall(first.text)))}
    weight = first.num_bytes_downloaded + sum(assets.values())
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        _must(client.get(address), 200)
        took.append((time.perf_counter() - begun) * 1000)
    return {
        "bench": "pages",
        "service": service,
        "page": name or address,
        "held": held,
        "page_bytes": first.num_bytes_downloaded,
        "first_visit_bytes": weight,
        "limit_bytes": LIMIT_BYTES,
        "within": weight < LIMIT_BYTES,
        "p50_ms": round(statistics.median(took), 1),
        "p95_ms": round(statistics.quantiles(took, n=20)[-1], 1),
        "rounds": ROUNDS,
    }


def _weight(client: httpx.Client, path: str) -> int:
    return _must(client.get(path), 200).num_bytes_downloaded


def _must(answer: httpx.Response, status: int) -> httpx.Response:
    if answer.status_code != status:
        raise AssertionError(
            f"{answer.request.method} {answer.request.url}: {answer.status_code}, not {status}:"
            f" {answer.text[:300]}"
        )
    return answer


def _client(url: str) -> httpx.Client:
    headers = {**HTML, "Origin": url, "Sec-Fetch-Site": "same-origin"}
    return httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60)
