"""What stands before every route: token, size, and JSON that is what it seems.

(1) a token of a paired, unrevoked terminal, before a byte of the body is read
(2) the session belongs to the token's counter (edge.session.service)
(3) the body is within its limit, and its JSON neither deep, ambiguous nor of broken text
(4) tokens are compared by looking up their SHA-256; a revoked one is not found
(5) what changes something from a page comes from a page of ours

The API under /v1/ takes bearer tokens only, the pages take the cookie only, so that no cookie can
be ridden into the API. A page decides for itself what it shows to a browser that is not paired;
it takes nothing from one but a pairing code.
"""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Callable

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.session.service import Caller
from edge.terminal.models import MAX_PICTURE_TEXT
from edge.terminal.problems import answer
from retention.records.canonical import parse_json
from retention.records.errors import MalformedRecord
from retention.store.database import StoreUnavailable
from retention.terms.problems import Problem

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 30
MAX_REFERENCE_BYTES = MAX_PICTURE_TEXT + 4096
# What may come for a page and is thrown away, so that the browser reads our answer to it.
MAX_DISCARDED_BYTES = 32 * 1024 * 1024
OPEN_PATHS = frozenset({"/v1/pairing", "/counter/pairing"})
REFERENCES = "/v1/references"
DUTY_REFERENCE = "/counter/duty/reference"
TERMINAL_COOKIE = "terminal"
UPLOADS = ("/reference", "/proxy")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

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
            await answer(Request(scope), problem)(scope, receive, counted)
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
            elif is_page(scope["path"]):
                await _discard(scope, receive)
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
        page = is_page(path)
        if not page and (not path.startswith("/v1/") or path in OPEN_PATHS):
            return None
        # (5) the form is ours
        if page and not _from_our_page(scope):
            return Problem(403, "FORBIDDEN", "the request does not come from a page of this node")
        # (1), (4) the token, by the look-up of its digest
        token = _cookie(scope) if page else _bearer(scope)
        try:
            found = await run_in_threadpool(self._find_terminal, token) if token else None
        except StoreUnavailable as exc:
            log.error("storage_unavailable", detail=str(exc))
            return Problem(503, "STORAGE_UNAVAILABLE")
        reading = page and scope["method"] in SAFE_METHODS
        if found is None and not reading and path not in OPEN_PATHS:
            return Problem(401, "UNAUTHENTICATED")
        scope["caller"] = None if found is None else Caller(*found)
        return None


def is_page(path: str) -> bool:
    """Say whether an address is one of the counter's pages."""
    return path == "/" or path.startswith("/counter/")


async def _read(scope: Scope, receive: Receive) -> tuple[bytes, Problem | None]:
    """Return the whole body, or the problem with it."""
    page = is_page(scope["path"])
    limit = _limit(scope)
    too_large = Problem(413, "TOO_LARGE", f"at most {limit} bytes", {"limit": limit})
    # (3) what is announced, then what really comes
    if _announced(scope) > limit:
        if page:
            await _discard(scope, receive)
        return b"", too_large
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _received(receive, limit)
    except TimeoutError:
        return b"", Problem(400, "INVALID_REQUEST", f"no whole body within {BODY_SECONDS} s")
    if body is None:
        return b"", Problem(400, "INVALID_REQUEST", "the request ended early")
    if len(body) > limit:
        if page:
            await _discard(scope, receive)
        return b"", too_large
    if page or not body:
        return body, None
    return body, await run_in_threadpool(_check_json, body, limit)


def _limit(scope: Scope) -> int:
    path = scope["path"]
    if scope["method"] in SAFE_METHODS:
        return MAX_BODY_BYTES
    if path.startswith("/counter/sessions/") and path.endswith(UPLOADS):
        return MAX_REFERENCE_BYTES
    return MAX_REFERENCE_BYTES if path in (REFERENCES, DUTY_REFERENCE) else MAX_BODY_BYTES


async def _discard(scope: Scope, receive: Receive) -> None:
    """Take the rest of a body and forget it: a browser that cannot finish sending shows its own
    error, and our words are lost."""
    if _announced(scope) > MAX_DISCARDED_BYTES:
        return
    left = MAX_DISCARDED_BYTES
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return


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


def _cookie(scope: Scope) -> str:
    return Request(scope).cookies.get(TERMINAL_COOKIE, "")


def _from_our_page(scope: Scope) -> bool:
    """Say whether a request that changes something was made by a page of this address.

    Browsers that say how a request came about cannot be made to lie about it by another page;
    older ones name at least the origin.
    """
    if scope["method"] in SAFE_METHODS:
        return True
    site = _header(scope, b"sec-fetch-site")
    if site:
        return site == b"same-origin"
    host = _header(scope, b"host")
    return bool(host) and _header(scope, b"origin") == scope["scheme"].encode() + b"://" + host


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")
