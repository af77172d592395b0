"""Opening, filling and closing a dispensing session."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from edge.session.service import Caller
from edge.terminal import actions
from edge.terminal.models import (
    BasketRequest,
    CloseRequest,
    PrescriptionRequest,
    ProxyRequest,
    SessionRequest,
)
from edge.terminal.parts import Parts, calling
from edge.terminal.problems import STEP, responses
from edge.terminal.views import SessionView
from retention.records.fields import Id


def sessions_router(parts: Parts) -> APIRouter:
    """Return the routes about the session itself."""
    router = APIRouter(prefix="/v1/sessions", tags=["sessions"])
    service = parts.service

    @router.post("", status_code=201, summary="开始业务 / Open a session", responses=responses())
    def open_session(
        body: SessionRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> SessionView:
        return parts.view(actions.open_session(parts, caller, body))

    @router.get(
        "", summary="本柜台最近的业务 / The counter's newest sessions", responses=responses()
    )
    def list_sessions(caller: Annotated[Caller, Depends(calling)]) -> list[SessionView]:
        return [parts.view(state) for state in service.recent(caller)]

    @router.get(
        "/{session}",
        summary="查看业务 / One session: state, steps, next step",
        responses=responses("SESSION_UNKNOWN"),
    )
    def read_session(session: Id, caller: Annotated[Caller, Depends(calling)]) -> SessionView:
        return parts.view(service.load(caller, session))

    @router.put(
        "/{session}/prescription",
        summary="关联处方 / Attach a prescription",
        responses=responses(*STEP),
    )
    def attach_prescription(
        session: Id, body: PrescriptionRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> SessionView:
        patient_ref = parts.ref_of(body.patient)
        return parts.view(actions.attach_prescription(parts, caller, session, patient_ref, body))

    @router.put(
        "/{session}/basket",
        summary="录入购药清单；已有授权作废 / Set the basket; voids an authorisation",
        responses=responses(*STEP),
    )
    def set_basket(
        session: Id, body: BasketRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> SessionView:
        return parts.view(actions.set_basket(parts, caller, session, body))

    @router.post(
        "/{session}/proxy",
        summary="代购(领)情况登记表 / The proxy form; complete, or refused with what is missing",
        responses=responses(*STEP, "PROXY_FORM_INCOMPLETE", "GUARDIAN_UNDER_AGE"),
    )
    def declare_proxy(
        session: Id, body: ProxyRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> SessionView:
        return parts.view(actions.declare_proxy(parts, caller, session, body))

    @router.post(
        "/{session}/close",
        summary="关闭业务 / Close; coverage follows after the post-roll",
        responses=responses("SESSION_UNKNOWN", "SESSION_CLOSED", "SETTLEMENT_UNKNOWN",
                            "OUTCOME_MISMATCH"),
    )  # fmt: skip
    def close_session(
        session: Id, body: CloseRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> SessionView:
        return parts.view(service.close(caller, session, body.outcome))

    return router
