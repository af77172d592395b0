"""A paired browser at a counter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from edge.terminal import pairing
from retention.store.database import NodeStore
from tests.edge.terminal.pages.visitor import Page, Visitor

NUMBER = "11010519491231002X"
NAME = "张小三"

Visiting = Callable[..., Visitor]


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
