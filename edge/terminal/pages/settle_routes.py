"""The last step of a session's page: the gate's answer, the settlement, the end."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from edge.session.state import WAITING
from edge.terminal import actions
from edge.terminal.models import CloseRequest, SettlementReport, SettlementRequest
from edge.terminal.pages.forms import at_fault, read
from edge.terminal.pages.once import Once
from edge.terminal.pages.wiring import Form, Here, go_on, session_path
from edge.terminal.parts import Parts
from retention.pages.kit import PageKit
from retention.records.fields import Id
from retention.terms.problems import Refusal


def settle_router(parts: Parts, kit: PageKit, once: Once) -> APIRouter:
    """Return the routes from the gate on."""
    router = APIRouter(prefix="/counter/sessions/{session}", include_in_schema=False)

    @router.post("/authorisation")
    def authorise(request: Request, session: Id, caller: Here, form: Form) -> Response:
        def deed() -> str:
            actions.authorise(parts, caller, session)
            return session_path(session)

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    @router.post("/settlement")
    def settle(request: Request, session: Id, caller: Here, form: Form) -> Response:
        body = read("settlement", SettlementRequest, form.nested("once"))
        actions.settle(parts, caller, session, body)
        return go_on(request, session_path(session))

    @router.post("/report")
    def report(request: Request, session: Id, caller: Here, form: Form) -> Response:
        body = read("report", SettlementReport, form.nested("once"))
        if body.outcome == "settled" and body.setl_id is None:
            raise at_fault("report", "setl_id")
        actions.report(parts, caller, session, body)
        return go_on(request, session_path(session))

    @router.get("/waiting")
    def waiting(request: Request, session: Id, caller: Here) -> Response:
        """Say nothing while the platform is still being asked, then lead on."""
        state = parts.service.load(caller, session)
        if state.stage in WAITING:
            return Response(status_code=204)
        return go_on(request, session_path(session))

    @router.post("/close")
    def close(request: Request, session: Id, caller: Here, form: Form) -> Response:
        body = read("close", CloseRequest, form.nested("once"))
        try:
            parts.service.close(caller, session, body.outcome)
        except Refusal as exc:
            # Closed in another tab already: its page says how.
            if exc.problem.code != "SESSION_CLOSED":
                raise
        return go_on(request, session_path(session))

    return router
