from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retention.footage.coverage import Gap, Span, coverage, without
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


@given(
    spans,
    st.lists(spans, max_size=5),
    st.lists(spans, max_size=4),
    st.lists(spans, max_size=3),
)
def test_covered_is_what_is_owed_held_and_worth_something(owed, segments, unseen, closed):
    def inside(parts, moment):
        return any(part.start <= moment < part.end for part in parts)

    moments = range(owed.start, owed.end, 2 * MS)
    due = [moment for moment in moments if not inside(closed, moment)]
    good = [moment for moment in due if inside(segments, moment) and not inside(unseen, moment)]
    gaps = [Gap(span, GapCause.VIEW_COVERED) for span in unseen]
    found = coverage(owed, segments, gaps, closed)
    assert (found.owed_ms, found.covered_ms) == (len(due) * 2, len(good) * 2)
    worthless = any(inside(segments, moment) and inside(unseen, moment) for moment in due)
    missing = any(not inside(segments, moment) for moment in due)
    assert (GapCause.VIEW_COVERED in found.causes) == worthless
    assert (GapCause.UNKNOWN in found.causes) == missing


def test_pictures_that_show_nothing_take_the_worth_of_footage_away():
    gaps = [
        Gap(Span(10 * MS, 20 * MS), GapCause.VIEW_BLACK),
        Gap(Span(30 * MS, 40 * MS), GapCause.DISK_FAILED),
    ]
    found = coverage(Span(0, 40 * MS), [Span(0, 30 * MS)], gaps)
    assert (found.owed_ms, found.covered_ms) == (40, 20)
    assert found.causes == (GapCause.DISK_FAILED, GapCause.VIEW_BLACK)


def test_unusable_picture_does_not_explain_missing_footage():
    gaps = [Gap(Span(0, 40 * MS), GapCause.VIEW_FROZEN)]
    found = coverage(Span(0, 40 * MS), [], gaps)
    assert found.causes == (GapCause.UNKNOWN,)


def test_nothing_is_owed_while_closed():
    found = coverage(Span(0, 40 * MS), [Span(0, 10 * MS)], (), [Span(5 * MS, 40 * MS)])
    assert (found.owed_ms, found.covered_ms, found.causes) == (5, 5, ())


@given(st.lists(spans, max_size=5), st.lists(spans, max_size=5))
def test_what_is_left_neither_overlaps_what_was_taken_nor_loses_a_moment(whole, taken):
    left = without(whole, taken)
    assert not any(part.overlaps(one) for part in left for one in taken)
    for moment in range(0, 200 * MS, 2 * MS):
        held = any(span.start <= moment < span.end for span in whole)
        gone = any(span.start <= moment < span.end for span in taken)
        assert any(span.start <= moment < span.end for span in left) == (held and not gone)
