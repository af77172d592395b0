"""Pairing, consents and references."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import APIRouter, Depends

from edge.session.service import Caller
from edge.terminal import consents, pairing
from edge.terminal.device_actions import AUTHORITY_SOURCE
from edge.terminal.models import ConsentRequest, PairingRequest, ReferenceRequest
from edge.terminal.pages import notice
from edge.terminal.parts import Parts, calling
from edge.terminal.problems import ANYWHERE, responses
from edge.terminal.views import (
    ConsentAnswer,
    NoticeAnswer,
    NoticePoint,
    PairingAnswer,
    ReferenceAnswer,
    WithdrawalAnswer,
)
from retention.records.fields import Id
from retention.terms.problems import Problem, Refusal

_WITHOUT_TOKEN = tuple(code for code in ANYWHERE if code != "UNAUTHENTICATED")


def people_router(parts: Parts) -> APIRouter:
    """Return the routes about terminals and people."""
    router = APIRouter(prefix="/v1")
    store = parts.store

    @router.post(
        "/pairing",
        status_code=201,
        tags=["terminals"],
        summary="配对终端 / Pair a terminal with a one-time code",
        responses=responses("PAIRING_REFUSED", anywhere=_WITHOUT_TOKEN),
    )
    def pair(body: PairingRequest) -> PairingAnswer:
        paired = pairing.pair(store, body.code, body.name)
        return PairingAnswer(terminal=paired.terminal, counter=paired.counter, token=paired.token)

    @router.get(
        "/notice",
        tags=["people"],
        summary="人脸核验告知书 / The notice to show before a consent",
        responses=responses(),
    )
    def read_notice(_caller: Annotated[Caller, Depends(calling)]) -> NoticeAnswer:
        days = parts.config.verification.reference_days
        shown = (
            NoticePoint(title=p.zh, title_en=p.en, text=p.says_zh, text_en=p.says_en)
            for p in notice.points(days)
        )
        return NoticeAnswer(version=notice.VERSION, sha256=notice.sha256(days), points=tuple(shown))

    @router.post(
        "/consents",
        status_code=201,
        tags=["people"],
        summary="登记单独同意 / Record a separate consent",
        responses=responses(),
    )
    def give_consent(
        body: ConsentRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> ConsentAnswer:
        given = consents.give_consent(
            parts,
            caller,
            parts.ref_of(body.certificate),
            body,
            age=parts.age_and_sex_of(body.certificate)[0],
            guardian_ref=None if body.guardian is None else parts.ref_of(body.guardian),
        )
        return ConsentAnswer(consent=given.consent, person_ref=given.person_ref)

    @router.delete(
        "/consents/{consent}",
        tags=["people"],
        summary="撤回同意，立即删除比对照片 / Withdraw; references are erased at once",
        responses=responses("CONSENT_UNKNOWN"),
    )
    def withdraw(consent: Id, caller: Annotated[Caller, Depends(calling)]) -> WithdrawalAnswer:
        done = consents.withdraw_consent(parts, caller, consent)
        return WithdrawalAnswer(
            consent=consent,
            references_erased=done.references,
            probes_erased=done.probes,
            probes_held=done.probes_held,
            proof=done.proof,
        )

    @router.post(
        "/references",
        status_code=201,
        tags=["people"],
        summary="采集比对照片 / Enrol a reference picture",
        responses=responses(
            "CONSENT_UNKNOWN", "NO_CONSENT", "CHILD_NO_FACE", "IMAGE_REFUSED",
            "VERIFIER_UNAVAILABLE",
        ),
    )  # fmt: skip
    def enrol(
        body: ReferenceRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> ReferenceAnswer:
        if body.source == AUTHORITY_SOURCE:  # only what an authority signed comes from one
            detail = "source: an authority's portrait comes by authority-reference"
            raise Refusal(Problem(422, "INVALID_REQUEST", detail))
        answer = consents.enrol(
            parts,
            caller,
            parts.ref_of(body.certificate),
            consent=body.consent,
            source=body.source,
            picture=_picture(body.picture_base64),
            age=parts.age_and_sex_of(body.certificate)[0],
            portrait_at=body.portrait_at,
        )
        return ReferenceAnswer(reference=answer.reference, expires_at=answer.expires_at)

    return router


def _picture(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Refusal(Problem(422, "IMAGE_REFUSED", "picture_base64 is not base64")) from exc
