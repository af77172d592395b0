from __future__ import annotations

from datetime import timedelta

from retention.footage.summary import HOUR_US, MOST_AT_ONCE, VIEW_TOLD_US, is_settled, summarise_due
from retention.records.clock import from_text
from retention.records.payloads import GapCause, SceneRole
from retention.store import footage
from retention.store.log import all_records


def summaries(store) -> list[dict[str, object]]:
    with store.read() as connection:
        return [
            record.parse().payload
            for record in all_records(connection)
            if record.kind == "coverage.summarised"
        ]


def due(store, camera) -> int:
    """Write what is due and return how many there were."""
    before = len(summaries(store))
    with store.write() as connection:
        next_at = summarise_due(store, connection, camera.name, SceneRole.PURCHASE)
    assert next_at % HOUR_US in (0, VIEW_TOLD_US)
    return len(summaries(store)) - before


def test_hour_is_summarised_when_it_is_over_and_explained(camera, store, clock):
    camera.record()  # 03:04:05 to 03:04:09
    assert due(store, camera) == 0
    clock.advance(timedelta(hours=2))  # 05:04:05
    assert due(store, camera) == 0  # nobody said what happened since 03:04:09
    with store.write() as connection:
        footage.open_gap(
            store,
            connection,
            camera.name,
            SceneRole.PURCHASE,
            footage.explained_until(connection, camera.name),
            GapCause.CAMERA_UNREACHABLE,
        )
    assert due(store, camera) == 2
    assert due(store, camera) == 0
    first, second = summaries(store)
    assert first["started_at"] == "2026-01-02T03:04:05.000000Z"
    assert (first["owed_ms"], first["covered_ms"]) == (3_355_000, 4000)
    assert (second["owed_ms"], second["covered_ms"]) == (3_600_000, 0)
    assert from_text(str(second["ended_at"])).minute == 0


def test_clock_that_was_wrong_by_years_never_holds_up_the_database(camera, store, clock):
    camera.record()
    clock.jump(timedelta(days=365 * 50))
    with store.write() as connection:
        began = footage.explained_until(connection, camera.name)
        footage.open_gap(
            store, connection, camera.name, SceneRole.PURCHASE, began, GapCause.STREAM_CHANGED
        )
    assert due(store, camera) == MOST_AT_ONCE
    assert due(store, camera) == MOST_AT_ONCE
    said = summaries(store)
    assert [one["started_at"] for one in said[1:]] == [one["ended_at"] for one in said[:-1]]


def test_hour_waits_for_what_the_watch_still_has_to_tell(camera, store, clock):
    camera.record()
    clock.jump(timedelta(minutes=56))  # 04:00:05 or a little later: the hour is over and explained
    with store.write() as connection:
        began = footage.explained_until(connection, camera.name)
        footage.open_gap(
            store, connection, camera.name, SceneRole.PURCHASE, began, GapCause.CAMERA_UNREACHABLE
        )
    over = clock.now().replace(minute=0, second=0, microsecond=0)
    clock.jump(over - clock.now() + timedelta(seconds=5))
    assert due(store, camera) == 0
    clock.jump(timedelta(seconds=2))
    assert due(store, camera) == 1


def test_what_lies_between_the_footage_and_a_later_gap_is_not_explained_by_it(camera, store):
    camera.record()
    with store.write() as connection:
        ended = footage.explained_until(connection, camera.name)
        footage.open_gap(
            store, connection, camera.name, SceneRole.PURCHASE, ended + 20, GapCause.STREAM_CHANGED
        )
        told = [is_settled(connection, camera.name, ended + after) for after in (0, 20, 21)]
    assert told == [True, False, True]
