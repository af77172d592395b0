"""The ways by a device, the reader of identity cards, and an authority's portraits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from edge.session.service import Caller
from edge.terminal import actions, device_actions
from edge.terminal.models import AuthorityReferenceRequest, CameraReferenceRequest
from edge.terminal.parts import Parts, calling
from edge.terminal.problems import STEP, responses
from edge.terminal.views import DecisionAnswer, ReferenceAnswer
from hardware.devices import Holder
from identity.methods import Method
from retention.records.fields import Frozen, Id

DEVICE = ("METHOD_NOT_CONFIGURED", "BUSY", "DEVICE_UNAVAILABLE")


class CardAnswer(Frozen):
    """What a card says of its holder; shown once, kept nowhere."""

    cert_type: str
    number: Annotated[str, Field(repr=False)]
    name: Annotated[str | None, Field(repr=False)]


def devices_router(parts: Parts) -> APIRouter:
    """Return the routes of devices."""
    router = APIRouter(prefix="/v1", tags=["devices"])

    @router.post(
        "/sessions/{session}/certified-terminal",
        summary="医保终端核验 / The certified terminal confirms the person",
        responses=responses(*STEP, *DEVICE, "SUBJECT_CHANGED"),
    )
    def terminal(session: Id, caller: Annotated[Caller, Depends(calling)]) -> DecisionAnswer:
        state = device_actions.verify(parts, caller, session, Method.CERTIFIED_TERMINAL)
        return actions.decision_of(parts, state)

    @router.post(
        "/sessions/{session}/fingerprint",
        summary="指纹核验 / The fingerprint reader confirms the person",
        responses=responses(*STEP, *DEVICE, "SUBJECT_CHANGED"),
    )
    def fingerprint(session: Id, caller: Annotated[Caller, Depends(calling)]) -> DecisionAnswer:
        return actions.decision_of(
            parts, device_actions.verify(parts, caller, session, Method.FINGERPRINT)
        )

    @router.post(
        "/card",
        summary="读身份证 / Read the identity card on the reader; nothing is kept",
        responses=responses(*DEVICE, "DEVICE_REFUSED"),
    )
    def card(caller: Annotated[Caller, Depends(calling)]) -> CardAnswer:
        read = device_actions.read_card(parts, caller)
        return CardAnswer(cert_type=read.cert_type, number=read.number, name=read.name)

    @router.post(
        "/sessions/{session}/card-reference",
        status_code=201,
        summary="用身份证照片登记 / Enrol the portrait on the subject's card",
        responses=responses(
            *STEP, *DEVICE, "DEVICE_REFUSED", "RECEIPT_OTHER_CLAIM", "CONSENT_UNKNOWN",
            "NO_CONSENT", "IMAGE_REFUSED", "VERIFIER_UNAVAILABLE",
        ),
    )  # fmt: skip
    def card_reference(
        session: Id, body: CameraReferenceRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> ReferenceAnswer:
        answer = device_actions.enrol_card(parts, caller, session, body.consent)
        return ReferenceAnswer(reference=answer.reference, expires_at=answer.expires_at)

    @router.post(
        "/sessions/{session}/authority-reference",
        status_code=201,
        summary="用主管部门照片登记 / Enrol the portrait that an authority keeps of the subject",
        responses=responses(
            *STEP, *DEVICE, "DEVICE_REFUSED", "RECEIPT_OTHER_CLAIM", "CONSENT_UNKNOWN",
            "NO_CONSENT", "IMAGE_REFUSED", "VERIFIER_UNAVAILABLE",
        ),
    )  # fmt: skip
    def authority_reference(
        session: Id, body: AuthorityReferenceRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> ReferenceAnswer:
        holder = Holder(
            cert_type=body.certificate.type, number=body.certificate.number, name=body.name
        )
        answer = device_actions.enrol_from_authority(parts, caller, session, holder, body.consent)
        return ReferenceAnswer(reference=answer.reference, expires_at=answer.expires_at)

    return router
