"""Footage leaves only when asked, only of simulated cameras, and arrives as it was recorded."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from central.config import FootageConfig
from central.footage_commands import issue
from central.tables import CommandRow, Footage, Node, Session, table_of
from edge.commands.footage import FootageJob, check_cameras
from edge.commands.jobs import CommandRefused, JobTools, check_command
from edge.commands.upload import Upload, UploadItem
from edge.config import EdgeConfig
from edge.uplink.status import status_of
from retention.records.clock import to_micros, to_text
from retention.records.merkle import chunk_root
from retention.records.payloads import SceneRole, SegmentSealed
from retention.store import uplink
from retention.store.log import append
from retention.terms import wire
from retention.terms.commands import FootageCommand, SignedCommand
from tests.central.wirekit import CENTRAL_SIGNER, IDENTITY, TestCentral, TestNode, settle, signer

CONTENT = random.Random(5).randbytes(700_001)
SESSION = "01900000-0000-7000-8000-0000000000aa"
COMMANDS, FOOTAGE = table_of(CommandRow), table_of(Footage)


class Stack:
    """A node with one sealed segment per camera, and central with a session of that time."""

    def __init__(self, folder: Path, *, simulated: tuple[bool, ...] = (True, True)) -> None:
        self.node, self.central = TestNode(folder), TestCentral(folder)
        self.central.enrol()
        self.config = config_of(folder, simulated)
        self.segments = [self.seal(camera.id) for camera in self.config.cameras]
        self.node.log.make_checkpoint_if_grown()
        settle(self.node, self.central)
        self.tell_status()
        self.sealed_on_demand: list[str] = []
        self.tools = JobTools(
            config=self.config,
            store=self.node.store,
            log=self.node.log,
            seal=self.sealed_on_demand.append,
            locate=lambda placed: self.config.footage_root / placed.path,
            signing_key=CENTRAL_SIGNER.public_key,
        )

    def seal(self, camera: str, content: bytes = CONTENT) -> str:
        """Put a sealed segment of the last minute on the disk, into its row and into the log."""
        node, ended_at = self.node, self.node.clock.now()
        segment, path = node.ids.new(), f"{camera}.mp4"
        started_at = ended_at - timedelta(seconds=60)
        self.config.footage_root.mkdir(exist_ok=True)
        (self.config.footage_root / path).write_bytes(content)
        payload = SegmentSealed(
            segment=segment,
            camera=camera,
            scene_role=SceneRole.PURCHASE,
            run=segment,
            ordinal=0,
            started_at=to_text(started_at),
            ended_at=to_text(ended_at),
            duration_ms=60_000,
            bytes=len(content),
            codec="h264",
            file_sha256=hashlib.sha256(content).hexdigest(),
            chunk_root=chunk_root(content).hex(),
            recovered=False,
            truncated_bytes=0,
        )
        with node.store.write() as connection:
            record = append(node.store, connection, payload)
            connection.execute(
                "INSERT INTO segments (id, camera, scene_role, run, ordinal, started_at, ended_at,"
                " bytes, codec, file_sha256, chunk_root, path, state, sequence)"
                " VALUES (?, ?, 'purchase', ?, 0, ?, ?, ?, 'h264', ?, ?, ?, 'sealed', ?)",
                (
                    segment, camera, segment, to_micros(started_at), to_micros(ended_at),
                    len(content), payload.file_sha256, payload.chunk_root, path, record.sequence,
                ),
            )  # fmt: skip
        return segment

    def tell_status(self) -> None:
        status = status_of(self.config, self.node.store, 0)
        assert self.central.handle(wire.encode(status)) == []

    def command(self, **changes: Any) -> SignedCommand:
        """Let central ask for the minute around now."""
        now = to_micros(self.node.clock.now())
        with self.central.database.write() as connection:
            table = table_of(Session)
            connection.execute(
                insert(table).values(
                    agency=IDENTITY.agency, pharmacy=IDENTITY.pharmacy, node=IDENTITY.node,
                    session=SESSION, opened_at=now - 50_000_000, closed_at=now - 40_000_000,
                    proxy=0, span_started_at=now - 60_000_000, span_ended_at=now - 10_000_000,
                )
            )  # fmt: skip
            row = connection.execute(select(table)).one()
            command = issue(
                connection, row, FootageConfig(), CENTRAL_SIGNER,
                **{
                    "command_id": self.node.ids.new(), "actor": "admin", "reason": "case 12",
                    "cameras": (), "now": now, **changes,
                },
            )  # fmt: skip
            body = connection.execute(
                select(COMMANDS.c.body).where(COMMANDS.c.command == command.command)
            ).scalar_one()
        return SignedCommand.model_validate_json(body)

    def run(
        self, job: FootageJob, bend: Callable[[list[bytes]], list[bytes]] = list, rounds: int = 60
    ) -> None:
        """Let job and central talk; `bend` may change what the node sends."""
        for now in range(rounds):
            for frames in job.step(float(now)):
                for answer in self.central.handle(bend(frames)):
                    header = wire.decode(answer, wire.TO_NODE).header
                    if isinstance(header, wire.SegmentAck):
                        job.receive(header, float(now))
                    else:
                        job.pause(float(now))
            if job.conclusion is not None:
                return
        raise AssertionError("the job did not end")

    def take(self, signed: SignedCommand) -> FootageJob:
        with self.node.store.write() as connection:
            uplink.take_command(self.node.store, connection, signed)
        return FootageJob(self.tools, asked(signed))

    def states(self) -> list[tuple[str, str | None]]:
        with self.central.database.read() as connection:
            rows = connection.execute(select(FOOTAGE.c.state, FOOTAGE.c.reason))
            return [(row.state, row.reason) for row in rows]

    def outcome(self) -> tuple[str | None, str | None]:
        with self.central.database.read() as connection:
            row = connection.execute(select(COMMANDS.c.outcome, COMMANDS.c.detail)).one()
            return row.outcome, row.detail

    def received(self) -> dict[str, bytes]:
        folder = self.central.root / "received" / IDENTITY.node
        return {path.name: path.read_bytes() for path in folder.glob("*")}

    def close(self) -> None:
        self.node.close()
        self.central.close()


def asked(signed: SignedCommand) -> FootageCommand:
    assert isinstance(signed.command, FootageCommand)
    return signed.command


def config_of(folder: Path, simulated: tuple[bool, ...]) -> EdgeConfig:
    cameras = [
        {"id": f"cam-{n}", "scene_role": "purchase", "url": "rtsp://x/y", "simulated": flag}
        for n, flag in enumerate(simulated)
    ]
    return EdgeConfig.model_validate(
        {
            "node": {
                "agency": IDENTITY.agency, "pharmacy": IDENTITY.pharmacy, "node": IDENTITY.node,
                "data": str(folder),
            },
            "cameras": cameras,
            "verification": {"camera": "cam-0"},
        }
    )  # fmt: skip


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path)
    yield made
    made.close()


def test_footage_arrives_as_recorded_and_leaves_a_record(stack: Stack) -> None:
    job = stack.take(stack.command())
    stack.run(job)
    assert stack.received() == {f"{segment}.mp4": CONTENT for segment in stack.segments}
    assert stack.states() == [("accepted", None)] * 2
    assert stack.outcome() == ("sent", None)
    last = stack.node.store._connection.execute(
        "SELECT kind FROM log ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    assert last[0] == "footage.sent"


def test_flipped_bit_is_rejected_and_kept_apart(stack: Stack) -> None:
    def flip(frames: list[bytes]) -> list[bytes]:
        if frames[1] != b"chunk" or b'"offset":0,' not in frames[2]:
            return frames
        return [*frames[:3], bytes([frames[3][0] ^ 1]) + frames[3][1:]]

    stack.run(stack.take(stack.command(cameras=("cam-0",))), flip)
    assert stack.states() == [("rejected", "SHA256_MISMATCH")]
    assert list(stack.received()) == [f"{stack.segments[0]}.mp4.rejected"]
    outcome, detail = stack.outcome()
    assert (outcome, detail) == ("failed", f"SHA256_MISMATCH {stack.segments[0]}")
    assert ("SHA256_MISMATCH", f"segment {stack.segments[0]}") in stack.central.incidents()


def test_wrong_proof_is_rejected_before_a_byte_is_taken(stack: Stack) -> None:
    def bend(frames: list[bytes]) -> list[bytes]:
        return [*frames[:4], b"\0" * len(frames[4])] if frames[1] == b"segment" else frames

    stack.run(stack.take(stack.command(cameras=("cam-0",))), bend)
    assert stack.outcome()[0] == "failed"
    assert stack.received() == {}
    assert ("PROOF_REJECTED", f"segment {stack.segments[0]}") in stack.central.incidents()


def test_node_refuses_the_whole_command_when_one_camera_is_real(tmp_path: Path) -> None:
    stack = Stack(tmp_path, simulated=(True, False))
    signed = stack.command()
    with pytest.raises(CommandRefused, match="NOT_SIMULATED"):
        check_cameras(stack.config, asked(signed))
    done = stack.take(signed).refuse("NOT_SIMULATED")
    assert stack.central.handle(done) == []
    assert stack.outcome() == ("refused", "NOT_SIMULATED")
    stack.close()


def test_central_takes_nothing_of_a_camera_that_its_node_calls_real(stack: Stack) -> None:
    stack.config = config_of(stack.node.folder, (False, True))
    stack.tell_status()
    stack.run(stack.take(stack.command(cameras=("cam-0",))))
    assert stack.outcome() == ("failed", f"NOT_SIMULATED {stack.segments[0]}")
    assert stack.received() == {}


def test_central_takes_nothing_of_a_node_without_status(stack: Stack) -> None:
    with stack.central.database.write() as connection:
        connection.execute(update(table_of(Node)).values(status=None))
    stack.run(stack.take(stack.command(cameras=("cam-0",))))
    assert stack.outcome()[0] == "failed"
    assert stack.received() == {}


def test_central_restarted_in_the_middle_gets_the_segment_again(stack: Stack) -> None:
    seen = 0

    def restart(frames: list[bytes]) -> list[bytes]:
        nonlocal seen
        seen += 1
        if seen == 3:
            stack.central.restart()
        return frames

    stack.run(stack.take(stack.command()), restart)
    assert stack.outcome() == ("sent", None)
    assert set(stack.received().values()) == {CONTENT}


def test_node_restarted_in_the_middle_skips_what_was_accepted(stack: Stack) -> None:
    signed = stack.command()
    job = stack.take(signed)
    with pytest.raises(AssertionError):
        stack.run(job, rounds=3)
    offered: list[bytes] = []

    def watch(frames: list[bytes]) -> list[bytes]:
        offered.append(frames[1])
        return frames

    again = stack.take(signed)
    stack.run(again, watch)
    assert stack.outcome() == ("sent", None)
    assert set(stack.received().values()) == {CONTENT}
    assert offered.count(b"chunk") < 2 * 3


def test_command_that_ended_is_answered_from_the_database(stack: Stack) -> None:
    signed = stack.command()
    stack.run(stack.take(signed))
    with stack.node.store.write() as connection:
        known = uplink.take_command(stack.node.store, connection, signed)
    assert known == uplink.Conclusion("sent", 2, None)


def test_command_of_another_key_or_node_or_time_is_refused(stack: Stack) -> None:
    signed = stack.command()
    check_command(stack.tools, signed)
    from retention.records.signing import Context

    forged = signed.model_copy(
        update={"signature": signer(9).sign(Context.COMMAND, signed.command)}
    )
    with pytest.raises(CommandRefused, match="BAD_SIGNATURE"):
        check_command(stack.tools, forged)
    other = signed.command.model_copy(update={"node": "node-b"})
    elsewhere = SignedCommand(command=other, signature=CENTRAL_SIGNER.sign(Context.COMMAND, other))
    with pytest.raises(CommandRefused, match="OTHER_NODE"):
        check_command(stack.tools, elsewhere)
    stack.node.clock.advance(timedelta(days=2))
    with pytest.raises(CommandRefused, match="EXPIRED"):
        check_command(stack.tools, signed)


def test_open_segment_is_asked_to_be_sealed_and_waited_for(stack: Stack) -> None:
    stack.node.clock.advance(timedelta(seconds=30))
    job = stack.take(stack.command(cameras=("cam-0",)))
    assert job.step(0.0) == []
    assert stack.sealed_on_demand == ["cam-0"]
    assert job.step(19.0) == []
    assert job.step(20.0)[0][1] == b"segment"


def test_segment_without_a_countersigned_checkpoint_waits_for_one(stack: Stack) -> None:
    stack.node.clock.advance(timedelta(seconds=60))
    fresh = stack.node.ids.new()
    assert fresh
    (stack.config.footage_root / "cam-0.mp4").unlink()
    stack.node.store._connection.execute("UPDATE segments SET path = id || '.gone'")
    stack.seal("cam-0")
    job = stack.take(stack.command(cameras=("cam-0",)))
    assert job.step(0.0) == []
    settle(stack.node, stack.central, start=2e6)
    assert job.step(1.0)[0][1] == b"segment"


def test_lost_acknowledgements_only_cost_time() -> None:
    class Source:
        def evidence(self, item: UploadItem) -> list[bytes]:
            return [b"{}", b""]

        def read(self, item: UploadItem, offset: int, length: int) -> bytes:
            return CONTENT[offset : offset + length]

    upload = Upload(SESSION, [UploadItem("s", 0, 1, 600_000)], Source())
    assert upload.send(0.0)[0][1] == b"segment"
    assert upload.send(1.0) == []
    assert upload.send(5.0)[0][1] == b"segment"
    ack = wire.SegmentAck(command=SESSION, segment=SESSION, received=0, accepted=None, reason=None)
    upload.receive(ack, 5.0)  # of another segment: ignored
    assert upload.send(6.0) == []


def test_refused_chunks_on_their_way_start_the_segment_over_once(stack: Stack) -> None:
    job = stack.take(stack.command(cameras=("cam-0",)))
    (offer,) = job.step(0.0)
    stack.central.handle(offer)
    ack = wire.SegmentAck(
        command=SESSION, segment=stack.segments[0], received=0, accepted=None, reason=None
    )
    job.receive(ack, 0.0)
    chunks = job.step(0.1)
    assert len(chunks) == 3
    for number, _ in enumerate(chunks):
        job.pause(0.2 + number / 10)
        assert job.step(0.2 + number / 10) == []
    (again,) = job.step(3.0)
    assert again[1] == b"segment"
