"""Central's pages on a real socket, and browsers that sign in (without a browser's own rules)."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from central import accounts, passwords
from central.config import CentralConfig
from central.database import Database
from central.keys import CentralKeys
from central.tables import Access, table_of
from central.web.app import create_app
from central.web.state import WebState
from retention.records.clock import Clock, ManualClock
from retention.records.ids import SeededIds
from tests.central.wirekit import CENTRAL_SIGNER, OTHER_KEY, TestCentral
from tests.serving import served

TOKEN = "a-token-for-tests"
PASSWORD = "sieben Zwerge, ein Berg"
ACCESS = table_of(Access)
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # making one for each browser costs 20 ms


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords kept with the cheapest parameters, so that tests are quick."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "HASHER", quick)
    passwords._nobody.cache_clear()


@dataclass
class Pages:
    """Central's web application and its database; `browser()` is somebody who looks at it."""

    state: WebState
    central: TestCentral
    url: str
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def clock(self) -> ManualClock:
        return self.central.clock

    def browser(self) -> httpx.Client:
        """Return a browser that asks for pages, follows nothing by itself and is signed out."""
        made = httpx.Client(
            base_url=self.url, headers={"Accept": "text/html"}, trust_env=False, timeout=20,
            verify=NO_TLS,
        )  # fmt: skip
        self.clients.append(made)
        return made

    def account(self, name: str, role: accounts.Role, *, must_change: bool = False) -> None:
        """Make an account whose password is PASSWORD."""
        with self.central.database.write() as connection:
            accounts.add(
                connection, name=name, role=role, password_hash=passwords.hashed(PASSWORD),
                now=self.state.now(), by="test", must_change=must_change,
            )  # fmt: skip

    def signed_in(self, name: str = "li", role: accounts.Role = "inspector") -> httpx.Client:
        """Return a browser in which a new account is signed in."""
        self.account(name, role)
        browser = self.browser()
        assert sign_in(browser, name).status_code == 303
        return browser

    def rows(self, action: str) -> list[tuple[str, str]]:
        """Return actor and subject of the access rows of an action, oldest first."""
        with self.central.database.read() as connection:
            found = connection.execute(
                ACCESS.select().where(ACCESS.c.action == action).order_by(ACCESS.c.id)
            )
            return [(row.actor, row.subject) for row in found]


def sign_in(
    browser: httpx.Client, name: str, password: str = PASSWORD, next: str = "/"
) -> httpx.Response:
    return browser.post("/sign-in", data={"name": name, "password": password, "next": next})


def csrf(browser: httpx.Client, path: str = "/password") -> str:
    """Return what the forms of a page carry."""
    shown = browser.get(path)
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', shown.text)
    assert found is not None, (shown.status_code, shown.headers, shown.text[:2000])
    return found.group(1)


@pytest.fixture(scope="session")
def office() -> Iterator[tuple[FastAPI, str]]:
    """The application on its address, one for all tests; `_pages` gives it a test's own state."""
    state = mock.create_autospec(WebState, instance=True, clock=mock.create_autospec(Clock))
    app = create_app(state)
    with served(app) as url:
        yield app, url


@pytest.fixture
def pages(office: tuple[FastAPI, str], central: TestCentral, tmp_path: Path) -> Iterator[Pages]:
    yield from _pages(office, central, tmp_path)


@pytest.fixture
def pages_on_disk(office: tuple[FastAPI, str], tmp_path: Path) -> Iterator[Pages]:
    """The same on a database that several requests use at once, as in earnest."""
    database = Database(f"sqlite:///{tmp_path / 'central.sqlite3'}")
    central = TestCentral(tmp_path, database=database)
    yield from _pages(office, central, tmp_path)
    central.close()


@pytest.fixture
def pages_behind_tls(
    office: tuple[FastAPI, str], central: TestCentral, tmp_path: Path
) -> Iterator[Pages]:
    """The same behind a proxy that ends TLS."""
    yield from _pages(office, central, tmp_path, public_url="https://review.example")


def _pages(
    office: tuple[FastAPI, str], central: TestCentral, folder: Path, **web: str
) -> Iterator[Pages]:
    app, url = office
    config = CentralConfig.model_validate({"storage": {"data": str(folder)}, "web": web})
    state = WebState(
        config=config,
        database=central.database,
        keys=CentralKeys(CENTRAL_SIGNER, OTHER_KEY, ""),
        clock=central.clock,
        ids=SeededIds(7),
        admin_sha256=hashlib.sha256(TOKEN.encode()).hexdigest(),
    )
    app.state.countersight = state
    app.state.verifications = None  # what was found of files belongs to the folder of a test
    app.state.pages._clock = central.clock
    made = Pages(state, central, url)
    yield made
    for client in made.clients:
        client.close()
