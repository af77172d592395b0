"""From a message to its answer: reading what was asked, and carrying it out at one camera.

What cannot be done is an answer, not the end of a worker. Anything unforeseen is not caught here:
it ends the worker, and its requests are refused (`edge.verifier.workers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import structlog
from pydantic import Field, TypeAdapter, ValidationError

from edge.verifier.duty import DutyWatch
from edge.verifier.duty_protocol import SignInByFace
from edge.verifier.method import FaceMethodOff
from edge.verifier.protocol import (
    DutyRequest,
    Enrol,
    EnrolFromCamera,
    EnrolmentRefused,
    Ping,
    Request,
    VerifyFace,
)
from edge.verifier.service import CameraService
from edge.verifier.workers import Job
from retention.keyfiles import KeyRefused
from retention.records.envelope import first_error
from retention.records.fields import Frozen
from retention.store.database import StoreUnavailable

log = structlog.get_logger()

Asked = VerifyFace | Enrol | EnrolFromCamera | SignInByFace | Ping
_ASKED: TypeAdapter[Asked] = TypeAdapter(Annotated[Asked, Field(discriminator="do")])


def read(parts: Sequence[bytes]) -> Asked | EnrolmentRefused:
    """Return what one message asks, or the refusal that answers it."""
    try:
        asked = _ASKED.validate_json(parts[0])
    except ValidationError as exc:
        return EnrolmentRefused(code="INVALID_REQUEST", detail=first_error(exc)[:200])
    if len(parts) != (2 if isinstance(asked, Enrol) else 1):
        return EnrolmentRefused(
            code="INVALID_REQUEST", detail=f"{len(parts) - 1} attachments came with it"
        )
    return asked


def look_after(duty: DutyWatch) -> None:
    """Look after whoever is on duty; a store that does not answer now may at the next step."""
    try:
        duty.step()
    except (StoreUnavailable, KeyRefused) as exc:
        log.error("storage_unavailable", detail=str(exc))


def answer_to(service: CameraService, duty: DutyWatch, job: Job) -> Frozen:
    """Return the answer to one request."""
    request = job.request
    if request.until_ns is not None and service.monotonic_ns() >= request.until_ns:
        return EnrolmentRefused(code="DEADLINE", detail="nobody waits for this any more")
    try:
        return _carry_out(service, duty, request, job.attached)
    except FaceMethodOff as exc:
        return EnrolmentRefused(code="FACE_METHOD_OFF", detail=str(exc)[:200])
    except (StoreUnavailable, KeyRefused) as exc:
        log.error("storage_unavailable", detail=str(exc))
        return EnrolmentRefused(code="STORAGE_UNAVAILABLE", detail="nothing was recorded")


def _carry_out(
    service: CameraService, duty: DutyWatch, request: Request, attached: tuple[bytes, ...]
) -> Frozen:
    match request:
        case VerifyFace():
            return service.verify(request)
        case Enrol():
            return service.enrol(request, attached[0])
        case EnrolFromCamera():
            return service.enrol_from_camera(request)
        case DutyRequest():
            return duty.answer(request)
    return EnrolmentRefused(code="INVALID_REQUEST", detail="nobody here answers this")
