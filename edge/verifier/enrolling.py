"""Making references: of a picture that somebody brought, or of a capture at the counter.

Only under a standing consent of that very person, never of a child, and never of a locked
credential. A capture must have passed the quality gate and every liveness signal, so a photograph
held up to the camera makes no reference.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from edge.config import EdgeConfig
from edge.verifier.looking import CHILD, Looked
from edge.verifier.method import FaceMethod
from edge.verifier.protocol import Enrol, EnrolFromCamera, Enrolled, EnrolmentRefused
from edge.verifier.references import row_of
from identity.errors import ImageRefused
from identity.evidence import AttemptEvidence
from identity.images import decode_image
from identity.policy import IdentityPolicy
from identity.quality import measure, score
from identity.references import COUNTER_CAMERA, Reference, ReferenceTerms, enrol, quality_of
from identity.references import EnrolmentRefused as NotUsable
from models.errors import InferenceFailed
from retention.records.clock import from_text, to_text
from retention.records.ids import ConsentId, ReferenceId
from retention.store import face_locks, people
from retention.store.database import NodeStore

log = structlog.get_logger()
AHEAD = timedelta(days=1)
"""A document is dated by days, and clocks differ; beyond that no picture comes from the future."""


class Enroller:
    """Makes and keeps references. Used by one thread."""

    def __init__(self, config: EdgeConfig, store: NodeStore, method: FaceMethod) -> None:
        self._store, self._method, self._keys = store, method, config.reference_keys()
        self._kept_for = timedelta(days=config.verification.reference_days)

    def refused(self, request: Enrol | EnrolFromCamera) -> EnrolmentRefused | None:
        """Return why no reference of this person may be made, before any picture is looked at.

        Raises StoreUnavailable.
        """
        if request.age_band == CHILD:
            return EnrolmentRefused(code="CHILD_NO_FACE", detail="no face of a child is taken")
        with self._store.read() as connection:
            consent = people.read_consent(connection, request.consent)
            locked = face_locks.is_locked(connection, request.person_ref)
        stands = consent is not None and consent.withdrawn_at is None
        if consent is None or not stands or consent.person_ref != request.person_ref:
            return EnrolmentRefused(code="NO_CONSENT", detail="no standing consent of this person")
        if locked:
            return EnrolmentRefused(code="FACE_LOCKED", detail="the credential is locked")
        return None

    def from_picture(
        self, request: Enrol, picture: bytes, policy: IdentityPolicy
    ) -> Enrolled | EnrolmentRefused:
        """Make and keep a sealed reference of a picture file. Raises StoreUnavailable."""
        if request.source == COUNTER_CAMERA:  # such a reference is never held against copies
            return EnrolmentRefused(code="INVALID_REQUEST", detail="a picture is no living person")
        models, now = self._method.models, self._store.clock.now()
        portrait_at = None if request.portrait_at is None else from_text(request.portrait_at)
        if portrait_at is not None and portrait_at > now + AHEAD:  # it would never become old
            return EnrolmentRefused(code="IMAGE_REFUSED", detail="its date lies ahead")
        try:
            made = enrol(
                decode_image(picture, "picture"),
                detector=models.detector,
                embedder=models.embedder,
                policy=policy,
                reference_id=ReferenceId(self._store.ids.new()),
                person_ref=request.person_ref,
                source=request.source,
                consent_id=ConsentId(request.consent),
                expires_at=now + self._kept_for,
                portrait_at=portrait_at,
            )
        except ImageRefused as exc:
            return EnrolmentRefused(code="IMAGE_REFUSED", detail=str(exc)[:200])
        except InferenceFailed as exc:
            return _not_examined(exc)
        if isinstance(made, NotUsable):
            return EnrolmentRefused(code=made.reason, detail="the picture is not usable")
        return self._keep(made, request.counter)

    def from_capture(self, request: EnrolFromCamera, looked: Looked) -> Enrolled | EnrolmentRefused:
        """Keep a sealed reference of the best frame of a capture, if the capture holds.

        Raises StoreUnavailable.
        """
        reasons, evidence = looked.decision.reasons, looked.evidence
        if reasons != ("REFERENCE_MISSING",) or evidence is None or not evidence.used:
            return EnrolmentRefused(code=reasons[0], detail="the capture is not usable")
        try:
            made = self._of_best_frame(evidence, request)
        except InferenceFailed as exc:
            return _not_examined(exc)
        return self._keep(made, request.counter)

    def _of_best_frame(self, evidence: AttemptEvidence, request: EnrolFromCamera) -> Reference:
        """Embed the best of the frames that would have been compared."""
        used = [evidence.frames[index] for index in evidence.used]
        shown = [(frame, frame.aligned) for frame in used if frame.aligned is not None]
        best, aligned = max(
            shown, key=lambda one: score(measure(one[1], one[0].face, one[0].frame_size))
        )
        now, embedder = self._store.clock.now(), self._method.models.embedder
        terms = ReferenceTerms(
            reference_id=ReferenceId(self._store.ids.new()),
            person_ref=request.person_ref,
            contract_id=embedder.contract_id,
            source=COUNTER_CAMERA,
            consent_id=ConsentId(request.consent),
            expires_at=now + self._kept_for,
            portrait_at=now,
            quality=quality_of(best.face),
        )
        return Reference(terms, embedder.embed_aligned(aligned))

    def _keep(self, made: Reference, counter: str) -> Enrolled | EnrolmentRefused:
        """Seal and store a reference; the key is asked for under the write lock (rotation)."""
        store = self._store
        try:
            with store.write() as connection:
                row = row_of(made, self._keys, store.clock.now())
                people.insert_reference(store, connection, row, counter=counter)
        except people.ConsentMissing:
            return EnrolmentRefused(code="NO_CONSENT", detail="no standing consent of this person")
        return Enrolled(reference=row.id, expires_at=to_text(row.expires_at))


def _not_examined(fault: InferenceFailed) -> EnrolmentRefused:
    log.error("enrolment_fault", model=fault.model)
    return EnrolmentRefused(code="INTERNAL_ERROR", detail="the picture cannot be examined")
