"""Folding records into sessions, steps, flags, gaps and days of coverage.

A pure fold: the same records in the order of their sent_sequence give the same rows, whether they
come one by one or all at once. Rows here can be thrown away and made again; evidence is `records`.
What a record says of footage is folded by `projections_footage`, what it says of keeping by
`projections_kept`, what it says of people by `projections_people`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from central import projections_kept as kept
from central import projections_people as told
from central.projection_rows import Fact, Views
from central.projections_footage import gap_closed, gap_opened, summarised
from retention.records import keeping as k
from retention.records import payloads as p
from retention.records import people as f
from retention.records.clock import from_text, to_micros
from retention.records.fields import Frozen

Payload = TypeVar("Payload", bound=Frozen)


def fold(fact: Fact, views: Views) -> None:
    """Apply one fact to the rows. Raises ValueError for what no calendar and no recording has."""
    if fact.problem is not None:
        views.raise_flag(fact, "PAYLOAD_UNREADABLE", f"record {fact.sequence}")
    if fact.session is not None:
        views.steps.append(fact)
        views.sessions[fact.session] = views.session_of(fact)
    if fact.content is not None and type(fact.content) in RULES:
        RULES[type(fact.content)](fact, fact.content, views)


RULES: dict[type[Frozen], Callable[[Fact, Frozen, Views], None]] = {}


def _rule(
    kind: type[Payload],
) -> Callable[[Callable[[Fact, Payload, Views], None]], Callable[[Fact, Payload, Views], None]]:
    """Enter a function into RULES as what a kind of payload does to the rows."""

    def enter(
        folded: Callable[[Fact, Payload, Views], None],
    ) -> Callable[[Fact, Payload, Views], None]:
        def apply(fact: Fact, content: Frozen, views: Views) -> None:
            if isinstance(content, kind):
                folded(fact, content, views)

        RULES[kind] = apply
        return folded

    return enter


def _change(fact: Fact, views: Views, **changes: object) -> None:
    views.sessions[fact.session or ""] = replace(views.session_of(fact), **changes)  # type: ignore[arg-type]


@_rule(p.SessionOpened)
def _opened(fact: Fact, content: p.SessionOpened, views: Views) -> None:
    _change(fact, views, opened_at=fact.occurred_at, counter=fact.counter)


@_rule(p.ProxyDeclared)
def _proxy(fact: Fact, content: p.ProxyDeclared, views: Views) -> None:
    _change(fact, views, proxy=1)
    views.raise_flag(fact, "PROXY")


_FLAGGED_REASONS = frozenset({"MISMATCH", "PLANAR_MOTION", "STATIC_INPUT"})


@_rule(p.IdentityDecided)
def _decided(fact: Fact, content: p.IdentityDecided, views: Views) -> None:
    receipt = content.receipt
    _change(
        fact,
        views,
        decision=receipt.outcome,
        decision_method=receipt.method,
        decision_reasons=",".join(receipt.reasons),
    )
    if isinstance(receipt, f.DecisionReceipt2):
        views.sessions[content.session] = told.checked(views.session_of(fact), receipt)
    if receipt.outcome == "REFER":
        views.raise_flag(fact, "IDENTITY_REFER")
    for reason in sorted(_FLAGGED_REASONS.intersection(receipt.reasons)):
        views.raise_flag(fact, reason)
    if receipt.method == "document_attested":
        views.raise_flag(fact, "ATTESTED")


@_rule(p.SessionAuthorised)
def _authorised(fact: Fact, content: p.SessionAuthorised, views: Views) -> None:
    _change(fact, views, gate="permitted")


@_rule(p.SessionRefused)
def _refused(fact: Fact, content: p.SessionRefused, views: Views) -> None:
    _change(fact, views, gate="refused")
    views.raise_flag(fact, "GATE_REFUSED")


@_rule(p.SettlementConcluded)
def _concluded(fact: Fact, content: p.SettlementConcluded, views: Views) -> None:
    _change(fact, views, settlement=content.outcome, setl_id=content.setl_id)
    if content.outcome == "unknown":
        views.raise_flag(fact, "SETTLEMENT_UNKNOWN")
    elif fact.session is not None:
        views.clear_flag(fact, "SETTLEMENT_UNKNOWN", fact.session)


@_rule(p.SessionClosed)
def _closed(fact: Fact, content: p.SessionClosed, views: Views) -> None:
    _change(
        fact,
        views,
        opened_at=to_micros(from_text(content.opened_at)),
        closed_at=to_micros(from_text(content.closed_at)),
        outcome=content.outcome,
    )


@_rule(p.SessionCovered)
def _covered(fact: Fact, content: p.SessionCovered, views: Views) -> None:
    _change(
        fact,
        views,
        span_started_at=to_micros(from_text(content.started_at)),
        span_ended_at=to_micros(from_text(content.ended_at)),
        owed_ms=content.owed_ms,
        covered_ms=content.covered_ms,
    )
    if content.covered_ms < content.owed_ms:
        views.raise_flag(fact, "COVERAGE_SHORT")


_rule(p.GapOpened)(gap_opened)
_rule(p.GapClosed)(gap_closed)
_rule(p.CoverageSummarised)(summarised)


@_rule(p.IncidentRecorded)
def _incident(fact: Fact, content: p.IncidentRecorded, views: Views) -> None:
    views.raise_flag(fact, "INCIDENT", f"{content.incident} {content.subject}"[:200])


@_rule(p.ClockJumped)
def _jumped(fact: Fact, content: p.ClockJumped, views: Views) -> None:
    views.raise_flag(fact, "CLOCK_JUMPED", f"record {fact.sequence}")


# A later version of a kind says all that the first did.
RULES[f.SessionOpened2] = RULES[p.SessionOpened]
RULES[f.ProxyDeclared2] = RULES[p.ProxyDeclared]
RULES[f.IdentityDecided2] = RULES[p.IdentityDecided]

_rule(k.PolicyAdopted)(kept.policy_adopted)
_rule(k.HoldPlaced)(kept.hold_placed)
_rule(k.HoldReleased)(kept.hold_released)
_rule(k.AlarmRaised)(kept.alarm_raised)
_rule(k.AlarmCleared)(kept.alarm_cleared)
_rule(k.RetentionBreach)(kept.breach_told)
_rule(k.ViewChanged)(kept.view_changed)
_rule(k.OpeningAdopted)(kept.opening_adopted)
_rule(k.ClosureDeclared)(kept.closure_declared)
_rule(k.ClosureCancelled)(kept.closure_cancelled)
_rule(k.IndexRebuilt)(kept.index_rebuilt)
_rule(f.AttackSuspected)(told.attack_suspected)
_rule(f.FaceLocked)(told.face_locked)
_rule(f.FaceUnlocked)(told.face_unlocked)
_rule(f.SubjectsCounted)(told.subjects_counted)


FLAG_CODES: tuple[str, ...] = (
    "PAYLOAD_UNREADABLE", "PROXY", "IDENTITY_REFER", "MISMATCH", "PLANAR_MOTION", "STATIC_INPUT",
    "ATTESTED", "GATE_REFUSED", "SETTLEMENT_UNKNOWN", "COVERAGE_SHORT", "GAP_OPEN", "INCIDENT",
    "CLOCK_JUMPED", "ALARM", "BREACH", "VIEW_UNUSABLE", "INDEX_REBUILT", "ATTACK_SUSPECTED",
    "FACE_LOCKED",
)  # fmt: skip
