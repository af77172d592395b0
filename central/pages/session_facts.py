"""What the records of a session say, each kind as its own typed value, for the facts on its page.

A payload that cannot be read is no fact: it is counted, and the page says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from central.payloads import read_payload
from central.web.views import StepView
from retention.records import payloads as p
from retention.records.fields import Frozen

Kind = TypeVar("Kind", bound=Frozen)


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """The last of each kind, all decisions in order, and what could not be read."""

    opened: p.SessionOpened | None
    decisions: tuple[p.DecisionReceipt, ...]
    basket: p.BasketSet | None
    prescription: p.PrescriptionAttached | None
    proxy: p.ProxyDeclared | None
    authorised: p.SessionAuthorised | None
    refused: p.SessionRefused | None
    settlement: p.SettlementConcluded | None
    closed: p.SessionClosed | None
    covered: p.SessionCovered | None
    unreadable: int
    unknown: int


def facts_of(steps: Sequence[StepView]) -> SessionFacts:
    """Return the facts of a session from its steps in order."""
    read = [read_payload(step.kind, step.version, step.payload) for step in steps]
    contents = [content for content, _ in read if content is not None]
    receipts = tuple(one.receipt for one in contents if isinstance(one, p.IdentityDecided))
    return SessionFacts(
        opened=_last(contents, p.SessionOpened),
        decisions=receipts,
        basket=_last(contents, p.BasketSet),
        prescription=_last(contents, p.PrescriptionAttached),
        proxy=_last(contents, p.ProxyDeclared),
        authorised=_last(contents, p.SessionAuthorised),
        refused=_last(contents, p.SessionRefused),
        settlement=_last(contents, p.SettlementConcluded),
        closed=_last(contents, p.SessionClosed),
        covered=_last(contents, p.SessionCovered),
        unreadable=sum(problem is not None for _, problem in read),
        unknown=sum(content is None and problem is None for content, problem in read),
    )


def _last(contents: Sequence[Frozen], kind: type[Kind]) -> Kind | None:
    found = [one for one in contents if isinstance(one, kind)]
    return found[-1] if found else None
