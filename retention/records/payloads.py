"""What each kind of record says. One class per kind and version; `kinds.py` lists them.

A payload is written once and read for ever: a class is never changed after release, a new version
gets a new class. Tests hold the golden bytes of each.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from retention.records.fields import (
    Code,
    Count,
    Decimal,
    Digest,
    Frozen,
    Id,
    Moment,
    ShortText,
    SignatureText,
    Text,
)


class SceneRole(StrEnum):
    """Which part of a purchase a camera films."""

    PURCHASE = "purchase"
    PRESCRIPTION = "prescription"
    DISPENSING = "dispensing"


class GapCause(StrEnum):
    """Why a camera has no footage over a span."""

    CAMERA_UNREACHABLE = "camera_unreachable"
    STREAM_STALLED = "stream_stalled"
    STREAM_CHANGED = "stream_changed"
    RECORDER_STOPPED = "recorder_stopped"
    RECORDER_CRASHED = "recorder_crashed"
    DISK_FAILED = "disk_failed"
    DISK_FULL = "disk_full"
    UNSUPPORTED_CODEC = "unsupported_codec"
    PLANNED_SHUTDOWN = "planned_shutdown"
    POWER_FAILING = "power_failing"
    VIEW_BLACK = "view_black"
    VIEW_FROZEN = "view_frozen"
    VIEW_COVERED = "view_covered"
    VIEW_OUT_OF_FOCUS = "view_out_of_focus"
    VIEW_MOVED = "view_moved"
    UNKNOWN = "unknown"


VIEW_CAUSES = frozenset(cause for cause in GapCause if cause.value.startswith("view_"))
"""Footage is there and shows nothing: such a gap lies over footage and takes its worth away."""


# -- node, processes, cameras ---------------------------------------------------------------------


class NodeStarted(Frozen):
    software: Code
    signing_key_id: Code
    cameras: Annotated[tuple[Code, ...], Field(max_length=64)]


class NodeStopped(Frozen):
    reason: Code


class ProcessExited(Frozen):
    process: Code
    exit_code: int
    restarts: Count
    decision: Literal["restarted", "given_up", "stopped"]


class ClockJumped(Frozen):
    process: Code
    moved_ms: int


class RunStarted(Frozen):
    run: Id
    camera: Code
    scene_role: SceneRole
    codec: Code
    width: Count
    height: Count
    started_at: Moment


class SegmentSealed(Frozen):
    segment: Id
    camera: Code
    scene_role: SceneRole
    run: Id
    ordinal: Count
    started_at: Moment
    ended_at: Moment
    duration_ms: Count
    bytes: Count
    codec: Code
    file_sha256: Digest
    chunk_root: Digest
    recovered: bool
    truncated_bytes: Count


class GapOpened(Frozen):
    gap: Id
    camera: Code
    scene_role: SceneRole
    started_at: Moment
    cause: GapCause


class GapClosed(Frozen):
    gap: Id
    camera: Code
    scene_role: SceneRole
    started_at: Moment
    ended_at: Moment
    cause: GapCause


class CoverageSummarised(Frozen):
    camera: Code
    scene_role: SceneRole
    started_at: Moment
    ended_at: Moment
    owed_ms: Count
    covered_ms: Count
    segments: Count
    bytes: Count


class IncidentRecorded(Frozen):
    """Something on the disk or in the database that no rule explains; never silently deleted."""

    incident: Code
    subject: Text
    detail: Text


class AccessRecorded(Frozen):
    """Who looked at what, and why (invariant 10)."""

    actor: Text
    action: Code
    subject: Text
    reason: Text


# -- people ---------------------------------------------------------------------------------------


class ConsentGiven(Frozen):
    consent: Id
    person_ref: Digest
    purpose: Code
    notice_version: Code
    method: Code
    operator: Code


class ConsentWithdrawn(Frozen):
    consent: Id
    person_ref: Digest


class ReferenceEnrolled(Frozen):
    reference: Id
    person_ref: Digest
    consent: Id
    source: Code
    contract_id: Digest
    expires_at: Moment


class ReferenceErased(Frozen):
    reference: Id
    person_ref: Digest
    cause: Code


class TerminalPaired(Frozen):
    terminal: Id
    counter: Code
    name: ShortText


class TerminalRevoked(Frozen):
    terminal: Id
    reason: Text


# -- dispensing session ---------------------------------------------------------------------------


class Claim(Frozen):
    """The insured identity that the purchase is claimed for. No name or number in clear."""

    person_ref: Digest
    display_name: ShortText
    mdtrt_cert_type: Literal["01", "02", "03"]
    insuplc_admdvs: Annotated[str, Field(pattern=r"^\d{6}$")]


class BasketLine(Frozen):
    line: Count
    med_list_codg: Code
    name: ShortText
    quantity: Decimal
    unit_price: Decimal
    prescription_required: bool
    trace_codes: Annotated[tuple[Code, ...], Field(max_length=50)]


class SessionOpened(Frozen):
    session: Id
    terminal: Id
    operator: Code
    claim: Claim
    claim_digest: Digest


class PrescriptionAttached(Frozen):
    session: Id
    rx_no: Code
    source: Literal["electronic", "external_paper"]
    patient_ref: Digest
    prescriber: Code
    valid_until: Moment
    document_sha256: Digest | None


class BasketSet(Frozen):
    session: Id
    revision: Count
    lines: Annotated[tuple[BasketLine, ...], Field(min_length=1, max_length=60)]
    total: Decimal
    basket_digest: Digest


class ProxyDeclared(Frozen):
    """代购(领)情况登记表: the purchaser is not the patient. Names stay masked."""

    session: Id
    purchaser_ref: Digest
    purchaser_display_name: ShortText
    purchaser_cert_type: Code
    relation: Code
    reason: Text
    patient_signature_sha256: Digest
    purchaser_signature_sha256: Digest


class LivenessSignal(Frozen):
    signal: Code
    verdict: Literal["pass", "fail", "not_assessed"]
    value: Decimal | None
    limit: Decimal | None


class QualityMeasure(Frozen):
    measure: Code
    value: Decimal
    unit: Code


class DecisionReceipt(Frozen):
    """The signed outcome of one identity check: everything it depended on, by digest."""

    receipt: Id
    session: Id
    claim_digest: Digest
    subject_ref: Digest
    subject_role: Literal["patient", "proxy"]
    method: Literal["face", "document_attested", "certified_terminal", "fingerprint"]
    attempt: Count
    outcome: Literal["ACCEPT", "RETRY", "REFER"]
    reasons: Annotated[tuple[Code, ...], Field(min_length=1, max_length=8)]
    reference: Id | None
    attested_by: Code | None
    document_type: Code | None
    camera: Code | None
    contract_id: Digest | None
    policy_name: Code
    policy_digest: Digest
    calibration_digest: Digest | None
    false_match_rate_target: Decimal | None
    threshold: Decimal | None
    comparison_score: Decimal | None
    neg_log10_fmr: Decimal | None
    frames_seen: Count
    frames_used: Count
    quality: Annotated[tuple[QualityMeasure, ...], Field(max_length=16)]
    liveness: Annotated[tuple[LivenessSignal, ...], Field(max_length=8)]
    started_at: Moment
    decided_at: Moment
    expires_at: Moment


class SignatureBlock(Frozen):
    algorithm: Literal["ed25519"]
    key_id: Code
    value: SignatureText


class IdentityDecided(Frozen):
    session: Id
    receipt: DecisionReceipt
    signature: SignatureBlock


class RuleOutcome(Frozen):
    rule: Code
    outcome: Literal["pass", "refuse", "not_applicable"]
    reason: Code | None


class Authorisation(Frozen):
    """Permission to settle one basket once. Void when the basket changes or time runs out."""

    authorisation: Id
    session: Id
    receipt: Id
    claim_digest: Digest
    basket_digest: Digest
    proxy: bool
    rules: Annotated[tuple[RuleOutcome, ...], Field(max_length=32)]
    issued_at: Moment
    expires_at: Moment


class SessionAuthorised(Frozen):
    session: Id
    authorisation: Authorisation
    signature: SignatureBlock


class SessionRefused(Frozen):
    """The gate said no: every reason, not only the first."""

    session: Id
    basket_digest: Digest | None
    rules: Annotated[tuple[RuleOutcome, ...], Field(max_length=32)]
    reasons: Annotated[tuple[Code, ...], Field(min_length=1, max_length=32)]


class SettlementAttempted(Frozen):
    """Written before the platform is asked, so that a crash cannot hide a settlement."""

    session: Id
    authorisation: Id
    idempotency_key: Digest
    msgid: Code
    transaction: Literal["settle", "reverse"]


class SettlementConcluded(Frozen):
    session: Id
    authorisation: Id
    idempotency_key: Digest
    mode: Literal["node", "external"]
    outcome: Literal["settled", "refused", "unknown", "reversed"]
    setl_id: ShortText | None
    reason: Text | None


class SessionClosed(Frozen):
    session: Id
    outcome: Literal["settled", "self_paid", "abandoned", "refused"]
    opened_at: Moment
    closed_at: Moment


class SceneCoverage(Frozen):
    camera: Code
    scene_role: SceneRole
    owed_ms: Count
    covered_ms: Count
    gap_causes: Annotated[tuple[GapCause, ...], Field(max_length=8)]


class SessionCovered(Frozen):
    """How much of the owed footage of a session is held, once its post-roll is sealed."""

    session: Id
    started_at: Moment
    ended_at: Moment
    owed_ms: Count
    covered_ms: Count
    scenes: Annotated[tuple[SceneCoverage, ...], Field(max_length=16)]


class FootageSent(Frozen):
    """Segments of one session left the node because central asked (invariant 10)."""

    command: Id
    session: Id
    segments: Annotated[tuple[Id, ...], Field(max_length=512)]
    outcome: Literal["sent", "refused", "failed"]
    reason: Text | None
