"""Answering what is asked of one camera: one attempt or one enrolment at a time.

The decision is recorded before it is answered. Nothing but receipts and reason codes leaves this
class, apart from what `edge.verifier.live` shows the counter while an attempt runs.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from decimal import Decimal

import structlog

from edge.config import EdgeConfig
from edge.verifier.enrolling import Enroller
from edge.verifier.live import LivePublisher
from edge.verifier.looking import Camera, Looker, Shown, never
from edge.verifier.method import FaceMethod
from edge.verifier.probes import ProbeKeeper
from edge.verifier.protocol import (
    Decided,
    Enrol,
    EnrolFromCamera,
    Enrolled,
    EnrolmentRefused,
    VerifyFace,
)
from edge.verifier.recording import Recorder
from identity.decision import Decision
from identity.presence import unasked
from retention.records.signing import Signer
from retention.store.database import NodeStore

log = structlog.get_logger()


class CameraService:
    """What one camera is asked. Used by one thread, the camera's worker."""

    def __init__(
        self,
        *,
        config: EdgeConfig,
        store: NodeStore,
        signer: Signer,
        method: FaceMethod,
        camera: Camera,
        live: LivePublisher | None = None,
        is_awaited: Callable[[], bool] = never,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.config, self.camera, self.store = config, camera.id, store
        self._policies, self._live, self._is_awaited = method.policies, live, is_awaited
        self._looker = Looker(config, store, method, camera, random_bytes)
        self._enroller = Enroller(config, store, method)
        probes = ProbeKeeper(config, store, config.reference_keys())
        self._recorder = Recorder(
            config, camera.id, store, signer, probes, camera.identity, method.models.runtime
        )

    def monotonic_ns(self) -> int:
        """Return the clock that a request's `until_ns` is on."""
        return self.store.clock.monotonic_ns()

    def verify(self, request: VerifyFace) -> Decided:
        """Run one attempt now; return its recorded receipt.

        Raises FaceMethodOff, StoreUnavailable, KeyRefused.
        """
        policy = self._policies.in_force()
        looked = self._looker.look(
            policy,
            request.subject_ref,
            request.age_band,
            amount=None if request.amount is None else Decimal(request.amount),
            comparisons_before=request.comparisons,
            shown=self._shown(request.session, request.attempt),
        )
        decided = self._recorder.record(looked.decision, looked.evidence, request, policy)
        receipt = decided.receipt
        log.info(
            "identity_decided",
            session=request.session,
            outcome=receipt.outcome,
            reasons=receipt.reasons,
            frames_seen=receipt.frames_seen,
        )
        return Decided(decided=decided)

    def look(self, person_ref: str, counter: str, *, gives_way: bool = False) -> Decision | None:
        """Look at one person without a session: no receipt, no record but a suspected attack's.

        None when it came to no end: the node stops, or, with `gives_way`, somebody at the counter
        waits for this camera. A look that gives way is one that nobody knows of: no turn is asked
        for. Raises FaceMethodOff, StoreUnavailable, KeyRefused.
        """
        policy = self._policies.in_force()
        if gives_way:
            policy = unasked(policy)
        give_up = self._is_awaited if gives_way else never
        looked = self._looker.look(policy, person_ref, "unknown", give_up=give_up)
        if not looked.complete:
            return None
        self._recorder.record_look(looked.decision, person_ref, policy, counter)
        return looked.decision

    def enrol(self, request: Enrol, picture: bytes) -> Enrolled | EnrolmentRefused:
        """Make and keep a sealed reference of a picture.

        Raises FaceMethodOff, StoreUnavailable, KeyRefused.
        """
        policy = self._policies.in_force()
        refused = self._enroller.refused(request)
        return refused or self._enroller.from_picture(request, picture, policy)

    def enrol_from_camera(self, request: EnrolFromCamera) -> Enrolled | EnrolmentRefused:
        """Make and keep a sealed reference of the living person at the counter now.

        Raises FaceMethodOff, StoreUnavailable, KeyRefused.
        """
        policy = self._policies.in_force()
        refused = self._enroller.refused(request)
        if refused is not None:
            return refused
        looked = self._looker.capture(policy, self._shown(request.session, 0))
        self._recorder.record_look(looked.decision, request.person_ref, policy, request.counter)
        return self._enroller.from_capture(request, looked)

    def _shown(self, session: str | None, attempt: int) -> Shown | None:
        if self._live is None or session is None:
            return None
        return Shown(self._live, session, attempt)
