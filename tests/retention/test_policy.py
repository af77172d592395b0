from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.policy import (
    CEILINGS,
    END_OF_TIME,
    FLOORS,
    SHANGHAI,
    AdoptedPolicy,
    Dispose,
    HeldScope,
    HeldSpan,
    Item,
    Keep,
    KeepReason,
    ceiling_days,
    decide,
    due_ranges,
    owed_until,
    term_end,
)
from retention.records.clock import ClockState, to_text
from retention.records.keeping import Ceiling, RetentionPolicy, Term
from retention.records.kinds import RetentionClass

START, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
moments = st.datetimes(START.replace(tzinfo=None), END.replace(tzinfo=None)).map(
    lambda value: value.replace(tzinfo=UTC)
)
subjects = st.sampled_from(sorted(FLOORS))
states = st.sampled_from(ClockState)


def local(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=SHANGHAI).astimezone(UTC)


def policy(
    version: int,
    effective_from: datetime,
    *,
    name: str = "p",
    years: int = 0,
    days: int = 0,
    subject: str = "footage",
    ceilings: tuple[Ceiling, ...] = (),
    adopted_at: datetime | None = None,
) -> AdoptedPolicy:
    return AdoptedPolicy(
        RetentionPolicy(
            policy=name,
            version=version,
            province=None,
            agreement=None,
            effective_from=to_text(effective_from),
            terms=(Term.model_validate({"subject": subject, "years": years, "days": days}),),
            ceilings=ceilings,
        ),
        effective_from if adopted_at is None else adopted_at,
    )


@st.composite
def adopted(draw: st.DrawFn) -> AdoptedPolicy:
    return policy(
        draw(st.integers(1, 5)),
        draw(moments),
        name=draw(st.sampled_from(["province", "agreement"])),
        years=draw(st.integers(0, 6)),
        days=draw(st.integers(0, 2500)),
        subject=draw(subjects),
        adopted_at=draw(moments),
    )


policies = st.lists(
    adopted(), max_size=6, unique_by=lambda one: (one.policy.policy, one.policy.version)
)


@st.composite
def items(draw: st.DrawFn) -> Item:
    started, ended = sorted((draw(moments), draw(moments)))
    bounds = draw(st.none() | st.tuples(moments, moments).map(sorted))
    return Item(
        subject=draw(subjects),
        started_at=started,
        ended_at=ended,
        earliest_at=bounds and bounds[0],
        latest_at=bounds and bounds[1],
        camera=draw(st.sampled_from([None, "counter-1", "counter-2"])),
        session=draw(st.sampled_from([None, "s1", "s2"])),
        person_refs=draw(st.frozensets(st.sampled_from(["p1", "p2"]))),
        owed_to_central=draw(st.booleans()),
    )


@st.composite
def scopes(draw: st.DrawFn) -> HeldScope:
    spans = draw(st.lists(st.tuples(moments, moments).map(sorted), max_size=2))
    cameras = draw(st.frozensets(st.sampled_from(["counter-1", "counter-2"])))
    return HeldScope(
        "h",
        everything=draw(st.integers(0, 9)) == 0,
        sessions=draw(st.frozensets(st.sampled_from(["s1", "s2"]))),
        persons=draw(st.frozensets(st.sampled_from(["p1", "p2"]))),
        spans=tuple(HeldSpan(start, end, cameras) for start, end in spans),
    )


def floor_of(item: Item) -> datetime:
    """The law, written down once more and differently: count calendar years on the local date."""
    years, days = {
        "footage": (1, 366),
        "archive": (2, 731),
        "purchase_evidence": (2, 731),
        "processing": (3, 1096),
        "footage_index": (2, 731),
        "operations": (2, 731),
    }[item.subject]
    ended_at = item.ended_at if item.latest_at is None else max(item.ended_at, item.latest_at)
    there = ended_at.astimezone(SHANGHAI)
    if (there.month, there.day) == (2, 29) and years % 4:
        same_day = there.replace(year=there.year + years, month=3, day=1)
    else:
        same_day = there.replace(year=there.year + years)
    return max(same_day.astimezone(UTC), ended_at + timedelta(days=days))


# -- how long -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "ended_at", "until"),
    [
        ("footage", local(2026, 3, 1, 10), local(2027, 3, 2, 10)),  # 366 days are longer
        ("footage", local(2027, 3, 1, 10), local(2028, 3, 1, 10)),  # so is a year with a 29th
        ("footage", local(2028, 2, 29, 10), local(2029, 3, 1, 10)),
        ("footage", local(2026, 12, 31, 23, 59), local(2028, 1, 1, 23, 59)),
        ("archive", local(2026, 3, 1), local(2028, 3, 1)),
        ("archive", local(2024, 2, 29), local(2026, 3, 1)),
        ("processing", local(2025, 3, 1), local(2028, 3, 1)),
        ("processing", local(2026, 3, 1), local(2029, 3, 1)),
    ],
)
def test_floor_is_the_later_of_calendar_years_and_days(subject, ended_at, until):
    assert owed_until(subject, ended_at, []) == until


def test_a_year_of_china_is_counted_by_its_own_calendar():
    """It is 1 March in Shanghai while it is still 29 February in UTC."""
    ended_at = datetime(2028, 2, 29, 17, 0, tzinfo=UTC)
    assert term_end(Term(subject="footage", years=1, days=0), ended_at) == datetime(
        2029, 2, 28, 17, 0, tzinfo=UTC
    )


def test_every_class_of_records_has_a_floor():
    assert {kind.value for kind in RetentionClass} | {"footage"} == set(FLOORS)


def test_what_cannot_be_reckoned_is_owed_until_the_end_of_time():
    assert term_end(Term(subject="footage", years=30, days=0), END_OF_TIME) == END_OF_TIME


def test_lengthening_reaches_what_is_still_held():
    ended_at = local(2026, 1, 1)
    longer = policy(1, local(2026, 12, 31), years=3)
    assert owed_until("footage", ended_at, [longer]) == local(2029, 1, 1)
    assert owed_until("archive", ended_at, [longer]) == owed_until("archive", ended_at, [])


def test_shortening_reaches_only_what_begins_after_it():
    three, one = policy(1, local(2024, 1, 1), years=3), policy(2, local(2026, 6, 1), years=1)
    before, after = local(2026, 5, 31), local(2026, 6, 2)
    assert owed_until("footage", before, [three, one]) == local(2029, 5, 31)
    assert owed_until("footage", after, [three, one]) == owed_until("footage", after, [])
    assert owed_until("footage", after, [three, one], lived_since=before) == local(2029, 6, 2)


def test_policy_that_is_dated_back_shortens_nothing_that_was_promised():
    three = policy(1, local(2024, 1, 1), years=3)
    back = policy(2, local(2025, 1, 1), years=1, adopted_at=local(2026, 6, 1))
    assert owed_until("footage", local(2026, 5, 31), [three, back]) == local(2029, 5, 31)


def test_policy_that_is_still_to_come_counts():
    coming = policy(1, local(2027, 1, 1), years=5, adopted_at=local(2026, 1, 1))
    assert owed_until("footage", local(2026, 2, 1), [coming]) == local(2031, 2, 1)


@given(policies, subjects, moments, moments)
def test_order_of_adoption_in_the_list_means_nothing(found, subject, ended_at, since):
    forth = owed_until(subject, ended_at, found, lived_since=since)
    assert forth == owed_until(subject, ended_at, found[::-1], lived_since=since)


@given(policies, adopted(), items())
def test_a_new_policy_never_takes_back_what_was_promised_before_it(found, new, item):
    known = {(one.policy.policy, one.policy.version) for one in found}
    if (new.policy.policy, new.policy.version) in known or new.adopted_at < item.started_at:
        return
    before = owed_until(item.subject, item.ended_at, found, lived_since=item.started_at)
    after = owed_until(item.subject, item.ended_at, [*found, new], lived_since=item.started_at)
    assert after >= before


@given(policies, items())
def test_every_policy_that_was_in_force_while_the_item_lived_is_kept(found, item):
    """Asked for each policy alone, day by day, without the module's own way of reckoning."""
    until = owed_until(item.subject, item.ended_at, found, lived_since=item.started_at)
    for one in found:
        replaced = [
            max(other.effective_from, other.adopted_at)
            for other in found
            if other.policy.policy == one.policy.policy
            and other.policy.version > one.policy.version
        ]
        if all(moment >= item.started_at for moment in replaced):
            for term in one.policy.terms:
                if term.subject == item.subject:
                    assert until >= term_end(term, item.ended_at)


# -- the decision ---------------------------------------------------------------------------------


@settings(max_examples=200)
@given(items(), policies, st.lists(scopes(), max_size=3), st.data())
def test_nothing_is_disposed_of_before_its_floor(item, found, holds, data):
    """No policy, clock, hold or order of events makes it earlier; free space is no argument."""
    floor = floor_of(item)
    near = st.timedeltas(timedelta(days=-3), timedelta(days=3)).map(lambda by: floor + by)
    now = data.draw(st.one_of(moments, near))
    verdict = decide(item, found, holds, now, data.draw(states))
    if isinstance(verdict, Dispose):
        assert now > floor
        assert verdict.owed_until >= floor
        assert not item.owed_to_central


@given(items(), policies, st.lists(scopes(), min_size=1, max_size=3), states)
def test_a_hold_always_wins(item, found, holds, state):
    verdict = decide(item, found, holds, END_OF_TIME, state)
    started_at, ended_at = item.started_at, item.ended_at
    if item.latest_at is not None and item.latest_at - ended_at > timedelta(days=1):
        started_at, ended_at = min(started_at, item.earliest_at), item.latest_at
    held = any(
        hold.everything
        or item.session in hold.sessions
        or bool(hold.persons & item.person_refs)
        or (
            not (item.session and (hold.sessions or hold.persons))
            and any(
                max(span.started_at, started_at) <= min(span.ended_at, ended_at)
                and (item.camera is None or not span.cameras or item.camera in span.cameras)
                for span in hold.spans
            )
        )
        for hold in holds
    )
    assert held == (isinstance(verdict, Keep) and verdict.reason is KeepReason.HOLD)


@given(items(), policies, st.lists(scopes(), max_size=2), moments, moments)
def test_what_may_go_may_go_for_ever(item, found, holds, one, other):
    earlier, later = sorted((one, other))
    if isinstance(decide(item, found, holds, earlier, ClockState.STEADY), Dispose):
        assert isinstance(decide(item, found, holds, later, ClockState.STEADY), Dispose)


@given(items(), policies, moments)
def test_nothing_goes_while_the_clock_is_in_doubt(item, found, now):
    assert isinstance(decide(item, found, [], now, ClockState.JUMPED), Keep)


def test_what_is_owed_is_disposed_of_when_nothing_keeps_it():
    item = Item("footage", local(2026, 1, 1), local(2026, 1, 1, 1))
    until = owed_until("footage", item.ended_at, [])
    kept = decide(item, [], [], until, ClockState.STEADY)
    assert kept == Keep(KeepReason.FLOOR, until)
    later = until + timedelta(microseconds=1)
    assert decide(item, [], [], later, ClockState.STEADY) == Dispose(until)


@settings(max_examples=200)
@given(policies, subjects, moments, moments)
def test_ranges_hold_exactly_what_the_floor_and_policies_let_go(found, subject, ended_at, now):
    due = owed_until(subject, ended_at, found) < now
    ranges = due_ranges(subject, found, now)
    assert due == any(after < ended_at <= until for after, until in ranges)


# -- ceilings -------------------------------------------------------------------------------------


def test_ceiling_is_the_least_that_is_in_force():
    now = local(2026, 6, 1)
    strict = policy(1, local(2026, 1, 1), ceilings=(Ceiling(material="probe_crop", days=7),))
    coming = policy(2, local(2027, 1, 1), ceilings=(Ceiling(material="probe_crop", days=1),))
    looser = policy(
        1, local(2026, 1, 1), name="q", ceilings=(Ceiling(material="probe_crop", days=60),)
    )
    assert ceiling_days("probe_crop", [], now) == CEILINGS["probe_crop"] == 30
    assert ceiling_days("probe_crop", [strict, coming, looser], now) == 7
    assert ceiling_days("probe_crop", [strict, coming], local(2027, 1, 2)) == 1
    assert ceiling_days("face_reference", [strict], now) == CEILINGS["face_reference"]
