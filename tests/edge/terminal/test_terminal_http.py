"""What the server answers by itself is a problem, and an idle connection keeps nobody out."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from edge.simulators.pharmacy import PharmacyClient
from edge.terminal import http, security
from edge.terminal.http import CounterProtocol
from retention.terms.problems import PROBLEM_MEDIA_TYPE
from tests.edge.counter_kit import FakeVerifier
from tests.serving import served

PATIENCE_SECONDS = 30.0


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with served(app, http=CounterProtocol, timeout_keep_alive=1) as address:
        yield address


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), PATIENCE_SECONDS) as found:
        yield found


def all_of(connection: socket.socket) -> bytes:
    """Read until the other side hangs up."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


@pytest.mark.parametrize(
    "sent",
    [
        b"rubbish\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /v1/sessions HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /v1/pairing HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /" + b"x" * 20_000,
    ],
)
def test_what_is_no_http_is_answered_with_a_problem(url: str, sent: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(sent)
        head, _, body = all_of(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert PROBLEM_MEDIA_TYPE.encode() in head
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (400, "INVALID_REQUEST")


def test_a_body_that_is_no_chunk_ends_the_connection_and_nothing_else(url: str) -> None:
    with connected(url) as connection:
        head = b"POST /v1/pairing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"zz\r\nrubbish")
        assert b"INVALID_REQUEST" in all_of(connection)
    assert httpx.get(url + "/healthz", trust_env=False, timeout=30).status_code == 200


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTT"])
def test_whoever_asks_nothing_is_disconnected(url: str, sent: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(sent)
        assert all_of(connection) == b""


def test_a_head_that_never_ends_does_not_stop_the_time(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        connection.settimeout(0.05)
        pause, received = threading.Event(), None
        for number in range(300):
            try:
                connection.sendall(f"X-{number}: y\r\n".encode())
                received = connection.recv(100)
            except TimeoutError:
                pause.wait(0.01)
                continue
            except OSError:
                received = b""
            break
    assert received == b""


def test_a_body_that_never_ends_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "BODY_SECONDS", 0.3)
    with connected(url) as connection:
        head = b"POST /v1/pairing HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{"
        connection.sendall(head)
        answer = all_of(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"no whole body within" in answer


def test_more_connections_than_allowed_are_told_so(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MOST_CONNECTIONS", 2)
    with connected(url), connected(url), connected(url):
        no = httpx.get(url + "/v1/sessions", trust_env=False, timeout=30)
    assert (no.status_code, no.headers["content-type"]) == (503, PROBLEM_MEDIA_TYPE)
    assert no.json()["code"] == "UNAVAILABLE"


def test_a_request_cut_short_by_a_stop_is_answered_with_a_problem(
    app: FastAPI, counter: PharmacyClient, verifier: FakeVerifier
) -> None:
    session = counter.open()["session"]
    verifier.hold = threading.Event()
    answers: list[httpx.Response] = []
    path = f"/v1/sessions/{session}/verification"
    headers = {"Authorization": f"Bearer {counter.token}"}
    with served(app, http=CounterProtocol) as other:  # leaving it stops it
        asking = threading.Thread(
            target=lambda: answers.append(
                httpx.post(other + path, headers=headers, trust_env=False, timeout=20)
            ),
            daemon=True,
        )
        asking.start()
        assert verifier.entered.wait(PATIENCE_SECONDS)
    asking.join(PATIENCE_SECONDS)
    verifier.hold.set()
    (answer,) = answers
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
