"""One fixed payload per record kind and version. Their canonical bytes lie in records/.

`python -P -m tests.golden.samples` (from the repository) writes bytes for kinds that have none
yet; it never overwrites, because bytes that changed are a broken format, not a new golden file.
"""

from __future__ import annotations

from pathlib import Path

from retention.records import keeping as k
from retention.records import payloads as p
from retention.records import people as f
from retention.records.clock import ClockState
from retention.records.envelope import Record
from retention.records.fields import Frozen
from retention.records.kinds import Delivery, kind_of

FOLDER = Path(__file__).parent / "records"
A, B, C = (f"01900000-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))
D, E = "d" * 64, "e" * 64
T0, T1 = "2026-01-02T03:04:05.000000Z", "2026-01-02T03:05:05.250000Z"
SIGNATURE = p.SignatureBlock(algorithm="ed25519", key_id="0123456789abcdef", value="A" * 86 + "==")
ROLE = p.SceneRole.PURCHASE
CLAIM = p.Claim(person_ref=D, display_name="张*三", mdtrt_cert_type="02", insuplc_admdvs="430100")
LINE = p.BasketLine(
    line=1,
    med_list_codg="ZD03AAX0049010101234567",
    name="阿莫西林胶囊 <0.25g>",
    quantity="2",
    unit_price="18.50",
    prescription_required=True,
    trace_codes=("81234567890123456789",),
)
RECEIPT = p.DecisionReceipt(
    receipt=B,
    session=A,
    claim_digest=D,
    subject_ref=D,
    subject_role="patient",
    method="face",
    attempt=1,
    outcome="ACCEPT",
    reasons=("MATCH",),
    reference=C,
    attested_by=None,
    document_type=None,
    camera="counter-1",
    contract_id=E,
    policy_name="counter-default",
    policy_digest=D,
    calibration_digest=E,
    false_match_rate_target="1e-4",
    threshold="0.4012",
    comparison_score="0.7132",
    neg_log10_fmr="6.1",
    frames_seen=42,
    frames_used=5,
    quality=(p.QualityMeasure(measure="inter_eye_distance", value="81.5", unit="px"),),
    liveness=(
        p.LivenessSignal(signal="planarity", verdict="pass", value="0.0151", limit="0.0060"),
    ),
    started_at=T0,
    decided_at=T1,
    expires_at=T1,
)
RECEIPT2 = f.DecisionReceipt2(
    **dict(RECEIPT),
    comparisons=1,
    amount_limit="2000.00",
    band="accept",
    challenge=f.ChallengeGiven(seed="0f" * 16, sides=("left", "right"), outcome="passed"),
    camera_identity="rtsp",
    simulated=True,
    probe_digest=D,
    reference_standing="current",
    liveness_model=E,
    runtime="onnxruntime 1.23.2, opencv 4.12.0",
    device=None,
    age_band="80_up",
    sex="female",
)
RULE = p.RuleOutcome(rule="decision", outcome="pass", reason=None)
AUTHORISATION = p.Authorisation(
    authorisation=C,
    session=A,
    receipt=B,
    claim_digest=D,
    basket_digest=E,
    proxy=False,
    rules=(RULE,),
    issued_at=T0,
    expires_at=T1,
)

POLICY = k.RetentionPolicy(
    policy="province-43",
    version=2,
    province="430000",
    agreement=None,
    effective_from=T0,
    terms=(k.Term(subject="footage", years=2, days=731),),
    ceilings=(k.Ceiling(material="probe_crop", days=30),),
)
HOLD = k.Hold(
    hold=A,
    scope="session",
    session=B,
    person_ref=None,
    started_at=None,
    ended_at=None,
    cameras=(),
)

SAMPLES: tuple[Frozen, ...] = (
    p.NodeStarted(software="0.1.0", signing_key_id="0123456789abcdef", cameras=("counter-1",)),
    p.NodeStopped(reason="asked"),
    p.ProcessExited(process="recorder:a", exit_code=-9, restarts=1, decision="restarted"),
    p.ClockJumped(process="recorder:a", moved_ms=-3600000),
    p.RunStarted(
        run=A, camera="counter-1", scene_role=ROLE, codec="h264", width=640, height=480,
        started_at=T0,
    ),
    p.SegmentSealed(
        segment=A, camera="counter-1", scene_role=ROLE, run=B, ordinal=7, started_at=T0,
        ended_at=T1, duration_ms=60250, bytes=7531250, codec="h264", file_sha256=D, chunk_root=E,
        recovered=False, truncated_bytes=0,
    ),
    p.GapOpened(
        gap=A, camera="counter-1", scene_role=ROLE, started_at=T0,
        cause=p.GapCause.CAMERA_UNREACHABLE,
    ),
    p.GapClosed(
        gap=A, camera="counter-1", scene_role=ROLE, started_at=T0, ended_at=T1,
        cause=p.GapCause.CAMERA_UNREACHABLE,
    ),
    p.CoverageSummarised(
        camera="counter-1", scene_role=ROLE, started_at=T0, ended_at=T1, owed_ms=60250,
        covered_ms=60000, segments=1, bytes=7531250,
    ),
    p.IncidentRecorded(incident="UNEXPLAINED_FILE", subject="a/b.mp4", detail="no row"),
    p.AccessRecorded(actor="inspector-7", action="replay", subject=A, reason="随机复审"),
    p.ConsentGiven(
        consent=A, person_ref=D, purpose="settlement", notice_version="2026-1", method="screen",
        operator="op-1",
    ),
    p.ConsentWithdrawn(consent=A, person_ref=D),
    p.ReferenceEnrolled(
        reference=A, person_ref=D, consent=B, source="id_card_chip", contract_id=E, expires_at=T1
    ),
    p.ReferenceErased(reference=A, person_ref=D, cause="consent_withdrawn"),
    p.TerminalPaired(terminal=A, counter="counter-1", name="收银台 1"),
    p.TerminalRevoked(terminal=A, reason="lost"),
    p.SessionOpened(session=A, terminal=B, operator="op-1", claim=CLAIM, claim_digest=D),
    p.PrescriptionAttached(
        session=A, rx_no="RX20260102001", source="electronic", patient_ref=D,
        prescriber="D610724006954", valid_until=T1, document_sha256=None,
    ),
    p.BasketSet(session=A, revision=1, lines=(LINE,), total="37.00", basket_digest=E),
    p.ProxyDeclared(
        session=A, purchaser_ref=E, purchaser_display_name="张*", purchaser_cert_type="02",
        relation="daughter", reason="行动不便", patient_signature_sha256=D,
        purchaser_signature_sha256=E,
    ),
    p.IdentityDecided(session=A, receipt=RECEIPT, signature=SIGNATURE),
    p.SessionAuthorised(session=A, authorisation=AUTHORISATION, signature=SIGNATURE),
    p.SessionRefused(
        session=A, basket_digest=None,
        rules=(p.RuleOutcome(rule="decision", outcome="refuse", reason="NO_DECISION"),),
        reasons=("NO_DECISION",),
    ),
    p.SettlementAttempted(
        session=A, authorisation=C, idempotency_key=D, msgid="P4301000000120260102030405" "0001",
        transaction="settle",
    ),
    p.SettlementConcluded(
        session=A, authorisation=C, idempotency_key=D, mode="external", outcome="settled",
        setl_id="S1", reason=None,
    ),
    p.SessionClosed(session=A, outcome="settled", opened_at=T0, closed_at=T1),
    p.SessionCovered(
        session=A, started_at=T0, ended_at=T1, owed_ms=60250, covered_ms=60000,
        scenes=(
            p.SceneCoverage(
                camera="counter-1", scene_role=ROLE, owed_ms=60250, covered_ms=60000,
                gap_causes=(p.GapCause.STREAM_STALLED,),
            ),
        ),
    ),
    p.FootageSent(command=A, session=B, segments=(C,), outcome="sent", reason=None),
    k.PolicyAdopted(policy=POLICY, authority="central", author="admin-1", reason="省级协议 2027"),
    k.HoldPlaced(hold=HOLD, authority="inspector", author="inspector-7", reason="飞行检查"),
    k.HoldReleased(hold=A, authority="central", author="admin-1", reason="结案"),
    k.SegmentDisposed(
        segment=A, sequence=7, camera="counter-1", scene_role=ROLE, started_at=T0, ended_at=T1,
        bytes=7531250, file_sha256=D, owed_until=T1,
    ),
    k.FootageDisposed(
        camera="counter-1", started_at=T0, ended_at=T1, segments=1440, bytes=7531250,
        owed_until=T1,
    ),
    k.RecordsDisposed(retention="archive", sequences=(3, 4, 9), owed_until=T1),
    k.AlarmRaised(alarm="CAMERA_SILENT", subject="counter-1", detail="no segment", since=T0),
    k.AlarmCleared(alarm="CAMERA_SILENT", subject="counter-1", since=T0),
    k.RetentionBreach(
        breach=A, stage="announced", camera="counter-1", started_at=T0, ended_at=None,
        cause="disk_full", detail="12.5 days left",
    ),
    k.ViewChanged(
        camera="counter-1", scene_role=ROLE, condition="black", measure="mean_luma", value="3.1",
        limit="12", since=T0,
    ),
    k.OpeningAdopted(hours=("08:00-22:00",) * 6 + ("closed",), effective_from=T0),
    k.ClosureDeclared(
        closure=A, kind="closed", started_at=T0, ended_at=T1, author="op-1", reason="春节"
    ),
    k.ClosureCancelled(closure=A, author="op-1", reason="照常营业"),
    k.ChallengeAnswered(
        command=A, challenge=B, tree_size=900, samples=300, held=298, disposed=1, missing=1
    ),
    k.FootageScrubbed(started_at=T0, ended_at=T1, segments=10, bytes=75312500, broken=0),
    k.VolumeAdopted(volume=A, name="main"),
    k.IndexRebuilt(
        previous_database=B, segments=10, bytes=75312500, first_started_at=T0, last_ended_at=T1
    ),
    k.EvidenceExported(
        export=A, session=B, started_at=T0, ended_at=T1, segments=6, records=40,
        manifest_sha256=D, author="inspector-7", reason="立案",
    ),
    f.SessionOpened2(
        session=A, terminal=B, operator="op-1", claim=CLAIM, claim_digest=D, age_band="60_69",
        sex="male",
    ),
    f.ProxyDeclared2(
        session=A, purchaser_ref=E, purchaser_display_name="张*", purchaser_cert_type="02",
        relation="mother", reason="患者未满14岁", patient_signature_sha256=D,
        purchaser_signature_sha256=E, purchaser_age_band="18_39", purchaser_sex="female",
    ),
    f.IdentityDecided2(session=A, receipt=RECEIPT2, signature=SIGNATURE),
    f.AttackSuspected(
        session=A, receipt=B, subject_ref=D, camera="counter-1", signals=("planarity",)
    ),
    f.FaceLocked(person_ref=D, suspicions=3, receipt=B),
    f.FaceUnlocked(person_ref=D, attested_by="ph-3", receipt=B),
    f.ConsentGiven2(
        consent=A, person_ref=D, purpose="face_verification", notice_version="2026-11",
        method="confirmed_at_counter", operator="op-1", notice_sha256=E, guardian_ref=None,
    ),
    f.ReferenceEnrolled2(
        reference=A, person_ref=D, consent=B, source="id_card_chip", contract_id=E, expires_at=T1,
        portrait_at=T0, quality="good",
    ),
    f.ReferencesOutdated(contract_id=E, references=412),
    f.ReferencesRekeyed(
        from_key_id="0123456789abcdef", to_key_id="fedcba9876543210", references=400, remaining=12
    ),
    f.ProbesErased(cause="expired", receipts=(A, B)),
    f.SubjectsCounted(controller="P43010000001", subjects=410, references=412),
    f.PharmacistSignedIn(pharmacist="ph-3", counter="counter-1", method="face"),
    f.PharmacistPresence(
        pharmacist="ph-3", counter="counter-1", state="absent", method="face",
        reasons=("NO_FACE",),
    ),
    f.PharmacistSignedOut(pharmacist="ph-3", counter="counter-1", cause="asked"),
)  # fmt: skip


def record_of(payload: Frozen, sequence: int = 3) -> Record:
    """Return the payload in a fixed envelope."""
    kind = kind_of(payload)
    return Record(
        id=C,
        agency="430100",
        pharmacy="P43010000001",
        node="node-a",
        counter=None,
        sequence=sequence,
        sent_sequence=sequence if kind.delivery is Delivery.SENT else None,
        kind=kind.name,
        version=kind.version,
        digest="sha-256",
        occurred_at=T0,
        monotonic_ns="18446744073709551615",
        boot_id=A,
        clock_state=ClockState.STEADY,
        salt="0" * 32,
        payload=payload.model_dump(mode="json"),
    )


def golden_path(payload: Frozen) -> Path:
    kind = kind_of(payload)
    return FOLDER / f"{kind.name}.v{kind.version}.json"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for sample in SAMPLES:
        if not golden_path(sample).exists():
            golden_path(sample).write_bytes(record_of(sample).to_bytes())
            print("wrote", golden_path(sample).name)
