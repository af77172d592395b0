"""Answering what is asked of one camera: one attempt or one enrolment at a time.

Opens the sealed reference, runs the attempt on live frames and records the decision before it
answers. Nothing but receipts and reason codes leaves this class, apart from what
`edge.verifier.live` shows the counter while an attempt runs.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import structlog

from edge.config import EdgeConfig
from edge.verifier.live import LivePublisher
from edge.verifier.looking import Looker, Shown
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
from edge.verifier.recent import RecentPictures
from edge.verifier.recording import Recorder
from edge.verifier.references import find_reference, row_of
from hardware.camera_identity import CameraIdentity
from hardware.cameras import FrameSource
from identity.attempt import Attempt, Progress
from identity.decision import Decision, Outcome
from identity.errors import ImageRefused
from identity.evidence import AttemptEvidence
from identity.images import decode_image
from identity.methods import Method
from identity.policy import IdentityPolicy
from identity.quality import measure, score
from identity.references import EnrolmentRefused as NotUsable
from identity.references import Reference, ReferenceTerms, enrol, quality_of
from models.errors import InferenceFailed
from retention.records.clock import from_text, to_text
from retention.records.ids import ConsentId, ReferenceId
from retention.records.people import AgeBand
from retention.records.signing import Signer
from retention.store import face_locks, people
from retention.store.database import NodeStore

log = structlog.get_logger()
CHILD: AgeBand = "under_14"
SEED_BYTES = 16
COUNTER_CAMERA = "counter_camera"


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What came of an attempt, and what it rests on (None: nobody was looked at); `complete` is
    false when it was given up before its end."""

    decision: Decision
    evidence: AttemptEvidence | None
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
        identity: CameraIdentity,
        stop: threading.Event,
        beat: Callable[[], None],
        live: LivePublisher | None = None,
        is_awaited: Callable[[], bool] = _never,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.config, self.camera, self.store = config, camera, store
        self._method, self._live, self._is_awaited = method, live, is_awaited
        self._looker = Looker(frames, store.clock, stop, beat)
        self._keys, self._identity = config.reference_keys(), identity
        self._recent, self._random_bytes = RecentPictures(), random_bytes
        probes = ProbeKeeper(config, store, self._keys)
        runtime = method.models.runtime
        self._recorder = Recorder(config, camera, store, signer, probes, identity, runtime)

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
            looked = self._look(
                policy, request.subject_ref, request.age_band, shown=shown,
                amount=None if request.amount is None else Decimal(request.amount),
                comparisons_before=request.comparisons,
            )  # fmt: skip
        finally:
            if self._live is not None:
                self._live.ended(request.session, request.attempt)
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
        waits for this camera. Raises FaceMethodOff, StoreUnavailable.
        """
        policy = self._method.policies.in_force()
        give_up = self._is_awaited if gives_way else _never
        looked = self._look(policy, person_ref, "unknown", give_up=give_up)
        if not looked.complete:
            return None
        self._recorder.record_look(looked.decision, person_ref, policy, counter)
        return looked.decision

    def _look(
        self,
        policy: IdentityPolicy,
        person_ref: str,
        age_band: AgeBand,
        *,
        shown: Shown | None = None,
        give_up: Callable[[], bool] = _never,
        amount: Decimal | None = None,
        comparisons_before: int = 0,
    ) -> Looked:
        """Look at one person, unless nothing may be looked at. Raises StoreUnavailable."""
        if age_band == CHILD:
            return self._not_looked(policy, "CHILD_NO_FACE")
        with self.store.read() as connection:
            if face_locks.is_locked(connection, person_ref):
                return self._not_looked(policy, "FACE_LOCKED")
        reference = find_reference(self.store, self._keys, person_ref)
        if reference is None:
            return self._not_looked(policy, "REFERENCE_MISSING")
        attempt = Attempt(
            policy=policy,
            calibration=self._method.calibration,
            reference=reference,
            standing=reference.standing(self.store.clock.now(), policy.reference),
            models=self._method.models,
            clock=self.store.clock,
            camera=self._identity,
            seed=self._random_bytes(SEED_BYTES),
            amount=amount,
            comparisons_before=comparisons_before,
            seen_before=self._recent.__contains__,
        )
        return self._run(attempt, policy, shown, give_up)

    def _run(
        self,
        attempt: Attempt,
        policy: IdentityPolicy,
        shown: Shown | None = None,
        give_up: Callable[[], bool] = _never,
    ) -> Looked:
        nothing_seen = Progress(None, 0, policy.matching.frames, complete=False)
        complete = self._looker.look(attempt, nothing_seen, shown=shown, give_up=give_up)
        decided = attempt.decide()
        self._recent.add(frame.pixels_digest for frame in decided.evidence.frames)
        return Looked(decided.decision, decided.evidence, complete)

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
        return Looked(decision, None, complete=True)

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

    def enrol_from_camera(self, request: EnrolFromCamera) -> Enrolled | EnrolmentRefused:
        """Make and keep a sealed reference of the living person at the counter now.

        The capture must pass the quality gate and every liveness signal; nothing is compared.
        Raises FaceMethodOff, StoreUnavailable.
        """
        policy = self._method.policies.in_force()
        if request.age_band == CHILD:
            return EnrolmentRefused(code="CHILD_NO_FACE", detail="no face of a child is taken")
        with self.store.read() as connection:
            if face_locks.is_locked(connection, request.person_ref):
                return EnrolmentRefused(code="FACE_LOCKED", detail="no face of this credential")
            consent = people.read_consent(connection, request.consent)
        stands = consent is not None and consent.withdrawn_at is None
        if consent is None or not stands or consent.person_ref != request.person_ref:
            return EnrolmentRefused(code="NO_CONSENT", detail="no standing consent of this person")
        looked = self._capture(policy, request.session)
        self._recorder.record_look(looked.decision, request.person_ref, policy, request.counter)
        reasons = looked.decision.reasons
        if reasons != ("REFERENCE_MISSING",) or looked.evidence is None:
            return EnrolmentRefused(code=reasons[0], detail="the capture is not usable")
        made = self._reference_of(looked.evidence, request)
        return self._keep(made, request.counter)

    def _capture(self, policy: IdentityPolicy, session: str | None) -> Looked:
        """Look at whoever is at the counter; REFERENCE_MISSING alone says that the capture holds
        and only something to compare with is missing."""
        attempt = Attempt(
            policy=policy,
            calibration=self._method.calibration,
            reference=None,
            models=self._method.models,
            clock=self.store.clock,
            camera=self._identity,
            seed=self._random_bytes(SEED_BYTES),
            seen_before=self._recent.__contains__,
            enrolling=True,
        )
        if self._live is None or session is None:
            return self._run(attempt, policy)
        try:
            return self._run(attempt, policy, Shown(self._live, session, 0))
        finally:
            self._live.ended(session, 0)

    def _reference_of(self, evidence: AttemptEvidence, request: EnrolFromCamera) -> Reference:
        """Embed the best of the frames that would have been compared."""
        used = [evidence.frames[index] for index in evidence.used]
        shown = [(frame, frame.aligned) for frame in used if frame.aligned is not None]
        best, aligned = max(
            shown, key=lambda one: score(measure(one[1], one[0].face, one[0].frame_size))
        )
        now, embedder = self.store.clock.now(), self._method.models.embedder
        terms = ReferenceTerms(
            reference_id=ReferenceId(self.store.ids.new()),
            person_ref=request.person_ref,
            contract_id=embedder.contract_id,
            source=COUNTER_CAMERA,
            consent_id=ConsentId(request.consent),
            expires_at=now + timedelta(days=self.config.verification.reference_days),
            portrait_at=now,
            quality=quality_of(best.face),
        )
        return Reference(terms, embedder.embed_aligned(aligned))

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
