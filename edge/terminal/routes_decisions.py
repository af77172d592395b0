"""Identity decisions and the gate."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from edge.session.service import Caller
from edge.terminal import actions, consents
from edge.terminal.models import AttestationRequest, CameraReferenceRequest
from edge.terminal.parts import Parts, calling
from edge.terminal.problems import GATE, STEP, responses
from edge.terminal.views import AuthorisationAnswer, DecisionAnswer, ReferenceAnswer
from retention.records.fields import Id


def decisions_router(parts: Parts) -> APIRouter:
    """Return the routes that decide."""
    router = APIRouter(prefix="/v1/sessions/{session}", tags=["decisions"])

    @router.post(
        "/verification",
        summary="人脸核验一次 / One face attempt; the decision and its reasons",
        responses=responses(*STEP, "BUSY", "VERIFIER_UNAVAILABLE"),
    )
    def verify(session: Id, caller: Annotated[Caller, Depends(calling)]) -> DecisionAnswer:
        return actions.decision_of(parts, actions.verify(parts, caller, session))

    @router.post(
        "/child",
        summary="参保人未满14岁，不采集人脸 / The insured person is under 14; no face is taken",
        responses=responses(*STEP),
    )
    def say_child(session: Id, caller: Annotated[Caller, Depends(calling)]) -> DecisionAnswer:
        return actions.decision_of(parts, actions.say_child(parts, caller, session))

    @router.post(
        "/attestation",
        summary="药师核对证件 / A pharmacist compared the document",
        responses=responses(*STEP, "PHARMACIST_REFUSED", "CHILD_NO_FACE"),
    )
    def attest(
        session: Id, body: AttestationRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> DecisionAnswer:
        return actions.decision_of(parts, actions.attest(parts, caller, session, body))

    @router.post(
        "/camera-reference",
        status_code=201,
        summary="核对证件后用摄像头采集 / Enrol from the camera, once a pharmacist has attested",
        responses=responses(
            *STEP, "NO_DECISION", "CONSENT_UNKNOWN", "NO_CONSENT", "CHILD_NO_FACE", "FACE_LOCKED",
            "BUSY", "IMAGE_REFUSED", "VERIFIER_UNAVAILABLE",
        ),
    )  # fmt: skip
    def enrol_from_camera(
        session: Id, body: CameraReferenceRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> ReferenceAnswer:
        answer = consents.enrol_from_camera(parts, caller, session, body.consent)
        return ReferenceAnswer(reference=answer.reference, expires_at=answer.expires_at)

    @router.post(
        "/authorisation",
        status_code=201,
        summary="结算授权 / The gate: a signed authorisation, or every reason against it",
        responses=responses(*STEP, *GATE),
    )
    def authorise(session: Id, caller: Annotated[Caller, Depends(calling)]) -> AuthorisationAnswer:
        return actions.authorise(parts, caller, session)

    return router
