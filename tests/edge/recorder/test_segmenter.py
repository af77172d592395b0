from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge.recorder.segmenter import MAX_WALL_JUMP_US, SLEW_PPM, Before, Segmenter, Step
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
    assert segmenter.frame(0, 0) is Step.SKIP
    assert segmenter.keyframe(40, 0, WALL) is Step.BEGIN_RUN
    assert segmenter.frame(80, 40_000) is Step.WRITE


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
        assert segmenter.frame(540, at(540)) is Step.WRITE
        assert segmenter.frame(580 + jump, at(580)) is Step.END_RUN
        assert segmenter.frame(620 + jump, at(620)) is Step.SKIP
        assert segmenter.keyframe(700 + jump, at(700), WALL) is Step.BEGIN_RUN
        assert segmenter.start_us() == WALL + at(700)


def test_footage_ends_with_the_last_picture_not_with_the_outage():
    segmenter = begun()
    segmenter.frame(540, at(540))
    segmenter.frame(580, at(580))
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
    while segmenter.frame(dts, at(dts)) is Step.WRITE:
        dts += 1000
    assert segmenter.end_us - segmenter.start_us() <= LONGEST_SEGMENT_US
    assert segmenter.frame(dts + 1000, at(dts)) is Step.SKIP


def test_camera_with_a_drifting_clock_is_followed_within_the_bound_and_stays_one_run():
    for ppm in (-400, 400):
        segmenter, starts = begun(10.0), []
        for media_ms in range(1000, 3_600_000, GOP):
            read = 7_000_000 + media_ms * 1000 + media_ms * ppm // 1000
            late = 150_000 if media_ms % 3000 else 0  # two of three key pictures are held up
            step = segmenter.keyframe(500 + media_ms, read + late, WALL)
            assert step in (Step.WRITE, Step.CUT)
            if step is Step.CUT:
                starts.append(segmenter.start_us())
                assert abs(segmenter.start_us() - WALL - read) < 20_000
        lengths = [after - before for before, after in pairwise(starts)]
        assert all(abs(length - 10_000_000) <= 5_000 for length in lengths)


def test_bursts_move_nothing_while_one_packet_of_a_segment_came_on_time():
    segmenter = begun(4.0)
    for dts in range(1500, 20_500, GOP):
        assert segmenter.frame(dts - 500, at(dts - 500)) is Step.WRITE
        segmenter.keyframe(dts, at(dts) + 900_000, WALL)
    assert segmenter.end_us == WALL + at(20_500 - GOP + 500)


def test_camera_that_runs_ahead_begins_runs_that_touch_and_never_overlap():
    """2 % fast: more than can be slewed; each new run begins where our clock says."""
    segmenter, end, begins = begun(10.0), None, 0
    for media_ms in range(1000, 1_800_000, GOP):
        read = 7_000_000 + media_ms * 980
        step = segmenter.keyframe(500 + media_ms, read, WALL)
        if step is Step.BEGIN_RUN:
            begins += 1
            assert segmenter.start_us() == segmenter.ended_us
            assert abs(segmenter.start_us() - WALL - read) < 100_000
            assert end is None or segmenter.ended_us > end
            end = segmenter.ended_us
    assert 20 < begins < 40


def test_new_run_for_a_late_camera_begins_by_the_wall_clock_of_now():
    """The wall clock was moved by less than a jump since the run began."""
    segmenter = begun(2.0)
    assert segmenter.keyframe(1500, at(1500) + 1_500_000, WALL) is Step.WRITE
    assert segmenter.keyframe(2500, at(2500), WALL) is Step.CUT
    assert segmenter.keyframe(3500, at(3500) + 1_500_000, WALL) is Step.WRITE
    late = at(4500) + 1_500_000
    assert segmenter.keyframe(4500, late, WALL + 3_000_000) is Step.BEGIN_RUN
    assert segmenter.start_us() == WALL + 3_000_000 + late


def test_run_after_a_reconnection_never_begins_before_the_footage_ended():
    before = Before(ended_us=WALL + 7_400_000, wall_offset_us=WALL)
    segmenter = Segmenter(TICK, 10.0, before)
    segmenter.keyframe(0, 7_000_000, WALL)
    assert segmenter.start_us() == WALL + 7_400_000
    assert segmenter.wall_moved_us == 0


def test_wall_clock_set_back_between_connections_is_told_and_believed():
    before = Before(ended_us=WALL + 7_400_000, wall_offset_us=WALL)
    segmenter = Segmenter(TICK, 10.0, before)
    segmenter.keyframe(0, 7_000_000, WALL - 3_600_000_000)
    assert segmenter.wall_moved_us == -3_600_000_000
    assert segmenter.start_us() == WALL + 7_000_000 - 3_600_000_000


@dataclass(frozen=True)
class Row:
    run: int
    start: int
    end: int
    media_us: int


@dataclass
class Followed:
    """Does what the recorder does with the steps, and keeps the rows that it would write."""

    segmenter: Segmenter
    rows: list[Row] = field(default_factory=list)
    runs: int = 0
    start: int = 0
    base: int = 0
    written: int = 0
    skipped: int = 0

    def close(self, end: int, dts: int) -> None:
        self.rows.append(Row(self.runs, self.start, end, (dts - self.base) * 1000))

    def take(self, key: bool, dts: int, received_us: int, offset_us: int, seal: bool) -> Step:
        segmenter, was_in_run = self.segmenter, self.segmenter.in_run
        if not key:
            step = segmenter.frame(dts, received_us)
            if step is Step.END_RUN:
                self.close(segmenter.ended_us, dts)
        else:
            step = segmenter.keyframe(dts, received_us, offset_us, seal_asked=seal)
            if step is Step.BEGIN_RUN:
                if was_in_run:
                    self.close(segmenter.ended_us, dts)
                self.runs += 1
            elif step is Step.CUT:
                self.close(segmenter.start_us(), dts)
            if step in (Step.BEGIN_RUN, Step.CUT):
                self.start, self.base = segmenter.start_us(), dts
        self.written += step in (Step.WRITE, Step.CUT, Step.BEGIN_RUN)
        self.skipped += step in (Step.SKIP, Step.END_RUN)
        return step


packets = st.tuples(
    st.booleans(),
    st.one_of(st.integers(1, 400), st.integers(-3000, 4000)),
    st.one_of(st.integers(0, 400_000), st.integers(0, 20_000_000)),
    st.booleans(),
)


@given(st.lists(packets, max_size=80), st.sampled_from([1.0, 2.0, 10.0]))
def test_segments_follow_each_other_whatever_the_camera_sends(sent, seconds):
    followed = Followed(Segmenter(TICK, seconds))
    dts, received = 0, 0
    for key, media_ms, passed_us, seal in sent:
        dts, received = dts + media_ms, received + passed_us
        was_in_run = followed.segmenter.in_run
        step = followed.take(key, dts, received, WALL, seal)
        # Nothing is skipped in a run, and nothing that can begin one.
        assert step is not Step.SKIP or not (was_in_run or key)
        assert followed.segmenter.wall_moved_us == 0
    if followed.segmenter.in_run:
        followed.close(followed.segmenter.end_us, dts)
    assert followed.written + followed.skipped == len(sent)
    for row in followed.rows:
        assert row.end > row.start
    for one, following in pairwise(followed.rows):
        assert following.start >= one.end
        if following.run == one.run:
            assert following.start == one.end
            # Slewed by no more than the bound (and the rounding of two moments).
            slewed = abs((one.end - one.start) - one.media_us)
            assert slewed <= one.media_us * SLEW_PPM // 1_000_000 + 2


@given(st.lists(st.tuples(packets, st.integers(-20, 20)), min_size=1, max_size=60))
def test_wall_clock_jumps_are_all_told_and_drop_nothing(sent):
    """Jumps of the wall clock by whole seconds: each one of more than the bound begins a run."""
    followed = Followed(Segmenter(TICK, 2.0))
    dts = received = 0
    offset, believed = WALL, None
    for (_, media_ms, passed_us, seal), seconds in sent:
        dts, received, offset = dts + media_ms, received + passed_us, offset + seconds * 1_000_000
        step = followed.take(True, dts, received, offset, seal)
        jumped = believed is not None and abs(offset - believed) > MAX_WALL_JUMP_US
        assert followed.segmenter.wall_moved_us == (offset - believed if jumped else 0)
        assert step is Step.BEGIN_RUN or not jumped
        believed = offset if step is Step.BEGIN_RUN else believed
    assert followed.written == len(sent)
