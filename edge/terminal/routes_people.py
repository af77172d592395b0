"""Pairing, consents and references."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import APIRouter, Depends

from edge.session.service import Caller
from edge.terminal import pairing
from edge.terminal.models import ConsentRequest, PairingRequest, ReferenceRequest
from edge.terminal.parts import Parts, calling
from edge.terminal.problems import ANYWHERE, responses
from edge.terminal.views import (
    ConsentAnswer,
    PairingAnswer,
    ReferenceAnswer,
    WithdrawalAnswer,
)
from edge.verifier.protocol import (
    MAX_PICTURE_BYTES,
    Enrol,
    EnrolmentRefused,
    VerifierUnavailable,
)
from retention.records.fields import Id
from retention.records.payloads import ConsentGiven
from retention.store import people
from retention.terms.problems import Problem, Refusal

PURPOSE = "face_verification"
# Why the verifier may not enrol, apart from the picture.
NOT_THE_PICTURE = {"NO_CONSENT": 409, "STORAGE_UNAVAILABLE": 503}
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
        given = ConsentGiven(
            consent=store.ids.new(),
            person_ref=parts.ref_of(body.certificate),
            purpose=body.purpose,
            notice_version=body.notice_version,
            method=body.method,
            operator=body.operator,
        )
        with store.write() as connection:
            people.give_consent(store, connection, given, counter=caller.counter)
        return ConsentAnswer(consent=given.consent, person_ref=given.person_ref)

    @router.delete(
        "/consents/{consent}",
        tags=["people"],
        summary="撤回同意，立即删除比对照片 / Withdraw; references are erased at once",
        responses=responses("CONSENT_UNKNOWN"),
    )
    def withdraw(consent: Id, caller: Annotated[Caller, Depends(calling)]) -> WithdrawalAnswer:
        erased: tuple[str, ...] = ()
        with store.write() as connection:
            found = people.read_consent(connection, consent)
            if found is None:
                raise Refusal(Problem(404, "CONSENT_UNKNOWN"))
            if found.withdrawn_at is None:
                erased = people.withdraw_consent(store, connection, found, counter=caller.counter)
        people.fold_wal(store)
        return WithdrawalAnswer(consent=consent, references_erased=erased)

    @router.post(
        "/references",
        status_code=201,
        tags=["people"],
        summary="采集比对照片 / Enrol a reference picture",
        responses=responses(
            "CONSENT_UNKNOWN", "NO_CONSENT", "IMAGE_REFUSED", "VERIFIER_UNAVAILABLE"
        ),
    )
    def enrol(
        body: ReferenceRequest, caller: Annotated[Caller, Depends(calling)]
    ) -> ReferenceAnswer:
        person_ref = parts.ref_of(body.certificate)
        with store.read() as connection:
            consent = people.read_consent(connection, body.consent)
        if consent is None:
            raise Refusal(Problem(404, "CONSENT_UNKNOWN"))
        standing = consent.withdrawn_at is None and consent.purpose == PURPOSE
        if not standing or consent.person_ref != person_ref:
            raise Refusal(Problem(409, "NO_CONSENT"))
        request = Enrol(
            person_ref=person_ref,
            consent=consent.id,
            counter=caller.counter,
            source=body.source,
        )
        try:
            answer = parts.verifier.enrol(request, _picture(body.picture_base64))
        except VerifierUnavailable as exc:
            raise Refusal(Problem(503, "VERIFIER_UNAVAILABLE")) from exc
        if isinstance(answer, EnrolmentRefused):
            raise Refusal(_not_enrolled(answer))
        return ReferenceAnswer(reference=answer.reference, expires_at=answer.expires_at)

    return router


def _not_enrolled(answer: EnrolmentRefused) -> Problem:
    """Say that the picture is at fault only when it is."""
    status = NOT_THE_PICTURE.get(answer.code)
    if status is not None:
        return Problem(status, answer.code)
    return Problem(422, "IMAGE_REFUSED", answer.detail, {"reason": answer.code})


def _picture(text: str) -> bytes:
    try:
        picture = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Refusal(Problem(422, "IMAGE_REFUSED", "picture_base64 is not base64")) from exc
    if len(picture) > MAX_PICTURE_BYTES:
        raise Refusal(Problem(413, "TOO_LARGE", f"at most {MAX_PICTURE_BYTES} bytes of picture"))
    return picture
