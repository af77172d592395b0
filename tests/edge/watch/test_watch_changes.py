from __future__ import annotations

from datetime import timedelta

import pytest

from edge.config import EdgeConfig
from edge.watch.changes import (
    CAUSES,
    CONDITIONS,
    retire_views,
    see_to_alarm,
    standing_condition,
    write_change,
)
from edge.watch.verdict import Verdict
from edge.watch.view import Change
from retention.records.clock import ManualClock, to_micros, to_text
from retention.records.keeping import ClosureDeclared
from retention.records.payloads import VIEW_CAUSES, GapCause
from retention.store import alarms, footage, opening
from retention.store.database import NodeStore, StoreUnavailable
from retention.store.log import all_records
from retention.terms.words import GAP_CAUSES, VIEW_CONDITIONS
from tests.edge.counter_kit import config_for

CAMERA = "till"


@pytest.fixture
def config(tmp_path) -> EdgeConfig:
    return config_for(tmp_path)


def change(before: str, now: str, since: int) -> Change:
    return Change(before, now, since, Verdict(now, "light", 3.14159, 20.0))


def kinds(store: NodeStore) -> list[str]:
    with store.read() as connection:
        return [record.kind for record in all_records(connection)]


def test_every_cause_has_a_condition_and_words():
    assert set(CAUSES.values()) == VIEW_CAUSES
    assert set(CONDITIONS.values()) | {"clear"} == set(VIEW_CONDITIONS)
    assert all(cause.value in GAP_CAUSES for cause in VIEW_CAUSES)


def test_change_is_a_record_and_a_gap_in_one_transaction(store, config, monkeypatch):
    now = to_micros(store.clock.now())
    write_change(store, config.camera(CAMERA), change("clear", "black", now))
    with store.read() as connection:
        assert standing_condition(connection, CAMERA) == "black"
        gap = footage.open_gap_of(connection, CAMERA, "view")
        (record, *_) = all_records(connection)
    assert (gap.cause, gap.started_at) == (GapCause.VIEW_BLACK.value, now)
    payload = record.parse().payload
    assert (payload["condition"], payload["value"], payload["limit"]) == (
        "black",
        "3.142",
        "20.000",
    )
    assert kinds(store) == ["camera.view_changed", "gap.opened"]

    def full(*_: object) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(footage, "close_gap", full)
    with pytest.raises(StoreUnavailable):
        write_change(store, config.camera(CAMERA), change("black", "clear", now + 1))
    assert kinds(store) == ["camera.view_changed", "gap.opened"]


def test_one_condition_after_another_leaves_no_moment_unexplained(store, config):
    now, camera = to_micros(store.clock.now()), config.camera(CAMERA)
    write_change(store, camera, change("clear", "black", now))
    write_change(store, camera, change("black", "covered", now + 5))
    write_change(store, camera, change("covered", "clear", now + 9))
    with store.read() as connection:
        gaps = footage.gaps_between(connection, CAMERA, 0, now + 100)
        assert standing_condition(connection, CAMERA) == "clear"
    assert [(gap.cause, gap.started_at - now, gap.ended_at - now) for gap in gaps] == [
        ("view_black", 0, 5),
        ("view_covered", 5, 9),
    ]


def test_view_gap_lies_over_a_gap_of_footage(store, config):
    now, camera = to_micros(store.clock.now()), config.camera(CAMERA)
    with store.write() as connection:
        footage.open_gap(
            store, connection, CAMERA, camera.scene_role, now, GapCause.CAMERA_UNREACHABLE
        )
    write_change(store, camera, change("clear", "frozen", now - 5))
    write_change(store, camera, change("frozen", "clear", now + 5))
    with store.read() as connection:
        assert footage.open_gap_of(connection, CAMERA).cause == "camera_unreachable"


def test_alarm_is_raised_while_open_and_cleared_when_usable_again(store, config):
    now, camera = to_micros(store.clock.now()), config.camera(CAMERA)
    write_change(store, camera, change("clear", "black", now))
    for _ in range(3):
        see_to_alarm(store, CAMERA)
    with store.read() as connection:
        (row,) = alarms.open_alarms(connection)
    assert (row.alarm, row.subject, row.since) == ("VIEW_UNUSABLE", CAMERA, now)
    write_change(store, camera, change("black", "clear", now + 9))
    see_to_alarm(store, CAMERA)
    see_to_alarm(store, CAMERA)
    assert kinds(store).count("alarm.raised") == kinds(store).count("alarm.cleared") == 1


def test_view_of_a_camera_that_was_removed_does_not_stay_open(store, config, clock: ManualClock):
    now, camera = to_micros(store.clock.now()), config.camera(CAMERA)
    write_change(store, camera, change("clear", "black", now))
    retire_views(store, [CAMERA])
    assert "gap.closed" not in kinds(store)
    clock.advance(timedelta(seconds=9))
    retire_views(store, ["another"])
    retire_views(store, ["another"])
    with store.read() as connection:
        (gap,) = footage.gaps_between(connection, CAMERA, 0, 2**62)
    assert gap.ended_at == now + 9_000_000
    assert kinds(store).count("gap.closed") == 1


def test_dark_pharmacy_at_night_calls_nobody_until_it_opens(store, config, clock: ManualClock):
    start = clock.now() + timedelta(seconds=1)
    with store.write() as connection:
        opening.declare(
            store,
            connection,
            ClosureDeclared(
                closure=store.ids.new(), kind="closed", started_at=to_text(start),
                ended_at=to_text(start + timedelta(hours=8)), author="a", reason="b",
            ),
        )  # fmt: skip
    clock.advance(timedelta(seconds=2))
    write_change(store, config.camera(CAMERA), change("clear", "black", to_micros(clock.now())))
    see_to_alarm(store, CAMERA)
    assert "alarm.raised" not in kinds(store)
    clock.advance(timedelta(hours=8))
    see_to_alarm(store, CAMERA)
    assert "alarm.raised" in kinds(store)
