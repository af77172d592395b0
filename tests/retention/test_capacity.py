"""The forecast: rates from measured days, room simulated day by day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.capacity import DAY, Forecast, Frozen, Rate, forecast, levels, rates
from retention.policy import owed_until
from retention.store.intake import DayIntake

TODAY = date(2026, 6, 1)
GB = 10**9


def owed(ended_at: datetime) -> datetime:
    return owed_until("footage", ended_at, ())


def kept_for(days: int):
    return lambda ended_at: ended_at + timedelta(days=days)


def measured(size: int) -> Rate:
    return Rate(size, "measured", 28)


def days_of(camera: str, sizes: Iterable[int], until: date = TODAY) -> list[DayIntake]:
    sizes = list(sizes)
    first = until - len(sizes) * DAY
    return [
        DayIntake(camera, first + number * DAY, size, 86_400_000 if size else 0)
        for number, size in enumerate(sizes)
    ]


def since(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


LONG_AGO = since(TODAY - 500 * DAY)


def nothing_known(camera: str) -> Rate:
    return Rate(7, "assumed")


# -- rates ----------------------------------------------------------------------------------------


def test_a_day_takes_what_the_worst_but_one_in_twenty_took():
    found = rates(["a"], days_of("a", range(1, 29)), {"a": LONG_AGO}, TODAY, nothing_known)
    assert found.total == Rate(27, "measured", 28)  # the 27th of 28 by nearest rank
    assert found.cameras["a"] == found.total


def test_older_days_today_and_the_day_it_began_do_not_count():
    sizes = [9 * GB] * 10 + [GB] * 28
    intake = [*days_of("a", sizes), DayIntake("a", TODAY, 99 * GB, 1)]
    assert rates(["a"], intake, {"a": LONG_AGO}, TODAY, nothing_known).total.bytes_per_day == GB
    began = since(TODAY - 3 * DAY) + timedelta(hours=5)
    young = days_of("a", [99 * GB, GB, GB])
    assert rates(["a"], young, {"a": began}, TODAY, nothing_known).total == Rate(GB, "measured", 2)


def test_days_on_which_a_camera_was_off_do_not_make_a_day_look_smaller():
    intake = days_of("a", [GB, 0, 0, GB] * 7)
    assert rates(["a"], intake, {"a": LONG_AGO}, TODAY, nothing_known).total == Rate(
        GB, "measured", 14
    )


def test_cameras_whose_worst_days_differ_take_less_together_than_their_sum():
    a = days_of("a", [10, 1] * 14)
    b = days_of("b", [1, 10] * 14)
    found = rates(["a", "b"], [*a, *b], dict.fromkeys("ab", LONG_AGO), TODAY, nothing_known)
    assert found.total.bytes_per_day == 11
    assert [rate.bytes_per_day for rate in found.cameras.values()] == [10, 10]


def test_camera_without_a_whole_day_makes_the_sum_as_weak_as_what_is_known_of_it():
    found = rates(["a", "b"], days_of("a", [GB] * 28), {"a": LONG_AGO}, TODAY, nothing_known)
    assert found.total == Rate(GB + 7, "assumed", 0)
    assert found.cameras["a"].basis == "measured"


def test_retired_camera_takes_nothing_more():
    intake = [*days_of("a", [GB] * 28), *days_of("old", [5 * GB] * 28)]
    known = dict.fromkeys(("a", "old"), LONG_AGO)
    assert rates(["a"], intake, known, TODAY, nothing_known).total.bytes_per_day == GB


# -- the forecast ---------------------------------------------------------------------------------


def ahead(free: int, per_day: int = GB, held: dict[date, int] | None = None, **more) -> Forecast:
    return forecast(
        today=TODAY, rate=measured(per_day), free_bytes=free, held=held or {},
        **{"owed": owed, **more},
    )  # fmt: skip


def test_fresh_node_needs_a_floor_of_days():
    enough = ahead(368 * GB)
    assert enough.meets_floor
    assert enough.days_left is None
    assert enough.missing_bytes == 0
    assert 366 * GB <= enough.need_bytes <= 368 * GB
    short = ahead(300 * GB)
    assert short.days_left == 300
    assert short.full_on == TODAY + 301 * DAY
    assert 66 * GB <= short.missing_bytes <= 68 * GB
    assert short.need_bytes == enough.need_bytes


def test_node_in_its_second_year_lives_on_what_becomes_due():
    year = {TODAY - number * DAY: GB for number in range(1, 367)}
    assert ahead(3 * GB, held=year).meets_floor
    assert not ahead(0, per_day=2 * GB, held=year).meets_floor


def test_recording_resumes_when_the_oldest_footage_may_go():
    half = {TODAY - number * DAY: GB for number in range(1, 201)}
    found = ahead(10 * GB, held=half)
    assert found.full_on == TODAY + 11 * DAY
    assert found.resumes_on is not None
    assert 165 <= (found.resumes_on - TODAY).days <= 169  # 366 days after the oldest day


def test_hold_keeps_what_would_have_made_room():
    year = {TODAY - number * DAY: GB for number in range(1, 367)}
    assert ahead(3 * GB, held=year, frozen=[Frozen(None, None)]).days_left == 3
    some = Frozen(TODAY - 366 * DAY, TODAY - 350 * DAY)
    assert ahead(3 * GB, held=year, frozen=[some]).days_left is not None
    outside = Frozen(TODAY - 900 * DAY, TODAY - 800 * DAY)
    assert ahead(3 * GB, held=year, frozen=[outside]).meets_floor


def test_footage_beyond_its_time_that_is_still_there_is_not_counted_on():
    stale = {TODAY - 700 * DAY: 1000 * GB}
    assert ahead(10 * GB, held=stale).days_left == 10
    assert ahead(10 * GB, held=stale).need_bytes == ahead(10 * GB).need_bytes


def test_node_that_records_nothing_never_fills():
    found = ahead(0, per_day=0)
    assert found.meets_floor
    assert found.headroom is None
    assert found.is_safe()


@settings(deadline=None, max_examples=60)
@given(
    free=st.integers(0, 3000),
    per_day=st.integers(1, 10),
    term=st.integers(1, 400),
    held=st.lists(st.integers(0, 20), max_size=60),
)
def test_headroom_says_exactly_which_rate_fits(free, per_day, term, held):
    old = {TODAY - (number + 1) * DAY: size for number, size in enumerate(held)}

    def look(size: int, room: int = free) -> Forecast:
        return ahead(room * 1000, size, {day: one * 1000 for day, one in old.items()},
                     owed=kept_for(term), horizon_days=450)  # fmt: skip

    found = look(per_day * 1000)
    assert found.meets_floor == (found.headroom is None or found.headroom >= 1)
    assert found.headroom is not None
    fits = int(per_day * 1000 * found.headroom)
    assert look(fits).meets_floor
    assert not look(fits + 1000).meets_floor or fits < found.headroom * per_day * 1000 - 1000
    if found.missing_bytes:
        assert look(per_day * 1000, free + found.missing_bytes // 1000 + 1).meets_floor
        assert not look(per_day * 1000, free + found.missing_bytes // 1000 - 1).meets_floor


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 5))
def test_more_room_never_fills_earlier(free, more, per_day):
    term = kept_for(366)
    one, two = (
        ahead(size * GB, per_day * GB, owed=term, horizon_days=450).days_left
        for size in (free, free + more)
    )
    assert two is None or (one is not None and two >= one)


# -- alarms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "wanted"),
    [
        (400, set()),
        (300, {"FLOOR_AT_RISK"}),
        (90, {"FLOOR_AT_RISK"}),
        (89, {"FLOOR_AT_RISK", "DISK_WARN"}),
        (30, {"FLOOR_AT_RISK", "DISK_WARN"}),
        (29, {"FLOOR_AT_RISK", "DISK_WARN", "DISK_ALARM"}),
    ],
)
def test_levels_follow_the_days_that_are_left(free, wanted):
    assert levels(ahead(free * GB), 90, 30) == wanted


def test_alarm_ends_only_when_it_is_clearly_over():
    assert levels(ahead(92 * GB), 90, 30) == {"FLOOR_AT_RISK"}
    assert "DISK_WARN" in levels(ahead(92 * GB), 90, 30, ["DISK_WARN"])
    assert "DISK_WARN" not in levels(ahead(93 * GB), 90, 30, ["DISK_WARN"])
    just = ahead(370 * GB)
    assert levels(just, 90, 30) == set()
    assert levels(just, 90, 30, ["FLOOR_AT_RISK"]) == {"FLOOR_AT_RISK"}
    assert levels(ahead(390 * GB), 90, 30, ["FLOOR_AT_RISK"]) == set()


@pytest.mark.parametrize("basis", ["extrapolated", "assumed"])
def test_nothing_is_raised_on_a_guess_and_nothing_open_ends_by_one(basis):
    found = forecast(today=TODAY, rate=Rate(GB, basis), free_bytes=0, held={}, owed=owed)
    assert levels(found, 90, 30) == set()
    assert levels(found, 90, 30, ["DISK_ALARM"]) == {"DISK_ALARM"}
