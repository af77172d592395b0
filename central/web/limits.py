"""Limits on request bodies, before anything reads them (pure ASGI).

What comes past the limit is read on and dropped for a while before the answer: a browser that is
cut off while it sends shows its own error instead of our words.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import Request

from central.web.problems import answer
from retention.terms.problems import Problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
MAX_BODY_BYTES = 64 * 1024
DROPPED_BYTES = 8 * 1024**2


class BodyLimit:
    """Reads a body up to the limit and hands it on whole; answers 413 past it."""

    def __init__(self, app: App, limit: int = MAX_BODY_BYTES) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, seen, more = bytearray(), 0, True
        while more and seen <= DROPPED_BYTES:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client is gone
            part = message.get("body", b"")
            seen += len(part)
            if seen <= self._limit:
                body += part
            more = message.get("more_body", False)
        if seen > self._limit:
            problem = Problem(413, "TOO_LARGE", f"at most {self._limit} bytes are allowed")
            refused = answer(Request(scope), problem, {"Connection": "close"}, plain=True)
            await refused(scope, receive, send)
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, replay, send)
