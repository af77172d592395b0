"""From a decision to its record: sealed evidence, signed receipt, suspicion, in one transaction.

What changed while the camera looked counts in that same transaction: a consent withdrawn, a
reference erased, a credential locked. Then what was compared counts for nothing and nothing of it
is kept. An ACCEPT whose evidence cannot be kept is none.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import timedelta

import structlog

from edge.config import EdgeConfig
from edge.verifier.protocol import VerifyFace
from identity.decision import Decision, FaceEvidence, Outcome, receipt_payload
from identity.policy import IdentityPolicy
from retention.records.people import DecisionReceipt2, IdentityDecided2
from retention.records.receipts import sign_receipt
from retention.records.signing import Signer
from retention.store import face_locks, people
from retention.store.database import NodeStore
from retention.store.log import append

log = structlog.get_logger()


def standing_row(
    store: NodeStore, connection: sqlite3.Connection, person_ref: str
) -> people.Reference | None:
    """Return the person's newest reference under a standing consent; an expired one only when
    there is no other, so that the answer can say so."""
    usable = people.latest_reference(connection, person_ref, store.clock.now())
    return usable or people.newest_reference(connection, person_ref)


class Recorder:
    """Records what was decided at one camera. Used by one thread."""

    def __init__(self, config: EdgeConfig, camera: str, store: NodeStore, signer: Signer) -> None:
        self._config, self._camera = config, camera
        self._store, self._signer = store, signer

    def record(
        self, decision: Decision, request: VerifyFace, policy: IdentityPolicy
    ) -> IdentityDecided2:
        """Append the signed decision and return it. Raises StoreUnavailable."""
        receipt_id = self._store.ids.new()
        with self._store.write() as connection:
            # A consent withdrawn while we looked: what was compared counts for nothing.
            changed = self._changed(connection, decision, request.subject_ref)
            if changed is not None:
                decision = _uncompared(decision, changed)
            decided = sign_receipt(self._receipt(decision, receipt_id, request), self._signer)
            append(self._store, connection, decided, counter=request.counter)
        return decided

    def _changed(
        self, connection: sqlite3.Connection, decision: Decision, person_ref: str
    ) -> str | None:
        if decision.reference_id is None:
            return None
        row = standing_row(self._store, connection, person_ref)
        if row is None or row.id != decision.reference_id:
            return "REFERENCE_MISSING"
        return "FACE_LOCKED" if face_locks.is_locked(connection, person_ref) else None

    def _receipt(
        self, decision: Decision, receipt_id: str, request: VerifyFace
    ) -> DecisionReceipt2:
        return receipt_payload(
            decision,
            receipt_id=receipt_id,
            session=request.session,
            claim_digest=request.claim_digest,
            subject_ref=request.subject_ref,
            subject_role=request.subject_role,
            attempt=request.attempt,
            camera=self._camera,
            valid_for=timedelta(seconds=self._config.verification.receipt_seconds),
            age_band=request.age_band,
            sex=request.sex,
        )


def _uncompared(decision: Decision, reason: str) -> Decision:
    """Return REFER for a reason: how many frames were seen, and nothing compared."""
    return replace(
        decision,
        outcome=Outcome.REFER,
        reasons=(reason,),
        evidence=FaceEvidence(frames_seen=decision.evidence.frames_seen),
        reference_id=None,
    )
