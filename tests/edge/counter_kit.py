"""A counter for tests: a configuration, a verifier that decides as told, and its clients."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from edge.config import EdgeConfig
from edge.verifier.protocol import (
    Enrol,
    EnrolFromCamera,
    Enrolled,
    EnrolmentRefused,
    Request,
    VerifierUnavailable,
    VerifyFace,
)
from retention.records.clock import to_text
from retention.records.fields import Frozen
from retention.records.people import DecisionReceipt2, IdentityDecided2
from retention.records.receipts import sign_receipt
from retention.records.signing import Signer
from retention.store import log
from retention.store.database import NodeStore
from retention.store.people import Reference, insert_reference

Outcome = Literal["ACCEPT", "RETRY", "REFER"]
NOTHING = "0" * 64
COMPARED = frozenset({"MATCH", "MISMATCH", "INCONCLUSIVE"})
"""Reasons of attempts that ended in a comparison."""


def config_for(data: Path, **changes: Any) -> EdgeConfig:
    """Return a node's configuration; `changes` replace whole tables."""
    tables: dict[str, Any] = {
        "node": {"agency": "430100", "pharmacy": "P43010000001", "node": "node-a", "data": data},
        "cameras": [{"id": "till", "scene_role": "purchase", "url": "rtsp://127.0.0.1:1/stream"}],
        "verification": {"camera": "till"},
        # Tests of the pharmacist's presence ask for it.
        "presence": {"required": False},
    }
    return EdgeConfig.model_validate(tables | changes)


def receipt_for(
    request: VerifyFace,
    *,
    receipt: str,
    outcome: Outcome,
    reason: str,
    now: datetime,
    frames_seen: int = 10,
    amount_limit: str | None = None,
    standing: Literal["current", "stale"] = "current",
) -> DecisionReceipt2:
    """Return the receipt that a verifier would make."""
    compared = reason in COMPARED
    return DecisionReceipt2(
        receipt=receipt,
        session=request.session,
        claim_digest=request.claim_digest,
        subject_ref=request.subject_ref,
        subject_role=request.subject_role,
        method="face",
        attempt=request.attempt,
        outcome=outcome,
        reasons=(reason,),
        reference=None,
        attested_by=None,
        document_type=None,
        camera="till",
        contract_id=NOTHING,
        policy_name="counter",
        policy_digest=NOTHING,
        calibration_digest=NOTHING,
        false_match_rate_target="0.00001",
        threshold="0.4",
        comparison_score="0.7" if compared else None,
        neg_log10_fmr="6" if compared else None,
        frames_seen=frames_seen,
        frames_used=frames_seen // 2,
        quality=(),
        liveness=(),
        started_at=to_text(now),
        decided_at=to_text(now),
        expires_at=to_text(now + timedelta(minutes=10)),
        comparisons=request.comparisons + compared,
        amount_limit=amount_limit,
        band="accept" if outcome == "ACCEPT" else None,
        challenge=None,
        camera_identity="film",
        simulated=True,
        probe_digest=None,
        reference_standing=standing,
        liveness_model=None,
        runtime="fake",
        device=None,
        age_band=request.age_band,
        sex=request.sex,
    )


@dataclass
class FakeVerifier:
    """Decides as told and records it, as the real process does."""

    store: NodeStore
    signer: Signer
    outcome: Outcome = "ACCEPT"
    reason: str = "MATCH"
    frames_seen: int = 10
    amount_limit: str | None = None
    standing: Literal["current", "stale"] = "current"
    available: bool = True
    recording: bool = True
    refusal: EnrolmentRefused | None = None
    requests: list[VerifyFace] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)
    hold: threading.Event | None = None
    answers_to: Callable[[Request], Frozen] | None = None

    def verify(self, request: VerifyFace) -> IdentityDecided2:
        self.requests.append(request)
        self.entered.set()
        if self.hold is not None:
            assert self.hold.wait(30)
        if not self.available:
            raise VerifierUnavailable("told so")
        made = receipt_for(
            request,
            receipt=self.store.ids.new(),
            outcome=self.outcome,
            reason=self.reason,
            now=self.store.clock.now(),
            frames_seen=self.frames_seen,
            amount_limit=self.amount_limit,
            standing=self.standing,
        )
        decided = sign_receipt(made, self.signer)
        if self.recording:
            with self.store.write() as connection:
                log.append(self.store, connection, decided, counter=request.counter)
        return decided

    def enrol(self, request: Enrol, picture: bytes) -> Enrolled | EnrolmentRefused:
        if not self.available:
            raise VerifierUnavailable("told so")
        if self.refusal is not None:
            return self.refusal
        now = self.store.clock.now()
        reference = Reference(
            id=self.store.ids.new(),
            person_ref=request.person_ref,
            consent=request.consent,
            contract_id=NOTHING,
            source=request.source,
            key_id="k",
            nonce=b"n" * 12,
            sealed=b"sealed-" + picture[:40],
            enrolled_at=now,
            expires_at=now + timedelta(days=365),
        )
        with self.store.write() as connection:
            insert_reference(self.store, connection, reference, counter=request.counter)
        return Enrolled(reference=reference.id, expires_at=to_text(reference.expires_at))

    def enrol_from_camera(self, request: EnrolFromCamera) -> Enrolled | EnrolmentRefused:
        asked = Enrol(
            counter=request.counter,
            person_ref=request.person_ref,
            consent=request.consent,
            source="counter_camera",
        )
        return self.enrol(asked, b"of the camera")

    def ask(self, request: Request) -> bytes:
        if not self.available or self.answers_to is None:
            raise VerifierUnavailable("told so")
        return self.answers_to(request).model_dump_json().encode()


class Said(list[dict[str, Any]]):
    """A log that remembers. It stands in for structlog's, which other tests may reconfigure."""

    def info(self, event: str, **fields: Any) -> None:
        self.append({"event": event} | fields)

    warning = error = info
