"""What stands before the routes: token, size, shape of JSON; and what never leaves or stays."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from edge.simulators.pharmacy import DAUGHTER, PATIENT, PharmacyClient, ProblemResponse, line
from edge.terminal import app as terminal_app
from edge.terminal import pairing, security
from edge.terminal.models import MAX_PICTURE_TEXT
from edge.terminal.security import MAX_BODY_BYTES
from edge.verifier.protocol import MAX_PICTURE_BYTES
from retention.records.clock import ManualClock
from retention.store.database import NodeStore, StoreUnavailable
from retention.terms.problems import PROBLEM_MEDIA_TYPE
from retention.terms.reasons import BY_CODE
from tests.edge.counter_kit import FakeVerifier, Said

SECRET = "correct horse"


@pytest.fixture
def raw(counter: PharmacyClient, url: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {counter.token}", "Content-Type": "application/json"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=20) as client:
        yield client


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM_MEDIA_TYPE)
    body: dict[str, Any] = response.json()
    assert (body["status"], body["code"], body["title"]) == (status, code, BY_CODE[code].zh)
    return body


ROUTES = [
    ("POST", "/v1/consents"),
    ("DELETE", "/v1/consents/x"),
    ("POST", "/v1/references"),
    ("POST", "/v1/sessions"),
    ("GET", "/v1/sessions"),
    ("GET", "/v1/sessions/x"),
    ("PUT", "/v1/sessions/x/basket"),
    ("PUT", "/v1/sessions/x/prescription"),
    ("POST", "/v1/sessions/x/proxy"),
    ("POST", "/v1/sessions/x/verification"),
    ("POST", "/v1/sessions/x/attestation"),
    ("POST", "/v1/sessions/x/authorisation"),
    ("POST", "/v1/sessions/x/settlement"),
    ("POST", "/v1/sessions/x/settlement-report"),
    ("POST", "/v1/sessions/x/close"),
    ("GET", "/v1/nothing-here"),
]


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Basic Zm9v", "Bearer é"])
def test_without_a_token_every_route_is_shut(url: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as client:
        for method, path in ROUTES:
            answer = client.request(method, path, content=b"{")
            problem(answer, 401, "UNAUTHENTICATED")
            assert answer.headers["www-authenticate"] == "Bearer"


def test_a_revoked_terminal_is_shut_out(
    counter: PharmacyClient, raw: httpx.Client, store: NodeStore
) -> None:
    assert raw.get("/v1/sessions").status_code == 200
    assert pairing.revoke(store, counter.terminal, "lost")
    assert not pairing.revoke(store, counter.terminal, "lost")
    problem(raw.get("/v1/sessions"), 401, "UNAUTHENTICATED")


def test_a_body_over_the_limit_is_refused_whether_announced_or_not(raw: httpx.Client) -> None:
    big = b'"' + b"x" * MAX_BODY_BYTES + b'"'

    def pieces() -> Iterator[bytes]:
        yield from (big[i : i + 8192] for i in range(0, len(big), 8192))

    body = problem(raw.post("/v1/sessions", content=big), 413, "TOO_LARGE")
    assert body["limit"] == MAX_BODY_BYTES
    problem(raw.post("/v1/sessions", content=pieces()), 413, "TOO_LARGE")


def test_a_picture_may_be_larger_but_not_larger_than_its_limit(
    counter: PharmacyClient, raw: httpx.Client
) -> None:
    consent = counter.consent(PATIENT)["consent"]
    assert counter.enrol(consent, PATIENT, b"p" * MAX_PICTURE_BYTES)["reference"]
    over = b"x" * (MAX_PICTURE_TEXT + 5000)
    problem(raw.post("/v1/references", content=over), 413, "TOO_LARGE")
    body = {"consent": consent, "certificate": PATIENT.certificate, "source": "s"}
    not_base64 = raw.post("/v1/references", json=body | {"picture_base64": "%%%%"})
    problem(not_base64, 422, "IMAGE_REFUSED")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 20 + b"1" + b"}" * 20,
        b'{"operator":"a","operator":"b"}',
        b'{"operator":1.5}',
        b'{"operator":NaN}',
        b'{"operator":' + b"9" * 5000 + b"}",
        b'{"operator":"\\ud800"}',
    ],
)
def test_json_that_is_deep_broken_or_ambiguous_is_a_problem(raw: httpx.Client, body: bytes) -> None:
    problem(raw.post("/v1/sessions", content=body), 400, "INVALID_REQUEST")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"text"', b"7"])
def test_json_of_the_wrong_kind_is_a_problem(raw: httpx.Client, body: bytes) -> None:
    problem(raw.post("/v1/sessions", content=body), 422, "INVALID_REQUEST")


def every_body(session: str) -> dict[tuple[str, str], dict[str, Any]]:
    base = f"/v1/sessions/{session}"
    claim = {"certificate": PATIENT.certificate, "name": "张三", "insuplc_admdvs": "430100"}
    return {
        ("POST", "/v1/consents"): {},
        ("POST", "/v1/references"): {},
        ("POST", "/v1/sessions"): {"operator": "op", "claim": claim},
        ("PUT", f"{base}/basket"): {"lines": [line()]},
        ("PUT", f"{base}/prescription"): {},
        ("POST", f"{base}/proxy"): {},
        ("POST", f"{base}/attestation"): {},
        ("POST", f"{base}/settlement"): {"certificate": PATIENT.certificate},
        ("POST", f"{base}/settlement-report"): {},
        ("POST", f"{base}/close"): {"outcome": "abandoned"},
    }


def test_an_unknown_field_is_refused_by_name(counter: PharmacyClient, raw: httpx.Client) -> None:
    session = counter.open()["session"]
    for (method, path), body in every_body(session).items():
        answer = raw.request(method, path, json=body | {"surprise": "张三丰"})
        found = problem(answer, 422, "INVALID_REQUEST")
        assert "body.surprise" in [error["field"] for error in found["errors"]]
        assert "张三丰" not in answer.text


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "0"},
        {"quantity": "-1"},
        {"quantity": "1e3"},
        {"quantity": 1},
        {"unit_price": "abc"},
        {"unit_price": "1" * 9},
        {"name": ""},
        {"name": "x" * 65},
        {"med_list_codg": "a b"},
        {"trace_codes": ["1"] * 51},
        {"line": -1},
        {"prescription_required": "maybe"},
    ],
)
def test_a_line_out_of_range_is_refused(
    counter: PharmacyClient, raw: httpx.Client, change: dict[str, Any]
) -> None:
    session = counter.open()["session"]
    answer = raw.put(f"/v1/sessions/{session}/basket", json={"lines": [line() | change]})
    problem(answer, 422, "INVALID_REQUEST")


def test_a_basket_is_added_up_by_the_node(counter: PharmacyClient, raw: httpx.Client) -> None:
    session = counter.open()["session"]
    path = f"/v1/sessions/{session}/basket"
    wrong = raw.put(path, json={"lines": [line()], "total": "1.00"})
    assert "18.50" in problem(wrong, 422, "INVALID_REQUEST")["detail"]
    assert raw.put(path, json={"lines": [line()], "total": "18.50"}).status_code == 200
    twice = raw.put(path, json={"lines": [line(1), line(1)]})
    problem(twice, 422, "INVALID_REQUEST")
    problem(raw.put(path, json={"lines": []}), 422, "INVALID_REQUEST")
    largest = line(quantity="999999.999", unit_price="99999999.9999")
    problem(raw.put(path, json={"lines": [largest]}), 422, "INVALID_REQUEST")
    many = [line(n, quantity="9999", unit_price="99999.9999") for n in range(60)]
    assert counter.basket(session, many)["basket"]["total"] == "59993999940.00"


def test_html_and_odd_text_in_a_name_stay_text(counter: PharmacyClient) -> None:
    session = counter.open()["session"]
    for name in ("<script>alert(1)</script>", "药\u0000名", "'; DROP TABLE log; --", "💊\u202e"):
        view = counter.basket(session, [line(name=name)])
        assert view["basket"]["lines"][0]["name"] == name


def test_unknown_addresses_and_methods_are_problems(raw: httpx.Client) -> None:
    problem(raw.get("/v1/nothing"), 404, "NOT_FOUND")
    problem(raw.get("/nothing"), 404, "NOT_FOUND")
    answer = raw.patch("/v1/sessions")
    problem(answer, 405, "NOT_FOUND")
    assert "POST" in answer.headers["allow"]
    problem(raw.get("/v1/sessions/not-an-id"), 422, "INVALID_REQUEST")


def test_an_unwritable_database_is_a_problem_and_the_node_says_it_is_not_ready(
    raw: httpx.Client, store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> Any:
        raise StoreUnavailable("database or disk is full")

    body = {"operator": "op", "claim": every_body("x")[("POST", "/v1/sessions")]["claim"]}
    assert raw.get("/readyz").json() == {"store": True, "verifier": True}
    with monkeypatch.context() as patched:
        patched.setattr(terminal_app, "LEAST_FREE_BYTES", 2**62)
        assert raw.get("/readyz").json() == {"store": False, "verifier": True}
    monkeypatch.setattr(store, "write", full)
    problem(raw.post("/v1/sessions", json=body), 503, "STORAGE_UNAVAILABLE")
    assert raw.get("/readyz").status_code == 503
    assert raw.get("/healthz").json() == {"status": "alive"}
    monkeypatch.setattr(store, "read", full)
    problem(raw.get("/v1/sessions"), 503, "STORAGE_UNAVAILABLE")


def test_what_nobody_foresaw_is_a_problem_without_values(
    counter: PharmacyClient,
    raw: httpx.Client,
    app: FastAPI,
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = app.state.parts.service

    def broken(*_: Any) -> Any:
        raise ValueError("张小三 11010519491231002X")

    monkeypatch.setattr(service, "recent", broken)
    answer = raw.get("/v1/sessions")
    problem(answer, 500, "INTERNAL_ERROR")
    assert "request_failed" in [entry["event"] for entry in said]
    assert "11010519491231002X" not in str(said) + answer.text


def test_a_fault_in_the_guard_itself_is_a_problem_too(
    raw: httpx.Client, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("not foreseen")

    monkeypatch.setattr(security, "parse_json", broken)
    problem(raw.post("/v1/sessions", json={}), 500, "INTERNAL_ERROR")
    assert said[0]["error"] == "RuntimeError"


def test_no_name_number_or_secret_reaches_the_disk_or_the_logs(
    counter: PharmacyClient,
    verifier: FakeVerifier,
    store: NodeStore,
    tmp_path: Path,
    clock: ManualClock,
    pharmacist: tuple[str, str],
    said: Said,
    capfd: pytest.CaptureFixture[str],
) -> None:
    consent = counter.consent(PATIENT)["consent"]
    counter.enrol(consent, PATIENT, b"x" * 20)
    session = counter.open()["session"]
    counter.proxy(session, DAUGHTER)
    counter.prescription(session, valid_until=clock.now())
    counter.attest(session, *pharmacist)
    with pytest.raises(ProblemResponse):
        counter.attest(session, "ph-3", "not the secret")
    counter.close(session, "abandoned")
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"session.opened" in kept
    printed = "".join(capfd.readouterr()) + str(said)
    assert "request" in printed
    clear = (
        *(PATIENT.name, PATIENT.number, DAUGHTER.name, DAUGHTER.number),
        *(SECRET, "not the secret", counter.token or "-"),
    )
    for text in clear:
        forms = (text, json.dumps(text)[1:-1], base64.b64encode(text.encode()).decode())
        for form in forms:
            assert form.encode() not in kept
            assert form not in printed


def test_numbers_of_the_same_document_are_one_person(counter: PharmacyClient) -> None:
    from dataclasses import replace

    upper = counter.consent(PATIENT)["person_ref"]
    lower = counter.consent(replace(PATIENT, number=PATIENT.number.lower()))["person_ref"]
    card = counter.consent(replace(PATIENT, cert_type="03"))["person_ref"]
    assert upper == lower != card


def test_every_route_is_documented_with_summary_example_and_every_problem(
    app: FastAPI, raw: httpx.Client
) -> None:
    schema = raw.get("/openapi.json").json()
    models = schema["components"]["schemas"]
    documented: set[str] = set()
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            body = operation.get("requestBody")
            if body is not None:
                name = body["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
                assert models[name]["examples"], where
            if not path.startswith("/v1/"):
                continue
            for status, answer in operation["responses"].items():
                if int(status) < 400:
                    continue
                content = answer["content"][PROBLEM_MEDIA_TYPE]
                assert content["example"]["code"] in BY_CODE, where
                documented |= {word.strip("`") for word in answer["description"].split()}
            statuses = set(operation["responses"])
            assert {"422", "404", "413", "503", "500"} <= statuses, where
    raised = codes_in_the_code()
    assert raised - documented == set()


def codes_in_the_code() -> set[str]:
    """Return every reason code that the counter's code names as a refusal."""
    root = Path(__file__).resolve().parents[3] / "edge"
    text = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("gate", "session", "terminal")
        for path in (root / folder).glob("*.py")
        if path.name != "problems.py"
    )
    decided = {"DOCUMENT_ATTESTED", "MATCH"}  # words of decisions, not refusals
    decided |= {"DEADLINE"}  # the verifier's word, answered as VERIFIER_UNAVAILABLE
    pages = {"FORBIDDEN"}  # what only the guard of the pages answers
    return {code for code in BY_CODE if f'"{code}"' in text} - decided - pages


def test_the_examples_are_accepted_by_their_models() -> None:
    from edge.terminal import models

    for name, model in vars(models).items():
        config = getattr(model, "model_config", {}).get("json_schema_extra")
        if isinstance(model, type) and config and name != "ReferenceRequest":
            model.model_validate_json(json.dumps(config["examples"][0]))


def test_metrics_count_decisions_and_the_gate(counter: PharmacyClient, raw: httpx.Client) -> None:
    session = counter.open()["session"]
    counter.verify(session)
    with pytest.raises(ProblemResponse):
        counter.authorise(session)
    text = raw.get("/metrics").text
    assert 'countersight_decisions_total{method="face",outcome="ACCEPT"} 1.0' in text
    assert 'countersight_gate_total{answer="refused"} 1.0' in text
