"""What moves on the counter's page: the live picture, its one instruction, the node's condition.

    <img data-test="live" src="/counter/sessions/SESSION/picture" alt="">
    <div data-test="guidance" hx-get="/counter/sessions/SESSION/guidance"
         hx-trigger="load, every 500ms">
    <div data-test="condition" role="status" hx-get="/counter/condition"
         hx-trigger="load, every 5s" hx-include="this">

Invariant 9: pictures pass through memory only, to a browser that is paired with the session's own
counter, and only while an attempt of that session runs. A picture is not mirrored here: the page
turns it round with CSS. A condition that has not changed is answered with 204, so that nothing on
the page moves and nothing is read out again.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from edge.session.service import Caller
from edge.terminal.condition import condition
from edge.terminal.live import LiveView
from edge.terminal.parts import Parts
from edge.verifier.protocol import LiveState
from retention.pages import formats
from retention.pages.kit import PageKit
from retention.records.fields import Id
from retention.store.sessions import read_session
from retention.terms.problems import Problem, Refusal

BOUNDARY = "picture"
LONGEST_SECONDS = 60.0
BEGIN_SECONDS = 10.0  # how long a picture is waited for before the attempt begins
NEWS_SECONDS = 0.5
SEND_SECONDS = 5.0  # on top: a browser that takes nothing any more is let go


def live_router(parts: Parts) -> APIRouter:
    """Return the routes. `app.state.pages` holds the kit."""
    router = APIRouter(prefix="/counter", include_in_schema=False)

    @router.get("/sessions/{session}/picture")
    def picture(session: Id, request: Request) -> Response:
        _own(parts, request, session)
        if parts.live is None:
            raise Refusal(Problem(503, "VERIFIER_UNAVAILABLE"))
        return LivePicture(parts.live, session)

    @router.get("/sessions/{session}/guidance")
    def guidance(session: Id, request: Request, kit: Annotated[PageKit, Depends(_kit)]) -> Response:
        counter = _own(parts, request, session)
        state = None if parts.live is None else parts.live.state_of(session)
        return kit.page(
            request,
            "guidance.html",
            phase=phase_of(parts, counter, state),
            live=state,
            attempts=parts.config.verification.attempts,
        )

    @router.get("/condition")
    def condition_bar(
        request: Request, kit: Annotated[PageKit, Depends(_kit)], seen: str = ""
    ) -> Response:
        _caller(request)
        today = formats.day_of(parts.store.clock.now())
        found = condition(parts)
        shown = kit.text(request, "condition.html", seen="", condition=found, today=today)
        digest = hashlib.sha256(shown.encode()).hexdigest()[:16]
        if seen == digest:
            return Response(status_code=204)
        return kit.page(request, "condition.html", seen=digest, condition=found, today=today)

    return router


def phase_of(
    parts: Parts, counter: str, state: LiveState | None
) -> Literal["looking", "off", "idle", "opening", "deciding"]:
    """Return where an attempt stands, by what the verifier last said of it."""
    if state is not None and state.state == "looking":
        return "looking"
    if parts.live is not None and not parts.live.verifier_heard:
        return "off"
    if not parts.camera_of(counter).locked():
        return "idle"
    return "opening" if state is None else "deciding"


class LivePicture(StreamingResponse):
    """One browser's view of a running attempt: JPEG after JPEG until it ends.

    Looking begins and ends with the response, however that ends, so a browser that went away costs
    nothing further.
    """

    def __init__(self, live: LiveView, session: str) -> None:
        super().__init__(
            _pictures(live, session),
            media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}",
        )
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._live.watching():
                async with asyncio.timeout(LONGEST_SECONDS + SEND_SECONDS):
                    await super().__call__(scope, receive, send)
        except TimeoutError:
            return  # the browser takes nothing; the server closes what is not finished


async def _pictures(live: LiveView, session: str) -> AsyncIterator[bytes]:
    # A browser shows a part when it sees the boundary behind it, so that follows at once.
    yield f"--{BOUNDARY}\r\n".encode()
    started, begun, shown, number = time.monotonic(), False, 0, 0
    while not live.closed:
        state = live.state_of(session)
        looking = state is not None and state.state == "looking"
        begun = begun or looking
        age_seconds = time.monotonic() - started
        if age_seconds > LONGEST_SECONDS or (begun and not looking):
            break
        if not begun and age_seconds > BEGIN_SECONDS:
            break
        picture = live.picture_of(session, shown) if looking else None
        if picture is not None:
            shown = picture.number
            yield _part(picture.jpeg)
        number = await live.news(number, NEWS_SECONDS)
    yield f"--{BOUNDARY}--\r\n".encode()


def _part(jpeg: bytes) -> bytes:
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode()


def _own(parts: Parts, request: Request, session: str) -> str:
    """Return the counter that asks. Raises Refusal unless the session is its own."""
    caller = _caller(request)
    with parts.store.read() as connection:
        row = read_session(connection, session)
    if row is None or row.counter != caller.counter:
        raise Refusal(Problem(404, "SESSION_UNKNOWN"))
    return caller.counter


def _caller(request: Request) -> Caller:
    caller = request.scope.get("caller")
    if not isinstance(caller, Caller):
        raise Refusal(Problem(401, "UNAUTHENTICATED"))
    return caller


def _kit(request: Request) -> PageKit:
    found = request.app.state.pages
    if not isinstance(found, PageKit):
        raise TypeError("the pages are not installed")
    return found
