"""The verifier process: models loaded once, the counter's camera kept in sight, requests answered.

When the models are missing or wrong it ends with one clear line: the face method is then off,
loudly, and every other way stays open (US-09).
"""

from __future__ import annotations

from typing import Annotated

import structlog
import zmq
from pydantic import Field, TypeAdapter, ValidationError

from edge.process import ProcessContext
from edge.verifier.live import LivePublisher
from edge.verifier.protocol import (
    MAX_PICTURE_BYTES,
    Enrol,
    EnrolmentRefused,
    Ping,
    Ready,
    VerifyFace,
)
from edge.verifier.service import FaceMethod, VerifierService
from hardware.cameras import FrameSource, OpenCvFrames
from identity.calibration import load_calibration
from identity.errors import IdentityError
from identity.policy import load_policy
from models.errors import ModelsError
from models.runtime import load_models
from retention.records.envelope import first_error
from retention.records.errors import UsageError
from retention.records.fields import Frozen
from retention.store.database import StoreUnavailable

log = structlog.get_logger()
POLL_MILLISECONDS = 500
LAST_WORD_MILLISECONDS = 1000
_REQUEST: TypeAdapter[VerifyFace | Enrol | Ping] = TypeAdapter(
    Annotated[VerifyFace | Enrol | Ping, Field(discriminator="do")]
)


def run(context: ProcessContext) -> None:
    """Answer until told to stop. Raises UsageError when the face method cannot be loaded."""
    config = context.config
    method = load_method(context)
    camera = config.camera(config.verification.camera)
    store = config.open_store()
    # Staying connected costs a little decoding all day and saves a second at every attempt.
    frames = OpenCvFrames(
        camera.url,
        transport=camera.transport,
        timeout_seconds=camera.timeout_seconds,
        idle="decode",
    )
    frames.pause()
    try:
        with (
            zmq.Context() as zmq_context,
            LivePublisher(zmq_context, config.socket("live"), store.clock) as live,
        ):
            service = VerifierService(
                config=config,
                store=store,
                signer=config.keys().signer(),
                method=method,
                frames=frames,
                stop=context.stop,
                beat=context.beat,
                live=live,
            )
            _serve(context, service, frames, zmq_context, live)
    finally:
        frames.close()
        store.close()


def load_method(context: ProcessContext) -> FaceMethod:
    """Load and check models, policy and calibration. Raises UsageError with one line."""
    verification = context.config.verification
    try:
        models = load_models(verification.models)
        policy = load_policy(verification.policy)
        calibration = load_calibration(models.embedder.contract_id)
        calibration.values.threshold(policy.bands[0].false_match_rate)
    except (ModelsError, IdentityError) as exc:
        raise UsageError(f"the face method is off: {exc}") from exc
    return FaceMethod(models, policy, calibration)


def _serve(
    context: ProcessContext,
    service: VerifierService,
    frames: OpenCvFrames,
    zmq_context: zmq.Context[zmq.Socket[bytes]],
    live: LivePublisher,
) -> None:
    with zmq_context.socket(zmq.REP) as socket:
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_PICTURE_BYTES + 4096)
        # A stop ends an attempt at once; what was decided still has to reach the terminal.
        socket.setsockopt(zmq.LINGER, LAST_WORD_MILLISECONDS)
        socket.bind(context.config.socket("verifier"))
        log.info("verifier_ready")
        while not context.stop.is_set():
            context.beat()
            live.idle()
            if not socket.poll(POLL_MILLISECONDS):
                continue
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:  # what came was no request; REP has dropped it
                continue
            socket.send(answer_to(service, frames, parts).model_dump_json().encode())


def answer_to(service: VerifierService, frames: FrameSource, parts: list[bytes]) -> Frozen:
    """Return the answer to one message; what cannot be done is an answer, not the end of us."""
    try:
        request = _REQUEST.validate_json(parts[0])
    except ValidationError as exc:
        return EnrolmentRefused(code="INVALID_REQUEST", detail=first_error(exc)[:200])
    if isinstance(request, Ping):
        return Ready()
    try:
        return _carry_out(service, frames, request, parts)
    except StoreUnavailable as exc:
        log.error("storage_unavailable", detail=str(exc))
        return EnrolmentRefused(code="STORAGE_UNAVAILABLE", detail="nothing was recorded")


def _carry_out(
    service: VerifierService, frames: FrameSource, request: VerifyFace | Enrol, parts: list[bytes]
) -> Frozen:
    if request.until_ns is not None and service.monotonic_ns() >= request.until_ns:
        return EnrolmentRefused(code="DEADLINE", detail="nobody waits for this any more")
    if isinstance(request, Enrol):
        if len(parts) != 2:
            return EnrolmentRefused(code="INVALID_REQUEST", detail="no picture came with it")
        return service.enrol(request, parts[1])
    frames.resume()
    try:
        return service.verify(request)
    finally:
        frames.pause()
