"""The demo makes room at the camera for whoever tries the counter's pages."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edge.simulators.demo_people import COUNTER, IDLE_SECONDS, Visitors
from retention.records.payloads import NodeStopped
from retention.store.database import NodeStore
from retention.store.log import append
from retention.store.sessions import insert_session, mark_closed


@dataclass
class Seconds:
    """A monotonic clock of the test."""

    now: float = 10_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def opened(store: NodeStore, counter: str = COUNTER) -> str:
    session = store.ids.new()
    with store.write() as connection:
        insert_session(connection, session, counter, store.clock.now())
    step(store, session)
    return session


def step(store: NodeStore, session: str) -> None:
    with store.write() as connection:
        record = append(store, connection, NodeStopped(reason="asked"))
        connection.execute(
            "UPDATE log SET session = ? WHERE sequence = ?", (session, record.sequence)
        )


def closed(store: NodeStore, session: str) -> None:
    with store.write() as connection:
        mark_closed(connection, session, store.clock.now())


def test_nobody_is_busy_until_a_session_of_their_counter_opens(
    store: NodeStore, seconds: Seconds
) -> None:
    visitors = Visitors(store, seconds)
    assert not visitors.busy()
    opened(store, "counter-1")
    assert not visitors.busy()
    opened(store)
    assert visitors.busy()


def test_a_closed_session_is_over_at_once(store: NodeStore, seconds: Seconds) -> None:
    visitors = Visitors(store, seconds)
    session = opened(store)
    assert visitors.busy()
    closed(store, session)
    assert not visitors.busy()


def test_a_session_without_a_step_for_five_minutes_is_idle_until_the_next(
    store: NodeStore, seconds: Seconds
) -> None:
    visitors = Visitors(store, seconds)
    session = opened(store)
    assert visitors.busy()
    seconds.now += IDLE_SECONDS - 1
    assert visitors.busy()
    seconds.now += 1
    assert not visitors.busy()
    step(store, session)
    assert visitors.busy()


def test_what_an_earlier_demo_left_open_keeps_nobody_waiting(
    store: NodeStore, seconds: Seconds
) -> None:
    session = opened(store)
    seconds.now = 0.0
    visitors = Visitors(store, seconds)
    assert not visitors.busy()
    step(store, session)
    assert visitors.busy()


def test_two_sessions_are_busy_while_one_of_them_is(store: NodeStore, seconds: Seconds) -> None:
    visitors = Visitors(store, seconds)
    first, second = opened(store), opened(store)
    assert visitors.busy()
    seconds.now += IDLE_SECONDS
    step(store, second)
    assert visitors.busy()
    closed(store, second)
    assert not visitors.busy()
    step(store, first)
    assert visitors.busy()
