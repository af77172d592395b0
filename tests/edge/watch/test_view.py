from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.watch.verdict import Verdict
from edge.watch.view import HOLD_SECONDS, Change, Seen, ViewState

CONDITIONS = ["clear", "black", "frozen", "covered", "out_of_focus", "moved"]
SECOND = 1_000_000


def seen(condition: str, seconds: float) -> Seen:
    at = int(seconds * SECOND)
    return Seen(Verdict(condition, "x", 0.0, 1.0), at, at * 1000, at)


def fed(state: ViewState, *told: tuple[str, float]) -> list[Change]:
    changes = [state.see(seen(condition, seconds)) for condition, seconds in told]
    return [change for change in changes if change is not None]


@pytest.mark.parametrize("apart", [0.5, 1.0, 2.0, 2.5])
def test_fault_is_told_within_five_seconds_of_it_and_dated_to_its_first_picture(apart):
    state, changes, t = ViewState(), [], 0.0
    fault = apart + 0.01  # just after a picture was taken
    while not changes:
        t += apart
        changes = fed(state, ("black" if t >= fault else "clear", t))
    assert t - fault <= 5.0
    assert changes[0].now == "black"
    assert changes[0].since == int(2 * apart * SECOND)


def test_somebody_close_by_for_a_moment_is_nothing():
    state = ViewState()
    told = [("clear", 0), ("covered", 1), ("covered", 2), ("clear", 3), ("covered", 4)]
    assert fed(state, *told, ("clear", 5)) == []
    assert state.standing == "clear"


def test_two_pictures_of_one_moment_do_not_decide():
    assert fed(ViewState(), ("black", 1.0), ("black", 1.01), ("black", 1.02)) == []


def test_condition_ends_with_the_first_usable_picture_that_lasts():
    state = ViewState("covered")
    told = [("clear", 1), ("covered", 2), ("clear", 3), ("clear", 4), ("clear", 5)]
    (change,) = fed(state, *told)
    assert (change.before, change.now, change.since) == ("covered", "clear", 3 * SECOND)


def test_one_condition_gives_way_to_another_without_a_usable_moment():
    state = ViewState("covered")
    (change,) = fed(state, ("black", 1), ("black", 2), ("black", 3))
    assert (change.before, change.now) == ("covered", "black")


def test_bad_is_bad_while_it_is_not_sure_which():
    state = ViewState()
    (change,) = fed(state, ("covered", 1), ("moved", 2), ("covered", 3))
    assert (change.now, change.since) == ("covered", 1 * SECOND)


@given(
    st.lists(
        st.tuples(st.sampled_from(CONDITIONS), st.floats(0.1, 3.0, allow_nan=False)), max_size=40
    )
)
def test_changes_follow_each_other_and_never_come_of_one_picture(told):
    state, t, changes, times = ViewState(), 0.0, [], []
    for condition, apart in told:
        t += apart
        change = state.see(seen(condition, t))
        if change is not None:
            changes.append(change)
            times.append(t)
    assert [change.before for change in changes[1:]] == [change.now for change in changes[:-1]]
    assert all(change.before != change.now for change in changes)
    assert all(earlier.since < later.since for earlier, later in pairwise(changes))
    for change, decided in zip(changes, times, strict=True):
        assert decided - change.since / SECOND >= HOLD_SECONDS - 1e-5
