"""Whatever is sent to any path of the OpenAPI document: an error is always problem details."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central.config import CentralConfig
from central.keys import CentralKeys
from central.projector import project_all
from central.web.app import create_app
from central.web.state import WebState
from retention.records.ids import SeededIds
from retention.store.log import append
from tests.central.test_central_web import ENROLMENT, TOKEN
from tests.central.wirekit import CENTRAL_SIGNER, OTHER_KEY, TestCentral, TestNode, settle
from tests.golden.samples import SAMPLES, A
from tests.serving import served

CONTROLS = bytes([*range(32), 127])  # no client library sends these in a header
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
PHARMACY = {"agency": "430100", "pharmacy": "P43010000001"}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/nodes": {**ENROLMENT},
    "/v1/sessions/{session}/footage": {"reason": "x", "cameras": []},
    "/v1/audits": {"node": "node-a", "samples": 3, "seconds": 60, "reason": "x"},
    "/v1/holds": {**PHARMACY, "scope": "pharmacy", "reason": "x"},
    "/v1/holds/{hold}/release": {"reason": "x"},
    "/v1/policies": {**PHARMACY, "policy": "p", "years": {"footage": 2}, "reason": "x"},
}


@pytest.fixture
def web(central: TestCentral, node: TestNode, tmp_path: Path) -> Iterator[httpx.Client]:
    with node.store.write() as connection:
        for sample in SAMPLES:
            append(node.store, connection, sample, counter="counter-1")
    settle(node, central)
    project_all(central.database)
    state = WebState(
        config=CentralConfig.model_validate({"storage": {"data": str(tmp_path)}}),
        database=central.database,
        keys=CentralKeys(CENTRAL_SIGNER, OTHER_KEY, ""),
        clock=central.clock,
        ids=SeededIds(7),
        admin_sha256=hashlib.sha256(TOKEN.encode()).hexdigest(),
    )
    with (
        served(create_app(state)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as client,
    ):
        yield client


@pytest.fixture
def operations(web: httpx.Client) -> list[tuple[str, str, list[str]]]:
    """Every method, path and its query parameters, as the document tells them."""
    return [
        (method.upper(), path, [one["name"] for one in found.get("parameters", ())])
        for path, methods in web.get("/openapi.json").json()["paths"].items()
        for method, found in methods.items()
    ]


texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.sampled_from(["", A, "node-a", "-1", "9" * 30, "1e9", "true", "\0", "..", "%2e%2e/", "NaN"]),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
raw_bodies = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b'{"\\ud800":1}', b'{"reason":"\\ud800"}', b"[" * 20_000, b"x" * 70_000]),
)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_every_error_is_problem_details(
    web: httpx.Client, operations: list[tuple[str, str, list[str]]], data: st.DataObject
) -> None:
    method, path, names = data.draw(st.sampled_from(operations))
    method = data.draw(st.sampled_from([method, method, method, *METHODS]))
    address = path
    for name in ("session", "node", "audit", "hold"):
        address = address.replace(f"{{{name}}}", quote(data.draw(texts), safe="/"))
    headers = dict(HEADERS) if data.draw(st.integers(0, 9)) else {}
    if data.draw(st.booleans()):
        latin = st.binary(max_size=300).map(lambda raw: raw.translate(None, CONTROLS).strip())
        headers["X-Reason"] = data.draw(latin)  # type: ignore[assignment]
    found = web.request(
        method,
        address,
        params=[(name, data.draw(texts)) for name in names if data.draw(st.booleans())],
        content=data.draw(_bodies(path)),
        headers=headers,
    )
    if found.status_code >= 400:
        assert found.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "code", "detail"} <= found.json().keys()
        assert found.json()["status"] == found.status_code
    assert found.status_code < 500 or path == "/readyz"
    if not headers.get("Authorization") and path.startswith("/v1"):
        assert found.status_code >= 307


def _bodies(path: str) -> st.SearchStrategy[bytes]:
    """Return bodies near and far from what a path wants."""
    good = BODIES.get(path, {})
    bent = st.dictionaries(st.sampled_from([*good, "x"]), values, max_size=2)
    near = bent.map(lambda change: json.dumps({**good, **change}).encode("utf-8", "replace"))
    return st.one_of(
        st.just(b""), near, values.map(lambda one: json.dumps(one).encode()), raw_bodies
    )


def test_document_tells_every_refusal_and_an_example_of_every_body(web: httpx.Client) -> None:
    document = web.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        if not path.startswith("/v1"):
            continue
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                assert status < "400" or list(answer["content"]) == ["application/problem+json"]
            assert {"401", "413", "422", "500", "503"} <= operation["responses"].keys()
            if "requestBody" in operation:
                name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
                assert document["components"]["schemas"][name.rpartition("/")[2]]["examples"]
