"""Two nodes that use one session id: neither can put its session in the other's place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert

from central.config import CentralConfig
from central.keys import CentralKeys
from central.tables import Node, Session, table_of
from central.web.app import create_app
from central.web.state import WebState
from retention.records.ids import SeededIds
from tests.central.wirekit import CENTRAL_SIGNER, OTHER_KEY, TestCentral
from tests.golden.samples import A
from tests.serving import served

CALLS = (("GET", ""), ("GET", "/footage"), ("POST", "/footage"))


@pytest.fixture
def web(central: TestCentral, tmp_path: Path) -> Iterator[httpx.Client]:
    """An administrator's client of a central where `node-a` and `shop/b` have session A."""
    with central.database.write() as connection:
        connection.execute(
            insert(table_of(Node)).values(
                agency="430100", pharmacy="P2", node="shop/b", curve_key=OTHER_KEY,
                signing_key="d" * 64, enrolled_at=0,
            )
        )  # fmt: skip
        for node, pharmacy, opened_at in (("node-a", "P1", 2_000_000), ("shop/b", "P2", 1_000_000)):
            connection.execute(
                insert(table_of(Session)).values(
                    agency="430100", pharmacy=pharmacy, node=node, session=A, opened_at=opened_at,
                    proxy=0,
                )
            )  # fmt: skip
    state = WebState(
        config=CentralConfig.model_validate({"storage": {"data": str(tmp_path)}}),
        database=central.database,
        keys=CentralKeys(CENTRAL_SIGNER, OTHER_KEY, ""),
        clock=central.clock,
        ids=SeededIds(7),
        admin_sha256=hashlib.sha256(b"token").hexdigest(),
    )
    with (
        served(create_app(state)) as url,
        httpx.Client(
            base_url=url, headers={"Authorization": "Bearer token"}, trust_env=False, timeout=30
        ) as client,
    ):
        yield client


def ask(web: httpx.Client, method: str, path: str, node: str | None = None) -> httpx.Response:
    given = {"json": {"reason": "case 12"}} if method == "POST" else {}
    query = {} if node is None else {"node": node}
    return web.request(method, f"/v1/sessions/{A}{path}", params=query, **given)  # type: ignore[arg-type]


def test_id_that_several_nodes_use_must_name_its_node(web: httpx.Client) -> None:
    for method, path in CALLS:
        found = ask(web, method, path)
        assert (found.status_code, found.json()["code"]) == (409, "SESSION_AMBIGUOUS")
        assert found.json()["nodes"] == ["node-a", "shop/b"]
    assert web.get(f"/v1/sessions/{A}/footage?node=shop/b").json()["commands"] == []


def test_named_node_is_the_one_that_is_told_and_asked(web: httpx.Client) -> None:
    for node, pharmacy in (("node-a", "P1"), ("shop/b", "P2")):
        assert ask(web, "GET", "", node).json()["summary"]["pharmacy"] == pharmacy
        assert ask(web, "POST", "/footage", node).status_code == 202
        assert len(ask(web, "GET", "/footage", node).json()["commands"]) == 1


def test_node_that_has_no_such_session_is_not_answered_with_anothers(web: httpx.Client) -> None:
    for method, path in CALLS:
        found = ask(web, method, path, "node-z")
        assert (found.status_code, found.json()["code"]) == (404, "SESSION_UNKNOWN")
