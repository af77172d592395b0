"""Folding what nodes tell of their footage: gaps, and coverage summaries into days.

A gap is one row however often and in whatever order it is told; once it is closed it stays closed.
What two summaries both tell of counts once, as the first told it: a day never owes more than it
has hours, and the same summary again changes nothing. A summary that cannot be true is refused
with ValueError, which the projector writes down as a flag.
"""

from __future__ import annotations

from dataclasses import replace

from central.days import HOUR_US, Part, day_of, parts_of, portion
from central.projection_rows import DayView, Fact, GapView, Views
from retention.records import payloads as p
from retention.records.clock import from_text, to_micros

MOST_HOURS = 48  # a summary is of one hour; a node that was off is not summarised
MOST = 2**53 - 1  # a sum stops here instead of leaving what a column and a record can hold


def gap_opened(fact: Fact, content: p.GapOpened, views: Views) -> None:
    """Make a gap's row, unless it is known, and raise its flag, unless it is closed."""
    known = views.gap(content.gap)
    if known is not None and known.ended_at is not None:
        return
    if known is None:
        views.gaps[content.gap] = _gap(fact, content, None)
    views.raise_flag(fact, "GAP_OPEN", f"gap {content.gap}")


def gap_closed(fact: Fact, content: p.GapClosed, views: Views) -> None:
    """Close a gap's row, also one that was not seen opening, and clear its flag."""
    known = views.gap(content.gap)
    if known is None or known.ended_at is None:
        views.gaps[content.gap] = _gap(fact, content, _moment(content.ended_at))
    views.clear_flag(fact, "GAP_OPEN", f"gap {content.gap}")


def _gap(fact: Fact, content: p.GapOpened | p.GapClosed, ended_at: int | None) -> GapView:
    return GapView(
        agency=fact.agency,
        pharmacy=fact.pharmacy,
        node=fact.node,
        gap=content.gap,
        camera=content.camera,
        scene_role=content.scene_role.value,
        started_at=_moment(content.started_at),
        ended_at=ended_at,
        cause=content.cause.value,
    )


def summarised(fact: Fact, content: p.CoverageSummarised, views: Views) -> None:
    """Add a summary to the day or days that its span touches."""
    start, end = _moment(content.started_at), _moment(content.ended_at)
    _require_possible(content, start, end)
    for part in parts_of(start, end):
        _add(fact, content, views, part, start, end)


def _add(
    fact: Fact, content: p.CoverageSummarised, views: Views, part: Part, start: int, end: int
) -> None:
    day = views.day(content.camera, part.day) or DayView(
        agency=fact.agency,
        pharmacy=fact.pharmacy,
        node=fact.node,
        camera=content.camera,
        day=part.day,
        scene_role=content.scene_role.value,
        known_until=part.start,
    )
    fresh = replace(part, start=min(part.end, max(part.start, day.known_until)))
    views.days[content.camera, part.day] = replace(
        day,
        scene_role=content.scene_role.value,
        known_until=max(day.known_until, part.end),
        told_ms=day.told_ms + portion((end - start) // 1000, fresh, start, end),
        owed_ms=day.owed_ms + portion(content.owed_ms, fresh, start, end),
        covered_ms=day.covered_ms + portion(content.covered_ms, fresh, start, end),
        segments=min(MOST, day.segments + portion(content.segments, fresh, start, end)),
        bytes=min(MOST, day.bytes + portion(content.bytes, fresh, start, end)),
    )


def _require_possible(content: p.CoverageSummarised, start: int, end: int) -> None:
    if not 0 < end - start <= MOST_HOURS * HOUR_US:
        raise ValueError(f"a summary from {content.started_at} to {content.ended_at}")
    # One millisecond is rounding.
    if content.owed_ms > (end - start) // 1000 + 1:
        raise ValueError(f"{content.owed_ms} ms owed in {(end - start) // 1000} ms")
    if content.covered_ms > content.owed_ms:
        raise ValueError(f"{content.covered_ms} ms covered of {content.owed_ms} ms owed")


def _moment(text: str) -> int:
    """Return a moment that has a day. Raises ValueError."""
    found = to_micros(from_text(text))
    day_of(found)
    return found
