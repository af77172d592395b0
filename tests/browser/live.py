"""What the browser tests do with the running demo: purchases, footage, accounts."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from edge.simulators.demo_config import NODE, PHARMACIST
from edge.simulators.demo_stack import DemoFailed, DemoStack
from edge.simulators.pharmacy import PharmacyClient
from retention.records.clock import to_micros
from tests.browser.office import fill_sign_in

PASSWORD = "a long enough 密码"
COVERAGE_SECONDS, FOOTAGE_SECONDS, GAP_SECONDS = 60.0, 90.0, 30.0
FILMED_SECONDS = 5.0  # of a session, before its camera is unplugged
WHOLE_SECONDS = 4.0  # longer than the demo's pre-roll


def account(stack: DemoStack, name: str, role: str) -> None:
    """Give somebody an account at the demo's central, as its operator would."""
    made = subprocess.run(
        [
            sys.executable, "-P", "-m", "countersight", "central", "account", "--config",
            str(stack.data / "central.toml"), "--name", name, "--role", role, "--password-stdin",
        ],
        input=PASSWORD.encode(),
        capture_output=True,
        timeout=60,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr.decode(errors="replace")


def purchase(stack: DemoStack, client: PharmacyClient, *, gap_of: str | None = None) -> str:
    """Run a purchase that a pharmacist attests after the face, which flags it; return its session.

    `gap_of` names a camera that is then unplugged until its gap is a row. What an earlier test
    unplugged is over: no gap but that one is part of the session.
    """
    stack.wait_for("whole footage", lambda: not recent_gaps(stack), COVERAGE_SECONDS)
    began = time.monotonic()
    session = str(client.open()["session"])
    client.basket(session)
    client.verify(session)
    client.attest(session, PHARMACIST, stack.pharmacist_secret)
    if gap_of is not None:
        # There is footage of the session to look at before anything is unplugged.
        stack.wait_for("footage", lambda: time.monotonic() - began > FILMED_SECONDS, GAP_SECONDS)
        before = gaps(stack, gap_of)
        stack.cameras.control(gap_of).unplug()
        try:
            stack.wait_for("gap", lambda: gaps(stack, gap_of) > before, GAP_SECONDS)
        finally:
            stack.cameras.control(gap_of).plug()
        stack.wait_for("end of the gap", lambda: gaps(stack, gap_of, open_ones=True) == 0, 30)
    client.authorise(session)
    client.settle(session)
    client.close(session, "settled")
    stack.wait_for("coverage at central", lambda: covered(stack, session), COVERAGE_SECONDS)
    return session


def covered(stack: DemoStack, session: str) -> bool:
    try:
        return bool(stack.central_get(f"/v1/sessions/{session}")["coverage"])
    except DemoFailed:  # not projected yet
        return False


def recent_gaps(stack: DemoStack) -> int:
    """Return how many gaps of any camera's footage a session that is opened now would hold."""
    store = stack.edge_config.open_store()
    try:
        since = to_micros(store.clock.now()) - round(WHOLE_SECONDS * 1e6)
        with store.read() as connection:
            query = "SELECT count(*) FROM gaps WHERE layer = 'footage'"
            (count,) = connection.execute(
                query + " AND (ended_at IS NULL OR ended_at > ?)", (since,)
            ).fetchone()
            return int(count)
    finally:
        store.close()


def gaps(stack: DemoStack, camera: str, *, open_ones: bool = False) -> int:
    """Return how many gaps the node knows of a camera, or how many of them are open."""
    store = stack.edge_config.open_store()
    try:
        with store.read() as connection:
            query = "SELECT count(*) FROM gaps WHERE camera = ?"
            (count,) = connection.execute(
                query + (" AND ended_at IS NULL" if open_ones else ""), (camera,)
            ).fetchone()
            return int(count)
    finally:
        store.close()


def fetch_footage(stack: DemoStack, session: str) -> list[dict[str, Any]]:
    """Ask for the footage of a session and wait until it is at central; return its segments."""
    stack.central_post(f"/v1/sessions/{session}/footage", {"reason": "随机复审"})
    found: dict[str, Any] = {}

    def concluded() -> bool:
        found.update(stack.central_get(f"/v1/sessions/{session}/footage")["commands"][0])
        return found["outcome"] is not None

    stack.wait_for("footage at central", concluded, FOOTAGE_SECONDS)
    assert found["outcome"] == "sent", found
    segments: list[dict[str, Any]] = found["segments"]
    return segments


def file_at_central(stack: DemoStack, segment: dict[str, Any]) -> Path:
    return stack.data / "central" / "footage" / Path(segment["path"])


def address(stack: DemoStack, session: str) -> str:
    return f"{stack.central_url}/sessions/{session}?node={NODE}"


def open_session(page: Page, url: str, name: str, reason: str = "随机复审") -> None:
    """Go to a session's page, signing in and giving a reason where they are asked for."""
    page.goto(url)
    if page.locator("[data-test=sign-in]").count():
        fill_sign_in(page, name, PASSWORD)
    give_reason(page, reason)


def give_reason(page: Page, reason: str = "随机复审") -> None:
    form = page.locator("[data-test=opening]")
    expect(form).to_be_visible()
    form.get_by_label(reason).check()
    form.locator("button.primary").click()
    expect(form).to_have_count(0)
