"""The counter's first page, pairing a browser, letting another one in, and leaving."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from edge.session.service import LISTED
from edge.session.state import SessionState
from edge.terminal import actions, pairing, pharmacists
from edge.terminal.models import PairingRequest, SessionRequest
from edge.terminal.pages.forms import at_fault, read
from edge.terminal.pages.once import Once
from edge.terminal.pages.wiring import Form, Here, bar, caller_of, go_on, session_path
from edge.terminal.parts import Parts
from edge.terminal.qr import pairing_link, pairing_svg
from edge.terminal.security import TERMINAL_COOKIE
from edge.terminal.tls import fingerprint_of
from edge.terminal.views import next_step
from retention.pages.formats import day_of
from retention.pages.kit import PageKit
from retention.records.errors import UsageError

OPERATOR_COOKIE = "operator"
COOKIE_SECONDS = 400 * 86400  # the longest that browsers keep one


def start_router(parts: Parts, kit: PageKit, once: Once) -> APIRouter:
    """Return the routes outside a session."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def start(request: Request, code: str = "") -> Response:
        caller = caller_of(request)
        if caller is None:
            known = code if len(code) <= pairing.CODE_DIGITS and code.isdecimal() else ""
            lost = TERMINAL_COOKIE in request.cookies
            return kit.page(request, "pairing.html", code=known, lost=lost)
        today = day_of(parts.store.clock.now())
        # What was left open on another day still has to be ended.
        listed = [
            state
            for state in parts.service.recent(caller)
            if state.closed is None or day_of(state.opened_at) == today
        ]
        return kit.page(
            request,
            "today.html",
            caller=caller,
            rows=[(state, _standing(parts, state)) for state in listed],
            operator=request.cookies.get(OPERATOR_COOKIE, ""),
            area=parts.config.node.agency,
            listed=LISTED,
            card_reader="card_reader" in parts.devices.kinds,
            **bar(parts),
        )

    @router.post("/counter/pairing")
    def pair(request: Request, form: Form) -> Response:
        paired = pairing.pair(parts.store, *_pairing(form.nested("once")))
        answer = go_on(request, "/")
        _keep(request, answer, TERMINAL_COOKIE, paired.token)
        return answer

    @router.post("/counter/sessions")
    def open_session(request: Request, caller: Here, form: Form) -> Response:
        body = read("session", SessionRequest, form.nested("once"))

        def deed() -> str:
            return session_path(actions.open_session(parts, caller, body).session)

        answer = go_on(request, once.do(caller.terminal, form.press(), deed))
        _keep(request, answer, OPERATOR_COOKIE, body.operator)
        return answer

    @router.get("/counter/pair")
    def another(request: Request, caller: Here) -> Response:
        return kit.page(request, "pair.html", caller=caller, made=None, **bar(parts))

    @router.post("/counter/pair")
    def make_code(request: Request, caller: Here, form: Form) -> Response:
        pharmacists.check(parts.store, form.text("pharmacist"), form.text("secret"))
        counter = form.text("counter")
        try:
            code = pairing.new_code(parts.store, counter, parts.store.clock)
        except UsageError as exc:
            raise at_fault("pair", "counter") from exc
        link = pairing_link(parts.config, code, port=request.url.port)
        made = {"counter": counter, "code": code, "link": link, "svg": pairing_svg(link)}
        values = bar(parts) | {"made": made, "fingerprint": _fingerprint(parts)}
        return kit.page(request, "pair.html", caller=caller, **values)

    @router.get("/counter/leave")
    def leave(request: Request, caller: Here) -> Response:
        return kit.page(request, "leave.html", caller=caller, **bar(parts))

    @router.post("/counter/leave")
    def left(request: Request, caller: Here) -> Response:
        pairing.revoke(parts.store, caller.terminal, "left at the counter")
        answer = go_on(request, "/")
        for name in (TERMINAL_COOKIE, OPERATOR_COOKIE):
            answer.delete_cookie(name, path="/")
        return answer

    return router


def _pairing(values: dict[str, object]) -> tuple[str, str]:
    body = read("pairing", PairingRequest, values)
    return body.code, body.name


def _standing(parts: Parts, state: SessionState) -> str:
    """Return where an open session stands, as its next step; the outcome of a closed one."""
    if state.closed is not None:
        return state.closed.outcome
    return next_step(state, parts.service.now(state), parts.service.terms, parts.standing(state))


def _keep(request: Request, answer: Response, name: str, value: str) -> None:
    """Set a cookie that no script reads, no other site sends, and plain HTTP never carries
    beyond loopback."""
    answer.set_cookie(
        name,
        value,
        max_age=COOKIE_SECONDS,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def _fingerprint(parts: Parts) -> str | None:
    """Return what a terminal on the LAN compares the certificate with, if there is a listener."""
    certificate = parts.config.node.data / "tls" / "terminal.crt"
    lan = parts.config.terminal.lan_host is not None
    return fingerprint_of(certificate) if lan and certificate.exists() else None
