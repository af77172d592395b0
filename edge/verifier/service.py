"""Answering the terminal's requests: one attempt or one enrolment at a time.

Opens the sealed reference, runs the attempt on live frames, signs the receipt and appends it to
the log before it answers. Nothing but receipts and reason codes leaves this class, apart from what
`edge.verifier.live` shows the counter while an attempt runs.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from edge.config import EdgeConfig
from edge.verifier.live import LivePublisher
from edge.verifier.protocol import (
    Decided,
    Enrol,
    Enrolled,
    EnrolmentRefused,
    LiveState,
    VerifyFace,
)
from hardware.cameras import FrameSource
from identity.attempt import Attempt, Progress
from identity.calibration import LoadedCalibration
from identity.decision import Decision, FaceEvidence, Outcome, receipt_payload
from identity.errors import ImageRefused, ReferenceUnreadable
from identity.images import decode_image
from identity.policy import IdentityPolicy
from identity.references import EnrolmentRefused as NotUsable
from identity.references import Reference, ReferenceTerms, SealedReference, enrol, open_sealed, seal
from models.errors import InferenceFailed
from models.runtime import LoadedModels
from retention.records.clock import to_text
from retention.records.ids import ConsentId, ReferenceId
from retention.records.payloads import DecisionReceipt
from retention.records.receipts import sign_receipt
from retention.records.signing import Signer
from retention.store import people
from retention.store.database import NodeStore
from retention.store.log import append

log = structlog.get_logger()
FRAME_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class FaceMethod:
    """Everything the face method depends on, loaded and checked once."""

    models: LoadedModels
    policy: IdentityPolicy
    calibration: LoadedCalibration


class VerifierService:
    """Runs attempts at one camera. Called by one thread."""

    def __init__(
        self,
        *,
        config: EdgeConfig,
        store: NodeStore,
        signer: Signer,
        method: FaceMethod,
        frames: FrameSource,
        stop: threading.Event,
        beat: Callable[[], None],
        live: LivePublisher | None = None,
    ) -> None:
        self._config, self._store, self._signer = config, store, signer
        self._method, self._frames = method, frames
        self._stop, self._beat, self._live = stop, beat, live
        keys = config.keys()
        self._key, self._key_id = keys.secret("reference"), keys.secret_id("reference")

    def monotonic_ns(self) -> int:
        """Return the clock that a request's `until_ns` is on."""
        return self._store.clock.monotonic_ns()

    def verify(self, request: VerifyFace) -> Decided:
        """Run one attempt now; return its recorded receipt. Raises StoreUnavailable."""
        try:
            decision = self._attempt(self._reference_of(request.subject_ref), request)
        finally:
            if self._live is not None:
                self._live.ended(request.session, request.attempt)
        with self._store.write() as connection:
            # A consent withdrawn while we looked: what was compared counts for nothing.
            if decision.reference_id is not None:
                standing = self._row_of(connection, request.subject_ref)
                if standing is None or standing.id != decision.reference_id:
                    decision = _uncompared(decision)
            decided = sign_receipt(self._receipt(decision, request), self._signer)
            append(self._store, connection, decided, counter=request.counter)
        receipt = decided.receipt
        log.info(
            "identity_decided",
            session=request.session,
            outcome=receipt.outcome,
            reasons=receipt.reasons,
            frames_seen=receipt.frames_seen,
        )
        return Decided(decided=decided)

    def _receipt(self, decision: Decision, request: VerifyFace) -> DecisionReceipt:
        verification = self._config.verification
        return receipt_payload(
            decision,
            receipt_id=self._store.ids.new(),
            session=request.session,
            claim_digest=request.claim_digest,
            subject_ref=request.subject_ref,
            subject_role=request.subject_role,
            attempt=request.attempt,
            camera=verification.camera,
            valid_for=timedelta(seconds=verification.receipt_seconds),
        )

    def enrol(self, request: Enrol, picture: bytes) -> Enrolled | EnrolmentRefused:
        """Make and keep a sealed reference. Raises StoreUnavailable."""
        now = self._store.clock.now()
        models = self._method.models
        try:
            made = enrol(
                decode_image(picture, "picture"),
                detector=models.detector,
                embedder=models.embedder,
                policy=self._method.policy,
                reference_id=ReferenceId(self._store.ids.new()),
                person_ref=request.person_ref,
                source=request.source,
                consent_id=ConsentId(request.consent),
                expires_at=now + timedelta(days=self._config.verification.reference_days),
            )
        except ImageRefused as exc:
            return EnrolmentRefused(code="IMAGE_REFUSED", detail=str(exc)[:200])
        except InferenceFailed as exc:
            log.error("enrolment_fault", model=exc.model)
            return EnrolmentRefused(code="INTERNAL_ERROR", detail="the picture cannot be examined")
        if isinstance(made, NotUsable):
            return EnrolmentRefused(code=made.reason, detail="the picture is not usable")
        return self._keep(seal(made, self._key, self._key_id), request.counter)

    def _keep(self, sealed: SealedReference, counter: str) -> Enrolled | EnrolmentRefused:
        terms = sealed.terms
        row = people.Reference(
            id=terms.reference_id,
            person_ref=terms.person_ref,
            consent=terms.consent_id,
            contract_id=terms.contract_id,
            source=terms.source,
            key_id=sealed.key_id,
            nonce=sealed.nonce,
            sealed=sealed.ciphertext,
            enrolled_at=self._store.clock.now(),
            expires_at=terms.expires_at,
        )
        try:
            with self._store.write() as connection:
                people.insert_reference(self._store, connection, row, counter=counter)
        except people.ConsentMissing:
            return EnrolmentRefused(code="NO_CONSENT", detail="no standing consent of this person")
        return Enrolled(reference=terms.reference_id, expires_at=to_text(terms.expires_at))

    def _reference_of(self, person_ref: str) -> Reference | None:
        """Open the person's reference; an expired one is returned so that REFER says so."""
        with self._store.read() as connection:
            row = self._row_of(connection, person_ref)
        if row is None:
            return None
        terms = ReferenceTerms(
            reference_id=ReferenceId(row.id),
            person_ref=row.person_ref,
            contract_id=row.contract_id,
            source=row.source,
            consent_id=ConsentId(row.consent),
            expires_at=row.expires_at,
        )
        sealed = SealedReference(terms, row.key_id, row.nonce, row.sealed)
        try:
            return open_sealed(sealed, self._key)
        except ReferenceUnreadable:
            log.error("reference_unreadable", reference=row.id, key_id=row.key_id)
            return None

    def _row_of(self, connection: sqlite3.Connection, person_ref: str) -> people.Reference | None:
        now = self._store.clock.now()
        usable = people.latest_reference(connection, person_ref, now)
        return usable or people.newest_reference(connection, person_ref)

    def _attempt(self, reference: Reference | None, request: VerifyFace) -> Decision:
        policy = self._method.policy
        attempt = Attempt(
            policy=policy,
            calibration=self._method.calibration,
            reference=reference,
            detector=self._method.models.detector,
            embedder=self._method.models.embedder,
            clock=self._store.clock,
        )
        deadline = self._store.clock.monotonic_ns() + int(
            float(policy.attempt.deadline_seconds) * 1e9
        )
        ordinal, seen = 0, Progress(None, 0, policy.matching.frames, complete=False)
        while not seen.complete and not self._stop.is_set():
            if self._store.clock.monotonic_ns() > deadline:
                break
            self._beat()
            frame = self._frames.latest(ordinal, FRAME_SECONDS)
            if frame is not None:
                ordinal, seen = frame.ordinal, attempt.observe(frame)
            # What completes the attempt is decided on, not shown.
            if self._live is not None and not seen.complete:
                left = (deadline - self._store.clock.monotonic_ns()) / 1e9
                pixels = None if frame is None else frame.pixels
                self._live.look(_live_state(request, seen, max(0.0, left)), pixels)
        return attempt.decide()


def _live_state(request: VerifyFace, seen: Progress, seconds_left: float) -> LiveState:
    return LiveState(
        state="looking",
        session=request.session,
        attempt=request.attempt,
        instruction=seen.instruction,
        frames_used=seen.frames_used,
        frames_wanted=seen.frames_wanted,
        seconds_left=round(seconds_left, 1),
    )


def _uncompared(decision: Decision) -> Decision:
    """Return REFER for want of a reference: how many frames were seen, and nothing compared."""
    return replace(
        decision,
        outcome=Outcome.REFER,
        reasons=("REFERENCE_MISSING",),
        evidence=FaceEvidence(frames_seen=decision.evidence.frames_seen),
        reference_id=None,
    )
