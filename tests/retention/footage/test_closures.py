from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from retention.footage.closures import closed_spans, is_closed
from retention.footage.coverage import Span, length
from retention.records.clock import to_micros
from retention.store.opening import ALWAYS_OPEN, Closure, Opening

CHINA = timezone(timedelta(hours=8))
MINUTE, HOUR = 60_000_000, 3_600_000_000
SHOP = ("09:00-21:00",) * 5 + ("10:00-02:00", "closed")


def local(day: int, hour: int, minute: int = 0) -> int:
    """A moment of March 2026 in China; the 2nd is a Monday."""
    return to_micros(datetime(2026, 3, day, hour, minute, tzinfo=CHINA))


def closure(start: int, end: int, declared: int = 0, cancelled: int | None = None) -> Closure:
    return Closure("x", "closed", start, end, declared, cancelled)


def test_nothing_declared_is_always_open():
    assert closed_spans([], [], Span(local(1, 0), local(9, 0))) == []
    assert closed_spans([Opening(0, ALWAYS_OPEN)], [], Span(local(1, 0), local(9, 0))) == []


def test_nights_are_closed_in_local_time():
    found = closed_spans([Opening(0, SHOP)], [], Span(local(2, 0), local(4, 0)))
    assert found == [
        Span(local(2, 0), local(2, 9)),
        Span(local(2, 21), local(3, 9)),
        Span(local(3, 21), local(4, 0)),
    ]


def test_hours_past_midnight_belong_to_the_day_they_began():
    found = closed_spans([Opening(0, SHOP)], [], Span(local(7, 12), local(9, 12)))
    assert found == [Span(local(8, 2), local(9, 9))]


def test_hours_do_not_reach_back_before_their_adoption():
    hours = [Opening(local(3, 22), SHOP)]
    found = closed_spans(hours, [], Span(local(2, 0), local(4, 12)))
    assert found == [Span(local(3, 22), local(4, 9))]


def test_later_hours_replace_earlier_ones_from_their_adoption_on():
    hours = [Opening(0, ("closed",) * 7), Opening(local(3, 12), ALWAYS_OPEN)]
    assert closed_spans(hours, [], Span(local(3, 0), local(4, 0))) == [
        Span(local(3, 0), local(3, 12))
    ]


def test_closure_counts_from_its_declaration_and_until_it_was_cancelled():
    span = Span(local(2, 0), local(3, 0))
    begin, end = local(2, 10), local(2, 16)
    assert closed_spans([], [closure(begin, end)], span) == [Span(begin, end)]
    late = closure(begin, end, declared=local(2, 12))
    assert closed_spans([], [late], span) == [Span(local(2, 12), end)]
    cut = closure(begin, end, cancelled=local(2, 11))
    assert closed_spans([], [cut], span) == [Span(begin, local(2, 11))]
    assert closed_spans([], [closure(begin, end, cancelled=local(2, 9))], span) == []
    assert closed_spans([], [closure(begin, end, declared=local(2, 17))], span) == []


HOURS = st.sampled_from(
    ["open", "closed", "09:00-21:00", "22:00-06:00", "00:00-24:00", "08:30-12:00", "00:00-00:00"]
)
OPENINGS = st.lists(
    st.builds(Opening, st.integers(0, 72).map(lambda h: local(2, 0) + h * HOUR),
              st.tuples(*[HOURS] * 7)),
    max_size=3, unique_by=lambda one: one.effective_from,
)  # fmt: skip
MOMENT = st.integers(0, 72 * 4).map(lambda quarter: local(2, 0) + quarter * 15 * MINUTE)
CLOSURES = st.lists(st.builds(closure, MOMENT, MOMENT, MOMENT, st.none() | MOMENT), max_size=4)


def closed_by_the_rules(openings, closures, moment: int) -> bool:
    """The same rule, said for one moment."""
    now = datetime.fromtimestamp(moment / 1e6, UTC).astimezone(CHINA)
    shop = False
    in_force = [one for one in openings if one.effective_from <= moment]
    if in_force:
        hours = max(in_force, key=lambda one: one.effective_from).hours
        today, before = hours[now.weekday()], hours[(now.weekday() - 1) % 7]
        time = f"{now:%H:%M}"
        shop = not (_within(today, time) or _past_midnight(before, time))
    return shop or any(
        max(one.started_at, one.declared_at) <= moment < one.ended_at
        and (one.cancelled_at is None or moment < one.cancelled_at)
        for one in closures
    )


def _within(hours: str, time: str) -> bool:
    if hours in {"open", "closed"}:
        return hours == "open"
    begin, end = hours.split("-")
    return begin <= time and (time < end or end <= begin)


def _past_midnight(hours: str, time: str) -> bool:
    begin, _, end = hours.partition("-")
    return bool(end) and end <= begin and time < end


@given(OPENINGS, CLOSURES, MOMENT, MOMENT)
def test_every_moment_is_closed_exactly_when_the_rules_say_so(openings, closures, one, other):
    span = Span(min(one, other), max(one, other))
    found = closed_spans(openings, closures, span)
    assert all(a.end < b.start for a, b in pairwise(found))
    assert all(span.start <= part.start < part.end <= span.end for part in found)
    for moment in range(span.start, span.end, 75 * MINUTE):
        inside = any(part.start <= moment < part.end for part in found)
        assert inside == closed_by_the_rules(openings, closures, moment)
        assert inside == is_closed(openings, closures, moment)
    assert length(found) <= span.end - span.start
