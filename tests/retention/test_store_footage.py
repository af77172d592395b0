from __future__ import annotations

import sqlite3

import pytest

from retention.records.payloads import (
    CoverageSummarised,
    GapCause,
    NodeStopped,
    SceneRole,
    SessionCovered,
)
from retention.store import footage
from retention.store.log import all_records, append

CAMERA, ROLE = "counter-1", SceneRole.PURCHASE
SECOND = 1_000_000


def kinds(store) -> list[str]:
    with store.read() as connection:
        return [record.kind for record in all_records(connection)]


def test_camera_has_one_open_gap_and_its_first_cause_stands(store):
    with store.write() as connection:
        first = footage.open_gap(
            store, connection, CAMERA, ROLE, 5 * SECOND, GapCause.STREAM_STALLED
        )
        again = footage.open_gap(store, connection, CAMERA, ROLE, 9 * SECOND, GapCause.DISK_FAILED)
    assert again == first
    assert kinds(store) == ["gap.opened"]
    with store.write() as connection:
        closed = footage.close_gap(store, connection, CAMERA, 8 * SECOND)
        assert footage.close_gap(store, connection, CAMERA, 8 * SECOND) is None
    assert (closed.started_at, closed.ended_at) == (5 * SECOND, 8 * SECOND)
    assert kinds(store) == ["gap.opened", "gap.closed"]


def test_database_itself_refuses_a_second_open_gap(store):
    with store.write() as connection:
        footage.open_gap(store, connection, CAMERA, ROLE, 0, GapCause.UNKNOWN)
    with pytest.raises(sqlite3.IntegrityError), store.write() as connection:
        connection.execute(
            "INSERT INTO gaps VALUES ('x', ?, 'purchase', 1, NULL, 'x', 'footage')", (CAMERA,)
        )


def test_gap_never_ends_before_it_began(store):
    with store.write() as connection:
        footage.open_gap(store, connection, CAMERA, ROLE, 9 * SECOND, GapCause.UNKNOWN)
        closed = footage.close_gap(store, connection, CAMERA, 2 * SECOND)
        assert closed.ended_at == 9 * SECOND
        assert footage.explained_until(connection, CAMERA) == 9 * SECOND


def test_open_gap_reaches_over_every_later_span(store):
    with store.write() as connection:
        footage.open_gap(store, connection, CAMERA, ROLE, 9 * SECOND, GapCause.UNKNOWN)
        assert footage.gaps_between(connection, CAMERA, 0, 9 * SECOND) == []
        assert len(footage.gaps_between(connection, CAMERA, 20 * SECOND, 30 * SECOND)) == 1
        assert footage.gaps_between(connection, "counter-2", 0, 99 * SECOND) == []


def test_gaps_of_an_hour_are_found_without_reading_those_of_a_year(store):
    steps: list[int] = []
    with store.write() as connection:
        connection.executemany(
            "INSERT INTO gaps VALUES (?, ?, 'purchase', ?, ?, 'x', ?)",
            [
                (f"{layer}{at}", CAMERA, at * SECOND, (at + 1) * SECOND, layer)
                for at in range(5000)
                for layer in ("footage", "view")
            ],
        )
        footage.open_gap(store, connection, CAMERA, ROLE, 4999 * SECOND, GapCause.VIEW_BLACK)
        connection.set_progress_handler(lambda: steps.append(1), 10)
        found = footage.gaps_between(connection, CAMERA, 4990 * SECOND, 5000 * SECOND)
        assert footage.explained_until(connection, CAMERA) == 5000 * SECOND
        connection.set_progress_handler(None, 0)
    assert [gap.started_at for gap in found] == sorted(gap.started_at for gap in found)
    assert len(found) == 21
    assert len(steps) < 200  # reading all of them costs ten thousand


def test_incident_is_written_once(store):
    with store.write() as connection:
        assert footage.add_incident(store, connection, "UNEXPLAINED_FILE", "a/b", "first")
        assert not footage.add_incident(store, connection, "UNEXPLAINED_FILE", "a/b", "second")
        assert footage.add_incident(store, connection, "FOOTAGE_MISSING", "x" * 500, "y" * 500)
    assert kinds(store) == ["incident.recorded"] * 2


def test_failed_transaction_leaves_neither_fact_nor_record(store):
    def fail() -> None:
        with store.write() as connection:
            footage.open_gap(store, connection, CAMERA, ROLE, 0, GapCause.UNKNOWN)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert kinds(store) == []
    with store.read() as connection:
        assert footage.open_gap_of(connection, CAMERA) is None


def test_session_is_covered_once(store):
    session = store.ids.new()
    covered = SessionCovered(
        session=session,
        started_at="2026-01-02T03:04:05.000000Z",
        ended_at="2026-01-02T03:05:05.000000Z",
        owed_ms=60_000,
        covered_ms=60_000,
        scenes=(),
    )
    with store.write() as connection:
        connection.execute("INSERT INTO sessions VALUES (?, 'c1', 5, 9, NULL)", (session,))
        connection.execute("INSERT INTO sessions VALUES ('open', 'c1', 5, NULL, NULL)")
        assert [one.id for one in footage.uncovered_sessions(connection)] == [session]
        footage.mark_covered(store, connection, covered)
        footage.mark_covered(store, connection, covered)
        assert footage.uncovered_sessions(connection) == []
    assert kinds(store) == ["session.covered"]


def test_last_summary_is_found_per_camera(store):
    with store.write() as connection:
        for camera, hour in (("a", "03"), ("b", "04"), ("a", "05")):
            summary = CoverageSummarised(
                camera=camera,
                scene_role=ROLE,
                started_at="2026-01-02T02:00:00.000000Z",
                ended_at=f"2026-01-02T{hour}:00:00.000000Z",
                owed_ms=1,
                covered_ms=1,
                segments=0,
                bytes=0,
            )
            append(store, connection, summary)
        assert footage.summarised_until(connection, "c") is None
        latest = footage.summarised_until(connection, "a")
        assert latest - footage.summarised_until(connection, "b") == 3600 * SECOND


def test_folders_are_told_once_each_whatever_their_names(store):
    paths = ["cam/20260101/a.mp4", "cam/20260101/b.mp4", "cam/20260102/a.mp4", "cam-2/20260101/a",
             "loose.mp4", "z/20260101/a"]  # fmt: skip
    with store.write() as connection:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        sequence = append(store, connection, NodeStopped(reason="asked")).sequence
        connection.executemany(
            "INSERT INTO segments VALUES (?1, 'cam', 'purchase', ?1, 0, 0, 1, 1, 'h264', 'x', 'y',"
            " ?1, 'sealed', ?2, 'main')",
            [(path, sequence) for path in paths],
        )
        found = list(footage.folders(connection))
    assert sorted(found) == ["cam-2/20260101", "cam/20260101", "cam/20260102", "z/20260101"]
