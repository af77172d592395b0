"""A central in the test's own process, on a real socket: its clock and its rows belong to the test.

For what a running demo cannot show in seconds: thousands of sessions, a cookie that expires, a node
that has been silent for days, the very first start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page, expect

from central import passwords
from central.accounts import Role, add
from central.config import CentralConfig
from central.database import Database
from central.keys import load_keys
from central.tables import Base
from central.web.app import create_app
from central.web.state import WebState
from retention.records.clock import ManualClock, to_micros
from retention.records.ids import SystemIds
from tests.browser.rows import Plan, fill
from tests.serving import served

TOKEN = "a-token-for-the-first-account"
PASSWORD = "correct horse 电池"


@dataclass(frozen=True, slots=True)
class Office:
    """`sessions` are (node, session), oldest first, when the office was filled."""

    url: str
    folder: Path
    database: Database
    clock: ManualClock
    sessions: tuple[tuple[str, str], ...]

    def account(self, name: str, role: Role) -> None:
        """Give somebody an account whose password is PASSWORD."""
        with self.database.write() as connection:
            add(
                connection, name=name, role=role, password_hash=passwords.hashed(PASSWORD),
                now=to_micros(self.clock.now()), by="test", must_change=False,
            )  # fmt: skip


@contextmanager
def office(folder: Path, plan: Plan | None = None) -> Iterator[Office]:
    """Serve a central whose data lies in `folder`, filled by `plan`."""
    clock = ManualClock(datetime.now(UTC))
    folder.mkdir(parents=True, exist_ok=True)
    config = CentralConfig.model_validate({"storage": {"data": str(folder)}})
    database = Database(f"sqlite:///{folder / 'central.sqlite3'}")
    with database.write() as connection:
        Base.metadata.create_all(connection)
    made = fill(database, clock.now(), plan) if plan is not None else []
    state = WebState(
        config=config,
        database=database,
        keys=load_keys(config),
        clock=clock,
        ids=SystemIds(),
        admin_sha256=hashlib.sha256(TOKEN.encode()).hexdigest(),
    )
    try:
        with served(create_app(state)) as url:
            yield Office(url, folder, database, clock, tuple(made))
    finally:
        database.close()


def sign_in(page: Page, url: str, name: str, password: str = PASSWORD) -> None:
    """Sign in by the form and wait for the page behind it."""
    page.goto(f"{url}/sign-in")
    fill_sign_in(page, name, password)
    expect(page.locator("[data-test=sign-in]")).to_have_count(0)


def fill_sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    form = page.locator("[data-test=sign-in]")
    form.locator("[name=name]").fill(name)
    form.locator("[name=password]").fill(password)
    form.locator("button").click()
