from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retention.footage.coverage import Gap, Span, coverage
from retention.records.payloads import GapCause

MS = 1000
spans = st.builds(
    lambda start, length: Span(start * 2 * MS, (start + length) * 2 * MS),
    st.integers(0, 60),
    st.integers(1, 30),
)


@given(spans, st.lists(spans, max_size=8))
def test_covered_time_is_that_of_counting_every_moment(owed, segments):
    held = sum(
        any(segment.start <= moment < segment.end for segment in segments)
        for moment in range(owed.start, owed.end, 2 * MS)
    )
    found = coverage(owed, segments, ())
    assert found.owed_ms == (owed.end - owed.start) // MS
    assert found.covered_ms == held * 2
    assert (found.causes == ()) == (found.covered_ms == found.owed_ms)


@given(spans, st.lists(spans, max_size=5), spans)
def test_more_footage_never_covers_less(owed, segments, more):
    before = coverage(owed, segments, ()).covered_ms
    assert coverage(owed, [*segments, more], ()).covered_ms >= before


def test_causes_are_those_of_the_gaps_in_the_holes_only():
    gaps = [
        Gap(Span(10 * MS, 20 * MS), GapCause.CAMERA_UNREACHABLE),
        Gap(Span(0, 5 * MS), GapCause.DISK_FAILED),
    ]
    found = coverage(Span(0, 40 * MS), [Span(0, 10 * MS), Span(20 * MS, 30 * MS)], gaps)
    assert found.causes == (GapCause.CAMERA_UNREACHABLE, GapCause.UNKNOWN)
    assert (found.owed_ms, found.covered_ms) == (40, 20)


def test_nothing_held_is_nothing_covered():
    found = coverage(Span(0, 5 * MS), (), ())
    assert (found.covered_ms, found.causes) == (0, (GapCause.UNKNOWN,))
