"""What a dishonest or damaged node does to its log is refused and named."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from central.collector.core import Arrival
from central.enrolment import revoke
from central.projector import project_all
from central.web.queries import records
from retention.records.checkpoint import Checkpoint, SignedCheckpoint
from retention.records.fields import Frozen
from retention.records.merkle import Frontier
from retention.records.payloads import SessionClosed
from retention.records.signing import Context
from retention.store.log import append
from retention.terms import wire
from tests.central.wirekit import (
    KEY,
    NODE_SIGNER,
    OTHER_KEY,
    TestCentral,
    TestNode,
    rewrite_in_log,
    rewritten,
    settle,
    signer,
)
from tests.golden.samples import SAMPLES

NO_CALENDAR_HAS = "2026-13-32T25:61:61.000000Z"


def answer(central: TestCentral, header: Frozen, *blobs: bytes) -> Frozen:
    (frames,) = central.handle(wire.encode(header, blobs))
    return wire.decode(frames, wire.TO_NODE).header


def send(central: TestCentral, first: int, *blobs: bytes) -> Frozen:
    return answer(central, wire.Records(first=first, count=len(blobs)), *blobs)


def offer(
    node: TestNode, leaves: list[bytes], sent_count: int, *, previous: int = 0, seed: int = 1
) -> tuple[wire.CheckpointOffer, bytes]:
    """Sign a checkpoint over any leaves one likes."""
    checkpoint = Checkpoint(
        agency=node.identity.agency,
        pharmacy=node.identity.pharmacy,
        node=node.identity.node,
        tree_size=len(leaves),
        root_hash=Frontier().extend(leaves).root().hex(),
        sent_count=sent_count,
        digest="sha-256",
        occurred_at="2026-01-02T03:04:05.000000Z",
    )
    signed = SignedCheckpoint(
        checkpoint=checkpoint, signature=signer(seed).sign(Context.CHECKPOINT, checkpoint)
    )
    return wire.CheckpointOffer(previous_size=previous, signed=signed), b"".join(leaves[previous:])


def leaves_of(node: TestNode) -> list[bytes]:
    size = node.log.size().tree_size
    raw = node.log.leaves(0, size)
    return [raw[at : at + 32] for at in range(0, len(raw), 32)]


def refused(found: Frozen) -> wire.CheckpointRefused:
    assert isinstance(found, wire.CheckpointRefused)
    return found


def test_rewritten_record_is_named_by_the_next_checkpoint(
    node: TestNode, central: TestCentral
) -> None:
    node.append(12)
    node.log.make_checkpoint_if_grown()
    settle(node, central)
    rewrite_in_log(node, 5)
    node.append(1)
    node.restart()
    node.log.make_checkpoint_if_grown()
    with pytest.raises(AssertionError):
        settle(node, central)
    assert ("FORK", "leaf 5") in central.incidents()
    (subject,) = node.store._connection.execute(
        "SELECT subject FROM incidents WHERE incident = 'CHECKPOINT_REFUSED'"
    ).fetchone()
    assert subject == "leaf 5"


def test_second_version_of_a_held_record_is_a_fork_and_overwrites_nothing(
    node: TestNode, central: TestCentral
) -> None:
    node.append(4)
    settle(node, central)
    held = central.bodies()
    found = send(central, 2, rewritten(held[2], salt="f" * 32))
    assert isinstance(found, wire.Refused)
    assert found.code == "FORK"
    assert central.bodies() == held
    assert central.incidents() == [("FORK", "record 2")]


def test_new_record_at_a_used_sequence_is_a_fork(node: TestNode, central: TestCentral) -> None:
    node.append(4)
    settle(node, central)
    forged = rewritten(node.sent_bodies()[3], sent_sequence=4)
    found = send(central, 4, forged)
    assert isinstance(found, wire.Refused)
    assert ("FORK", "record 3") in central.incidents()
    assert len(central.bodies()) == 4


def test_truncated_log_is_named_at_the_second_hello(
    node: TestNode, central: TestCentral, tmp_path: Path
) -> None:
    node.append(10)
    settle(node, central)
    (tmp_path / "copy").mkdir()
    shorter = TestNode(tmp_path / "copy")
    shorter.append(6)
    for now in (0.0, 6.0):
        (hello,) = shorter.machine.tick(now)
        (welcome,) = central.handle(hello)
        shorter.machine.receive(welcome, now)
        central.clock.advance(timedelta(seconds=6))
    assert central.incidents() == [("TRUNCATED", "record 6")]
    assert not shorter.machine.welcomed
    found = shorter.store._connection.execute("SELECT incident FROM incidents").fetchall()
    assert [row[0] for row in found] == ["CENTRAL_AHEAD"]
    shorter.close()


def test_withheld_record_cannot_pass_as_a_committed_one(
    node: TestNode, central: TestCentral
) -> None:
    node.append(5)
    bodies, leaves = node.sent_bodies(), leaves_of(node)
    assert isinstance(send(central, 0, *bodies[:3]), wire.Ack)
    # The node counts what it sent and hides record 3 among the committed leaves.
    header, blob = offer(node, leaves[:4], sent_count=3)
    assert isinstance(answer(central, header, blob), wire.CheckpointAck)
    found = send(central, 3, bodies[3])
    assert isinstance(found, wire.Refused)
    assert central.incidents() == [("WITHHELD", "record 3")]


def test_count_that_leaves_out_a_held_record_is_refused(
    node: TestNode, central: TestCentral
) -> None:
    node.append(5)
    assert isinstance(send(central, 0, *node.sent_bodies()), wire.Ack)
    found = refused(answer(central, *offer(node, leaves_of(node), sent_count=4)))
    assert (found.code, found.first_bad) == ("SENT_COUNT", 4)


def test_count_of_records_that_were_not_sent_is_behind(
    node: TestNode, central: TestCentral
) -> None:
    node.append(5)
    assert isinstance(send(central, 0, *node.sent_bodies()[:3]), wire.Ack)
    found = refused(answer(central, *offer(node, leaves_of(node), sent_count=5)))
    assert (found.code, found.expected_sent) == ("BEHIND", 3)
    assert central.incidents() == []


def test_swapped_leaf_is_named(node: TestNode, central: TestCentral) -> None:
    node.append(5)
    assert isinstance(send(central, 0, *node.sent_bodies()), wire.Ack)
    leaves = leaves_of(node)
    leaves[1], leaves[3] = leaves[3], leaves[1]
    found = refused(answer(central, *offer(node, leaves, sent_count=5)))
    assert (found.code, found.first_bad) == ("LEAF_MISMATCH", 1)
    assert central.incidents() == [("LEAF_MISMATCH", "leaf 1")]


def test_root_that_the_leaves_do_not_give_is_refused(node: TestNode, central: TestCentral) -> None:
    node.append(5)
    assert isinstance(send(central, 0, *node.sent_bodies()), wire.Ack)
    leaves = leaves_of(node)
    header, _ = offer(node, [*leaves[:4], b"\1" * 32], sent_count=5)
    found = refused(answer(central, header, b"".join(leaves)))
    assert found.code == "ROOT_MISMATCH"


def test_two_roots_for_one_size_are_a_fork(node: TestNode, central: TestCentral) -> None:
    node.append(3)
    node.append(2, committed=True)
    assert isinstance(send(central, 0, *node.sent_bodies()), wire.Ack)
    leaves = leaves_of(node)
    assert isinstance(answer(central, *offer(node, leaves, 3)), wire.CheckpointAck)
    other = [*leaves[:4], b"\2" * 32]
    found = refused(answer(central, *offer(node, other, 3)))
    assert (found.code, found.first_bad) == ("FORK", 4)


def test_checkpoint_signed_by_another_key_is_refused(node: TestNode, central: TestCentral) -> None:
    node.append(2)
    assert isinstance(send(central, 0, *node.sent_bodies()), wire.Ack)
    assert refused(answer(central, *offer(node, leaves_of(node), 2, seed=9))).code == (
        "BAD_SIGNATURE"
    )


def test_same_checkpoint_again_gets_the_same_countersignature(
    node: TestNode, central: TestCentral
) -> None:
    node.append(2)
    assert isinstance(send(central, 0, *node.sent_bodies()), wire.Ack)
    first = answer(central, *offer(node, leaves_of(node), 2))
    assert answer(central, *offer(node, leaves_of(node), 2)) == first


def test_record_of_another_node_is_refused(node: TestNode, central: TestCentral) -> None:
    node.append(1)
    found = send(central, 0, rewritten(node.sent_bodies()[0], node="node-b"))
    assert isinstance(found, wire.Refused)
    assert central.bodies() == []
    assert central.incidents() == [("OTHER_NODE", "record 0")]


def test_hello_under_another_node_id_is_refused(node: TestNode, central: TestCentral) -> None:
    (frames,) = node.machine.tick(0.0)
    hello = wire.decode(frames, wire.TO_CENTRAL).header
    assert isinstance(hello, wire.Hello)
    found = answer(central, hello.model_copy(update={"node": "node-b"}))
    assert isinstance(found, wire.Refused)
    assert central.incidents() == [("OTHER_NODE", "hello of node-b")]


def test_key_that_is_not_enrolled_gets_nothing(node: TestNode, central: TestCentral) -> None:
    (hello,) = node.machine.tick(0.0)
    (frames,) = central.handle(hello, key=OTHER_KEY)
    found = wire.decode(frames, wire.TO_NODE).header
    assert isinstance(found, wire.Refused)
    assert found.code == "FORBIDDEN"


def test_gap_in_the_stream_is_answered_with_what_is_wanted(
    node: TestNode, central: TestCentral
) -> None:
    node.append(5)
    assert send(central, 2, *node.sent_bodies()[2:]) == wire.Ack(expected_sent=0)
    assert central.bodies() == []


def test_unknown_kind_is_stored_and_acknowledged(node: TestNode, central: TestCentral) -> None:
    node.append(1)
    raw = rewritten(node.sent_bodies()[0], kind="node.dreamt", version=7, payload={"of": ["sheep"]})
    assert send(central, 0, raw) == wire.Ack(expected_sent=1)
    assert central.bodies() == [raw]


@pytest.mark.parametrize("changed", [{"nothing": "of it"}, {"closed_at": NO_CALENDAR_HAS}])
def test_payload_that_cannot_be_taken_is_stored_and_flagged_and_projection_goes_on(
    node: TestNode, central: TestCentral, changed: dict[str, object]
) -> None:
    closed = next(sample for sample in SAMPLES if isinstance(sample, SessionClosed))
    with node.store.write() as connection:
        append(node.store, connection, closed)
    node.append(1)
    payload = {**closed.model_dump(mode="json"), **changed}
    bodies = node.sent_bodies()
    assert send(central, 0, rewritten(bodies[0], payload=payload), bodies[1]) == wire.Ack(
        expected_sent=2
    )
    assert project_all(central.database) == 2
    with central.database.read() as connection:
        flags = connection.exec_driver_sql("SELECT code, subject FROM flags").all()
        (listed, _) = records(connection, node.identity.node, -1, None, 10).records
    assert [tuple(row) for row in flags] == [("PAYLOAD_UNREADABLE", "record 0")]
    assert (listed.problem is not None) == ("nothing" in changed)


def test_bytes_that_are_not_canonical_are_refused_and_the_connection_lives(
    node: TestNode, central: TestCentral
) -> None:
    node.append(1)
    raw = node.sent_bodies()[0]
    found = send(central, 0, raw.replace(b'{"agency"', b'{ "agency"', 1))
    assert isinstance(found, wire.Refused)
    assert found.code == "MALFORMED"
    assert send(central, 0, raw) == wire.Ack(expected_sent=1)


def test_forged_countersignature_is_not_kept(node: TestNode, central: TestCentral) -> None:
    node.append(1)
    node.log.make_checkpoint_if_grown()
    (hello,) = node.machine.tick(0.0)
    node.machine.receive(central.handle(hello)[0], 0.0)
    (records,) = node.machine.tick(0.0)
    node.machine.receive(central.handle(records)[0], 0.0)
    (checkpoint,) = node.machine.tick(0.0)
    (frames,) = central.handle(checkpoint)
    good = wire.decode(frames, wire.TO_NODE).header
    assert isinstance(good, wire.CheckpointAck)
    seen = good.signed.countersignature
    forged = good.signed.model_copy(
        update={"signature": NODE_SIGNER.sign(Context.COUNTERSIGNATURE, seen)}
    )
    node.machine.receive(wire.encode(wire.CheckpointAck(signed=forged)), 0.0)
    kept = node.store._connection.execute("SELECT countersigned FROM checkpoints").fetchall()
    assert [row[0] for row in kept] == [None]


def test_nothing_of_a_revoked_node_is_stored_although_its_connection_is_open(
    node: TestNode, central: TestCentral
) -> None:
    node.append(3)
    settle(node, central)
    node.append(3)
    node.log.make_checkpoint_if_grown()
    with central.database.write() as connection:
        revoke(connection, node.identity.node, 1)
    before = central.snapshot()
    checkpoint = node.log.newest_checkpoint(0)
    assert checkpoint is not None
    leaves = node.log.leaves(0, checkpoint.checkpoint.tree_size)
    for header, *blobs in (
        (wire.Records(first=3, count=3), *node.sent_bodies()[3:]),
        (wire.Records(first=3, count=1), rewritten(node.sent_bodies()[3], node="node-b")),
        (wire.CheckpointOffer(previous_size=0, signed=checkpoint), leaves),
        (status("c"),),
        (hello(node, "commands"),),
    ):
        found = answer(central, header, *blobs)
        assert isinstance(found, wire.Refused)
        assert found.code == "FORBIDDEN"
    assert central.snapshot() == before


def test_revoked_node_is_sent_no_commands_on_its_open_connection(
    node: TestNode, central: TestCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, ...]] = []

    def open_commands(_: object, nodes: tuple[str, ...], now: int) -> list[object]:
        told.append(nodes)
        return []

    answer(central, hello(node, "commands"))
    monkeypatch.setattr(central.desk, "open_commands", open_commands)
    central.core.commands_due()
    with central.database.write() as connection:
        revoke(connection, node.identity.node, 1)
    central.core.commands_due()
    assert told == [(node.identity.node,), ()]


def test_connection_that_comes_and_goes_leaves_nothing_behind(
    node: TestNode, central: TestCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = wire.encode(wire.Welcome(protocol=1, expected_sent=0, tree_size=0))
    monkeypatch.setattr(
        central.desk, "open_commands", lambda *_: [(node.identity.node, "command", frames)]
    )
    for number in range(5):
        route = str(number).encode()
        central.core.handle([Arrival(route, KEY, wire.encode(hello(node, "commands")))])
        assert central.core.commands_due() == []
    assert central.core._delivered == {(b"4", "command")}


def test_status_that_calls_a_camera_simulated_and_real_is_refused(
    node: TestNode, central: TestCentral
) -> None:
    found = answer(central, status("c", "d", "c"))
    assert isinstance(found, wire.Refused)
    with central.database.read() as connection:
        assert connection.exec_driver_sql("SELECT status FROM nodes").scalar_one() is None
    assert central.handle(wire.encode(status("c", "d"))) == []


def status(*cameras: str) -> wire.Status:
    return wire.Status(
        occurred_at="2026-01-02T03:04:05.000000Z",
        clock_state="steady",
        cameras=tuple(
            wire.CameraStatus(
                camera=camera,
                scene_role="purchase",
                state="recording",
                last_sealed_at=None,
                simulated=number > 0,
            )
            for number, camera in enumerate(cameras)
        ),
        disk_free_bytes=0,
        backlog=0,
        oldest_unsent_at=None,
    )


def hello(node: TestNode, role: Literal["uplink", "commands"]) -> wire.Hello:
    return wire.Hello(
        protocol=wire.PROTOCOL,
        role=role,
        agency=node.identity.agency,
        pharmacy=node.identity.pharmacy,
        node=node.identity.node,
        software="test",
        tree_size=0,
        sent_count=0,
    )
