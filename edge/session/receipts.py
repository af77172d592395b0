"""Decision receipts that need no camera: what others vouch for, and refusals to look.

The policy named in them is the small table below, so its digest says under which terms they
were given.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from edge.session.state import SessionState
from identity.methods import Vouched
from retention.records.canonical import digest_of
from retention.records.clock import to_text
from retention.records.people import AgeBand, DecisionReceipt2, IdentityDecided2
from retention.records.receipts import sign_receipt
from retention.records.signing import Signer

POLICY_NAME = "counter-terms"
DOCUMENT_TYPES = (
    "id_card",
    "social_security_card",
    "electronic_certificate",
    "passport",
    "household_register",
    "other_official",
)


def vouched(
    state: SessionState,
    said: Vouched,
    *,
    receipt: str,
    now: datetime,
    valid_for: timedelta,
    signer: Signer,
) -> IdentityDecided2:
    """A pharmacist or a device vouches for the person at the counter; an ACCEPT is for any
    amount."""
    made = _receipt(
        state,
        receipt=receipt,
        method=said.method.value,
        outcome=said.outcome,
        reason=said.reason,
        now=now,
        valid_for=valid_for,
        attested_by=said.attested_by,
        document_type=said.document_type,
        device=said.device,
    )
    return sign_receipt(made, signer)


def not_looked(
    state: SessionState,
    *,
    receipt: str,
    reason: str,
    now: datetime,
    valid_for: timedelta,
    signer: Signer,
    age_band: AgeBand | None = None,
) -> IdentityDecided2:
    """No face was looked at, for this reason: REFER, so another way is taken.

    `age_band` is what was said of the person at the counter, where no document told it.
    """
    made = _receipt(
        state,
        receipt=receipt,
        method="face",
        outcome="REFER",
        reason=reason,
        now=now,
        valid_for=valid_for,
        age_band=age_band,
    )
    return sign_receipt(made, signer)


def _receipt(
    state: SessionState,
    *,
    receipt: str,
    method: str,
    outcome: str,
    reason: str,
    now: datetime,
    valid_for: timedelta,
    attested_by: str | None = None,
    document_type: str | None = None,
    device: str | None = None,
    age_band: AgeBand | None = None,
) -> DecisionReceipt2:
    subject_ref, subject_role = state.subject
    known_age, sex = state.subject_age_and_sex
    terms = {
        "policy": POLICY_NAME,
        "version": 1,
        "documents": list(DOCUMENT_TYPES),
        "receipt_ms": valid_for // timedelta(milliseconds=1),
    }
    return DecisionReceipt2.model_validate(
        {
            "receipt": receipt,
            "session": state.session,
            "claim_digest": state.opened.claim_digest,
            "subject_ref": subject_ref,
            "subject_role": subject_role,
            "method": method,
            "attempt": state.face_attempts,
            "outcome": outcome,
            "reasons": (reason,),
            "reference": None,
            "attested_by": attested_by,
            "document_type": document_type,
            "camera": None,
            "contract_id": None,
            "policy_name": POLICY_NAME,
            "policy_digest": digest_of(terms),
            "calibration_digest": None,
            "false_match_rate_target": None,
            "threshold": None,
            "comparison_score": None,
            "neg_log10_fmr": None,
            "frames_seen": 0,
            "frames_used": 0,
            "quality": (),
            "liveness": (),
            "started_at": to_text(now),
            "decided_at": to_text(now),
            "expires_at": to_text(now + valid_for),
            "comparisons": state.comparisons,
            "amount_limit": None,
            "band": None,
            "challenge": None,
            "camera_identity": None,
            "simulated": False,
            "probe_digest": None,
            "reference_standing": None,
            "liveness_model": None,
            "runtime": None,
            "device": device,
            "age_band": age_band or known_age,
            "sex": sex,
        }
    )
