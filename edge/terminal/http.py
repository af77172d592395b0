"""HTTP/1.1 as a counter's listener speaks it.

What the server answers by itself is a problem like every other refusal, and nobody holds a
connection without asking something: whoever has not sent the head of a request within the
keep-alive time is disconnected, so that idle connections cannot keep the tills out.
"""

from __future__ import annotations

import asyncio
import json

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.terminal.problems import render
from retention.terms.problems import PROBLEM_MEDIA_TYPE, Problem

MOST_CONNECTIONS = 256


class CounterProtocol(H11Protocol):
    """uvicorn's own protocol, apart from what the module says."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._inner, self.app = self.app, self._unless_too_many
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def data_received(self, data: bytes) -> None:
        # A part of a head does not stop the time; the base class does that when the head is there.
        self.conn.receive_data(data)
        self.handle_events()

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps(Problem(400, "INVALID_REQUEST", msg).to_json("")).encode()
            headers = [
                ("content-type", PROBLEM_MEDIA_TYPE),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            answer = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    async def _unless_too_many(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.connections) > MOST_CONNECTIONS:
            problem = Problem(503, "UNAVAILABLE", f"at most {MOST_CONNECTIONS} connections")
            await render(problem, scope["path"])(scope, receive, send)
        else:
            await self._inner(scope, receive, send)
