"""The page of the pharmacist on duty: who is there, signing in and out, their own reference.

    GET  /counter/duty              who is on duty, in large letters; the ways to sign in
    GET  /counter/duty/state        the first part of it, fetched again by htmx (204: no change)
    POST /counter/duty              sign in or confirm, by face or by secret
    POST /counter/duty/sign-out
    POST /counter/duty/reference    own consent, then a reference by the camera or of a picture
    POST /counter/duty/withdraw     withdraw it; the references are gone, with the proof

A paired browser only. Of a pharmacist nothing is shown but the id that hangs on the wall anyway,
and when they were there: no picture, no score. Whether somebody has a reference is told to who
enrols, withdraws or tries it only.
"""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, SecretStr
from starlette.responses import Response

from edge.terminal import duty_actions
from edge.terminal.pages import duty_notice
from edge.terminal.pages.forms import Posted, at_fault, read
from edge.terminal.pages.once import Once
from edge.terminal.pages.wiring import Form, Here, bar, go_on
from edge.terminal.parts import Parts
from edge.terminal.routes_duty import DutySignIn
from retention.pages.formats import day_of
from retention.pages.kit import PageKit
from retention.records.envelope import parse_record
from retention.records.fields import Code
from retention.terms.problems import Problem, Refusal

PATH = "/counter/duty"


class _Whose(BaseModel):
    """Which pharmacist it is about."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pharmacist: Code


class _Own(_Whose):
    """And that it is really they."""

    secret: SecretStr


def duty_page_router(parts: Parts, kit: PageKit, once: Once) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=PATH, include_in_schema=False)

    @router.get("")
    def show(request: Request, caller: Here, done: str = "") -> Response:
        return kit.page(
            request,
            "duty.html",
            caller=caller,
            enrolled=done == "enrolled",
            notice=duty_notice.points(parts.config.verification.reference_days),
            notice_version=duty_notice.VERSION,
            digest="",
            **_state(parts),
            **bar(parts),
        )

    @router.get("/state")
    def state(request: Request, caller: Here, digest: str = "") -> Response:
        values = _state(parts)
        shown = kit.text(
            request, "duty_state.html", caller=caller, digest="", today=_today(parts), **values
        )
        found = hashlib.sha256(shown.encode()).hexdigest()[:16]
        if found == digest:
            return Response(status_code=204)
        return kit.page(
            request, "duty_state.html", caller=caller, digest=found, today=_today(parts), **values
        )

    @router.post("")
    def sign_in(request: Request, caller: Here, form: Form) -> Response:
        values = form.nested("once")
        by_face = values.get("method") == "face"
        if by_face:
            values.pop("secret", None)
        elif not form.text("secret"):
            raise at_fault("duty", "secret")
        body = read("duty", DutySignIn, values)

        def deed() -> str:
            if body.secret is None:
                duty_actions.sign_in_by_face(parts, caller, body.pharmacist)
            else:
                secret = body.secret.get_secret_value()
                duty_actions.sign_in_by_secret(parts, caller, body.pharmacist, secret)
            return PATH

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    @router.post("/sign-out")
    def sign_out(request: Request, caller: Here, form: Form) -> Response:
        duty_actions.sign_out(parts, caller, _whose(form))
        return go_on(request, PATH)

    @router.post("/reference")
    def reference(request: Request, caller: Here, form: Form) -> Response:
        if form.text("notice") != duty_notice.VERSION:
            raise Refusal(Problem(409, "INVALID_REQUEST", "another version of the notice"))
        own = read("duty", _Own, form.nested("once"))
        by_camera = form.text("source") == "camera"
        picture = None if by_camera else form.files.get("picture")
        if picture is None and not by_camera:
            raise at_fault("duty", "picture")

        def deed() -> str:
            secret = own.secret.get_secret_value()
            duty_actions.enrol(parts, caller, own.pharmacist, secret, picture)
            return f"{PATH}?done=enrolled"

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    @router.post("/withdraw")
    def withdraw(request: Request, caller: Here, form: Form) -> Response:
        pharmacist = _whose(form)
        done = duty_actions.withdraw(parts, caller, pharmacist)
        records = [parse_record(one.record.encode()) for each in done for one in each.proof.records]
        return kit.page(
            request,
            "duty_withdrawn.html",
            caller=caller,
            pharmacist=pharmacist,
            done=done,
            erased=sum(len(each.references) for each in done),
            records=records,
            **bar(parts),
        )

    return router


def _whose(form: Posted) -> str:
    return read("duty", _Whose, form.nested("once")).pharmacist


def _today(parts: Parts) -> str:
    return day_of(parts.store.clock.now())


def _state(parts: Parts) -> dict[str, Any]:
    """Return what the large sentence and the list say."""
    there = duty_actions.on_duty(parts)
    return {
        "there": there,
        "standing": duty_actions.standing_of(there),
        "required": parts.config.presence.required,
    }
