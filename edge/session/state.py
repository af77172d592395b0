"""The state of a dispensing session, as the pure fold of its records.

Nothing here reads a clock or a database. A step that the gate looked at (basket, prescription,
proxy, decision) makes an authorisation void when it comes after it. Once a session is closed its
state takes nothing but what still happens to its settlement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from retention.records import payloads as p
from retention.records.clock import from_text
from retention.records.envelope import Record
from retention.records.errors import RecordsError
from retention.records.fields import Frozen
from retention.records.people import AgeBand, ProxyDeclared2, SessionOpened2, Sex

CHILD = "CHILD_NO_FACE"
MINOR: frozenset[AgeBand] = frozenset({"under_14", "14_17"})


class Stage(StrEnum):
    """How far the settlement is. SETTLING, UNKNOWN and REVERSING wait for the platform."""

    NONE = "none"
    SETTLING = "settling"
    REVERSING = "reversing"
    REVERSED = "reversed"
    REFUSED = "refused"
    SETTLED = "settled"


WAITING = frozenset({Stage.SETTLING, Stage.REVERSING})


class NotASession(RecordsError):
    """Records that do not begin with `session.opened`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One record of the session, as it is listed."""

    sequence: int
    kind: str
    occurred_at: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that was signed, and where the monotonic clock of that boot stood then."""

    moment: datetime
    monotonic_ns: int
    boot_id: str

    def now(self, monotonic_ns: int) -> datetime:
        """Return the moment plus what has passed since then, within the same boot."""
        return self.moment + timedelta(microseconds=(monotonic_ns - self.monotonic_ns) // 1000)


@dataclass(frozen=True, slots=True)
class SessionState:
    """What is known of a session. `void` tells why `authorised` no longer counts."""

    opened: p.SessionOpened
    counter: str
    opened_at: str
    steps: tuple[Step, ...] = ()
    prescription: p.PrescriptionAttached | None = None
    basket: p.BasketSet | None = None
    proxy: p.ProxyDeclared | None = None
    decisions: tuple[p.IdentityDecided, ...] = ()
    authorised: p.SessionAuthorised | None = None
    void: str | None = None
    used: frozenset[str] = frozenset()
    stage: Stage = Stage.NONE
    attempt: p.SettlementAttempted | None = None
    concluded: p.SettlementConcluded | None = None
    closed: p.SessionClosed | None = None
    decided_mark: Mark | None = None
    authorised_mark: Mark | None = None

    @property
    def session(self) -> str:
        return self.opened.session

    @property
    def subject(self) -> tuple[str, str]:
        """Return whose face or document counts: (person_ref, role). Never the patient's face
        when somebody else collects."""
        if self.proxy is not None:
            return self.proxy.purchaser_ref, "proxy"
        return self.opened.claim.person_ref, "patient"

    @property
    def decision(self) -> p.IdentityDecided | None:
        """Return the decision in force: the last one."""
        return self.decisions[-1] if self.decisions else None

    @property
    def opened_age(self) -> AgeBand:
        """Return the insured person's age as the document told it."""
        return self.opened.age_band if isinstance(self.opened, SessionOpened2) else "unknown"

    @property
    def patient_age_and_sex(self) -> tuple[AgeBand, Sex]:
        """Return the insured person's; unknown in a session of an earlier version. Whoever was
        said to be a child at the counter is one."""
        sex: Sex = self.opened.sex if isinstance(self.opened, SessionOpened2) else "unknown"
        return "under_14" if self._said_child else self.opened_age, sex

    @property
    def subject_age_and_sex(self) -> tuple[AgeBand, Sex]:
        """Return those of whoever is to be verified."""
        if self.proxy is None:
            return self.patient_age_and_sex
        if isinstance(self.proxy, ProxyDeclared2):
            return self.proxy.purchaser_age_band, self.proxy.purchaser_sex
        return "unknown", "unknown"

    @property
    def patient_is_child(self) -> bool:
        """Say whether a guardian has to come: the insured person is under 14."""
        return self.patient_age_and_sex[0] == "under_14"

    @property
    def subject_is_child(self) -> bool:
        """Say whether no face may be taken of whoever is to be verified."""
        return self.subject_age_and_sex[0] == "under_14"

    @property
    def purchaser_is_minor(self) -> bool:
        """Say whether whoever collects is known to be under 18."""
        proxy = self.proxy
        return isinstance(proxy, ProxyDeclared2) and proxy.purchaser_age_band in MINOR

    @property
    def needs_prescription(self) -> bool:
        """Say whether a line of the basket is dispensed on prescription only."""
        basket = self.basket
        return basket is not None and any(line.prescription_required for line in basket.lines)

    @property
    def _said_child(self) -> bool:
        patient = self.opened.claim.person_ref
        return any(
            decided.receipt.subject_ref == patient and CHILD in decided.receipt.reasons
            for decided in self.decisions
        )

    @property
    def looked(self) -> tuple[p.DecisionReceipt, ...]:
        """Return the decisions for which a face of the present subject was looked at."""
        return tuple(
            decided.receipt
            for decided in self.decisions
            if decided.receipt.method == "face"
            and decided.receipt.subject_ref == self.subject[0]
            and decided.receipt.frames_seen > 0
        )

    @property
    def comparisons(self) -> int:
        """Return how many looks at the present subject ended in a comparison."""
        return sum(receipt.comparison_score is not None for receipt in self.looked)

    @property
    def face_attempts(self) -> int:
        """Return how often a face of the present subject was looked at."""
        return len(self.looked)

    @property
    def live_authorisation(self) -> p.Authorisation | None:
        """Return the authorisation that is neither void nor used; it may have expired."""
        if self.authorised is None or self.void is not None:
            return None
        authorisation = self.authorised.authorisation
        return None if authorisation.authorisation in self.used else authorisation

    def no_earlier_than(self, now: datetime, monotonic_ns: int, boot_id: str) -> datetime:
        """Return the time by which receipt and authorisation are judged: the wall clock, but
        never less than has passed since they were signed. So a clock that is set back makes
        nothing last longer. Of what an earlier boot signed, only the wall clock is known."""
        live = self.authorised_mark if self.live_authorisation is not None else None
        marks = [mark for mark in (self.decided_mark, live) if mark and mark.boot_id == boot_id]
        return max([now, *(mark.now(monotonic_ns) for mark in marks)])

    def accepted(self, now: datetime) -> bool:
        """Say whether the decision in force accepts the present subject and is fresh."""
        if self.decision is None:
            return False
        receipt = self.decision.receipt
        return (
            receipt.outcome == "ACCEPT"
            and (receipt.subject_ref, receipt.subject_role) == self.subject
            and now < from_text(receipt.expires_at)
        )


AFTER_CLOSE = (p.SettlementAttempted, p.SettlementConcluded)
STAGE_AFTER = {
    "settled": Stage.SETTLED,
    "refused": Stage.REFUSED,
    "unknown": Stage.REVERSING,
    "reversed": Stage.REVERSED,
}


def fold(records: Iterable[Record]) -> SessionState:
    """Fold a session's records, in log order. Raises NotASession."""
    state: SessionState | None = None
    for record in records:
        content = record.content()
        if state is None:
            state = _open(record, content)
        elif content is not None:
            state = advance(state, content)
        step = Step(record.sequence, record.kind, record.occurred_at)
        state = replace(_marked(state, record, content), steps=(*state.steps, step))
    if state is None:
        raise NotASession("no records")
    return state


def advance(state: SessionState, payload: Frozen) -> SessionState:
    """Return the state after one more payload; kinds that change nothing here are passed over."""
    if state.closed is not None and not isinstance(payload, AFTER_CLOSE):
        return state
    match payload:
        case p.PrescriptionAttached():
            return _voided(replace(state, prescription=payload), "AUTHORISATION_MISSING")
        case p.BasketSet():
            return _voided(replace(state, basket=payload), "BASKET_CHANGED")
        case p.ProxyDeclared():
            return _voided(replace(state, proxy=payload), "PROXY_NOT_VERIFIED")
        case p.IdentityDecided():
            decisions = (*state.decisions, payload)
            return _voided(replace(state, decisions=decisions), "AUTHORISATION_MISSING")
        case p.SessionAuthorised():
            return replace(state, authorised=payload, void=None)
        case p.SettlementAttempted(transaction="reverse"):
            return replace(state, stage=Stage.REVERSING)
        case p.SettlementAttempted():
            used = state.used | {payload.authorisation}
            return replace(state, stage=Stage.SETTLING, attempt=payload, concluded=None, used=used)
        case p.SettlementConcluded():
            used = state.used | {payload.authorisation}
            stage = STAGE_AFTER[payload.outcome]
            return replace(state, stage=stage, concluded=payload, used=used)
        case p.SessionClosed():
            return replace(state, closed=payload)
    return state


def _marked(state: SessionState, record: Record, content: Frozen | None) -> SessionState:
    monotonic_ns, boot_id = int(record.monotonic_ns), record.boot_id
    match content:
        case p.IdentityDecided():
            moment = from_text(content.receipt.decided_at)
            return replace(state, decided_mark=Mark(moment, monotonic_ns, boot_id))
        case p.SessionAuthorised():
            moment = from_text(content.authorisation.issued_at)
            return replace(state, authorised_mark=Mark(moment, monotonic_ns, boot_id))
    return state


def _open(record: Record, content: Frozen | None) -> SessionState:
    if not isinstance(content, p.SessionOpened):
        raise NotASession(f"record {record.sequence} is {record.kind}, not session.opened")
    return SessionState(content, record.counter or "", record.occurred_at)


def _voided(state: SessionState, reason: str) -> SessionState:
    if state.authorised is None or state.void is not None:
        return state
    return replace(state, void=reason)
