"""Settling, in the one way that this node is configured for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from edge.platform.port import InsuredPerson
from edge.session.service import Caller
from edge.terminal.models import SettlementReport, SettlementRequest
from edge.terminal.parts import Parts, calling
from edge.terminal.problems import PERMISSION, STEP, responses
from edge.terminal.views import SettlementView, settlement_view
from retention.records.fields import Id
from retention.terms.problems import Problem, Refusal


def settlement_router(parts: Parts) -> APIRouter:
    """Return both ways to settle; the one that is not configured refuses."""
    router = APIRouter(prefix="/v1/sessions/{session}", tags=["settlement"])
    service = parts.service

    @router.post(
        "/settlement",
        summary="由本机结算一次 / Node mode: settles once; the same answer on repetition",
        responses=responses(*STEP, *PERMISSION, "SETTLEMENT_REFUSED", "RECEIPT_OTHER_CLAIM"),
    )
    def settle(
        session: Id, body: SettlementRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> SettlementView:
        settler = parts.settler
        if settler is None or parts.config.settlement.mode != "node":
            raise Refusal(Problem(409, "SETTLEMENT_MODE", "this node's mode is external"))
        state = service.load(caller, session)
        if parts.ref_of(body.certificate) != state.opened.claim.person_ref:
            raise Refusal(Problem(409, "RECEIPT_OTHER_CLAIM"))
        person = InsuredPerson(body.certificate.type, body.certificate.number, body.psn_no)
        try:
            settled = settler.settle(caller, session, person)
        except Refusal as exc:
            parts.metrics.settlements.labels("node", exc.problem.code).inc()
            raise
        parts.metrics.settlements.labels("node", "settled").inc()
        return settlement_view(settled)

    @router.post(
        "/settlement-report",
        summary="由药店系统结算后回报 / External mode: reports; uses the authorisation up",
        responses=responses("SESSION_UNKNOWN", "ALREADY_SETTLED", *PERMISSION),
    )
    def report(
        session: Id, body: SettlementReport, caller: Annotated[Caller, Depends(calling)]
    ) -> SettlementView:
        if parts.config.settlement.mode != "external":
            raise Refusal(Problem(409, "SETTLEMENT_MODE", "this node's mode is node"))
        if body.outcome == "settled" and body.setl_id is None:
            raise Refusal(Problem(422, "INVALID_REQUEST", "setl_id: wanted with 'settled'"))
        state = service.report(caller, session, body.authorisation, body.outcome, body.setl_id)
        parts.metrics.settlements.labels("external", body.outcome).inc()
        return settlement_view(state)

    return router
