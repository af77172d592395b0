from __future__ import annotations

from datetime import timedelta

import pytest

from retention.check import Depth, Options, check
from retention.policy import FLOORS, Dispose, Item, Keep, decide, owed_until
from retention.record_disposal import FOR_EVER, SUBJECT_OF, RecordDisposal
from retention.records.clock import ClockState, from_text, to_text
from retention.records.keeping import AlarmCleared, HoldReleased
from retention.records.kinds import KINDS
from retention.records.payloads import (
    AccessRecorded,
    ConsentGiven,
    GapCause,
    NodeStopped,
    SessionCovered,
    TerminalPaired,
)
from retention.store import alarms, footage, holds, people, uplink
from retention.store.log import by_sequence
from retention.store.sessions import read_session, recent_sessions
from tests.golden.samples import SAMPLES
from tests.retention.keeping_kit import DAY, ROLE, Node

TWO_YEARS, THREE_YEARS = 731 * DAY, 1096 * DAY
NEXT = timedelta(hours=2)


def sound(node: Node, tmp_path, depth: Depth = Depth.DIGESTS) -> None:
    now = node.clock.now() + timedelta(minutes=1)
    assert check(tmp_path, depth, Options(now=now)).bad == []


def kinds_of(*classes: str) -> set[str]:
    return {kind.name for kind in KINDS if kind.retention in classes}


# -- every floor ----------------------------------------------------------------------------------


def test_every_kind_of_record_stays_to_its_floor_and_goes_after_it(node, tmp_path):
    """One of each is recorded; then the clock crosses every floor, a day before and a day after."""
    for payload in SAMPLES:
        node.record(payload)
    last_summary = next(one for one in SAMPLES if type(one).__name__ == "CoverageSummarised")
    node.record(last_summary)  # what comes next is reckoned from it: it stays
    every = {kind.name for kind in KINDS}
    early = kinds_of("archive", "footage_index", "operations", "purchase_evidence") - FOR_EVER
    late = kinds_of("processing") - FOR_EVER
    assert early | late | FOR_EVER == every

    node.advance(TWO_YEARS - DAY)
    assert node.dispose_records().total == 0
    assert set(node.kinds()) >= every - {"records.disposed"}

    node.advance(2 * DAY)
    gone = node.dispose_records()
    assert set(node.kinds(kept=False)) == early
    assert set(node.kinds()) >= late | {"coverage.summarised"}
    assert set(gone.records) == {"archive", "footage_index", "operations"}
    assert node.dispose_records().total == 0

    node.advance(THREE_YEARS - TWO_YEARS - 2 * DAY)
    assert node.dispose_records().total == 0
    node.advance(2 * DAY)
    assert set(node.dispose_records().records) == {"processing"}
    assert set(node.kinds(kept=False)) == early | late
    assert set(node.kinds()) == FOR_EVER | {"coverage.summarised"}

    node.advance(10 * THREE_YEARS)
    assert node.dispose_records().total == 0  # what proves the rest stays for ever
    named = {number for said in node.payloads("records.disposed") for number in said["sequences"]}
    assert len(named) >= len(node.kinds(kept=False))


def test_a_disposed_record_keeps_its_place_and_leaf_and_nothing_else(node, tmp_path):
    record = node.record(NodeStopped(reason="asked"))
    node.advance(TWO_YEARS + DAY)
    node.dispose_records()
    with node.store.read() as connection:
        kept = by_sequence(connection, record.sequence)
        (by,) = connection.execute(
            "SELECT disposed_by FROM log WHERE sequence = ?", (record.sequence,)
        ).fetchone()
        (said,) = [
            one.parse().payload
            for one in [by_sequence(connection, by)]
            if one.kind == "records.disposed"
        ]
    assert (kept.raw, kept.leaf) == (b"", record.leaf())
    assert record.sequence in said["sequences"]
    assert from_text(said["owed_until"]) >= from_text(record.occurred_at) + TWO_YEARS
    sound(node, tmp_path)


def test_bytes_of_a_disposed_record_are_nowhere_in_the_files(node, tmp_path):
    secret = "quite-unmistakable"
    node.record(AccessRecorded(actor=secret, action="replay", subject="s", reason="r"))
    node.advance(THREE_YEARS + DAY)
    assert any(secret.encode() in file.read_bytes() for file in tmp_path.glob("node.sqlite3*"))
    node.dispose_records()
    assert not any(secret.encode() in file.read_bytes() for file in tmp_path.glob("node.sqlite3*"))


def test_archive_counts_from_its_latest_event(node):
    session = node.serve()
    node.advance(400 * DAY)
    late = SessionCovered(
        session=session,
        started_at=to_text(node.clock.now()),
        ended_at=to_text(node.clock.now()),
        owed_ms=1,
        covered_ms=1,
        scenes=(),
    )
    node.record(late)
    node.advance(TWO_YEARS - DAY)
    node.dispose_records()
    assert {"session.opened", "session.covered"} <= set(node.kinds())
    node.advance(2 * DAY)
    node.dispose_records()
    assert {"session.opened", "session.closed", "session.covered"} <= set(node.kinds(kept=False))


def test_purchase_evidence_counts_from_the_last_sale_of_the_batch(machine):
    """No kind of record is of this class yet: the caller says when the last sale was."""
    bought, last_sale = machine.now(), machine.now() + 300 * DAY
    evidence = Item("purchase_evidence", bought, last_sale)
    until = owed_until("purchase_evidence", last_sale, [])
    assert until >= last_sale + FLOORS["purchase_evidence"].days * DAY
    before = decide(evidence, [], [], until - DAY, ClockState.STEADY)
    after = decide(evidence, [], [], until + DAY, ClockState.STEADY)
    assert (type(before), type(after)) == (Keep, Dispose)


def test_session_whose_archive_went_is_listed_no_more(node):
    session = node.serve()
    node.advance(TWO_YEARS + DAY)
    with node.store.read() as connection:
        assert read_session(connection, session) is not None
    node.dispose_records()
    with node.store.read() as connection:
        assert read_session(connection, session) is None
        assert recent_sessions(connection, "c1", 10) == []


def test_policy_lengthens_a_class_of_records(node):
    node.record(NodeStopped(reason="asked"))
    node.promise(5, subject="operations")
    node.advance(2 * TWO_YEARS)
    node.dispose_records()
    assert "node.stopped" in node.kinds()
    node.advance(400 * DAY)
    node.dispose_records()
    assert "node.stopped" in node.kinds(kept=False)


# -- what still stands ----------------------------------------------------------------------------


def test_index_record_outlives_its_footage_whatever_a_policy_makes_of_either(node, tmp_path):
    node.seal()
    node.promise(5)
    node.advance(4 * 366 * DAY)
    node.dispose()
    node.dispose_records()
    assert "segment.sealed" in node.kinds()
    sound(node, tmp_path)
    node.advance(400 * DAY)
    assert node.dispose().segments == 1
    node.dispose_records()
    assert "segment.sealed" in node.kinds(kept=False)
    assert "segment.disposed" in node.kinds()
    sound(node, tmp_path)
    node.advance(THREE_YEARS + DAY)
    node.dispose_records()
    assert {"segment.disposed", "footage.disposed"} <= set(node.kinds(kept=False))
    sound(node, tmp_path)


def test_what_a_record_stands_for_keeps_it(node, tmp_path):
    consent, terminal = node.ids.new(), node.ids.new()
    given = ConsentGiven(
        consent=consent, person_ref="a" * 64, purpose="face_verification", notice_version="1",
        method="signed", operator="op",
    )  # fmt: skip
    with node.store.write() as connection:
        people.give_consent(node.store, connection, given, counter="c1")
        footage.open_gap(node.store, connection, "counter-1", ROLE, 1, GapCause.CAMERA_UNREACHABLE)
        alarms.raise_alarm(node.store, connection, "CAMERA_SILENT", "counter-1", "d", 1)
        connection.execute("INSERT INTO terminals VALUES (?, 'c1', 'n', 't', 1, NULL)", (terminal,))
    node.record(TerminalPaired(terminal=terminal, counter="c1", name="n"))
    stand = {"consent.given", "gap.opened", "alarm.raised", "terminal.paired"}
    node.advance(2 * THREE_YEARS)
    node.dispose_records()
    assert stand <= set(node.kinds())

    with node.store.write() as connection:
        found = people.read_consent(connection, consent)
        people.withdraw_consent(node.store, connection, found, counter="c1")
        footage.close_gap(node.store, connection, "counter-1", 2)
        alarms.clear_alarm(node.store, connection, "CAMERA_SILENT", "counter-1")
        connection.execute("UPDATE terminals SET revoked_at = 2")
    node.advance(NEXT)
    node.dispose_records()
    assert "consent.given" in node.kinds()  # its end was just now
    assert {"gap.opened", "alarm.raised", "terminal.paired"} <= set(node.kinds(kept=False))
    node.advance(THREE_YEARS + DAY)
    node.dispose_records()
    assert {"consent.given", "consent.withdrawn"} <= set(node.kinds(kept=False))
    sound(node, tmp_path, Depth.ROWS)


# -- holds, central -------------------------------------------------------------------------------


def test_held_records_stay_and_others_go(node, tmp_path):
    held, other = node.serve("a" * 64), node.serve("b" * 64)
    of_person = node.serve("c" * 64, purchaser="d" * 64)
    placed = [node.hold("session", session=held), node.hold("person", person_ref="d" * 64)]
    node.advance(TWO_YEARS + DAY)
    node.dispose_records()
    with node.store.read() as connection:
        kept = {
            row[0]
            for row in connection.execute(
                "SELECT session FROM log WHERE session IS NOT NULL AND disposed_by IS NULL"
            )
        }
    assert kept == {held, of_person}
    assert other not in kept
    for hold in placed:
        released = HoldReleased(hold=hold, authority="inspector", author="i", reason="over")
        with node.store.write() as connection:
            assert holds.release(node.store, connection, released) == "released"
    assert node.dispose_records().records["archive"] == 5
    sound(node, tmp_path)


def test_hold_on_the_pharmacy_keeps_every_record(node):
    node.serve()
    node.hold("pharmacy")
    node.advance(2 * THREE_YEARS)
    assert node.dispose_records().total == 0


@pytest.mark.parametrize("missing", ["acknowledged", "countersigned"])
def test_record_that_central_has_not_seen_stays(node, missing):
    node.central = True
    node.hear_central()
    node.record(NodeStopped(reason="asked"))
    node.advance(timedelta(hours=1))
    node.hear_central()
    with node.store.read() as connection:
        acked = uplink.acked_sent(connection)
        kept = connection.execute("SELECT * FROM checkpoints ORDER BY tree_size").fetchall()
    node.advance(TWO_YEARS + DAY)
    if missing == "acknowledged":
        node.forge("UPDATE uplink SET acked_sent = 0")
    else:
        node.forge("UPDATE checkpoints SET countersigned = NULL WHERE tree_size > 1")
    assert "node.stopped" in node.kinds()
    node.dispose_records()
    assert "node.stopped" in node.kinds()
    node.forge("UPDATE uplink SET acked_sent = ?", acked)
    for row in kept:
        node.forge("UPDATE checkpoints SET countersigned = ? WHERE tree_size = ?", row[3], row[0])
    node.dispose_records()
    assert "node.stopped" in node.kinds(kept=False)


def test_limit_ends_a_pass(node):
    for _ in range(5):
        node.record(NodeStopped(reason="asked"))
        node.advance(timedelta(minutes=1))
    node.serve()
    node.advance(TWO_YEARS + DAY)
    first = node.dispose_records(limit=1)
    assert (first.records, first.more) == ({"archive": 2}, True)
    second = node.dispose_records()
    assert (second.records, second.more) == ({"operations": 5}, False)


def test_steps_of_a_pass_go_on_where_the_last_one_ended_past_what_is_kept(node):
    """What stands is looked at once a pass, however short the steps are."""
    for number in range(6):
        with node.store.write() as connection:
            alarms.raise_alarm(node.store, connection, "DISK_WARN", f"s{number}", "d", 1)
        node.advance(timedelta(minutes=1))
    node.record(NodeStopped(reason="asked"))
    node.record(AlarmCleared(alarm="DISK_FULL", subject="s", since=to_text(node.clock.now())))
    node.advance(TWO_YEARS + DAY)
    disposal = RecordDisposal(node.store, lambda: None, central=False)
    steps = []
    while not steps or steps[-1].more:
        steps.append(disposal.step(2))
    assert sum(step.total for step in steps) == 2
    assert 4 <= len(steps) <= 6
    assert disposal.step(1000).more is False


def test_nothing_goes_while_the_clock_is_in_doubt(node, machine):
    node.record(NodeStopped(reason="asked"))
    node.advance(TWO_YEARS + DAY)
    machine.jump(timedelta(hours=1))
    assert node.dispose_records().total == 0


def test_every_kind_has_a_subject():
    assert set(SUBJECT_OF) == {kind.name for kind in KINDS}
    assert set(SUBJECT_OF.values()) <= set(FLOORS)
