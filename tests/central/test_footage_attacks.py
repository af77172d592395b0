"""Footage from a node that lies, a disk that is full, a central that dies between two lines."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from central.collector.footage import MAX_OPEN
from central.collector.receiving import Receiving, file_of
from central.config import FootageConfig
from central.errors import DatabaseUnavailable
from central.footage_commands import issue
from central.tables import CommandRow, CommandSegment, Node, Session, table_of
from edge.commands.footage import FootageJob
from retention.records.clock import to_micros, to_text
from retention.records.merkle import inclusion_proof
from retention.records.payloads import SegmentSealed
from retention.store.database import NodeIdentity
from retention.store.log import append, by_sequence, leaves
from retention.terms import wire
from retention.terms.commands import SignedCommand
from tests.central.wirekit import (
    CENTRAL_SIGNER,
    IDENTITY,
    OTHER_KEY,
    SEALED,
    settle,
)
from tests.edge.commands.test_commands_footage import CONTENT, SESSION, Stack

COMMANDS, LINKS, SESSIONS = table_of(CommandRow), table_of(CommandSegment), table_of(Session)
NODES = table_of(Node)
OTHER_SESSION = "01900000-0000-7000-8000-0000000000bb"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path)
    yield made
    made.close()


def ask_again(stack: Stack, started_at: int | None = None) -> SignedCommand:
    """Ask once more: for the session of `stack.command`, or for another one of an earlier time."""
    session = SESSION if started_at is None else OTHER_SESSION
    with stack.central.database.write() as connection:
        if started_at is not None:
            connection.execute(
                insert(SESSIONS).values(
                    agency=IDENTITY.agency, pharmacy=IDENTITY.pharmacy, node=IDENTITY.node,
                    session=session, opened_at=started_at, proxy=0, span_started_at=started_at,
                    span_ended_at=started_at + 1_000_000,
                )
            )  # fmt: skip
        row = connection.execute(select(SESSIONS).where(SESSIONS.c.session == session)).one()
        command = issue(
            connection, row, FootageConfig(), CENTRAL_SIGNER, command_id=stack.node.ids.new(),
            actor="admin", reason="case 13", cameras=(), now=to_micros(stack.node.clock.now()),
        )  # fmt: skip
        body = connection.execute(
            select(COMMANDS.c.body).where(COMMANDS.c.command == command.command)
        ).scalar_one()
    return SignedCommand.model_validate_json(body)


def offer_of(stack: Stack, signed: SignedCommand, sequence: int, **changes: Any) -> list[bytes]:
    """Return an offer of the segment recorded at `sequence`, proven by the newest checkpoint."""
    with stack.node.store.read() as connection:
        record = by_sequence(connection, sequence).raw
        (size,) = connection.execute("SELECT max(tree_size) FROM checkpoints").fetchone()
        proof = b"".join(inclusion_proof(leaves(connection, 0, size), sequence, size))
    header = wire.SegmentOffer(
        command=signed.command.command,
        **{"ordinal": 0, "total": 1, "tree_size": size, "bytes": len(CONTENT), **changes},
    )
    return wire.encode(header, [record, proof])


def answer(stack: Stack, frames: list[bytes]) -> Any:
    (found,) = stack.central.handle(frames)
    return wire.decode(found, wire.TO_NODE).header


def outcomes(stack: Stack) -> set[tuple[str | None, str | None]]:
    with stack.central.database.read() as connection:
        return {(row.outcome, row.detail) for row in connection.execute(select(COMMANDS))}


def parts(stack: Stack) -> list[str]:
    return [name for name in stack.received() if name.endswith(".part")]


def log_segment(stack: Stack, **changes: Any) -> int:
    """Put one more `segment.sealed` into the log and under a checkpoint; return its sequence."""
    now = stack.node.clock.now()
    payload = SegmentSealed.model_validate(
        {
            **SEALED.model_dump(mode="json"), "camera": "cam-0", "bytes": len(CONTENT),
            "segment": stack.node.ids.new(),
            "started_at": to_text(now - timedelta(seconds=60)), "ended_at": to_text(now),
            **changes,
        }
    )  # fmt: skip
    with stack.node.store.write() as connection:
        sequence = append(stack.node.store, connection, payload).sequence
    stack.node.log.make_checkpoint_if_grown()
    settle(stack.node, stack.central, start=float(9e6 + sequence))
    return sequence


def test_full_disk_costs_only_time(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    add, full = Receiving.add, iter([False, True, True, False])

    def fail(receiving: Receiving, content: bytes) -> None:
        if next(full, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        add(receiving, content)

    monkeypatch.setattr(Receiving, "add", fail)
    signed = stack.command()
    stack.run(stack.take(signed))
    assert next(full, None) is None
    assert outcomes(stack) == {("sent", None)}
    assert set(stack.received().values()) == {CONTENT}


def test_commit_that_fails_loses_no_row(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    write, fails = stack.central.database.write, iter([False, False, True, False, True])

    @contextmanager
    def bad_commit() -> Iterator[Connection]:
        with write() as connection:
            yield connection
            if next(fails, False):
                raise DatabaseUnavailable("database or disk is full")

    job = stack.take(stack.command())
    monkeypatch.setattr(stack.central.database, "write", bad_commit)
    handle = stack.central.handle

    def unanswered(frames: list[bytes]) -> list[list[bytes]]:
        try:
            return handle(frames)
        except DatabaseUnavailable:
            return []

    monkeypatch.setattr(stack.central, "handle", unanswered)
    stack.central.handle(wire.encode(hello()))
    stack.central.handle(wire.encode(hello()))  # the third write is the first offer
    stack.run(job)
    assert next(fails, None) is None
    assert outcomes(stack) == {("sent", None)}
    assert stack.states() == [("accepted", None)] * 2


def hello() -> wire.Hello:
    return wire.Hello(
        protocol=wire.PROTOCOL, role="commands", agency=IDENTITY.agency,
        pharmacy=IDENTITY.pharmacy, node=IDENTITY.node, software="x", tree_size=0, sent_count=0,
    )  # fmt: skip


def test_more_bytes_than_offered_are_kept_apart(stack: Stack) -> None:
    def lengthen(frames: list[bytes]) -> list[bytes]:
        if frames[1] != b"chunk" or len(frames[3]) == 256 * 1024:
            return frames
        return [*frames[:3], frames[3] + b"more"]

    stack.run(stack.take(stack.command(cameras=("cam-0",))), lengthen)
    assert stack.states() == [("rejected", "TOO_LONG")]
    assert list(stack.received()) == [f"{stack.segments[0]}.mp4.rejected"]


def test_accepted_segment_does_not_answer_for_another_session(stack: Stack) -> None:
    stack.run(stack.take(stack.command()))
    signed = ask_again(stack, started_at=to_micros(stack.node.clock.now()) - 3_600_000_000)
    found = answer(stack, offer_of(stack, signed, 0))
    assert (found.accepted, found.reason) == (False, "NOT_ASKED_FOR")
    with stack.central.database.read() as connection:
        linked = connection.execute(select(LINKS.c.command)).scalars().all()
    assert signed.command.command not in linked


def test_second_record_of_one_segment_is_refused(stack: Stack) -> None:
    stack.run(stack.take(stack.command(cameras=("cam-0",))))
    second = log_segment(stack, segment=stack.segments[0], file_sha256="0" * 64)
    found = answer(stack, offer_of(stack, ask_again(stack), second))
    assert (found.accepted, found.reason) == (False, "RECORD_MISMATCH")
    assert set(stack.received().values()) == {CONTENT}
    assert ("RECORD_MISMATCH", f"segment {stack.segments[0]}") in stack.central.incidents()


def test_moment_that_no_calendar_has_is_malformed(stack: Stack) -> None:
    sequence = log_segment(stack, started_at="2026-01-02T99:99:99.000000Z")
    found = answer(stack, offer_of(stack, stack.command(), sequence))
    assert found.code == "MALFORMED"


def test_another_node_cannot_answer_a_command(stack: Stack) -> None:
    signed = stack.command()
    other = NodeIdentity(agency="430100", pharmacy="P43010000001", node="node-b")
    stack.central.enrol(other, OTHER_KEY)
    (refused,) = stack.central.handle(offer_of(stack, signed, 0), OTHER_KEY)
    assert wire.decode(refused, wire.TO_NODE).header.code == "COMMAND_UNKNOWN"  # type: ignore[attr-defined]
    done = wire.CommandDone(
        command=signed.command.command, outcome="refused", segments=0, reason="x"
    )
    stack.central.handle(wire.encode(done), OTHER_KEY)
    assert outcomes(stack) == {(None, None)}


def test_sent_without_a_segment_is_not_sent(stack: Stack) -> None:
    signed = stack.command()
    done = wire.CommandDone(command=signed.command.command, outcome="sent", segments=0, reason=None)
    stack.central.handle(wire.encode(done))
    assert outcomes(stack) == {("failed", "0 said to be sent, 0 accepted")}


def test_two_commands_at_once_send_each_segment_once(stack: Stack) -> None:
    jobs = [stack.take(stack.command()), stack.take(ask_again(stack))]
    for now in range(60):
        for job in jobs:
            for frames in job.step(float(now)):
                for found in stack.central.handle(frames):
                    header = wire.decode(found, wire.TO_NODE).header
                    assert isinstance(header, wire.SegmentAck)
                    job.receive(header, float(now))
        jobs = [job for job in jobs if job.conclusion is None]
    assert jobs == []
    assert outcomes(stack) == {("sent", None)}
    assert stack.received() == {f"{segment}.mp4": CONTENT for segment in stack.segments}


def test_command_that_expires_in_the_middle_ends_on_both_sides(stack: Stack) -> None:
    job = stack.take(stack.command())
    run_until_one_is_accepted(stack, job)
    assert len(parts(stack)) == 1
    stack.node.clock.advance(timedelta(days=2))
    stack.central.clock.advance(timedelta(days=2))
    (done,) = job.step(100.0)
    assert job.conclusion is not None
    assert (job.conclusion.outcome, job.conclusion.segments) == ("failed", 1)
    with stack.node.store.read() as connection:
        (raw,) = connection.execute("SELECT bytes FROM log WHERE kind = 'footage.sent'").fetchone()
    assert stack.segments[0].encode() in raw
    with stack.central.database.read() as connection:
        stack.central.desk.open_commands(connection, (), to_micros(stack.central.clock.now()))
    assert parts(stack) == []
    assert stack.central.handle(done) == []
    assert outcomes(stack) == {("failed", "EXPIRED")}


def test_node_that_never_told_its_cameras_is_asked_when_it_has(stack: Stack) -> None:
    def asked() -> int:
        with stack.central.database.read() as connection:
            now = to_micros(stack.central.clock.now())
            return len(stack.central.desk.open_commands(connection, (IDENTITY.node,), now))

    stack.command()
    assert asked() == 1
    with stack.central.database.write() as connection:
        told = connection.execute(select(NODES.c.status)).scalar_one()
        connection.execute(update(NODES).values(status=None))
    assert asked() == 0
    with stack.central.database.write() as connection:
        connection.execute(update(NODES).values(status=told))
    assert asked() == 1


def test_command_given_up_leaves_no_half(stack: Stack) -> None:
    signed = stack.command()
    answer(stack, offer_of(stack, signed, 0))
    assert len(parts(stack)) == 1
    done = wire.CommandDone(
        command=signed.command.command, outcome="failed", segments=0, reason="x"
    )
    assert stack.central.handle(wire.encode(done)) == []
    assert parts(stack) == []


def run_until_one_is_accepted(stack: Stack, job: FootageJob) -> None:
    for now in range(60):
        for frames in job.step(float(now)):
            for found in stack.central.handle(frames):
                header = wire.decode(found, wire.TO_NODE).header
                assert isinstance(header, wire.SegmentAck)
                job.receive(header, float(now))
        if ("accepted", None) in stack.states() and parts(stack):
            return
    raise AssertionError("no segment was accepted")


def test_halves_are_few_and_forgotten_at_a_restart(stack: Stack) -> None:
    signed = stack.command()
    for _ in range(MAX_OPEN + 3):
        found = answer(stack, offer_of(stack, signed, log_segment(stack)))
        assert found.accepted is None
    assert len(parts(stack)) == MAX_OPEN
    stack.central.restart()
    assert parts(stack) == []
    (stack.central.root / "received" / IDENTITY.node / "x.mp4.part").touch()  # as a kill leaves it
    stack.central.restart()
    assert parts(stack) == []


def test_node_id_with_slashes_stays_inside_the_footage_folder(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x/../../../sneaky", SESSION)
    assert path.resolve().parent.parent == tmp_path.resolve()
    assert file_of(tmp_path, "node-a", SESSION) == tmp_path / "node-a" / f"{SESSION}.mp4"
