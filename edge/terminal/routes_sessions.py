"""Opening, filling and closing a dispensing session."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from edge.session.basket import total_of
from edge.session.service import Caller
from edge.terminal.models import (
    BasketRequest,
    CloseRequest,
    PrescriptionRequest,
    ProxyRequest,
    SessionRequest,
)
from edge.terminal.parts import Parts, calling
from edge.terminal.people import mask_name
from edge.terminal.problems import STEP, responses
from edge.terminal.views import SessionView
from retention.records.clock import to_text
from retention.records.fields import Id
from retention.records.payloads import BasketLine, Claim, PrescriptionAttached, ProxyDeclared
from retention.terms.problems import Problem, Refusal

LONGEST_TOTAL = len("999999999999.99")  # what a record's decimal field holds


def sessions_router(parts: Parts) -> APIRouter:
    """Return the routes about the session itself."""
    router = APIRouter(prefix="/v1/sessions", tags=["sessions"])
    service = parts.service

    @router.post("", status_code=201, summary="开始业务 / Open a session", responses=responses())
    def open_session(
        body: SessionRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> SessionView:
        claim = Claim(
            person_ref=parts.ref_of(body.claim.certificate),
            display_name=mask_name(body.claim.name),
            mdtrt_cert_type=body.claim.certificate.type,
            insuplc_admdvs=body.claim.insuplc_admdvs,
        )
        return parts.view(service.open(caller, body.operator, claim))

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
        prescription = PrescriptionAttached(
            session=session,
            rx_no=body.rx_no,
            source=body.source,
            patient_ref=parts.ref_of(body.patient),
            prescriber=body.prescriber,
            valid_until=to_text(body.valid_until),
            document_sha256=body.document_sha256,
        )
        return parts.view(service.attach_prescription(caller, prescription))

    @router.put(
        "/{session}/basket",
        summary="录入购药清单；已有授权作废 / Set the basket; voids an authorisation",
        responses=responses(*STEP),
    )
    def set_basket(
        session: Id, body: BasketRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> SessionView:
        lines = tuple(BasketLine.model_validate(line.model_dump()) for line in body.lines)
        _check_lines(lines, body.total)
        return parts.view(service.set_basket(caller, session, lines))

    @router.post(
        "/{session}/proxy",
        summary="代购(领)情况登记表 / The proxy form; complete, or refused with what is missing",
        responses=responses(*STEP, "PROXY_FORM_INCOMPLETE"),
    )
    def declare_proxy(
        session: Id, body: ProxyRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> SessionView:
        service.load(caller, session)
        return parts.view(service.declare_proxy(caller, _form(parts, session, body)))

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


def _check_lines(lines: tuple[BasketLine, ...], total: str | None) -> None:
    numbers = [line.line for line in lines]
    if len(set(numbers)) != len(numbers):
        raise Refusal(Problem(422, "INVALID_REQUEST", "lines: a line number appears twice"))
    found = total_of(lines)
    if len(found) > LONGEST_TOTAL:
        raise Refusal(Problem(422, "INVALID_REQUEST", "lines: the total is beyond all reason"))
    if total is not None and total != found:
        detail = f"total: {total} was sent, the lines add up to {found}"
        raise Refusal(Problem(422, "INVALID_REQUEST", detail))


def _form(parts: Parts, session: str, body: ProxyRequest) -> ProxyDeclared:
    """Return the complete form. Raises Refusal naming every missing item."""
    missing = [
        name
        for name in ProxyRequest.model_fields
        if (value := getattr(body, name)) is None or (isinstance(value, str) and not value.strip())
    ]
    if missing or body.certificate is None:
        detail = ", ".join(missing)
        raise Refusal(Problem(422, "PROXY_FORM_INCOMPLETE", detail, {"missing": missing}))
    return ProxyDeclared.model_validate(
        {
            "session": session,
            "purchaser_ref": parts.ref_of(body.certificate),
            "purchaser_display_name": mask_name(body.name or ""),
            "purchaser_cert_type": body.certificate.type,
            "relation": body.relation,
            "reason": body.reason,
            "patient_signature_sha256": body.patient_signature_sha256,
            "purchaser_signature_sha256": body.purchaser_signature_sha256,
        }
    )
