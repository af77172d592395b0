"""Answering what is asked of one camera: one attempt or one enrolment at a time.

Opens the sealed reference, runs the attempt on live frames and records the decision before it
answers. Nothing but receipts and reason codes leaves this class, apart from what
`edge.verifier.live` shows the counter while an attempt runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from edge.config import EdgeConfig
from edge.verifier.live import LivePublisher
from edge.verifier.looking import Looker, Shown
from edge.verifier.method import FaceMethod
from edge.verifier.protocol import Decided, Enrol, Enrolled, EnrolmentRefused, VerifyFace
from edge.verifier.recording import Recorder
from edge.verifier.references import find_reference, row_of
from hardware.cameras import FrameSource
from identity.attempt import Attempt, Progress
from identity.decision import Decision, Outcome
from identity.errors import ImageRefused
from identity.images import decode_image
from identity.methods import Method
from identity.policy import IdentityPolicy
from identity.references import EnrolmentRefused as NotUsable
from identity.references import Reference, enrol
from models.errors import InferenceFailed
from retention.records.clock import from_text, to_text
from retention.records.ids import ConsentId, ReferenceId
from retention.records.people import AgeBand
from retention.records.signing import Signer
from retention.store import face_locks, people
from retention.store.database import NodeStore

log = structlog.get_logger()
_NS = 1e9
CHILD: AgeBand = "under_14"


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of an attempt; `complete` is false when it was given up before its end."""

    decision: Decision
    complete: bool


class CameraService:
    """Runs attempts at one camera. Used by one thread, the camera's worker."""

    def __init__(
        self,
        *,
        config: EdgeConfig,
        camera: str,
        store: NodeStore,
        signer: Signer,
        method: FaceMethod,
        frames: FrameSource,
        stop: threading.Event,
        beat: Callable[[], None],
        live: LivePublisher | None = None,
        is_awaited: Callable[[], bool] = lambda: False,
    ) -> None:
        self.config, self.camera, self.store = config, camera, store
        self._method, self._live, self._is_awaited = method, live, is_awaited
        self._looker = Looker(frames, store.clock, stop, beat)
        self._keys = config.reference_keys()
        self._recorder = Recorder(config, camera, store, signer)

    def monotonic_ns(self) -> int:
        """Return the clock that a request's `until_ns` is on."""
        return self.store.clock.monotonic_ns()

    # -- verifying --------------------------------------------------------------------------------

    def verify(self, request: VerifyFace) -> Decided:
        """Run one attempt now; return its recorded receipt.

        Raises FaceMethodOff, StoreUnavailable.
        """
        policy = self._method.policies.in_force()
        shown = None
        if self._live is not None:
            shown = Shown(self._live, request.session, request.attempt)
        try:
            looked = self._look(policy, request.subject_ref, request.age_band, shown)
        finally:
            if self._live is not None:
                self._live.ended(request.session, request.attempt)
        decided = self._recorder.record(looked.decision, request, policy)
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
        waits for this camera. Raises FaceMethodOff, StoreUnavailable.
        """
        policy = self._method.policies.in_force()
        give_up = self._is_awaited if gives_way else _never
        looked = self._look(policy, person_ref, "unknown", None, give_up)
        return looked.decision if looked.complete else None

    def _look(
        self,
        policy: IdentityPolicy,
        person_ref: str,
        age_band: AgeBand,
        shown: Shown | None,
        give_up: Callable[[], bool] = _never,
    ) -> Looked:
        if age_band == CHILD:
            return self._not_looked(policy, "CHILD_NO_FACE")
        with self.store.read() as connection:
            if face_locks.is_locked(connection, person_ref):
                return self._not_looked(policy, "FACE_LOCKED")
        reference = find_reference(self.store, self._keys, person_ref)
        return self._attempt(policy, reference, shown, give_up)

    def _not_looked(self, policy: IdentityPolicy, reason: str) -> Looked:
        now = self.store.clock.now()
        decision = Decision(
            method=Method.FACE,
            outcome=Outcome.REFER,
            reasons=(reason,),
            policy_name=policy.name,
            policy_digest=policy.digest,
            started_at=now,
            decided_at=now,
        )
        return Looked(decision, complete=True)

    def _attempt(
        self,
        policy: IdentityPolicy,
        reference: Reference | None,
        shown: Shown | None,
        give_up: Callable[[], bool],
    ) -> Looked:
        models, clock = self._method.models, self.store.clock
        attempt = Attempt(
            policy=policy,
            calibration=self._method.calibration,
            reference=reference,
            detector=models.detector,
            embedder=models.embedder,
            clock=clock,
        )
        deadline_ns = clock.monotonic_ns() + int(float(policy.attempt.deadline_seconds) * _NS)
        complete = reference is None or self._looker.look(
            attempt,
            nothing_seen=Progress(None, 0, policy.matching.frames, complete=False),
            deadline_ns=lambda: deadline_ns,
            shown=shown,
            give_up=give_up,
        )
        return Looked(attempt.decide(), complete)

    # -- enrolling --------------------------------------------------------------------------------

    def enrol(self, request: Enrol, picture: bytes) -> Enrolled | EnrolmentRefused:
        """Make and keep a sealed reference of a picture. Raises FaceMethodOff, StoreUnavailable."""
        policy = self._method.policies.in_force()
        if request.age_band == CHILD:
            return EnrolmentRefused(code="CHILD_NO_FACE", detail="no face of a child is taken")
        now, models = self.store.clock.now(), self._method.models
        try:
            made = enrol(
                decode_image(picture, "picture"),
                detector=models.detector,
                embedder=models.embedder,
                policy=policy,
                reference_id=ReferenceId(self.store.ids.new()),
                person_ref=request.person_ref,
                source=request.source,
                consent_id=ConsentId(request.consent),
                expires_at=now + timedelta(days=self.config.verification.reference_days),
                portrait_at=None if request.portrait_at is None else from_text(request.portrait_at),
            )
        except ImageRefused as exc:
            return EnrolmentRefused(code="IMAGE_REFUSED", detail=str(exc)[:200])
        except InferenceFailed as exc:
            log.error("enrolment_fault", model=exc.model)
            return EnrolmentRefused(code="INTERNAL_ERROR", detail="the picture cannot be examined")
        if isinstance(made, NotUsable):
            return EnrolmentRefused(code=made.reason, detail="the picture is not usable")
        return self._keep(made, request.counter)

    def _keep(self, made: Reference, counter: str) -> Enrolled | EnrolmentRefused:
        """Seal and store a reference; the key is asked for under the write lock (rotation)."""
        store = self.store
        try:
            with store.write() as connection:
                row = row_of(made, self._keys, store.clock.now())
                people.insert_reference(store, connection, row, counter=counter)
        except people.ConsentMissing:
            return EnrolmentRefused(code="NO_CONSENT", detail="no standing consent of this person")
        return Enrolled(reference=row.id, expires_at=to_text(row.expires_at))
