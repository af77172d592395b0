"""Folding what nodes tell of keeping: policies, holds, alarms, breaches, opening hours, closures.

What a node promised is folded as it said it, first word first: a policy or a hold that is told
twice stays what it was. An alarm or a breach is what it was told to be last.
"""

from __future__ import annotations

import json
from dataclasses import replace

from central.days import DAY_US, day_of
from central.projection_rows import (
    AlarmView,
    BreachView,
    ClosureView,
    Fact,
    HoldView,
    OpeningView,
    PolicyView,
    Views,
)
from retention.footage.closures import closed_spans
from retention.footage.coverage import Span
from retention.records import keeping as k
from retention.records.clock import from_text, to_micros
from retention.store.opening import Opening


def policy_adopted(fact: Fact, content: k.PolicyAdopted, views: Views) -> None:
    """Make a policy's row, unless this version was adopted before."""
    policy = content.policy
    _moment(policy.effective_from)
    if views.known(PolicyView, policy.policy, policy.version) is None:
        views.keep(
            PolicyView(
                agency=fact.agency, pharmacy=fact.pharmacy, node=fact.node, policy=policy.policy,
                version=policy.version, authority=content.authority, author=content.author,
                body=policy.model_dump_json(), reason=content.reason, sequence=fact.sequence,
                adopted_at=fact.occurred_at,
            )
        )  # fmt: skip


def hold_placed(fact: Fact, content: k.HoldPlaced, views: Views) -> None:
    """Make a hold's row, unless it was placed before."""
    hold = content.hold
    for moment in (hold.started_at, hold.ended_at):
        if moment is not None:
            _moment(moment)
    if views.known(HoldView, hold.hold) is None:
        views.keep(
            HoldView(
                agency=fact.agency, pharmacy=fact.pharmacy, node=fact.node, hold=hold.hold,
                authority=content.authority, body=hold.model_dump_json(), author=content.author,
                reason=content.reason, sequence=fact.sequence, placed_at=fact.occurred_at,
            )
        )  # fmt: skip


def hold_released(fact: Fact, content: k.HoldReleased, views: Views) -> None:
    """Note that a hold was released, by the authority that placed it."""
    known = views.known(HoldView, content.hold)
    if known is None or known.released_at is not None or known.authority != content.authority:
        return
    views.keep(replace(known, released_at=fact.occurred_at, released_sequence=fact.sequence))


def alarm_raised(fact: Fact, content: k.AlarmRaised, views: Views) -> None:
    """Open an alarm, and raise its flag."""
    views.keep(
        AlarmView(
            agency=fact.agency, pharmacy=fact.pharmacy, node=fact.node, alarm=content.alarm,
            subject=content.subject, detail=content.detail, since=_moment(content.since),
            sequence=fact.sequence,
        )
    )  # fmt: skip
    views.raise_flag(fact, "ALARM", _alarm_of(content))


def alarm_cleared(fact: Fact, content: k.AlarmCleared, views: Views) -> None:
    """Close an alarm, and clear its flag."""
    known = views.known(AlarmView, content.alarm, content.subject)
    if known is not None:
        views.keep(replace(known, cleared_at=fact.occurred_at))
    views.clear_flag(fact, "ALARM", _alarm_of(content))


def _alarm_of(content: k.AlarmRaised | k.AlarmCleared) -> str:
    return f"{content.alarm} {content.subject}"


def breach_told(fact: Fact, content: k.RetentionBreach, views: Views) -> None:
    """Take over what is told of a breach now; only one that was averted clears its flag."""
    ended_at = None if content.ended_at is None else _moment(content.ended_at)
    views.keep(
        BreachView(
            agency=fact.agency, pharmacy=fact.pharmacy, node=fact.node, breach=content.breach,
            stage=content.stage, camera=content.camera, started_at=_moment(content.started_at),
            ended_at=ended_at, cause=content.cause, detail=content.detail,
            sequence=fact.sequence, told_at=fact.occurred_at,
        )
    )  # fmt: skip
    if content.stage == "averted":
        views.clear_flag(fact, "BREACH", f"breach {content.breach}")
    else:
        views.raise_flag(fact, "BREACH", f"breach {content.breach}")


def view_changed(fact: Fact, content: k.ViewChanged, views: Views) -> None:
    """Raise a flag while a camera shows nothing usable."""
    if content.condition == "clear":
        views.clear_flag(fact, "VIEW_UNUSABLE", content.camera)
    else:
        views.raise_flag(fact, "VIEW_UNUSABLE", content.camera)


def opening_adopted(fact: Fact, content: k.OpeningAdopted, views: Views) -> None:
    """Keep the weekly opening hours from a moment on. Raises ValueError for what are none."""
    since = _moment(content.effective_from)
    closed_spans([Opening(since, content.hours)], (), Span(since, since + 7 * DAY_US))
    views.keep(
        OpeningView(
            agency=fact.agency, pharmacy=fact.pharmacy, node=fact.node,
            effective_from=since, hours=json.dumps(content.hours),
            sequence=fact.sequence,
        )
    )  # fmt: skip


def closure_declared(fact: Fact, content: k.ClosureDeclared, views: Views) -> None:
    """Keep a closure that was declared."""
    views.keep(
        ClosureView(
            agency=fact.agency, pharmacy=fact.pharmacy, node=fact.node, closure=content.closure,
            kind=content.kind, started_at=_moment(content.started_at),
            ended_at=_moment(content.ended_at), author=content.author, reason=content.reason,
            sequence=fact.sequence, declared_at=fact.occurred_at,
        )
    )  # fmt: skip


def closure_cancelled(fact: Fact, content: k.ClosureCancelled, views: Views) -> None:
    """Note that a closure will not be."""
    known = views.known(ClosureView, content.closure)
    if known is not None:
        views.keep(replace(known, cancelled_at=fact.occurred_at))


def index_rebuilt(fact: Fact, content: k.IndexRebuilt, views: Views) -> None:
    """Flag that a node lost its database and made its index again from its files."""
    views.raise_flag(fact, "INDEX_REBUILT", f"record {fact.sequence}")


def _moment(text: str) -> int:
    """Return a moment that has a day. Raises ValueError."""
    found = to_micros(from_text(text))
    day_of(found)
    return found
