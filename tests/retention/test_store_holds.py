from __future__ import annotations

import sqlite3
from datetime import timedelta

import pytest

from retention.policy import Item, covers
from retention.records.clock import to_text
from retention.records.keeping import Hold, HoldPlaced, HoldReleased
from retention.store import holds
from retention.store.holds import HoldRefused
from tests.retention.keeping_kit import DAY, Node

NOTHING = dict.fromkeys(("session", "person_ref", "started_at", "ended_at"))
A_HOLD = "01900000-0000-7000-8000-000000000001"
T0, T1 = "2026-01-02T03:04:05.000000Z", "2026-01-02T03:05:05.250000Z"


def placed(scope: str = "pharmacy", authority: str = "central", **said: object) -> HoldPlaced:
    hold = Hold.model_validate({**NOTHING, "hold": A_HOLD, "scope": scope, "cameras": (), **said})
    return HoldPlaced.model_validate(
        {"hold": hold, "authority": authority, "author": "a", "reason": "r"}
    )


def released(authority: str = "central", hold: str = A_HOLD) -> HoldReleased:
    return HoldReleased.model_validate(
        {"hold": hold, "authority": authority, "author": "a", "reason": "r"}
    )


def resolved(node: Node) -> list[holds.HeldScope]:
    with node.store.write() as connection:
        while holds.read_on(connection):
            pass
        found = holds.resolve(connection)
    assert found is not None
    return found


def test_hold_is_placed_once_with_one_record(node):
    for wanted in (True, False):
        with node.store.write() as connection:
            assert holds.place(node.store, connection, placed()) is wanted
    assert node.kinds().count("hold.placed") == 1


def test_hold_is_released_once_and_never_by_the_other_authority(node):
    with node.store.write() as connection:
        assert holds.release(node.store, connection, released()) == "unknown"
        holds.place(node.store, connection, placed())
        assert holds.release(node.store, connection, released("inspector")) == "other_authority"
        assert len(holds.standing(connection)) == 1
        assert holds.release(node.store, connection, released()) == "released"
        assert holds.release(node.store, connection, released()) == "released"
        assert holds.standing(connection) == []
    assert node.kinds().count("hold.released") == 1


def test_released_hold_does_not_stand_again_when_its_command_comes_again(node):
    with node.store.write() as connection:
        holds.place(node.store, connection, placed())
        holds.release(node.store, connection, released())
        assert not holds.place(node.store, connection, placed())
        assert holds.standing(connection) == []


def test_id_of_another_hold_is_refused(node):
    with node.store.write() as connection:
        holds.place(node.store, connection, placed())
    other = placed("session", session=A_HOLD)
    for again in (other, placed(authority="inspector")):
        with pytest.raises(HoldRefused), node.store.write() as connection:
            holds.place(node.store, connection, again)


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("session", {}),
        ("session", {"session": A_HOLD, "person_ref": "a" * 64}),
        ("person", {"session": A_HOLD}),
        ("span", {"started_at": T0}),
        ("span", {"started_at": T1, "ended_at": T0}),
        ("span", {"started_at": T0, "ended_at": "2026-02-31T03:05:05.250000Z"}),
        ("pharmacy", {"cameras": ("counter-1",)}),
    ],
)
def test_scope_that_says_too_little_or_too_much_is_refused(node, scope, said):
    with pytest.raises(HoldRefused), node.store.write() as connection:
        holds.place(node.store, connection, placed(scope, **said))
    assert "hold.placed" not in node.kinds()


def test_person_is_held_in_every_session_claimed_for_or_collected_by_them(node):
    claimed, collected = node.serve("a" * 64), node.serve("b" * 64, purchaser="a" * 64)
    node.serve("b" * 64)
    node.hold("person", person_ref="a" * 64)
    (scope,) = resolved(node)
    assert scope.sessions == {claimed, collected}
    node.advance(DAY)
    later = node.serve("a" * 64)
    (scope,) = resolved(node)
    assert scope.sessions == {claimed, collected, later}


def test_nothing_is_resolved_while_a_person_is_still_looked_for(node, monkeypatch):
    monkeypatch.setattr(holds, "READ_AT_ONCE", 2)
    found = node.serve("a" * 64)
    node.hold("person", person_ref="a" * 64)
    seen = []
    more = True
    while more:
        with node.store.write() as connection:
            seen.append(holds.resolve(connection))
            more = holds.read_on(connection)
    assert len(seen) > 1
    assert set(map(type, seen)) == {type(None)}
    assert resolved(node)[0].sessions == {found}


def test_person_whose_records_went_is_looked_for_without_harm(node):
    node.serve("a" * 64)
    node.advance(740 * DAY)
    node.dispose_records()
    node.hold("person", person_ref="a" * 64)
    assert resolved(node)[0].sessions == frozenset()


def test_session_holds_its_owed_footage_with_the_widest_rolls(node, machine):
    session, now = node.serve(), machine.now()
    node.hold("session", session=session)
    (scope,) = resolved(node)

    def held(seconds: int) -> bool:
        moment = now + timedelta(seconds=seconds)
        return covers(scope, Item("footage", moment, moment, camera="counter-1"))

    assert [held(second) for second in (-601, -600, 0, 600, 601)] == [
        False, True, True, True, False,
    ]  # fmt: skip


def test_session_that_was_never_closed_is_held_for_a_day(node, machine):
    session, now = node.serve(closed=False), machine.now()
    node.hold("session", session=session)
    (scope,) = resolved(node)
    moment = now + timedelta(hours=23)
    assert covers(scope, Item("footage", moment, moment))


def test_ids_that_tell_no_time_hold_their_session_and_break_nothing(node):
    node.hold("session", session="ffffffff-ffff-ffff-ffff-ffffffffffff")
    (scope,) = resolved(node)
    assert (len(scope.sessions), scope.spans) == (1, ())


def test_database_keeps_a_hold_as_its_record_says_it(node):
    hold = node.hold("span", started_at=T0, ended_at=to_text(node.clock.now()))
    with node.store.read() as connection:
        (found,) = holds.listed(connection)
        assert isinstance(connection, sqlite3.Connection)
    (said,) = node.payloads("hold.placed")
    assert (found.hold.hold, found.hold.model_dump(mode="json")) == (hold, said["hold"])
