"""Error rates and intervals against answers that are known without this code."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.statistics import (
    People,
    Scored,
    accuracy_by_folds,
    best_threshold,
    clopper_pearson,
    det,
    equal_error_rate,
    error_versus_discard,
    point,
    random_folds,
    threshold_for,
)


def scored(genuine: list[float], impostor: list[float], people: int = 0) -> Scored:
    """Each mated comparison of a person of its own, non-mated ones between neighbours."""
    count = people or len(genuine) + len(impostor) + 1
    numbers = np.arange(len(genuine) + len(impostor)) % count
    mated = np.arange(len(numbers)) < len(genuine)
    right = np.where(mated, numbers, (numbers + 1) % count)
    return Scored(np.array(genuine + impostor, dtype=np.float64), mated, numbers, right)


@pytest.mark.parametrize(
    ("errors", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.308497),  # 1 - 0.025^(1/10)
        (0, 150, 0.0, 0.024294),
        (1, 10, 0.002529, 0.445016),
        (5, 10, 0.187086, 0.812914),
        (10, 10, 0.691503, 1.0),
        (15, 1500, 0.005608, 0.016438),
    ],
)
def test_exact_intervals_are_those_of_the_tables(
    errors: int, trials: int, low: float, high: float
) -> None:
    assert clopper_pearson(errors, trials) == pytest.approx((low, high), abs=2e-6)


@pytest.mark.parametrize(("errors", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(errors: int, trials: int) -> None:
    with pytest.raises(ValueError, match="is no count"):
        clopper_pearson(errors, trials)


@given(st.integers(1, 400), st.data())
def test_an_exact_interval_holds_the_rate(trials: int, data: st.DataObject) -> None:
    errors = data.draw(st.integers(0, trials))
    low, high = clopper_pearson(errors, trials)
    assert 0 <= low <= errors / trials <= high <= 1
    # Counting failures or successes is the same interval, mirrored.
    mirrored = clopper_pearson(trials - errors, trials)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize(
    ("target", "matches"), [(0.5, 5), (0.1, 1), (0.19, 1), (0.01, 0), (1.0, 10)]
)
def test_a_threshold_lets_through_no_more_than_its_target(target: float, matches: int) -> None:
    impostor = np.arange(10) / 10
    threshold = threshold_for(impostor, target)
    assert int((impostor >= threshold).sum()) == matches


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.35]), min_size=1, max_size=60),
    st.floats(1e-4, 0.9),
)
def test_ties_never_lift_the_false_match_rate_above_the_target(
    values: list[float], target: float
) -> None:
    impostor = np.array(values)
    assert float((impostor >= threshold_for(impostor, target)).mean()) <= target + 1e-9


def test_det_points_of_a_tiny_set_are_counted_by_hand() -> None:
    thresholds, fmr, fnmr = det(scored([0.4, 0.8], [0.2, 0.6]))
    assert thresholds.tolist() == [0.2, 0.4, 0.6, 0.8]
    assert fmr.tolist() == [1.0, 0.5, 0.5, 0.0]
    assert fnmr.tolist() == [0.0, 0.0, 0.5, 0.5]
    assert equal_error_rate(scored([0.4, 0.8], [0.2, 0.6])) == 0.5
    assert equal_error_rate(scored([0.7, 0.8], [0.2, 0.6])) == 0.0


def test_a_point_counts_both_errors_and_no_interval_is_below_the_exact_one() -> None:
    found = scored([0.1] + [0.9] * 99, [0.1] * 100)
    people = People(found, resamples=200)
    at = point(found, people, 0.5)
    assert (at.fmr, at.fnmr) == (0.0, 0.01)
    assert at.fmr_ci[0] == 0.0
    assert at.fmr_ci[1] >= clopper_pearson(0, 100)[1] > 0.03
    assert at.fnmr_ci[0] <= 0.00026
    assert at.fnmr_ci[1] >= 0.0544


def test_people_who_occur_often_widen_the_interval() -> None:
    # 20 people with 50 mated comparisons each; all failures belong to two of them.
    person = np.repeat(np.arange(20), 50)
    failed = person < 2
    mated = np.ones(1000, dtype=bool)
    found = Scored(np.where(failed, 0.0, 1.0), mated, person, person)
    low, high = People(found).interval(mated, failed)
    exact_low, exact_high = clopper_pearson(100, 1000)
    assert low == 0.0
    assert high - low > 3 * (exact_high - exact_low)
    # Drawing 20 people of whom a tenth fail: two draws of a binomial of 20 at 0.1, within a draw.
    assert high == pytest.approx(0.25, abs=0.051)


def test_resampling_is_seeded() -> None:
    found = scored([0.2, 0.9, 0.8, 0.7], [0.1, 0.3])
    failed = found.scores < 0.5
    intervals = {People(found).interval(found.mated, failed) for _ in range(2)}
    assert len(intervals) == 1
    assert People(found).weights(found.mated).shape == (2000, 4)
    assert not (
        People(found).weights(found.mated) == People(found, seed=1).weights(found.mated)
    ).all()


def test_a_person_drawn_twice_meets_others_twice_and_is_not_compared_with_itself() -> None:
    found = Scored(np.zeros(2), np.array([True, False]), np.array([0, 0]), np.array([0, 1]))
    people = People(found, resamples=500)
    weights = people.weights(np.array([True, True]))
    assert set(map(tuple, weights.tolist())) == {(2.0, 0.0), (1.0, 1.0), (0.0, 0.0)}


def test_a_difference_of_equal_judgements_is_nothing() -> None:
    found = scored([0.2, 0.9, 0.8, 0.7], [0.1, 0.3])
    failed = found.scores < 0.5
    assert People(found).difference(found.mated, failed, failed) == (0.0, 0.0)
    low, high = People(found).difference(found.mated, failed, ~failed)
    assert low < -0.5 < high


def test_without_comparisons_nothing_is_claimed() -> None:
    found = scored([0.9], [])
    at = point(found, People(found), 0.5)
    assert math.isnan(at.fmr)
    assert at.fmr_ci == (0.0, 1.0)
    with pytest.raises(ValueError, match="no non-mated"):
        threshold_for(found.impostor, 0.1)


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.booleans()), min_size=1),
)
def test_the_best_threshold_is_the_best_of_all(rows: list[tuple[float, bool]]) -> None:
    scores = np.array([row[0] for row in rows])
    mated = np.array([row[1] for row in rows])

    def right(threshold: float) -> int:
        return int(((scores >= threshold) == mated).sum())

    assert right(best_threshold(scores, mated)) == max(right(value) for value in scores)


def test_accuracy_by_folds_judges_each_fold_by_the_others() -> None:
    # In either half alone 0.5 or 0.7 would be perfect; judged by the other half one errs.
    found = scored([0.6, 0.8], [0.4, 0.65])
    folds = np.array([0, 1, 0, 1])
    mean, error = accuracy_by_folds(found, folds)
    assert mean == pytest.approx(0.5)
    assert error == pytest.approx(0.0)
    with pytest.raises(ValueError, match="fewer than two"):
        accuracy_by_folds(found, np.zeros(4, dtype=np.int64))


def test_folds_drawn_are_even_and_seeded() -> None:
    folds = random_folds(25)
    assert sorted(np.bincount(folds).tolist()) == [2] * 5 + [3] * 5
    assert folds.tolist() == random_folds(25).tolist()


def test_discarding_the_worst_first_lowers_the_error() -> None:
    quality = np.arange(10, dtype=np.float64)
    errors = quality < 2
    assert error_versus_discard(quality, errors, (0.0, 0.1, 0.2, 0.5)) == [
        (0.0, 0.2),
        (0.1, pytest.approx(1 / 9)),
        (0.2, 0.0),
        (0.5, 0.0),
    ]


def test_equal_quality_is_discarded_together_or_not_at_all() -> None:
    quality = np.array([0.0, 1.0, 1.0, 1.0])
    errors = np.array([False, True, False, False])
    assert error_versus_discard(quality, errors, (0.5,)) == [(0.25, pytest.approx(1 / 3))]
