"""The frames that are compared: the best by quality, apart in time, never chosen by their score."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.fusion import Candidate, best, fused

CANDIDATES = st.lists(
    st.tuples(st.integers(0, 5_000), st.floats(0, 1)), max_size=30, unique_by=lambda one: one[0]
).map(lambda rows: [Candidate(i, ms, score) for i, (ms, score) in enumerate(sorted(rows))])


def test_the_best_are_taken_and_their_neighbours_left_out() -> None:
    frames = [Candidate(0, 0, 0.5), Candidate(1, 120, 0.9), Candidate(2, 240, 0.8),
              Candidate(3, 480, 0.3), Candidate(4, 900, 0.7)]  # fmt: skip
    assert best(frames, 2, 300) == (1, 4)
    assert best(frames, 3, 300) == (1, 3, 4)
    assert best(frames, 9, 300) == (1, 3, 4)


@given(frames=CANDIDATES, wanted=st.integers(1, 8), apart=st.integers(1, 900))
def test_no_two_are_neighbours_and_the_best_is_always_there(
    frames: list[Candidate], wanted: int, apart: int
) -> None:
    chosen = best(frames, wanted, apart)
    assert chosen == best(list(reversed(frames)), wanted, apart)
    assert len(chosen) <= wanted
    times = [frames[index].offset_ns for index in chosen]
    assert all(later - earlier >= apart for earlier, later in itertools.pairwise(times))
    if frames:
        top = max(one.score for one in frames)
        assert top in {frames[index].score for index in chosen}


@given(scores=st.lists(st.floats(-1, 1), min_size=1, max_size=12))
def test_the_fused_score_is_the_mean_and_never_above_the_best(scores: list[float]) -> None:
    assert fused(scores) == pytest.approx(sum(scores) / len(scores))
    assert fused(scores) <= max(scores) + 1e-12


def test_without_a_score_there_is_none() -> None:
    with pytest.raises(ValueError, match="no score"):
        fused([])
