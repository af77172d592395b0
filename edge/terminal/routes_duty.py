"""The pharmacist on duty: signing in, out, and who is there."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from edge.session.service import Caller
from edge.terminal import duty_actions
from edge.terminal.duty_actions import OnDuty
from edge.terminal.parts import Parts, calling
from edge.terminal.problems import responses
from retention.records.fields import Code


class DutySignIn(BaseModel):
    """By face, or by the pharmacist's own secret."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"pharmacist": "ph-3", "method": "secret", "secret": "correct horse"}]
        },
    )

    pharmacist: Code
    method: Literal["face", "secret"]
    secret: Annotated[SecretStr, Field(min_length=1, max_length=128)] | None = None

    @model_validator(mode="after")
    def _a_secret_is_one(self) -> Self:
        if (self.method == "secret") != (self.secret is not None):
            raise ValueError("secret: wanted with method 'secret', and only then")
        return self


class OnDutyView(BaseModel):
    """One pharmacist on duty. `state` is what counts now; `confirm_by` when the secret has to be
    given again; `reasons` say why the state is what it is."""

    model_config = ConfigDict(frozen=True)

    pharmacist: str
    counter: str
    method: Literal["face", "secret"]
    state: Literal["present", "doubtful", "absent"]
    signed_in_at: datetime
    since: datetime
    seen_at: datetime
    reasons: tuple[str, ...]
    confirm_by: datetime | None


class DutyView(BaseModel):
    """`present` is what the gate asks; `required` whether lines that need a prescription wait for
    it."""

    model_config = ConfigDict(frozen=True)

    present: bool
    required: bool
    on_duty: tuple[OnDutyView, ...]


def duty_router(parts: Parts) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/duty", tags=["duty"])

    @router.get(
        "",
        summary="在岗药师 / Who is on duty, and whether they are there",
        responses=responses(),
    )
    def show(_caller: Annotated[Caller, Depends(calling)]) -> DutyView:
        return _all(parts)

    @router.post(
        "",
        status_code=201,
        summary="药师签到或确认在岗 / A pharmacist signs in, or confirms being there",
        responses=responses(
            "PHARMACIST_REFUSED", "PHARMACIST_NOT_SEEN", "BUSY", "VERIFIER_UNAVAILABLE",
            "NOT_ON_DUTY",
        ),
    )  # fmt: skip
    def sign_in(body: DutySignIn, caller: Annotated[Caller, Depends(calling)]) -> OnDutyView:
        if body.secret is None:
            return _view(duty_actions.sign_in_by_face(parts, caller, body.pharmacist))
        secret = body.secret.get_secret_value()
        return _view(duty_actions.sign_in_by_secret(parts, caller, body.pharmacist, secret))

    @router.delete(
        "/{pharmacist}",
        summary="药师签退 / A pharmacist signs out; who is still on duty",
        responses=responses("NOT_ON_DUTY"),
    )
    def sign_out(pharmacist: Code, caller: Annotated[Caller, Depends(calling)]) -> DutyView:
        duty_actions.sign_out(parts, caller, pharmacist)
        return _all(parts)

    return router


def _all(parts: Parts) -> DutyView:
    return DutyView(
        present=duty_actions.is_present(parts),
        required=parts.config.presence.required,
        on_duty=tuple(_view(one) for one in duty_actions.on_duty(parts)),
    )


def _view(one: OnDuty) -> OnDutyView:
    return OnDutyView(
        pharmacist=one.pharmacist,
        counter=one.counter,
        method=one.method,
        state=one.state,
        signed_in_at=one.signed_in_at,
        since=one.since,
        seen_at=one.seen_at,
        reasons=one.reasons,
        confirm_by=one.confirm_by,
    )
