"""From a decision to its record: sealed evidence, signed receipt, suspicion, in one transaction.

The sealed file is on the disk before the transaction begins and its row is written in it. What
changed while the camera looked counts in that same transaction: a consent withdrawn, a reference
erased, a credential locked. Then what was compared counts for nothing and nothing of it is kept.
An ACCEPT whose evidence cannot be kept is none.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import timedelta

import structlog

from edge.config import EdgeConfig
from edge.verifier.probes import Prepared, ProbeKeeper
from edge.verifier.protocol import VerifyFace
from hardware.camera_identity import CameraIdentity
from identity.decision import Decision, FaceEvidence, Outcome, receipt_payload
from identity.evidence import AttemptEvidence, encode
from identity.liveness.panel import suspected
from identity.policy import IdentityPolicy
from retention.records.people import AttackSuspected, DecisionReceipt2, IdentityDecided2
from retention.records.receipts import sign_receipt
from retention.records.signing import Signer
from retention.store import face_locks, people
from retention.store.database import NodeStore, StoreUnavailable
from retention.store.log import append

log = structlog.get_logger()


class EvidenceNotKept(Exception):
    """The evidence of a decision cannot be sealed now; the message names no person."""


class Recorder:
    """Records what was decided at one camera. Used by one thread."""

    def __init__(
        self,
        config: EdgeConfig,
        camera: str,
        store: NodeStore,
        signer: Signer,
        probes: ProbeKeeper,
        identity: CameraIdentity,
        runtime: str,
    ) -> None:
        self._config, self._camera, self._store, self._signer = config, camera, store, signer
        self._probes, self._identity, self._runtime = probes, identity, runtime

    def record(
        self,
        decision: Decision,
        evidence: AttemptEvidence | None,
        request: VerifyFace,
        policy: IdentityPolicy,
    ) -> IdentityDecided2:
        """Append the signed decision and return it; `evidence` is None when nobody was looked at.

        Raises StoreUnavailable, KeyRefused: then nothing was recorded.
        """
        receipt_id, kept = self._store.ids.new(), None
        try:
            kept = self._sealed(receipt_id, request, evidence)
        except EvidenceNotKept as exc:
            log.error("evidence_not_kept", session=request.session, detail=str(exc))
            if decision.outcome is Outcome.ACCEPT:
                reasons = ("STORAGE_UNAVAILABLE",)
                decision = replace(decision, outcome=Outcome.REFER, reasons=reasons)
        try:
            with self._store.write() as connection:
                changed = self._changed(connection, decision, request.subject_ref)
                if changed is not None:
                    decision = _uncompared(decision, changed)
                digest = None
                if kept is not None and changed is None:
                    kept.insert(connection)
                    digest = kept.digest
                receipt = self._receipt(decision, receipt_id, request, digest)
                signed = sign_receipt(receipt, self._signer)
                append(self._store, connection, signed, counter=request.counter)
                self._count_suspicion(
                    connection, decision, request.subject_ref, policy,
                    receipt=receipt_id, session=request.session, counter=request.counter,
                )  # fmt: skip
        except BaseException:
            _abandon(kept)
            raise
        if digest is None:
            _abandon(kept)
        return signed

    def record_look(
        self, decision: Decision, person_ref: str, policy: IdentityPolicy, counter: str
    ) -> None:
        """Record what a look without a session must leave: a suspected attack, and nothing else.

        Raises StoreUnavailable.
        """
        if suspected(decision.evidence.liveness, policy.liveness):
            with self._store.write() as connection:
                self._count_suspicion(
                    connection, decision, person_ref, policy,
                    receipt=self._store.ids.new(), session=None, counter=counter,
                )  # fmt: skip

    def _sealed(
        self, receipt_id: str, request: VerifyFace, evidence: AttemptEvidence | None
    ) -> Prepared | None:
        """Return the sealed evidence on the disk; None when there is nothing to keep, or the
        person's consent does not cover keeping it. Raises EvidenceNotKept."""
        if evidence is None or not evidence.frames:
            return None
        try:
            encoded = encode(evidence)
            return self._probes.prepare(receipt_id, request.session, request.subject_ref, encoded)
        except (ValueError, StoreUnavailable) as exc:
            raise EvidenceNotKept(type(exc).__name__) from exc

    def _changed(
        self, connection: sqlite3.Connection, decision: Decision, person_ref: str
    ) -> str | None:
        """Return why what was compared does not count any more, if so."""
        if decision.reference_id is None:
            return None
        now = self._store.clock.now()
        row = people.latest_reference(connection, person_ref, now)
        row = row or people.newest_reference(connection, person_ref)
        if row is None or row.id != decision.reference_id:
            return "REFERENCE_MISSING"
        return "FACE_LOCKED" if face_locks.is_locked(connection, person_ref) else None

    def _count_suspicion(
        self,
        connection: sqlite3.Connection,
        decision: Decision,
        person_ref: str,
        policy: IdentityPolicy,
        *,
        receipt: str,
        session: str | None,
        counter: str,
    ) -> None:
        names = suspected(decision.evidence.liveness, policy.liveness)
        if not names:
            return
        suspicion = AttackSuspected(
            session=session,
            receipt=receipt,
            subject_ref=person_ref,
            camera=self._camera,
            signals=names,
        )
        limits = policy.transaction
        if face_locks.suspect(self._store, connection, suspicion, limits, counter=counter):
            log.warning("face_locked", session=session, receipt=receipt)

    def _receipt(
        self, decision: Decision, receipt_id: str, request: VerifyFace, digest: str | None
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
            runtime=self._runtime,
            camera_identity=self._identity.code,
            simulated=self._identity.simulated,
            probe_digest=digest,
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


def _abandon(kept: Prepared | None) -> None:
    """Remove a sealed file that no record names; what cannot be removed now is swept later."""
    if kept is None:
        return
    try:
        kept.abandon()
    except StoreUnavailable as exc:
        log.error("sealed_file_left", detail=str(exc))
