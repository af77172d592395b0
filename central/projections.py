"""Folding records into sessions, steps and flags.

A pure fold: the same records in the order of their sent_sequence give the same rows, whether they
come one by one or all at once. Rows here can be thrown away and made again; evidence is `records`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

from retention.records import payloads as p
from retention.records.clock import from_text, to_micros
from retention.records.fields import Frozen

Payload = TypeVar("Payload", bound=Frozen)


@dataclass(frozen=True, slots=True)
class Fact:
    """A record as the fold sees it: where it stands, when, and what it says (None: unknown)."""

    agency: str
    pharmacy: str
    node: str
    counter: str | None
    sequence: int
    kind: str
    occurred_at: int
    content: Frozen | None
    session: str | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class SessionView:
    """One row of `sessions`. Times are microseconds."""

    agency: str
    pharmacy: str
    node: str
    session: str
    counter: str | None
    opened_at: int
    closed_at: int | None = None
    outcome: str | None = None
    decision: str | None = None
    decision_method: str | None = None
    decision_reasons: str | None = None
    proxy: int = 0
    gate: str | None = None
    settlement: str | None = None
    setl_id: str | None = None
    span_started_at: int | None = None
    span_ended_at: int | None = None
    owed_ms: int | None = None
    covered_ms: int | None = None


@dataclass(frozen=True, slots=True)
class FlagView:
    """One row of `flags`; `subject` is what it is about (a session, a gap, a record)."""

    agency: str
    pharmacy: str
    node: str
    code: str
    subject: str
    session: str | None
    sequence: int
    raised_at: int
    cleared_at: int | None = None


@dataclass(slots=True)
class Views:
    """The rows that a run of facts touches; `load_*` fetch what is known before."""

    load_session: Callable[[str], SessionView | None]
    load_flag: Callable[[str, str], FlagView | None]
    sessions: dict[str, SessionView] = field(default_factory=dict)
    flags: dict[tuple[str, str], FlagView] = field(default_factory=dict)
    steps: list[Fact] = field(default_factory=list)

    def session_of(self, fact: Fact) -> SessionView:
        """Return the session of a fact; one not seen opening begins with this fact."""
        assert fact.session is not None  # noqa: S101 - callers checked
        found = self.sessions.get(fact.session) or self.load_session(fact.session)
        return found or SessionView(
            agency=fact.agency,
            pharmacy=fact.pharmacy,
            node=fact.node,
            session=fact.session,
            counter=fact.counter,
            opened_at=fact.occurred_at,
        )

    def raise_flag(self, fact: Fact, code: str, subject: str | None = None) -> None:
        """Raise a flag, or raise it again when it was cleared; the first raising stays."""
        key = (code, subject or fact.session or f"record {fact.sequence}")
        known = self.flags.get(key) or self.load_flag(*key)
        if known is None:
            known = FlagView(
                agency=fact.agency,
                pharmacy=fact.pharmacy,
                node=fact.node,
                code=code,
                subject=key[1],
                session=fact.session,
                sequence=fact.sequence,
                raised_at=fact.occurred_at,
            )
        self.flags[key] = replace(known, cleared_at=None)

    def clear_flag(self, fact: Fact, code: str, subject: str) -> None:
        known = self.flags.get((code, subject)) or self.load_flag(code, subject)
        if known is not None:
            self.flags[code, subject] = replace(known, cleared_at=fact.occurred_at)


def fold(fact: Fact, views: Views) -> None:
    """Apply one fact to the rows."""
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
        rule: Callable[[Fact, Payload, Views], None],
    ) -> Callable[[Fact, Payload, Views], None]:
        def apply(fact: Fact, content: Frozen, views: Views) -> None:
            if isinstance(content, kind):
                rule(fact, content, views)

        RULES[kind] = apply
        return rule

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


@_rule(p.GapOpened)
def _gap_opened(fact: Fact, content: p.GapOpened, views: Views) -> None:
    views.raise_flag(fact, "GAP_OPEN", f"gap {content.gap}")


@_rule(p.GapClosed)
def _gap_closed(fact: Fact, content: p.GapClosed, views: Views) -> None:
    views.clear_flag(fact, "GAP_OPEN", f"gap {content.gap}")


@_rule(p.IncidentRecorded)
def _incident(fact: Fact, content: p.IncidentRecorded, views: Views) -> None:
    views.raise_flag(fact, "INCIDENT", f"{content.incident} {content.subject}"[:200])


@_rule(p.ClockJumped)
def _jumped(fact: Fact, content: p.ClockJumped, views: Views) -> None:
    views.raise_flag(fact, "CLOCK_JUMPED", f"record {fact.sequence}")


FLAG_CODES: tuple[str, ...] = (
    "PAYLOAD_UNREADABLE", "PROXY", "IDENTITY_REFER", "MISMATCH", "PLANAR_MOTION", "STATIC_INPUT",
    "ATTESTED", "GATE_REFUSED", "SETTLEMENT_UNKNOWN", "COVERAGE_SHORT", "GAP_OPEN", "INCIDENT",
    "CLOCK_JUMPED",
)  # fmt: skip


def row_of(view: SessionView | FlagView) -> dict[str, object]:
    """Return a view as the values of its row."""
    return asdict(view)
