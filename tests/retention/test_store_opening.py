from __future__ import annotations

from datetime import timedelta

import pytest

from retention.footage.coverage import Span
from retention.footage.summary import closed_of, summary_of
from retention.records.clock import ManualClock, to_micros, to_text
from retention.records.keeping import ClosureCancelled, ClosureDeclared
from retention.records.payloads import SceneRole
from retention.store import opening, trusted
from retention.store.database import NodeStore
from retention.store.log import all_records

HOURS = ("09:00-21:00",) * 7
HOUR = timedelta(hours=1)


def closure(store: NodeStore, begins: timedelta, lasts: timedelta) -> ClosureDeclared:
    start = store.clock.now() + begins
    return ClosureDeclared(
        closure=store.ids.new(),
        kind="closed",
        started_at=to_text(start),
        ended_at=to_text(start + lasts),
        author="a",
        reason="stocktaking",
    )


def cancelled(declared: ClosureDeclared) -> ClosureCancelled:
    return ClosureCancelled(closure=declared.closure, author="a", reason="b")


def kinds(store: NodeStore) -> list[str]:
    with store.read() as connection:
        return [record.kind for record in all_records(connection)]


def closed(store: NodeStore, begins: timedelta, lasts: timedelta) -> list[Span]:
    start = to_micros(store.clock.now() + begins)
    with store.read() as connection:
        return closed_of(connection, Span(start, start + lasts // timedelta(microseconds=1)))


def test_hours_are_adopted_when_they_change_and_only_from_then_on(
    store: NodeStore, clock: ManualClock
) -> None:
    with store.write() as connection:
        assert not opening.adopt(store, connection, opening.ALWAYS_OPEN)
        assert opening.adopt(store, connection, HOURS)
        clock.advance(HOUR)
        assert not opening.adopt(store, connection, HOURS)
        assert opening.adopt(store, connection, opening.ALWAYS_OPEN)
        assert [one.hours for one in opening.openings(connection)] == [
            HOURS,
            opening.ALWAYS_OPEN,
        ]
    assert kinds(store) == ["opening.adopted"] * 2


def test_hours_are_not_adopted_while_the_clock_stands_before_the_last_ones(
    store: NodeStore, clock: ManualClock
) -> None:
    with store.write() as connection:
        assert opening.adopt(store, connection, HOURS)
        clock.jump(-HOUR)
        assert not opening.adopt(store, connection, opening.ALWAYS_OPEN)


def test_clock_that_is_set_back_excuses_nothing(store: NodeStore, clock: ManualClock) -> None:
    with store.write() as connection:
        trusted.advance(store, connection, None)
    clock.jump(-5 * HOUR)
    with pytest.raises(opening.ClosureRefused, match="past"), store.write() as connection:
        opening.declare(store, connection, closure(store, HOUR, HOUR))
    with store.write() as connection:
        assert opening.adopt(store, connection, ("closed",) * 7)
        opening.declare(store, connection, closure(store, 6 * HOUR, HOUR))
    clock.jump(5 * HOUR)
    assert closed(store, -5 * HOUR, 5 * HOUR) == []
    clock.advance(HOUR)
    assert closed(store, timedelta(minutes=-30), HOUR) != []


def test_an_outage_cannot_be_excused_afterwards(store: NodeStore) -> None:
    with pytest.raises(opening.ClosureRefused, match="past"), store.write() as connection:
        opening.declare(store, connection, closure(store, timedelta(seconds=-1), HOUR))
    assert kinds(store) == []
    assert closed(store, -HOUR, 3 * HOUR) == []


@pytest.mark.parametrize("lasts", [timedelta(), -HOUR, timedelta(days=31, seconds=1)])
def test_a_closure_has_a_length_of_at_most_31_days(store: NodeStore, lasts: timedelta) -> None:
    with pytest.raises(opening.ClosureRefused, match="31 days"), store.write() as connection:
        opening.declare(store, connection, closure(store, HOUR, lasts))
    assert kinds(store) == []


def test_a_closure_is_declared_once_and_nothing_is_owed_in_it(
    store: NodeStore, clock: ManualClock
) -> None:
    declared = closure(store, HOUR, 2 * HOUR)
    with store.write() as connection:
        assert opening.declare(store, connection, declared)
        assert not opening.declare(store, connection, declared)
    assert kinds(store) == ["closure.declared"]
    (found,) = closed(store, timedelta(), 10 * HOUR)
    assert found.end - found.start == 7_200_000_000
    start = to_micros(clock.now())
    with store.read() as connection:
        told = summary_of(
            connection, "desk", SceneRole.PURCHASE, Span(start, start + 5 * 3_600_000_000)
        )
    assert (told.owed_ms, told.covered_ms) == (3 * 3_600_000, 0)


def test_cancelling_gives_back_what_lies_ahead(store: NodeStore, clock: ManualClock) -> None:
    declared = closure(store, HOUR, 2 * HOUR)
    with store.write() as connection:
        opening.declare(store, connection, declared)
    clock.advance(2 * HOUR)
    with store.write() as connection:
        assert opening.cancel(store, connection, cancelled(declared)) == "cancelled"
        assert opening.cancel(store, connection, cancelled(declared)) == "over"
    (found,) = closed(store, -3 * HOUR, 10 * HOUR)
    assert found.end - found.start == 3_600_000_000
    assert kinds(store) == ["closure.declared", "closure.cancelled"]


def test_what_is_over_or_unknown_is_not_cancelled(store: NodeStore, clock: ManualClock) -> None:
    declared = closure(store, HOUR, HOUR)
    with store.write() as connection:
        opening.declare(store, connection, declared)
        clock.advance(5 * HOUR)
        assert opening.cancel(store, connection, cancelled(declared)) == "over"
        other = closure(store, HOUR, HOUR)
        assert opening.cancel(store, connection, cancelled(other)) == "unknown"
    assert kinds(store) == ["closure.declared"]
