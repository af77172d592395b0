"""The HTTP side: who may ask, what is answered, and that every look is written down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from central.config import CentralConfig
from central.keys import CentralKeys
from central.projector import project_all
from central.web.app import create_app
from central.web.state import WebState
from retention.records.ids import SeededIds
from retention.store.log import append
from tests.central.wirekit import (
    CENTRAL_SIGNER,
    KEY,
    NODE_SIGNER,
    OTHER_KEY,
    TestCentral,
    TestNode,
    settle,
)
from tests.golden.samples import SAMPLES, A
from tests.serving import served

TOKEN = "a-token-for-tests"
ENROLMENT = {
    "agency": "430100",
    "pharmacy": "P43010000001",
    "node": "node-a",
    "curve_public_key": KEY,
    "signing_public_key": NODE_SIGNER.public_key.hex(),
}


@pytest.fixture
def web(central: TestCentral, tmp_path: Path) -> Iterator[httpx.Client]:
    config = CentralConfig.model_validate({"storage": {"data": str(tmp_path)}})
    state = WebState(
        config=config,
        database=central.database,
        keys=CentralKeys(CENTRAL_SIGNER, OTHER_KEY, ""),
        clock=central.clock,
        ids=SeededIds(7),
        admin_sha256=hashlib.sha256(TOKEN.encode()).hexdigest(),
    )
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Reason": "case 12"}
    with (
        served(create_app(state)) as url,
        httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as client,
    ):
        yield client


@pytest.fixture
def one_session(node: TestNode, central: TestCentral) -> str:
    """Every kind of record once, at central and projected; all of one session."""
    with node.store.write() as connection:
        for sample in SAMPLES:
            append(node.store, connection, sample, counter="counter-1")
    settle(node, central)
    project_all(central.database)
    return A


@pytest.mark.parametrize(
    "path", ["/v1/nodes", "/v1/keys", "/v1/records?node=node-a", "/v1/sessions", "/v1/access"]
)
@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_the_token_nothing_is_told(web: httpx.Client, path: str, token: str | None) -> None:
    web.headers.pop("Authorization")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    found = web.get(path, headers=headers)
    assert found.status_code == 401
    assert found.headers["content-type"] == "application/problem+json"
    assert found.json()["code"] == "UNAUTHENTICATED"


def test_enrolling_again_changes_nothing(web: httpx.Client) -> None:
    new = {**ENROLMENT, "node": "node-b", "curve_public_key": OTHER_KEY}
    assert web.post("/v1/nodes", json=new).status_code == 201
    assert web.post("/v1/nodes", json=new).status_code == 200
    assert [node["node"] for node in web.get("/v1/nodes").json()["nodes"]] == ["node-a", "node-b"]


@pytest.mark.parametrize("change", [{"node": "node-b"}, {"curve_public_key": OTHER_KEY}])
def test_key_or_node_enrolled_otherwise_is_a_conflict(
    web: httpx.Client, change: dict[str, str]
) -> None:
    assert web.post("/v1/nodes", json={**ENROLMENT, **change}).status_code == 409


def test_revoked_node_is_refused_and_stays_revoked(
    web: httpx.Client, node: TestNode, central: TestCentral
) -> None:
    assert web.post("/v1/nodes/node-a/revoke").json()["revoked_at"] is not None
    (hello,) = node.machine.tick(0.0)
    assert central.handle(hello)[0][1] == b"refused"
    assert web.post("/v1/nodes", json=ENROLMENT).status_code == 409


def test_unknown_field_is_named(web: httpx.Client) -> None:
    found = web.post("/v1/nodes", json={**ENROLMENT, "colour": "blue"})
    assert found.status_code == 422
    assert "colour" in found.json()["detail"]


def test_half_a_character_is_refused(web: httpx.Client) -> None:
    body = json.dumps({**ENROLMENT, "\ud800": 1}).encode()
    found = web.post("/v1/nodes", content=body, headers={"Content-Type": "application/json"})
    assert (found.status_code, found.json()["code"]) == (422, "INVALID_REQUEST")


def test_large_body_is_refused(web: httpx.Client) -> None:
    found = web.post("/v1/nodes", content=b"x" * 70_000)
    assert (found.status_code, found.json()["code"]) == (413, "TOO_LARGE")


def test_deeply_nested_body_is_refused(web: httpx.Client) -> None:
    found = web.post(
        "/v1/nodes", content=b"[" * 30_000, headers={"Content-Type": "application/json"}
    )
    assert (found.status_code, found.json()["code"]) == (400, "INVALID_REQUEST")


def test_unknown_address_and_unknown_session_are_problems(web: httpx.Client) -> None:
    assert web.get("/v1/nothing").json()["code"] == "NOT_FOUND"
    found = web.get(f"/v1/sessions/{A}")
    assert (found.status_code, found.json()["code"]) == (404, "SESSION_UNKNOWN")


def test_session_is_told_in_full(web: httpx.Client, one_session: str) -> None:
    found = web.get(f"/v1/sessions/{one_session}").json()
    assert found["summary"]["counter"] == "counter-1"
    assert found["summary"]["decision"] == "ACCEPT"
    assert found["steps"][0]["kind"] == "session.opened"
    assert found["receipt"]["receipt"]["outcome"] == "ACCEPT"
    assert found["coverage"]["owed_ms"] > found["coverage"]["covered_ms"]
    codes = {flag["code"] for flag in found["summary"]["flags"]}
    assert {"PROXY", "GATE_REFUSED", "COVERAGE_SHORT"} <= codes
    assert found["footage"]["commands"] == []


def test_flagged_sessions_are_found_by_flag_and_pharmacy(
    web: httpx.Client, one_session: str
) -> None:
    def sessions(query: str) -> list[str]:
        return [item["session"] for item in web.get(f"/v1/sessions?{query}").json()["sessions"]]

    assert one_session in sessions("flagged=true")
    assert one_session not in sessions("flagged=false")
    assert sessions("pharmacy=P43010000001") == sessions("")
    assert sessions("pharmacy=P9") == []


def test_every_reading_of_a_session_is_written_down(web: httpx.Client, one_session: str) -> None:
    web.get(f"/v1/sessions/{one_session}")
    web.get(f"/v1/sessions/{one_session}?reason=audit", headers={"X-Reason": ""})
    found = web.get("/v1/access").json()["access"]
    rows = [row for row in found if row["action"] == "session.read"]
    assert [row["reason"] for row in rows] == ["case 12", "audit"]
    assert {row["subject"] for row in rows} == {f"session {one_session}"}
    assert {row["actor"] for row in rows} == {"admin token"}


@pytest.mark.parametrize(
    ("path", "action"),
    [
        ("/v1/nodes", "nodes.list"),
        ("/v1/keys", "keys.read"),
        ("/v1/records?node=node-a", "records.read"),
        ("/v1/sessions", "sessions.list"),
        (f"/v1/sessions/{A}", "session.read"),
        (f"/v1/sessions/{A}/footage", "footage.read"),
        ("/v1/access", "access.read"),
    ],
)
def test_no_reading_goes_without_a_row(
    web: httpx.Client, one_session: str, path: str, action: str
) -> None:
    assert web.get(path).status_code == 200
    rows = [row for row in web.get("/v1/access").json()["access"] if row["action"] == action]
    assert rows[0]["reason"] == "case 12"
    assert rows[0]["actor"] == "admin token"


def test_reason_may_be_chinese_and_not_endless(web: httpx.Client, one_session: str) -> None:
    web.get(f"/v1/sessions/{one_session}", headers={"X-Reason": "随机复审".encode()})
    rows = web.get("/v1/access").json()["access"]
    assert rows[0]["reason"] == "随机复审"
    assert web.get("/v1/nodes", headers={"X-Reason": "x" * 201}).status_code == 422
    for reason in ("", "   "):
        asked = {"reason": reason}
        assert web.post(f"/v1/sessions/{one_session}/footage", json=asked).status_code == 422


def test_node_with_a_slash_in_its_id_can_be_revoked(web: httpx.Client) -> None:
    new = {**ENROLMENT, "node": "shop/b", "curve_public_key": OTHER_KEY}
    assert web.post("/v1/nodes", json=new).status_code == 201
    assert web.post("/v1/nodes/shop/b/revoke").json()["revoked_at"] is not None
    assert web.post("/v1/nodes/shop/c/revoke").json()["code"] == "NODE_UNKNOWN"


def test_wrong_method_is_a_problem_that_tells_the_right_one(web: httpx.Client) -> None:
    found = web.delete("/v1/nodes")
    assert found.status_code == 405
    assert found.headers["allow"] in ("GET", "POST", "GET, POST")
    assert found.headers["content-type"] == "application/problem+json"


def test_fault_inside_is_a_problem_too(web: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the token is hunter2")

    monkeypatch.setattr("central.web.queries.nodes", fail)
    found = web.get("/v1/nodes")
    assert (found.status_code, found.json()["code"]) == (500, "INTERNAL_ERROR")
    assert found.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in found.text


def test_database_that_cannot_be_written_refuses_to_show_anything(
    web: httpx.Client, central: TestCentral, one_session: str
) -> None:
    with central.database.write() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    found = web.get(f"/v1/sessions/{one_session}")
    assert (found.status_code, found.json()["code"]) == (503, "STORAGE_UNAVAILABLE")


def test_asking_for_footage_makes_one_signed_command(
    web: httpx.Client, central: TestCentral, one_session: str
) -> None:
    found = web.post(f"/v1/sessions/{one_session}/footage", json={"reason": "case 12"})
    assert found.status_code == 202
    (command,) = found.json()["commands"]
    assert (command["reason"], command["outcome"]) == ("case 12", None)
    assert web.post(f"/v1/sessions/{one_session}/footage", json={}).status_code == 422


def test_records_are_paged_in_order(web: httpx.Client, one_session: str) -> None:
    first = web.get("/v1/records?node=node-a&limit=5").json()
    assert [row["sent_sequence"] for row in first["records"]] == [0, 1, 2, 3, 4]
    second = web.get(f"/v1/records?node=node-a&limit=5&after={first['next_after']}").json()
    assert second["records"][0]["sent_sequence"] == 5
    only = web.get("/v1/records?node=node-a&kind=session.opened").json()["records"]
    assert {row["kind"] for row in only} == {"session.opened"}
    assert web.get("/v1/records?node=node-z").json()["code"] == "NODE_UNKNOWN"


def test_keys_are_what_a_node_needs(web: httpx.Client) -> None:
    assert web.get("/v1/keys").json() == {
        "endpoint": "tcp://127.0.0.1:7320",
        "server_key": OTHER_KEY,
        "signing_key": CENTRAL_SIGNER.public_key.hex(),
    }


def test_health_metrics_and_openapi_need_no_token(web: httpx.Client, one_session: str) -> None:
    web.headers.pop("Authorization")
    assert web.get("/healthz").json() == {"status": "ok"}
    assert "countersight_central_records " in web.get("/metrics").text
    assert "/v1/sessions/{session}/footage" in web.get("/openapi.json").json()["paths"]


def test_database_without_its_schema_is_not_ready(web: httpx.Client) -> None:
    assert web.get("/readyz").status_code == 503
