"""What stands before every route: token, size, and JSON that is what it seems.

(1) a token of a paired, unrevoked terminal, before a byte of the body is read
(2) the session belongs to the token's counter (edge.session.service)
(3) the body is within its limit, and its JSON neither deep, ambiguous nor of broken text
(4) tokens are compared by looking up their SHA-256; a revoked one is not found
"""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Callable

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.session.service import Caller
from edge.terminal.models import MAX_PICTURE_TEXT
from edge.terminal.problems import render
from retention.records.canonical import parse_json
from retention.records.errors import MalformedRecord
from retention.store.database import StoreUnavailable
from retention.terms.problems import Problem

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 30
MAX_REFERENCE_BYTES = MAX_PICTURE_TEXT + 4096
OPEN_PATHS = frozenset({"/v1/pairing"})
REFERENCES = "/v1/references"

FindTerminal = Callable[[str], tuple[str, str] | None]


class Guard:
    """ASGI middleware: refuses with a problem, or passes on a body that was read and checked."""

    def __init__(self, app: ASGIApp, find_terminal: FindTerminal) -> None:
        self._app, self._find_terminal = app, find_terminal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        problem = await self._answer(scope, receive, counted)
        if problem is not None:
            await render(problem, scope["path"])(scope, receive, counted)
        route = scope.get("route")
        log.info(
            "request",
            method=scope["method"],
            route=getattr(route, "path", None),
            status=status,
            ms=round((time.monotonic() - started) * 1000),
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Problem | None:
        """Run checks and route. What nobody foresaw is a 500, logged without any value in it."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            problem = await self._authenticate(scope)
            if problem is None:
                body, problem = await _read(scope, receive)
            if problem is None:
                await self._app(scope, _replay(body, receive), watched)
        except asyncio.CancelledError:
            # The process stops and waits no longer. Only the server cancels, and it sends what
            # we answer; what was begun in a thread is found in the log by the next process.
            log.warning("request_cut_short")
            if started:
                raise
            return Problem(503, "UNAVAILABLE")
        except Exception as exc:
            where = [f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(exc.__traceback__)]
            log.error("request_failed", error=type(exc).__name__, where=where[-4:])
            if started:
                raise
            return Problem(500, "INTERNAL_ERROR")
        return problem

    async def _authenticate(self, scope: Scope) -> Problem | None:
        path = scope["path"]
        if not path.startswith("/v1/") or path in OPEN_PATHS:
            return None
        # (1), (4) the token, by the look-up of its digest
        token = _bearer(scope)
        try:
            found = await run_in_threadpool(self._find_terminal, token) if token else None
        except StoreUnavailable as exc:
            log.error("storage_unavailable", detail=str(exc))
            return Problem(503, "STORAGE_UNAVAILABLE")
        if found is None:
            return Problem(401, "UNAUTHENTICATED")
        scope["caller"] = Caller(*found)
        return None


async def _read(scope: Scope, receive: Receive) -> tuple[bytes, Problem | None]:
    """Return the whole body, or the problem with it."""
    limit = MAX_REFERENCE_BYTES if scope["path"] == REFERENCES else MAX_BODY_BYTES
    too_large = Problem(413, "TOO_LARGE", f"at most {limit} bytes", {"limit": limit})
    # (3) what is announced, then what really comes
    if _announced(scope) > limit:
        return b"", too_large
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _received(receive, limit)
    except TimeoutError:
        return b"", Problem(400, "INVALID_REQUEST", f"no whole body within {BODY_SECONDS} s")
    if body is None:
        return b"", Problem(400, "INVALID_REQUEST", "the request ended early")
    if len(body) > limit:
        return b"", too_large
    return body, await run_in_threadpool(_check_json, body, limit) if body else None


async def _received(receive: Receive, limit: int) -> bytes | None:
    """Return the body, or as much as shows that it is over the limit; None when it broke off."""
    body = bytearray()
    while len(body) <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body)


def _check_json(body: bytes, limit: int) -> Problem | None:
    try:
        value = parse_json(body, limit=limit)
        json.dumps(value, ensure_ascii=False).encode()  # lone surrogates are no text
    except (MalformedRecord, ValueError) as exc:
        detail = str(exc) if isinstance(exc, MalformedRecord) else "text or number out of range"
        return Problem(400, "INVALID_REQUEST", detail)
    return None


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


def _announced(scope: Scope) -> int:
    value = _header(scope, b"content-length")
    return int(value) if value.isdigit() and len(value) < 19 else 0


def _bearer(scope: Scope) -> str:
    scheme, _, token = _header(scope, b"authorization").partition(b" ")
    return token.decode("ascii", "replace").strip() if scheme.lower() == b"bearer" else ""


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")
