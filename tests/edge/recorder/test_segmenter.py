from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge.recorder.segmenter import Segmenter, Step
from retention.store.footage import LONGEST_SEGMENT_US

TICK = Fraction(1, 1000)
WALL = 1_700_000_000_000_000
GOP = 1000


def begun(seconds: float = 10.0) -> Segmenter:
    segmenter = Segmenter(TICK, seconds)
    assert segmenter.keyframe(500, 7_000_000, WALL) is Step.BEGIN_RUN
    return segmenter


def at(dts: int) -> int:
    """Return the monotonic microseconds at which a punctual camera's packet is read."""
    return 7_000_000 + (dts - 500) * 1000


def test_nothing_is_written_before_the_first_key_picture():
    segmenter = Segmenter(TICK, 10.0)
    assert segmenter.frame(0) is Step.SKIP
    assert segmenter.keyframe(40, 0, WALL) is Step.BEGIN_RUN
    assert segmenter.frame(80) is Step.WRITE


def test_segments_are_cut_at_the_first_key_picture_after_their_length_and_touch():
    segmenter, cuts = begun(2.5), []
    starts = [segmenter.start_us()]
    for dts in range(1500, 12_500, GOP):
        if segmenter.keyframe(dts, at(dts), WALL) is Step.CUT:
            cuts.append(dts)
            starts.append(segmenter.start_us())
    assert cuts == [3500, 6500, 9500]
    assert [after - before for before, after in pairwise(starts)] == [3_000_000] * 3
    assert starts[0] == WALL + 7_000_000


def test_seal_is_done_at_the_next_key_picture():
    segmenter = begun(600)
    assert segmenter.keyframe(1500, at(1500), WALL) is Step.WRITE
    assert segmenter.keyframe(2500, at(2500), WALL, seal_asked=True) is Step.CUT


def test_media_jump_ends_the_run_and_the_next_key_picture_begins_one():
    for jump in (5000, -5000):
        segmenter = begun()
        assert segmenter.frame(540) is Step.WRITE
        assert segmenter.frame(580 + jump) is Step.END_RUN
        assert segmenter.frame(620 + jump) is Step.SKIP
        assert segmenter.keyframe(700 + jump, at(700), WALL) is Step.BEGIN_RUN
        assert segmenter.start_us() == WALL + at(700)


def test_footage_ends_with_the_last_picture_not_with_the_outage():
    segmenter = begun()
    segmenter.frame(540)
    segmenter.frame(580)
    assert segmenter.end_us == WALL + at(620)


def test_wall_clock_jump_begins_a_new_run_and_drops_nothing():
    segmenter = begun()
    assert segmenter.keyframe(1500, at(1500), WALL + 4_000_000) is Step.WRITE
    assert segmenter.wall_moved_us == 0
    assert segmenter.keyframe(2500, at(2500), WALL - 60_000_000) is Step.BEGIN_RUN
    assert segmenter.wall_moved_us == -60_000_000
    assert segmenter.start_us() == WALL - 60_000_000 + at(2500)


def test_one_late_burst_is_no_drift_but_a_whole_late_segment_is():
    segmenter = begun(2.0)
    assert segmenter.keyframe(1500, at(1500) + 1_900_000, WALL) is Step.WRITE
    assert segmenter.keyframe(2500, at(2500), WALL) is Step.CUT
    assert segmenter.keyframe(3500, at(3500), WALL) is Step.WRITE
    assert segmenter.keyframe(4500, at(4500) + 1_900_000, WALL) is Step.CUT
    assert segmenter.keyframe(5500, at(5500) + 1_500_000, WALL) is Step.WRITE
    assert segmenter.keyframe(6500, at(6500) + 1_600_000, WALL) is Step.BEGIN_RUN


def test_stream_without_key_pictures_ends_the_run_before_the_longest_segment():
    segmenter, dts = begun(), 500
    while segmenter.frame(dts) is Step.WRITE:
        dts += 1000
    assert segmenter.end_us - segmenter.start_us() <= LONGEST_SEGMENT_US
    assert segmenter.frame(dts + 1000) is Step.SKIP


@given(st.lists(st.tuples(st.booleans(), st.integers(-3000, 4000)), max_size=60))
def test_segments_of_a_run_follow_each_other_whatever_the_camera_sends(packets):
    segmenter, dts, start = Segmenter(TICK, 2.0), 0, None
    for keyframe, delta in packets:
        dts += delta
        step = segmenter.keyframe(dts, dts * 1000, WALL) if keyframe else segmenter.frame(dts)
        if step is Step.BEGIN_RUN:
            start = segmenter.start_us()
        elif step is Step.CUT:
            assert segmenter.start_us() > start
            start = segmenter.start_us()
        if segmenter.in_run:
            assert segmenter.end_us > segmenter.start_us() >= start
