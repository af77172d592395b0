"""The table of record kinds: one line each. Code, docs, golden tests and central read this table.

`delivery = sent` kinds travel to central in full; `committed` kinds stay on the node and are
covered by the checkpoint. `priority` orders what an inspector wants first (0 is urgent).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from retention.records import keeping as k
from retention.records import payloads as p
from retention.records import people as f
from retention.records.errors import MalformedRecord
from retention.records.fields import Frozen


class Delivery(StrEnum):
    SENT = "sent"
    COMMITTED = "committed"


class RetentionClass(StrEnum):
    """Which floor a record falls under (policy turns the class into a date)."""

    ARCHIVE = "archive"
    PURCHASE_EVIDENCE = "purchase_evidence"
    FOOTAGE_INDEX = "footage_index"
    PROCESSING = "processing"
    OPERATIONS = "operations"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind and version of record."""

    name: str
    version: int
    payload: type[Frozen]
    retention: RetentionClass
    priority: int
    delivery: Delivery


_S, _C = Delivery.SENT, Delivery.COMMITTED
_A, _F = RetentionClass.ARCHIVE, RetentionClass.FOOTAGE_INDEX
_P, _O = RetentionClass.PROCESSING, RetentionClass.OPERATIONS

KINDS: tuple[Kind, ...] = (
    Kind("node.started", 1, p.NodeStarted, _O, 2, _S),
    Kind("node.stopped", 1, p.NodeStopped, _O, 2, _S),
    Kind("process.exited", 1, p.ProcessExited, _O, 1, _S),
    Kind("clock.jumped", 1, p.ClockJumped, _O, 1, _S),
    Kind("camera.run_started", 1, p.RunStarted, _F, 3, _S),
    Kind("segment.sealed", 1, p.SegmentSealed, _F, 3, _C),
    Kind("gap.opened", 1, p.GapOpened, _F, 1, _S),
    Kind("gap.closed", 1, p.GapClosed, _F, 2, _S),
    Kind("coverage.summarised", 1, p.CoverageSummarised, _F, 3, _S),
    Kind("incident.recorded", 1, p.IncidentRecorded, _O, 0, _S),
    Kind("access.recorded", 1, p.AccessRecorded, _P, 2, _S),
    Kind("consent.given", 1, p.ConsentGiven, _P, 2, _S),
    Kind("consent.withdrawn", 1, p.ConsentWithdrawn, _P, 1, _S),
    Kind("reference.enrolled", 1, p.ReferenceEnrolled, _P, 2, _S),
    Kind("reference.erased", 1, p.ReferenceErased, _P, 1, _S),
    Kind("terminal.paired", 1, p.TerminalPaired, _O, 2, _S),
    Kind("terminal.revoked", 1, p.TerminalRevoked, _O, 1, _S),
    Kind("session.opened", 1, p.SessionOpened, _A, 2, _S),
    Kind("session.prescription", 1, p.PrescriptionAttached, _A, 2, _S),
    Kind("session.basket", 1, p.BasketSet, _A, 2, _S),
    Kind("session.proxy", 1, p.ProxyDeclared, _A, 2, _S),
    Kind("identity.decided", 1, p.IdentityDecided, _A, 1, _S),
    Kind("session.authorised", 1, p.SessionAuthorised, _A, 1, _S),
    Kind("session.refused", 1, p.SessionRefused, _A, 1, _S),
    Kind("settlement.attempted", 1, p.SettlementAttempted, _A, 1, _S),
    Kind("settlement.concluded", 1, p.SettlementConcluded, _A, 1, _S),
    Kind("session.closed", 1, p.SessionClosed, _A, 2, _S),
    Kind("session.covered", 1, p.SessionCovered, _A, 2, _S),
    Kind("footage.sent", 1, p.FootageSent, _P, 2, _S),
    Kind("retention.policy_adopted", 1, k.PolicyAdopted, _P, 1, _S),
    Kind("hold.placed", 1, k.HoldPlaced, _P, 1, _S),
    Kind("hold.released", 1, k.HoldReleased, _P, 1, _S),
    Kind("segment.disposed", 1, k.SegmentDisposed, _P, 3, _C),
    Kind("footage.disposed", 1, k.FootageDisposed, _P, 3, _S),
    Kind("records.disposed", 1, k.RecordsDisposed, _P, 3, _S),
    Kind("alarm.raised", 1, k.AlarmRaised, _O, 0, _S),
    Kind("alarm.cleared", 1, k.AlarmCleared, _O, 1, _S),
    Kind("retention.breach", 1, k.RetentionBreach, _P, 0, _S),
    Kind("camera.view_changed", 1, k.ViewChanged, _F, 1, _S),
    Kind("opening.adopted", 1, k.OpeningAdopted, _F, 2, _S),
    Kind("closure.declared", 1, k.ClosureDeclared, _F, 2, _S),
    Kind("closure.cancelled", 1, k.ClosureCancelled, _F, 2, _S),
    Kind("challenge.answered", 1, k.ChallengeAnswered, _P, 2, _S),
    Kind("footage.scrubbed", 1, k.FootageScrubbed, _O, 3, _S),
    Kind("volume.adopted", 1, k.VolumeAdopted, _O, 1, _S),
    Kind("index.rebuilt", 1, k.IndexRebuilt, _O, 0, _S),
    Kind("evidence.exported", 1, k.EvidenceExported, _P, 1, _S),
    Kind("session.opened", 2, f.SessionOpened2, _A, 2, _S),
    Kind("session.proxy", 2, f.ProxyDeclared2, _A, 2, _S),
    Kind("identity.decided", 2, f.IdentityDecided2, _A, 1, _S),
    Kind("identity.attack_suspected", 1, f.AttackSuspected, _P, 0, _S),
    Kind("identity.face_locked", 1, f.FaceLocked, _P, 0, _S),
    Kind("identity.face_unlocked", 1, f.FaceUnlocked, _P, 1, _S),
    Kind("consent.given", 2, f.ConsentGiven2, _P, 2, _S),
    Kind("reference.enrolled", 2, f.ReferenceEnrolled2, _P, 2, _S),
    Kind("references.outdated", 1, f.ReferencesOutdated, _P, 1, _S),
    Kind("references.rekeyed", 1, f.ReferencesRekeyed, _P, 2, _S),
    Kind("probes.erased", 1, f.ProbesErased, _P, 2, _S),
    Kind("subjects.counted", 1, f.SubjectsCounted, _P, 2, _S),
    Kind("pharmacist.signed_in", 1, f.PharmacistSignedIn, _A, 2, _S),
    Kind("pharmacist.presence", 1, f.PharmacistPresence, _A, 1, _S),
    Kind("pharmacist.signed_out", 1, f.PharmacistSignedOut, _A, 2, _S),
)

BY_NAME: dict[tuple[str, int], Kind] = {(kind.name, kind.version): kind for kind in KINDS}
BY_PAYLOAD: dict[type[Frozen], Kind] = {kind.payload: kind for kind in KINDS}


def kind_of(payload: Frozen) -> Kind:
    """Return the kind that a payload value belongs to."""
    try:
        return BY_PAYLOAD[type(payload)]
    except KeyError:
        raise MalformedRecord(f"{type(payload).__name__} is not a record payload") from None
