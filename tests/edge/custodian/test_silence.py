from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import EdgeConfig
from edge.custodian.coverage import cover, owed_span, unsettled
from edge.custodian.opening import ClosedSales, adopt_hours, hours_of
from edge.custodian.silence import OF_CAMERAS, SILENT_SEGMENTS, silent_since, watch_silence
from retention.footage.coverage import Span
from retention.records.clock import ManualClock, from_micros, to_micros, to_text
from retention.records.keeping import ClosureDeclared
from retention.records.payloads import (
    GapCause,
    NodeStarted,
    RunStarted,
    SceneRole,
    SegmentSealed,
)
from retention.store import alarms, footage, opening
from retention.store.alarms import Alarm
from retention.store.database import NodeStore
from retention.store.footage import SessionSpan
from retention.store.log import all_records, append
from retention.store.sessions import insert_session
from tests.edge.counter_kit import config_for

SECOND = 1_000_000
LIMIT = 25 * SECOND
CAMERA = "till"


@pytest.fixture
def config(tmp_path) -> EdgeConfig:
    return config_for(tmp_path, recording={"segment_seconds": 10})


@pytest.fixture
def started(store: NodeStore) -> NodeStore:
    with store.write() as connection:
        append(store, connection, NodeStarted(software="x", signing_key_id="k", cameras=(CAMERA,)))
    return store


def film(store: NodeStore, seconds: int = 10) -> None:
    """Seal a segment that ends now."""
    now, run = to_micros(store.clock.now()), store.ids.new()
    role = SceneRole.PURCHASE
    start, end = to_text(from_micros(now - seconds * SECOND)), to_text(from_micros(now))
    with store.write() as connection:
        footage.insert_run(
            store,
            connection,
            RunStarted(run=run, camera=CAMERA, scene_role=role, codec="h264",
                       width=640, height=480, started_at=start),
        )  # fmt: skip
        footage.insert_segment(
            store,
            connection,
            SegmentSealed(
                segment=store.ids.new(), camera=CAMERA, scene_role=role, run=run, ordinal=0,
                started_at=start, ended_at=end, duration_ms=seconds * 1000, bytes=1, codec="h264",
                file_sha256="0" * 64, chunk_root="0" * 64, recovered=False, truncated_bytes=0,
            ),
            f"{CAMERA}/{run}.mp4",
        )  # fmt: skip


def open_alarms(store: NodeStore) -> list[tuple[str, str]]:
    with store.read() as connection:
        return [(row.alarm, row.subject) for row in alarms.open_alarms(connection)]


def close_for(store: NodeStore, begins: timedelta, lasts: timedelta) -> None:
    start = store.clock.now() + begins
    with store.write() as connection:
        opening.declare(
            store,
            connection,
            ClosureDeclared(
                closure=store.ids.new(), kind="power_off", started_at=to_text(start),
                ended_at=to_text(start + lasts), author="a", reason="b",
            ),
        )  # fmt: skip


def kinds(store: NodeStore) -> list[str]:
    with store.read() as connection:
        return [record.kind for record in all_records(connection)]


# -- silence --------------------------------------------------------------------------------------


def test_camera_that_seals_nothing_is_an_alarm_until_it_seals(
    started: NodeStore, config: EdgeConfig, clock: ManualClock
) -> None:
    film(started)
    clock.advance(timedelta(seconds=25))
    watch_silence(started, config)
    assert open_alarms(started) == []
    clock.advance(timedelta(seconds=1))
    for _ in range(3):
        watch_silence(started, config)
    assert open_alarms(started) == [("CAMERA_SILENT", CAMERA)]
    with started.read() as connection:
        (row,) = alarms.open_alarms(connection)
    assert row.since == to_micros(clock.now()) - 26 * SECOND
    film(started)
    watch_silence(started, config)
    assert open_alarms(started) == []
    assert kinds(started).count("alarm.raised") == kinds(started).count("alarm.cleared") == 1


def test_footage_that_ends_a_moment_ahead_is_no_clock_that_was_set_back(
    started: NodeStore, config: EdgeConfig, clock: ManualClock
) -> None:
    clock.advance(timedelta(hours=1))
    film(started)
    clock.jump(-timedelta(milliseconds=300))  # media time runs a little before the wall clock
    watch_silence(started, config)
    assert open_alarms(started) == []


def test_silence_from_before_the_closing_calls_when_it_opens_again(
    started: NodeStore, config: EdgeConfig, clock: ManualClock
) -> None:
    """Nobody looked while it was open: whoever could see to it has gone home."""
    film(started)
    close_for(started, timedelta(minutes=5), timedelta(hours=1))
    clock.advance(timedelta(minutes=10))
    watch_silence(started, config)
    assert open_alarms(started) == []
    clock.advance(timedelta(hours=1))
    watch_silence(started, config)
    assert open_alarms(started) == [("CAMERA_SILENT", CAMERA)]


def test_alarm_that_a_clock_ahead_has_dated_ends_with_a_new_segment(
    started: NodeStore, config: EdgeConfig, clock: ManualClock
) -> None:
    clock.jump(timedelta(days=300))
    film(started)
    clock.advance(timedelta(seconds=30))
    watch_silence(started, config)
    assert open_alarms(started) == [("CAMERA_SILENT", CAMERA)]
    clock.jump(-timedelta(days=300))
    film(started)
    watch_silence(started, config)
    assert open_alarms(started) == []


def test_camera_that_was_removed_leaves_no_alarm_behind(
    started: NodeStore, config: EdgeConfig, clock: ManualClock
) -> None:
    with started.write() as connection:
        for alarm in OF_CAMERAS:
            alarms.raise_alarm(started, connection, alarm, "removed", "", 0)
        alarms.raise_alarm(started, connection, Alarm.VOLUME_MISSING, "removed", "", 0)
        alarms.raise_alarm(started, connection, Alarm.VIEW_UNUSABLE, CAMERA, "", 0)
    watch_silence(started, config)
    assert open_alarms(started) == [("VIEW_UNUSABLE", CAMERA), ("VOLUME_MISSING", "removed")]


def test_camera_that_never_recorded_is_silent_from_the_start_of_the_node_on(
    started: NodeStore, config: EdgeConfig, clock: ManualClock
) -> None:
    watch_silence(started, config)
    assert open_alarms(started) == []
    clock.advance(timedelta(seconds=26))
    watch_silence(started, config)
    assert open_alarms(started) == [("CAMERA_SILENT", CAMERA)]


def test_start_of_the_node_alone_clears_nothing(
    started: NodeStore, config: EdgeConfig, clock: ManualClock
) -> None:
    film(started)
    clock.advance(timedelta(hours=1))
    watch_silence(started, config)
    with started.write() as connection:
        append(started, connection, NodeStarted(software="x", signing_key_id="k", cameras=()))
    clock.advance(timedelta(seconds=1))
    watch_silence(started, config)
    assert open_alarms(started) == [("CAMERA_SILENT", CAMERA)]


def test_silence_in_a_closure_is_normal_and_counts_again_when_it_ends(
    started: NodeStore, config: EdgeConfig, clock: ManualClock
) -> None:
    film(started)
    close_for(started, timedelta(seconds=10), timedelta(hours=9))
    clock.advance(timedelta(hours=9))
    watch_silence(started, config)
    clock.advance(timedelta(seconds=10 + 14))
    watch_silence(started, config)
    assert open_alarms(started) == []
    clock.advance(timedelta(seconds=2))
    watch_silence(started, config)
    assert open_alarms(started) == [("CAMERA_SILENT", CAMERA)]


def test_alarm_that_stands_is_not_cleared_by_closing(
    started: NodeStore, config: EdgeConfig, clock: ManualClock
) -> None:
    film(started)
    close_for(started, timedelta(minutes=5), timedelta(hours=9))
    clock.advance(timedelta(minutes=2))
    watch_silence(started, config)
    clock.advance(timedelta(hours=1))
    watch_silence(started, config)
    assert open_alarms(started) == [("CAMERA_SILENT", CAMERA)]


def test_clock_that_was_set_back_does_not_hide_silence(
    started: NodeStore, config: EdgeConfig, clock: ManualClock
) -> None:
    film(started)
    clock.jump(-timedelta(days=1))
    watch_silence(started, config)
    assert open_alarms(started) == [("CAMERA_SILENT", CAMERA)]
    clock.advance(timedelta(seconds=10))
    film(started)
    watch_silence(started, config)
    assert open_alarms(started) == []


SPANS = st.lists(
    st.builds(
        lambda a, n: Span(a * SECOND, (a + n) * SECOND), st.integers(0, 90), st.integers(1, 40)
    ),
    max_size=4,
)


@given(st.integers(0, 100), SPANS)
def test_silence_is_open_time_beyond_the_limit(now, closed):
    found = silent_since(0, now * SECOND, closed, 10)
    open_seconds = [
        second
        for second in range(now)
        if not any(span.start <= second * SECOND < span.end for span in closed)
    ]
    silent = len(open_seconds) > SILENT_SEGMENTS * 10
    assert (found is not None) == silent
    if found is not None:
        assert found == open_seconds[0] * SECOND


# -- opening hours --------------------------------------------------------------------------------


def test_configured_hours_are_adopted_once(store: NodeStore, tmp_path) -> None:
    config = config_for(tmp_path, opening={"hours": {"mon": "09:00-21:00", "sun": "closed"}})
    assert hours_of(config) == ("09:00-21:00", *["open"] * 5, "closed")
    assert adopt_hours(store, config)
    assert not adopt_hours(store, config)
    assert kinds(store) == ["opening.adopted"]


def test_node_that_is_always_open_adopts_nothing(store: NodeStore, tmp_path) -> None:
    assert not adopt_hours(store, config_for(tmp_path))
    assert kinds(store) == []


def test_sale_in_a_closed_span_is_an_incident_once_and_an_alarm_until_it_is_over(
    store: NodeStore, clock: ManualClock
) -> None:
    close_for(store, timedelta(minutes=1), timedelta(hours=1))
    sales, session = ClosedSales(store), store.ids.new()
    with store.write() as connection:
        insert_session(connection, store.ids.new(), "c1", clock.now())
    clock.advance(timedelta(minutes=2))
    with store.write() as connection:
        insert_session(connection, session, "c1", clock.now())
        insert_session(connection, store.ids.new(), "c1", clock.now())
    assert sales.step() == 2
    assert sales.step() == 0
    assert open_alarms(store) == [("SALE_WHILE_CLOSED", "c1")]
    with store.read() as connection:
        assert session in footage.incident_subjects(connection)
    assert ClosedSales(store).step() == 0  # nor again after a restart
    clock.advance(timedelta(hours=2))
    assert sales.step() == 0
    assert open_alarms(store) == []
    assert kinds(store).count("incident.recorded") == 2
    assert kinds(store).count("alarm.raised") == 1


def test_sale_that_nobody_looked_at_is_found_by_the_next_custodian(
    store: NodeStore, clock: ManualClock
) -> None:
    close_for(store, timedelta(minutes=1), timedelta(hours=1))
    clock.advance(timedelta(minutes=2))
    with store.write() as connection:
        insert_session(connection, store.ids.new(), "c1", clock.now())
    clock.advance(timedelta(days=20))
    assert ClosedSales(store).step() == 1


def test_a_month_of_sessions_is_looked_at_in_short_steps(
    store: NodeStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.custodian.opening.MOST_AT_ONCE", 2)
    close_for(store, timedelta(seconds=1), timedelta(hours=1))
    clock.advance(timedelta(minutes=1))
    with store.write() as connection:
        for _ in range(5):
            insert_session(connection, store.ids.new(), "c1", clock.now())
    sales = ClosedSales(store)
    assert [sales.step() for _ in range(4)] == [2, 2, 1, 0]
    clock.advance(timedelta(days=36))
    close_for(store, timedelta(seconds=1), timedelta(hours=1))
    clock.advance(timedelta(minutes=1))
    late = ClosedSales(store)  # what is older than five weeks is looked at no more
    assert late.step() == 0
    with store.write() as connection:
        insert_session(connection, store.ids.new(), "c1", clock.now())
    assert [late.step() for _ in range(2)] == [1, 0]


# -- coverage of a session ------------------------------------------------------------------------


def test_session_owes_everything_also_while_closed_and_an_unusable_view_is_missing(
    store: NodeStore, tmp_path, clock: ManualClock
) -> None:
    config = config_for(tmp_path, session={"pre_roll_seconds": 0, "post_roll_seconds": 0})
    close_for(store, timedelta(seconds=1), timedelta(hours=1))
    clock.advance(timedelta(minutes=1))
    film(store, 40)
    end = to_micros(clock.now())
    with store.write() as connection:
        for at, cause in ((end - 30 * SECOND, GapCause.VIEW_COVERED), (end, None)):
            if cause is None:
                footage.close_gap(store, connection, CAMERA, end - 10 * SECOND, "view")
            else:
                footage.open_gap(store, connection, CAMERA, SceneRole.PURCHASE, at, cause)
        session = SessionSpan(store.ids.new(), "c1", end - 40 * SECOND, end)
        span = owed_span(session, config.session)
        assert unsettled(connection, config.cameras, span) == []
        covered = cover(connection, config.cameras, session, span)
    assert (covered.owed_ms, covered.covered_ms) == (40_000, 20_000)
    assert covered.scenes[0].gap_causes == (GapCause.VIEW_COVERED,)
