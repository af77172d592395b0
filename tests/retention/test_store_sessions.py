"""The list of sessions, and finding settlements that have no conclusion."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest

from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.records.payloads import SettlementAttempted, SettlementConcluded
from retention.store import sessions
from retention.store.database import NodeStore
from retention.store.log import append


def list_one(store: NodeStore, ids: SeededIds, counter: str = "c1") -> str:
    session = ids.new()
    with store.write() as connection:
        sessions.insert_session(connection, session, counter, store.clock.now())
    return session


def test_a_counter_sees_its_newest_sessions_first(
    store: NodeStore, ids: SeededIds, clock: ManualClock
) -> None:
    made = []
    for _ in range(3):
        made.append(list_one(store, ids))
        clock.advance(timedelta(seconds=1))
    list_one(store, ids, "c2")
    with store.read() as connection:
        recent = sessions.recent_sessions(connection, "c1", 2)
    assert [row.id for row in recent] == [made[2], made[1]]


def test_closing_notes_when(store: NodeStore, ids: SeededIds, clock: ManualClock) -> None:
    session = list_one(store, ids)
    opened_at = clock.now()
    clock.advance(timedelta(minutes=2))
    with store.write() as connection:
        sessions.mark_closed(connection, session, clock.now())
        row = sessions.read_session(connection, session)
        assert sessions.read_session(connection, ids.new()) is None
    assert row == sessions.SessionRow(session, "c1", opened_at, clock.now(), None)


Move = Literal["settle", "reverse", "settled", "refused", "unknown", "reversed"]


@pytest.mark.parametrize(
    ("moves", "open_"),
    [
        ((), False),
        (("settle",), True),
        (("settle", "settled"), False),
        (("settle", "refused"), False),
        (("settle", "unknown", "reverse"), True),
        (("settle", "unknown", "reverse", "reversed"), False),
        (("settle", "refused", "settle"), True),
    ],
)
def test_a_message_without_a_conclusion_is_found(
    store: NodeStore, ids: SeededIds, moves: tuple[Move, ...], open_: bool
) -> None:
    session, authorisation = list_one(store, ids), ids.new()
    for move in moves:
        with store.write() as connection:
            if move in ("settle", "reverse"):
                append(
                    store,
                    connection,
                    SettlementAttempted(
                        session=session,
                        authorisation=authorisation,
                        idempotency_key="a" * 64,
                        msgid="m1",
                        transaction=move,
                    ),
                )
            else:
                append(
                    store,
                    connection,
                    SettlementConcluded(
                        session=session,
                        authorisation=authorisation,
                        idempotency_key="a" * 64,
                        mode="node",
                        outcome=move,
                        setl_id=None,
                        reason=None,
                    ),
                )
    with store.read() as connection:
        assert sessions.unconcluded_settlements(connection) == ([session] if open_ else [])
