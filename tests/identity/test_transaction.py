"""How often one person may be looked at, and compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.policy import load_policy
from identity.transaction import Try, may_try

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIMITS = load_policy().transaction
MANY = 99


def tried(seconds_ago: float, *, looked: bool = True, compared: bool = False) -> Try:
    return Try(NOW - timedelta(seconds=seconds_ago), looked, compared)


def test_the_shipped_policy_gives_three_looks_in_a_minute_and_two_comparisons() -> None:
    assert (LIMITS.attempts, LIMITS.within_seconds, LIMITS.comparisons) == (3, 60, 2)


@pytest.mark.parametrize(
    ("tries", "in_session", "ruling"),
    [
        ([], MANY, None),
        ([tried(5), tried(20)], MANY, None),
        ([tried(5), tried(20), tried(59.9)], MANY, "ATTEMPTS_EXHAUSTED"),
        ([tried(5), tried(20), tried(60)], MANY, None),
        ([tried(5), tried(20), tried(40, looked=False)], MANY, None),
        # A mismatch allows one more try, and no third comparison, however much later.
        ([tried(5, compared=True)], MANY, None),
        ([tried(5, compared=True), tried(9000, compared=True)], MANY, "ATTEMPTS_EXHAUSTED"),
        ([tried(500 * n) for n in range(1, 6)], 5, "ATTEMPTS_EXHAUSTED"),
        ([tried(500 * n) for n in range(1, 5)], 5, None),
        # A clock that was set back makes no room.
        ([tried(-500), tried(-500), tried(-500)], MANY, "ATTEMPTS_EXHAUSTED"),
    ],
)
def test_looks_and_comparisons_are_bounded(
    tries: list[Try], in_session: int, ruling: str | None
) -> None:
    assert may_try(tries, NOW, LIMITS, in_session) == ruling


TRIES = st.lists(
    st.builds(tried, st.floats(-100, 10000), looked=st.booleans(), compared=st.booleans()),
    max_size=8,
)


@given(tries=TRIES, extra=TRIES, in_session=st.integers(1, 9), order=st.randoms())
def test_more_tries_never_make_another_one_lawful(
    tries: list[Try], extra: list[Try], in_session: int, order: object
) -> None:
    more = [*tries, *extra]
    order.shuffle(more)  # type: ignore[attr-defined]
    if may_try(more, NOW, LIMITS, in_session) is None:
        assert may_try(tries, NOW, LIMITS, in_session) is None


@given(plan=st.lists(st.tuples(st.integers(0, 90), st.booleans()), max_size=40))
def test_whoever_asks_each_time_stays_within_every_bound(plan: list[tuple[int, bool]]) -> None:
    done, now = list[Try](), NOW
    for wait, compared in plan:
        now += timedelta(seconds=wait)
        if may_try(done, now, LIMITS, 5) is None:
            done.append(Try(now, True, compared))
    assert sum(one.compared for one in done) <= LIMITS.comparisons
    assert len(done) <= 5
    span = timedelta(seconds=LIMITS.within_seconds)
    for one in done:
        assert sum(one.at <= other.at < one.at + span for other in done) <= LIMITS.attempts
