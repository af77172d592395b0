"""When a pharmacy is closed, as a pure function of its opening hours and declared closures.

Inside these spans no footage is owed and silence is normal, but a sale is a finding. Hours are
local (Asia/Shanghai) and hold from their adoption on, never before; a closure counts from its
declaration at the earliest and until it was cancelled. Where nothing is declared it is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from retention.footage.coverage import Span, without
from retention.records.clock import from_micros, to_micros
from retention.store.opening import Closure, Opening

SHANGHAI = ZoneInfo("Asia/Shanghai")
ONE_DAY = timedelta(days=1)


def closed_spans(
    openings: Sequence[Opening], closures: Iterable[Closure], span: Span
) -> list[Span]:
    """Return the closed parts of `span`, in order, without overlap."""
    closed = [part for period in _periods(openings, span) for part in _outside_hours(*period)]
    closed += [_in_force(closure) for closure in closures]
    return without([span], without([span], closed))


def is_closed(openings: Sequence[Opening], closures: Iterable[Closure], moment: int) -> bool:
    """Tell whether a moment lies in a closed span."""
    return bool(closed_spans(openings, closures, Span(moment, moment + 1)))


def _in_force(closure: Closure) -> Span:
    until = closure.ended_at if closure.cancelled_at is None else closure.cancelled_at
    return Span(max(closure.started_at, closure.declared_at), min(closure.ended_at, until))


def _periods(openings: Sequence[Opening], span: Span) -> list[tuple[Opening, Span]]:
    """Return the part of the span over which each set of hours is in force."""
    ordered = sorted(openings, key=lambda one: one.effective_from)
    ends = [*(one.effective_from for one in ordered), span.end][1:]
    found = [
        (one, Span(max(span.start, one.effective_from), min(span.end, end)))
        for one, end in zip(ordered, ends, strict=False)
    ]
    return [(one, part) for one, part in found if part.start < part.end]


def _outside_hours(opening: Opening, span: Span) -> list[Span]:
    """Return the parts of a span outside the weekly hours."""
    day = from_micros(span.start).astimezone(SHANGHAI).date() - ONE_DAY  # hours past midnight
    last = from_micros(span.end).astimezone(SHANGHAI).date()
    open_spans: list[Span] = []
    while day <= last:
        hours = _open_on(day, opening.hours[day.weekday()])
        if hours is not None:
            open_spans.append(hours)
        day += ONE_DAY
    return without([span], open_spans)


def _open_on(day: date, hours: str) -> Span | None:
    """Return when one day's hours begin and end; an end before the beginning is the next day's."""
    if hours == "closed":
        return None
    if hours == "open":
        return Span(_at(day, "00:00"), _at(day, "24:00"))
    begin, _, end = hours.partition("-")
    return Span(_at(day, begin), _at(day if end > begin else day + ONE_DAY, end))


def _at(day: date, clock_time: str) -> int:
    if clock_time == "24:00":
        day, clock_time = day + ONE_DAY, "00:00"
    return to_micros(datetime.combine(day, time.fromisoformat(clock_time), SHANGHAI))
