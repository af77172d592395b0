"""Whatever the channel does, every record reaches central exactly once and in order."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retention.store.database import StoreUnavailable
from retention.terms import wire
from tests.central.wirekit import TestCentral, TestNode, rewrite_in_log, settle

# A pump moves what there is in both directions; its number seeds the fate of each message.
PUMP = st.tuples(st.just("pump"), st.integers(0, 2**32))
ACTIONS = st.one_of(
    PUMP,
    PUMP,
    PUMP,
    st.tuples(st.just("append"), st.integers(1, 60)),
    st.tuples(st.just("commit"), st.integers(1, 5)),
    st.tuples(st.just("checkpoint"), st.just(0)),
    st.tuples(st.sampled_from(["restart_node", "restart_central"]), st.integers(0, 1)),
    st.tuples(st.sampled_from(["save", "set_back"]), st.just(0)),
)
FATES = ("pass",) * 7 + ("drop", "twice", "late")


class Channel:
    """Both ends and the messages between them; a script decides what becomes of each."""

    def __init__(self, folder: Path) -> None:
        self.node, self.central = TestNode(folder), TestCentral(folder)
        self.central.enrol()
        self.up: list[list[bytes]] = []
        self.down: list[list[bytes]] = []
        self.now = 0.0
        self.saved = self.central.snapshot()

    def act(self, action: str, value: int) -> None:
        match action:
            case "append":
                self.node.append(value)
            case "commit":
                self.node.append(value, committed=True)
            case "checkpoint":
                self.node.log.make_checkpoint_if_grown()
            case "pump":
                self.pump(random.Random(value))
            case "restart_node":
                self.node.restart()
                self.up = [] if value else self.up
            case "restart_central":
                self.central.restart()
                self.down = [] if value else self.down
            case "save":
                self.saved = self.central.snapshot()
            case "set_back":
                self.central.set_back(self.saved)

    def pump(self, fates: random.Random) -> None:
        for _ in range(3):
            self.now += fates.choice((0.0, 0.1, 0.1, 6.0))
            self.up += self.node.machine.tick(self.now)
            self.up, arriving = carried(self.up, fates)
            for frames in arriving:
                self.down += self.central.handle(frames)
            self.down, arriving = carried(self.down, fates)
            for frames in arriving:
                self.node.machine.receive(frames, self.now)


def carried(
    queue: list[list[bytes]], fates: random.Random
) -> tuple[list[list[bytes]], list[list[bytes]]]:
    """Return what stays under way and what arrives, in this order."""
    late, arriving = [], []
    for frames in queue:
        fate = fates.choice(FATES)
        if fate == "late":
            late.append(frames)
        elif fate != "drop":
            arriving += [frames] * (2 if fate == "twice" else 1)
    return late, arriving


@contextmanager
def channel() -> Iterator[Channel]:
    with tempfile.TemporaryDirectory() as folder:
        made = Channel(Path(folder))
        yield made
        made.node.close()
        made.central.close()


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTIONS, min_size=5, max_size=40))
def test_every_record_arrives_once_and_in_order(script: list[tuple[str, int]]) -> None:
    with channel() as both:
        for action, value in script:
            both.act(action, value)
        for frames in both.down:  # whatever was still under way comes late
            both.node.machine.receive(frames, both.now)
        for frames in both.up:
            both.central.handle(frames)
        both.node.append(3)
        both.node.log.make_checkpoint_if_grown()
        settle(both.node, both.central, start=both.now)
        assert both.central.bodies() == both.node.sent_bodies()
        assert both.central.incidents() == []


def test_window_bounds_what_is_unacknowledged(node: TestNode, central: TestCentral) -> None:
    node.append(100)
    (hello,) = node.machine.tick(0.0)
    (welcome,) = central.handle(hello)
    node.machine.receive(welcome, 0.0)
    batches = node.machine.tick(0.0)
    assert len(batches) == 2
    assert node.machine.tick(0.1) == []
    node.machine.receive(central.handle(batches[0])[0], 0.2)
    assert len(node.machine.tick(0.3)) == 1


def test_acknowledged_pointer_is_durable_and_never_goes_back(
    node: TestNode, central: TestCentral
) -> None:
    old = central.snapshot()
    node.append(10)
    settle(node, central)
    assert node.store._connection.execute("SELECT acked_sent FROM uplink").fetchone()[0] == 10
    central.set_back(old)
    node.restart()
    settle(node, central, start=2e6)
    assert len(central.bodies()) == 10
    assert node.store._connection.execute("SELECT acked_sent FROM uplink").fetchone()[0] == 10


def test_without_an_answer_the_machine_says_hello_again(node: TestNode) -> None:
    node.append(1)
    first = node.machine.tick(0.0)
    assert first[0][1] == b"hello"
    assert node.machine.tick(4.0) == []
    assert node.machine.tick(5.0)[0][1] == b"hello"


def test_without_an_acknowledgement_the_machine_says_hello_again(
    node: TestNode, central: TestCentral
) -> None:
    node.append(1)
    (hello,) = node.machine.tick(0.0)
    node.machine.receive(central.handle(hello)[0], 0.0)
    assert node.machine.tick(0.0)[0][1] == b"records"
    assert node.machine.tick(4.9) == []
    assert node.machine.tick(5.0)[0][1] == b"hello"


def test_long_log_is_offered_in_pieces(
    node: TestNode, central: TestCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retention.terms.wire.MAX_LEAVES", 16)
    node.append(30)
    node.append(20, committed=True)
    node.log.make_checkpoint_if_grown()
    settle(node, central)
    with central.database.read() as connection:
        found = connection.exec_driver_sql("SELECT count(*), max(tree_size) FROM checkpoints").one()
    assert tuple(found) == (4, 50)


def test_gap_is_rewound_at_once(node: TestNode, central: TestCentral) -> None:
    node.append(20)
    (hello,) = node.machine.tick(0.0)
    node.machine.receive(central.handle(hello)[0], 0.0)
    _, second = node.machine.tick(0.0)
    node.machine.receive(central.handle(second)[0], 0.1)  # the first batch was lost
    again = node.machine.tick(0.2)
    assert [frames[2][-12:] for frames in again] == [b'0,"first":0}', b',"first":10}']


def acked(node: TestNode) -> int:
    (found,) = node.store._connection.execute("SELECT acked_sent FROM uplink").fetchone()
    return int(found)


def test_acknowledged_pointer_lags_on_a_busy_connection_and_is_exact_at_rest(
    node: TestNode, central: TestCentral
) -> None:
    node.append(60)  # window 20, batches of 10
    (hello,) = node.machine.tick(0.0)
    node.machine.receive(central.handle(hello)[0], 0.0)
    one, two = node.machine.tick(0.0)
    node.machine.receive(central.handle(one)[0], 0.1)
    node.machine.note_progress(0.1)
    (three,) = node.machine.tick(0.1)
    node.machine.receive(central.handle(two)[0], 0.2)
    node.machine.note_progress(0.2)
    assert (node.machine.confirmed, acked(node)) == (20, 10)
    node.machine.note_progress(0.6)
    assert acked(node) == 20
    node.machine.receive(central.handle(three)[0], 0.7)
    assert acked(node) == 20
    node.machine.note_progress(0.7)  # nothing is under way
    assert acked(node) == 30
    settle(node, central)
    assert acked(node) == 60


def test_tampered_long_log_is_named_and_does_not_hold_up_records(
    node: TestNode, central: TestCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retention.terms.wire.MAX_LEAVES", 16)
    node.append(50)
    settle(node, central)
    rewrite_in_log(node, 3)
    node.restart()
    node.log.make_checkpoint_if_grown()
    with pytest.raises(AssertionError, match="rest"):
        settle(node, central, start=2e6)
    assert ("LEAF_MISMATCH", "leaf 3") in central.incidents()
    incidents = node.store._connection.execute("SELECT incident, subject FROM incidents")
    assert [tuple(row) for row in incidents] == [("CHECKPOINT_REFUSED", "leaf 3")]
    assert len(central.bodies()) == len(node.sent_bodies()) > 50


def test_tampered_committed_leaves_of_a_long_log_are_refused_without_holding_up_records(
    node: TestNode, central: TestCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retention.terms.wire.MAX_LEAVES", 16)
    node.append(40, committed=True)
    node.append(1)
    node.log.make_checkpoint_if_grown()
    settle(node, central)
    node.append(40)
    rewrite_in_log(node, 39)
    node.restart()
    node.log.make_checkpoint_if_grown()
    with pytest.raises(AssertionError, match="rest"):
        settle(node, central, start=2e6)
    incidents = node.store._connection.execute("SELECT incident, subject FROM incidents")
    assert [tuple(row) for row in incidents] == [("CHECKPOINT_REFUSED", "leaf 39")]
    assert len(central.bodies()) == len(node.sent_bodies())


def test_refused_stream_rests_although_the_incident_cannot_be_written(
    node: TestNode, central: TestCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: str) -> None:
        raise StoreUnavailable("disk full")

    node.append(1)
    (hello,) = node.machine.tick(0.0)
    node.machine.receive(central.handle(hello)[0], 0.0)
    monkeypatch.setattr(node.log, "note_incident", full)
    with pytest.raises(StoreUnavailable):
        node.machine.receive(wire.encode(wire.Refused(code="FORK", detail="no")), 1.0)
    assert node.machine.tick(30.9) == []
    assert node.machine.tick(31.0)[0][1] == b"hello"


def test_record_that_is_lawfully_gone_is_named_and_nothing_stands_in_for_it(
    node: TestNode, central: TestCentral
) -> None:
    """Central was restored from a copy older than the record's term."""
    node.append(2)
    node.log.make_checkpoint_if_grown()
    settle(node, central)
    old = central.snapshot()
    node.append(5)
    node.log.make_checkpoint_if_grown()
    settle(node, central, start=2e6)
    newer = central.snapshot()
    node.store._connection.execute(
        "UPDATE log SET bytes = x'', disposed_by = 6 WHERE sent_sequence = 4"
    )
    central.set_back(old)
    node.restart()
    for step in range(200):  # several rounds of asking again
        for frames in node.machine.tick(3e6 + step):
            for answer in central.handle(frames):
                node.machine.receive(answer, 3e6 + step)
    assert len(central.bodies()) == 4  # what lies before it came
    assert central.incidents() == []
    incidents = node.store._connection.execute("SELECT incident, subject, detail FROM incidents")
    assert [tuple(row) for row in incidents] == [
        (
            "RECORD_DISPOSED",
            "sent record 4",
            "central asks for it again; record 6 disposed of it",
        )
    ]
    central.set_back(newer)  # somebody found a newer copy: it goes on by itself
    node.log.make_checkpoint_if_grown()
    settle(node, central, start=4e6)
    assert len(central.bodies()) == 8  # seven, and the incident's own record
