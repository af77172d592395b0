from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.records.clock import from_text, to_micros
from retention.store import alarms
from retention.store.alarms import Alarm, AlarmRow
from retention.store.database import NodeStore
from retention.store.log import all_records
from retention.terms.words import ALARMS

SINCE = to_micros(from_text("2026-03-01T09:00:00.000000Z"))


def records(store: NodeStore) -> list[tuple[str, str, str]]:
    with store.read() as connection:
        return [
            (stored.kind, str(payload["alarm"]), str(payload["subject"]))
            for stored in all_records(connection)
            for payload in [stored.parse().payload]
        ]


def test_alarm_is_raised_once_and_cleared_once(store: NodeStore) -> None:
    with store.write() as connection:
        assert alarms.raise_alarm(store, connection, "CAMERA_SILENT", "desk", "a", SINCE)
        assert not alarms.raise_alarm(store, connection, "CAMERA_SILENT", "desk", "b", SINCE + 5)
        assert alarms.open_alarms(connection) == [AlarmRow("CAMERA_SILENT", "desk", SINCE, "a")]
        assert alarms.clear_alarm(store, connection, "CAMERA_SILENT", "desk")
        assert not alarms.clear_alarm(store, connection, "CAMERA_SILENT", "desk")
        assert alarms.open_alarms(connection) == []
    assert records(store) == [
        ("alarm.raised", "CAMERA_SILENT", "desk"),
        ("alarm.cleared", "CAMERA_SILENT", "desk"),
    ]


def test_cleared_alarm_may_come_again(store: NodeStore) -> None:
    with store.write() as connection:
        for _ in range(2):
            assert alarms.raise_alarm(store, connection, Alarm.DISK_WARN, "main", "", SINCE)
            assert alarms.clear_alarm(store, connection, Alarm.DISK_WARN, "main")
    assert len(records(store)) == 4


def test_alarm_that_is_not_in_the_table_is_refused(store: NodeStore) -> None:
    with store.write() as connection, pytest.raises(ValueError, match="NO_SUCH"):
        alarms.raise_alarm(store, connection, "NO_SUCH", "desk", "", SINCE)
    assert records(store) == []


def test_long_subject_and_detail_are_cut_and_found_again(store: NodeStore) -> None:
    subject = "x" * 80 + "end"
    with store.write() as connection:
        assert alarms.raise_alarm(store, connection, "SCRUB_BROKEN", subject, "y" * 500, SINCE)
        assert alarms.is_open(connection, "SCRUB_BROKEN", subject)
        assert not alarms.raise_alarm(store, connection, "SCRUB_BROKEN", subject, "", SINCE)
        assert alarms.clear_alarm(store, connection, "SCRUB_BROKEN", subject)


def test_failed_transaction_leaves_neither_alarm_nor_record(store: NodeStore) -> None:
    def fail() -> None:
        with store.write() as connection:
            alarms.raise_alarm(store, connection, "DISK_FULL", "main", "", SINCE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert records(store) == []
    with store.read() as connection:
        assert alarms.open_alarms(connection) == []


def test_every_alarm_has_words_and_every_word_an_alarm() -> None:
    assert set(ALARMS) == {alarm.value for alarm in Alarm}
    assert all(zh and en for zh, en in ALARMS.values())


STEP = st.tuples(
    st.booleans(), st.sampled_from(list(Alarm)[:3]), st.sampled_from(["desk", "counter"])
)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEP, max_size=12))
def test_log_folds_to_what_is_open(tmp_path_factory, steps) -> None:
    from retention.records.clock import ManualClock
    from retention.records.ids import SeededIds
    from tests.conftest import IDENTITY

    path = tmp_path_factory.mktemp("alarms") / "node.sqlite3"
    store = NodeStore(path, IDENTITY, ManualClock(), SeededIds())
    try:
        with store.write() as connection:
            for up, alarm, subject in steps:
                if up:
                    alarms.raise_alarm(store, connection, alarm, subject, "", SINCE)
                else:
                    alarms.clear_alarm(store, connection, alarm, subject)
        folded: set[tuple[str, str]] = set()
        for kind, alarm, subject in records(store):
            if kind == "alarm.raised":
                assert (alarm, subject) not in folded
                folded.add((alarm, subject))
            else:
                folded.remove((alarm, subject))
        with store.read() as connection:
            assert {(row.alarm, row.subject) for row in alarms.open_alarms(connection)} == folded
    finally:
        store.close()
