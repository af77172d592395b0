"""A paired browser at a counter.

One counter is served for the tests of a module, because making and starting one costs more than
most of them. Each test begins with the database as it was when new and with a verifier that
accepts; clock and ids go on, so nothing that is remembered meets again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from fastapi import FastAPI

from edge.config import EdgeConfig
from edge.terminal import pairing, pharmacists
from edge.terminal.app import create_app
from retention.keyfiles import KeyDirectory
from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.store.database import NodeStore
from tests.conftest import IDENTITY
from tests.edge.counter_kit import FakeVerifier, config_for
from tests.edge.terminal.pages.visitor import Page, Visitor
from tests.serving import served

NUMBER = "11010519491231002X"
CHILD = "430102201803077005"
NAME = "张小三"
PHARMACIST = ("ph-3", "correct horse")

Visiting = Callable[..., Visitor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("counter")


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def keys(folder: Path) -> KeyDirectory:
    return KeyDirectory(folder / "keys")


@pytest.fixture(scope="module")
def config(folder: Path) -> EdgeConfig:
    return config_for(folder)


@pytest.fixture(scope="module")
def only_store(folder: Path, clock: ManualClock) -> Iterator[NodeStore]:
    with closing(NodeStore(folder / "node.sqlite3", IDENTITY, clock, SeededIds())) as opened:
        pharmacists.add(opened, *PHARMACIST)
        yield opened


@pytest.fixture(scope="module")
def as_new(only_store: NodeStore) -> Iterator[sqlite3.Connection]:
    """A copy of the database before any test."""
    with closing(sqlite3.connect(":memory:")) as copy:
        with only_store.read() as connection:
            connection.backup(copy)
        yield copy


@pytest.fixture(scope="module")
def only_verifier(only_store: NodeStore, keys: KeyDirectory) -> FakeVerifier:
    return FakeVerifier(only_store, keys.signer())


@pytest.fixture(scope="module")
def app(
    only_store: NodeStore, only_verifier: FakeVerifier, keys: KeyDirectory, config: EdgeConfig
) -> FastAPI:
    return create_app(store=only_store, verifier=only_verifier, keys=keys, config=config)


@pytest.fixture(scope="module")
def address(app: FastAPI) -> Iterator[str]:
    with served(app) as found:
        yield found


@pytest.fixture
def store(only_store: NodeStore, as_new: sqlite3.Connection) -> NodeStore:
    with only_store.write() as connection:
        connection.rollback()  # the database is replaced as a whole, in no transaction
        as_new.backup(connection)
    return only_store


@pytest.fixture
def verifier(only_verifier: FakeVerifier) -> FakeVerifier:
    vars(only_verifier).update(vars(FakeVerifier(only_verifier.store, only_verifier.signer)))
    return only_verifier


@pytest.fixture
def url(address: str, store: NodeStore, verifier: FakeVerifier) -> str:
    """The address of a counter that is as new."""
    return address


@pytest.fixture
def pharmacist(store: NodeStore) -> tuple[str, str]:
    return PHARMACIST


@pytest.fixture
def visiting(url: str, store: NodeStore) -> Iterator[Visiting]:
    """Return a browser that was paired through the page."""
    with ExitStack() as stack:

        def at(counter: str | None = "counter-1", lang: str = "zh", address: str = url) -> Visitor:
            visitor = Visitor(address, lang)
            stack.callback(visitor.close)
            if counter is not None:
                code = pairing.new_code(store, counter, store.clock)
                page = visitor.get(f"/?code={code}")
                assert visitor.send(page.form("/counter/pairing")).status == 200
            return visitor

        yield at


@pytest.fixture
def visitor(visiting: Visiting) -> Visitor:
    return visiting()


@pytest.fixture
def opened(visitor: Visitor) -> Page:
    """Return the page of a session that was just opened."""
    return open_session(visitor)


def open_session(visitor: Visitor, **changes: str) -> Page:
    values = {
        "claim.certificate.type": "02",
        "claim.certificate.number": NUMBER,
        "claim.name": NAME,
        "operator": "op-7",
    } | changes
    page = visitor.send(visitor.get("/").form("/counter/sessions"), values)
    assert page.status == 200, page.text
    assert "/counter/sessions/" in page.url
    return page
