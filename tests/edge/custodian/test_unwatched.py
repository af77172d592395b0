"""A watch that is dead or behind does not look like a camera that is well."""

from __future__ import annotations

from datetime import timedelta

import pytest

from edge.config import EdgeConfig
from edge.custodian.unwatched import LIMIT_SECONDS, Unwatched
from edge.watch.looked import LookedNote, is_looked_at, looked_at, looked_file
from retention.records.clock import ManualClock, to_micros
from retention.records.payloads import GapCause, SceneRole
from retention.store import alarms, footage
from retention.store.database import NodeStore
from tests.edge.counter_kit import config_for
from tests.edge.custodian.test_silence import CAMERA, film, kinds, open_alarms

STEP = timedelta(seconds=5)


@pytest.fixture
def config(tmp_path) -> EdgeConfig:
    made = config_for(tmp_path, recording={"segment_seconds": 10})
    looked_file(made).parent.mkdir(exist_ok=True)
    return made


@pytest.fixture
def note(config: EdgeConfig, clock: ManualClock) -> LookedNote:
    return LookedNote(looked_file(config), clock)


def live(
    store: NodeStore, clock: ManualClock, custodian: Unwatched, seconds: float,
    note: LookedNote | None = None, behind: float = 0.0, records: bool = True,
) -> None:  # fmt: skip
    """Let a node run: a segment every 5 s, and a watch that is so far `behind`, or none."""
    for _ in range(int(timedelta(seconds=seconds) / STEP)):
        clock.advance(STEP)
        if records:
            film(store, seconds=5)
        if note is not None:
            note.judged(CAMERA, clock.monotonic_ns() - int(behind * 1e9))
            note.write()
        custodian.step()


def test_watch_that_died_is_an_alarm_until_it_looks_again(store, config, clock, note):
    custodian = Unwatched(store, config)
    live(store, clock, custodian, 600, note)
    assert open_alarms(store) == []
    assert is_looked_at(config, clock, CAMERA)
    died = to_micros(clock.now())
    live(store, clock, custodian, LIMIT_SECONDS + 20)
    assert open_alarms(store) == [("VIEW_UNWATCHED", CAMERA)]
    assert not is_looked_at(config, clock, CAMERA)
    with store.read() as connection:
        (row,) = alarms.open_alarms(connection)
    assert row.since == died
    live(store, clock, Unwatched(store, config), 5)  # the custodian began anew: nothing is better
    assert open_alarms(store) == [("VIEW_UNWATCHED", CAMERA)]
    live(store, clock, custodian, 10, note)
    assert open_alarms(store) == []
    assert [kind for kind in kinds(store) if kind.startswith("alarm")] == [
        "alarm.raised",
        "alarm.cleared",
    ]


def test_watch_that_is_far_behind_is_as_good_as_none(store, config, clock, note):
    clock.advance(timedelta(hours=1))
    custodian = Unwatched(store, config)
    live(store, clock, custodian, LIMIT_SECONDS + 60, note, behind=LIMIT_SECONDS + 20)
    assert open_alarms(store) == [("VIEW_UNWATCHED", CAMERA)]


def test_watch_that_never_looked_is_waited_for_and_then_told(store, config, clock):
    custodian = Unwatched(store, config)
    live(store, clock, custodian, LIMIT_SECONDS)
    assert open_alarms(store) == []
    live(store, clock, custodian, 20)
    assert open_alarms(store) == [("VIEW_UNWATCHED", CAMERA)]


def test_camera_that_does_not_record_has_other_alarms(store, config, clock):
    custodian = Unwatched(store, config)
    live(store, clock, custodian, 300, records=False)
    film(store)
    with store.write() as connection:
        footage.open_gap(
            store, connection, CAMERA, SceneRole.PURCHASE, to_micros(clock.now()),
            GapCause.CAMERA_UNREACHABLE,
        )  # fmt: skip
    custodian.step()
    assert open_alarms(store) == []


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"boot_id": "x", "cameras": {"till": -1}}'])
def test_note_that_cannot_be_read_is_nothing_looked_at(config, clock, raw):
    looked_file(config).write_bytes(raw)
    assert looked_at(config, clock) == {}


def test_note_of_an_earlier_boot_is_nothing_looked_at(config, clock, note):
    note.judged(CAMERA, clock.monotonic_ns())
    note.write()
    assert is_looked_at(config, clock, CAMERA)
    raw = looked_file(config).read_text().replace(clock.boot_id(), "another")
    looked_file(config).write_text(raw)
    assert not is_looked_at(config, clock, CAMERA)
