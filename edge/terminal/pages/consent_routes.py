"""Withdrawing consent at the counter: find it by the document, withdraw it, show the proof.

Withdrawing is one touch and asks for no reason. What a withdrawal erased is shown with the records
that say so and where they stand in the node's log, to be printed and taken along. The page that
answers a withdrawal may be loaded again: a second one erases nothing more and proves the same.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from edge.terminal import consents
from edge.terminal.models import Certificate
from edge.terminal.pages.forms import read
from edge.terminal.pages.wiring import Form, Here, bar
from edge.terminal.parts import Parts
from retention.pages.kit import PageKit
from retention.records.envelope import parse_record
from retention.records.fields import Id
from retention.withdrawal import Withdrawn


class FoundBy(BaseModel):
    """Whose consent it is about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: Certificate


class Asked(BaseModel):
    """The consent that is withdrawn, and with it every other of the same person."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    consent: Id


def consent_router(parts: Parts, kit: PageKit) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/counter/consents", include_in_schema=False)

    @router.get("")
    def ask(request: Request, caller: Here) -> Response:
        return kit.page(request, "consents.html", caller=caller, asked=None, **bar(parts))

    @router.post("")
    def find(request: Request, caller: Here, form: Form) -> Response:
        certificate = read("consents", FoundBy, form.nested()).certificate
        found = consents.standing(parts, parts.ref_of(certificate))
        shown = masked(certificate.number)
        return kit.page(
            request, "consents.html", caller=caller, asked=shown, found=found, **bar(parts)
        )

    @router.post("/withdraw")
    def withdraw(request: Request, caller: Here, form: Form) -> Response:
        body = read("consents", Asked, form.nested())
        done = consents.withdraw_all(parts, caller, body.consent)
        return kit.page(
            request,
            "withdrawn.html",
            caller=caller,
            done=done,
            steps=[step for one in done for step in _records_of(one)],
            node=parts.config.node,
            **bar(parts),
        )

    @router.post("/proof")
    def proof(caller: Here, form: Form) -> Response:
        body = read("consents", Asked, form.nested())
        done = consents.withdraw_consent(parts, caller, body.consent)
        name = f"erasure-{done.consent[-12:]}.json"
        return Response(
            done.proof.model_dump_json(),
            media_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    return router


def masked(number: str) -> str:
    """Return a document's number as it may be shown: a short one tells only its end."""
    begin, end = (number[:4], number[-4:]) if len(number) >= 12 else ("", number[-2:])
    return begin + "*" * (len(number) - len(begin) - len(end)) + end


def _records_of(withdrawn: Withdrawn) -> list[tuple[int, str, str]]:
    """Return the sequence, kind and time of each record that a proof holds."""
    records = ((one.sequence, parse_record(one.record.encode())) for one in withdrawn.proof.records)
    return [(sequence, record.kind, record.occurred_at) for sequence, record in records]
