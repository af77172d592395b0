"""A small insurance platform for the demo and the tests, with faults on command.

It keeps one live settlement for one basket (the caller's key in `expContent`) and answers the
same message twice with the same result. A reversal of a message that it never saw is remembered,
so that the message is refused when it comes late. It can be asked what it holds.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from edge.platform.nhsa import CALL_PATH, NOTHING_HELD, DrugInfo, Envelope, ReverseData
from edge.simulators import warn_simulated
from retention.records.fields import Frozen

Fault = Literal[
    "timeout_before", "timeout_after", "duplicate", "reject", "offline", "slow", "garbage"
]


class Control(Frozen):
    """Misbehave `times` times on `transaction`; `fault` null behaves again."""

    fault: Fault | None
    times: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000_000
    transaction: Literal["2102", "2601"] = "2102"
    seconds: Annotated[float, Field(gt=0, le=60)] = 1.0


@dataclass(slots=True)
class Held:
    """One settlement that the platform made."""

    setl_id: str
    msgid: str
    key: str
    total: str
    state: Literal["settled", "reversed"] = "settled"


class Ledger:
    """What the platform holds. Safe between threads; knows nothing of HTTP."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.settlements: list[Held] = []
        self.messages: list[tuple[str, str]] = []
        self._dead: set[str] = set()

    def settle(self, msgid: str, info: DrugInfo) -> Held | None:
        """Settle, or return what there is for this message or basket; None when reversed."""
        with self._lock:
            self.messages.append(("2102", msgid))
            if msgid in self._dead:
                return None
            for held in self.settlements:
                if held.state == "settled" and (held.msgid == msgid or held.key == info.expContent):
                    return held
            made = Held(
                f"SIM{len(self.settlements) + 1:09d}", msgid, info.expContent, info.medfee_sumamt
            )
            self.settlements.append(made)
            return made

    def reverse(self, msgid: str, original: str) -> bool:
        """Reverse a message; say whether there was anything of it."""
        with self._lock:
            self.messages.append(("2601", msgid))
            self._dead.add(original)
            mine = [held for held in self.settlements if held.msgid == original]
            for held in mine:
                held.state = "reversed"
            return bool(mine)

    def to_json(self) -> dict[str, Any]:
        """Return everything held and every message received."""
        with self._lock:
            return {
                "settlements": [
                    {"setl_id": h.setl_id, "msgid": h.msgid, "key": h.key, "total": h.total,
                     "state": h.state}
                    for h in self.settlements
                ],
                "messages": [{"infno": infno, "msgid": msgid} for infno, msgid in self.messages],
            }  # fmt: skip


class Faults:
    """How often to misbehave on which transaction."""

    def __init__(self) -> None:
        self._waiting: dict[str, Control] = {}

    def set(self, control: Control) -> None:
        if control.fault is None:
            self._waiting.clear()
        else:
            self._waiting[control.transaction] = control

    def take(self, transaction: str) -> Control | None:
        """Return the fault for this message and count it."""
        found = self._waiting.get(transaction)
        if found is None:
            return None
        if found.times == 1:
            del self._waiting[transaction]
        else:
            less = {"times": found.times - 1}
            self._waiting[transaction] = found.model_copy(update=less)
        return found


def create_platform() -> FastAPI:
    """Return the simulated platform; `app.state.ledger` is what it holds."""
    warn_simulated("The insurance platform")
    app = FastAPI(title="Simulated insurance platform", openapi_url=None)
    ledger, faults = Ledger(), Faults()
    app.state.ledger, app.state.faults = ledger, faults

    @app.post(CALL_PATH)
    async def call(envelope: Envelope, request: Request) -> Response:
        control = faults.take(envelope.infno)
        fault = control.fault if control else None
        if fault == "offline":
            return JSONResponse({"error": "service unavailable"}, 503)
        if fault == "reject":
            return _answer(-1, err_msg="the insured person's account is frozen")
        if fault == "timeout_before":
            return await _never(request)
        if fault == "slow" and control is not None:
            await asyncio.sleep(control.seconds)
        if fault == "duplicate":
            _process(ledger, envelope)
        answer = _process(ledger, envelope)
        if fault == "timeout_after":
            return await _never(request)
        if fault == "garbage":
            return Response(b"<html>\x00 not what you asked for", media_type="text/html")
        return answer

    @app.post("/control")
    async def control(body: Control) -> dict[str, str]:
        faults.set(body)
        return {"fault": body.fault or "none"}

    @app.get("/held")
    async def held() -> dict[str, Any]:
        return ledger.to_json()

    return app


def _process(ledger: Ledger, envelope: Envelope) -> JSONResponse:
    if envelope.infno == "2601":
        data = ReverseData.model_validate(envelope.input["data"])
        if ledger.reverse(envelope.msgid, data.omsgid):
            return _answer(0)
        return _answer(-1, err_msg=f"{NOTHING_HELD}: no such message")
    info = DrugInfo.model_validate(envelope.input["druginfo"])
    made = ledger.settle(envelope.msgid, info)
    if made is None:
        return _answer(-1, err_msg="this message was reversed")
    setlinfo = {
        "setl_id": made.setl_id,
        "medfee_sumamt": made.total,
        "medins_setl_id": made.msgid,
    }
    return _answer(0, output={"setlinfo": setlinfo})


def _answer(
    infcode: int, *, err_msg: str = "", output: dict[str, Any] | None = None
) -> JSONResponse:
    return JSONResponse({"infcode": infcode, "err_msg": err_msg, "output": output})


async def _never(request: Request) -> Response:
    """Keep the caller waiting until it gives up; at most a minute."""
    for _ in range(1200):
        if await request.is_disconnected():
            break
        await asyncio.sleep(0.05)
    return Response(status_code=504)


def main() -> None:
    """Serve on loopback until stopped."""
    parser = argparse.ArgumentParser(description="Simulated insurance platform (loopback only)")
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    uvicorn.run(
        create_platform(),
        host="127.0.0.1",
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
