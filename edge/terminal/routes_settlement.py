"""Settling, in the one way that this node is configured for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from edge.session.service import Caller
from edge.terminal import actions
from edge.terminal.models import SettlementReport, SettlementRequest
from edge.terminal.parts import Parts, calling
from edge.terminal.problems import PERMISSION, STEP, responses
from edge.terminal.views import SettlementView, settlement_view
from retention.records.fields import Id


def settlement_router(parts: Parts) -> APIRouter:
    """Return both ways to settle; the one that is not configured refuses."""
    router = APIRouter(prefix="/v1/sessions/{session}", tags=["settlement"])

    @router.post(
        "/settlement",
        summary="由本机结算一次 / Node mode: settles once; the same answer on repetition",
        responses=responses(*STEP, *PERMISSION, "SETTLEMENT_REFUSED", "RECEIPT_OTHER_CLAIM"),
    )
    def settle(
        session: Id, body: SettlementRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> SettlementView:
        return settlement_view(actions.settle(parts, caller, session, body))

    @router.post(
        "/settlement-report",
        summary="由药店系统结算后回报 / External mode: reports; uses the authorisation up",
        responses=responses("SESSION_UNKNOWN", "ALREADY_SETTLED", *PERMISSION),
    )
    def report(
        session: Id, body: SettlementReport, caller: Annotated[Caller, Depends(calling)]
    ) -> SettlementView:
        return settlement_view(actions.report(parts, caller, session, body))

    return router
