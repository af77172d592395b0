"""A node with sealed segments on its disk and a central that challenges it, without sockets."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from central.challenges import Result, results, start
from central.commands import COMMANDS
from central.tables import Audit, AuditSample, table_of
from edge.commands.challenge import ChallengeJob
from edge.commands.jobs import JobTools
from edge.config import EdgeConfig
from retention.footage.volumes import Placed, VolumeMissing
from retention.records.clock import ManualClock, to_micros, to_text
from retention.records.keeping import SegmentDisposed
from retention.records.merkle import chunk_root
from retention.records.payloads import SceneRole, SegmentSealed
from retention.store import uplink
from retention.store.footage import insert_segment
from retention.store.log import append
from retention.terms import wire
from retention.terms.commands import ChallengeCommand, SignedCommand
from tests.central.wirekit import CENTRAL_SIGNER, IDENTITY, TestCentral, TestNode, settle

AUDITS, SAMPLES = table_of(Audit), table_of(AuditSample)
CAMERA = "cam-0"
MINUTE = timedelta(seconds=60)
Bend = Callable[[list[bytes]], list[bytes]]


class AuditRig:
    """Seals segments, lets both sides settle, asks for proof and lets the node answer."""

    def __init__(
        self,
        folder: Path,
        segments: int = 6,
        size: int = 150_000,
        central: TestCentral | None = None,
    ) -> None:
        """Without a central that knows the node already, one is made."""
        self.central = central or TestCentral(folder)
        if central is None:
            self.central.enrol()
        self.node = TestNode(folder, clock=ManualClock(self.central.clock.now()))
        self.root = folder / "footage"
        self.root.mkdir()
        self.unreachable: set[str] = set()
        self.chooser = random.Random(7)
        self.sealed: list[tuple[SegmentSealed, int]] = []
        for _ in range(segments):
            self.node.append(2)
            self.seal(size)
        self.settle()
        self.tools = JobTools(
            config=config_of(folder),
            store=self.node.store,
            log=self.node.log,
            seal=lambda camera: None,
            locate=self._locate,
            signing_key=CENTRAL_SIGNER.public_key,
        )

    def _locate(self, placed: Placed) -> Path:
        if placed.volume in self.unreachable:
            raise VolumeMissing(placed.volume, "not mounted")
        return self.root / placed.path

    def seal(self, size: int, ended_at: datetime | None = None) -> tuple[SegmentSealed, int]:
        """Put a sealed segment on the disk, into its row and into the log."""
        node = self.node
        self.pass_time(MINUTE)
        ended_at = ended_at or node.clock.now()
        content = random.Random(len(self.sealed)).randbytes(size)
        segment = node.ids.new()
        (self.root / f"{segment}.mp4").write_bytes(content)
        payload = SegmentSealed(
            segment=segment,
            camera=CAMERA,
            scene_role=SceneRole.PURCHASE,
            run=segment,
            ordinal=0,
            started_at=to_text(ended_at - MINUTE),
            ended_at=to_text(ended_at),
            duration_ms=60_000,
            bytes=size,
            codec="h264",
            file_sha256=hashlib.sha256(content).hexdigest(),
            chunk_root=chunk_root(content).hex(),
            recovered=False,
            truncated_bytes=0,
        )
        with node.store.write() as connection:
            insert_segment(node.store, connection, payload, f"{segment}.mp4")
            size_now = uplink.log_size(connection).tree_size
        self.sealed.append((payload, size_now - 1))
        return self.sealed[-1]

    def path(self, number: int) -> Path:
        return self.root / f"{self.sealed[number][0].segment}.mp4"

    def dispose(self, number: int, owed_until: datetime, **changes: object) -> int:
        """Let a segment go as the disposal module does; return its disposal's place in the log."""
        sealed, sequence = self.sealed[number]
        gone = SegmentDisposed(
            segment=sealed.segment,
            sequence=sequence,
            camera=sealed.camera,
            scene_role=sealed.scene_role,
            started_at=sealed.started_at,
            ended_at=sealed.ended_at,
            bytes=sealed.bytes,
            file_sha256=sealed.file_sha256,
            owed_until=to_text(owed_until),
        ).model_copy(update=changes)
        self.path(number).unlink(missing_ok=True)
        with self.node.store.write() as connection:
            record = append(self.node.store, connection, gone)
            connection.execute("DELETE FROM segments WHERE id = ?", (sealed.segment,))
            connection.execute(
                "INSERT INTO disposals (sequence, disposed_sequence, segment, disposed_at)"
                " VALUES (?, ?, ?, ?)",
                (sequence, record.sequence, sealed.segment, to_micros(self.node.clock.now())),
            )
        return record.sequence

    def settle(self) -> None:
        """Let everything that was written reach central under a countersigned checkpoint."""
        self.node.log.make_checkpoint_if_grown()
        settle(self.node, self.central, start=1e6 + len(self.node.sent_bodies()))

    def pass_time(self, span: timedelta) -> None:
        self.node.clock.advance(span)
        self.central.clock.advance(span)

    @property
    def now(self) -> int:
        return to_micros(self.central.clock.now())

    def ask(self, count: int = 300, seconds: int = 3600) -> tuple[str, ChallengeCommand]:
        """Start an audit; return its id and its command as central signed it."""
        with self.central.database.write() as connection:
            audit = start(
                connection, IDENTITY.node, CENTRAL_SIGNER, self.node.ids,
                lambda top: self.chooser.randrange(top), count=count,
                lasts=timedelta(seconds=seconds), actor="admin", reason="spot check", now=self.now,
            )  # fmt: skip
            body = connection.execute(
                select(COMMANDS.c.body).where(COMMANDS.c.subject == audit)
            ).scalar_one()
        return audit, self.take(body)

    def take(self, body: bytes) -> ChallengeCommand:
        """Let the node take up a challenge as central signed it."""
        signed = SignedCommand.model_validate_json(body)
        assert isinstance(signed.command, ChallengeCommand)
        with self.node.store.write() as connection:
            uplink.take_command(self.node.store, connection, signed)
        return signed.command

    def answer(
        self, command: ChallengeCommand, bend: Bend = list, *, settling: bool = True
    ) -> ChallengeJob:
        """Let the node answer; `bend` may change what it sends."""
        job = ChallengeJob(self.tools, command)
        for number in range(400):
            now = number * 6.0
            for frames in job.step(now):
                for answer in self.central.handle(bend(frames)):
                    header = wire.decode(answer, wire.TO_NODE).header
                    if isinstance(header, wire.ProofAck):
                        job.receive(header, now)
                    else:
                        job.pause(now)
            if job.conclusion is not None:
                return job
            if settling:
                self.settle()
        raise AssertionError("the job did not end")

    def audit(self, bend: Bend = list, count: int = 300) -> Result:
        """Ask, answer, and return what came of it."""
        audit, command = self.ask(count)
        self.answer(command, bend)
        return self.result(audit)

    def result(self, audit: str) -> Result:
        with self.central.database.read() as connection:
            row = connection.execute(select(AUDITS).where(AUDITS.c.audit == audit)).one()
            return results(connection, [row], self.now)[0]

    def causes(self, audit: str | None = None) -> list[str | None]:
        with self.central.database.read() as connection:
            query = select(SAMPLES.c.cause).where(SAMPLES.c.verdict == "missing")
            if audit is not None:
                query = query.where(SAMPLES.c.audit == audit)
            return list(connection.execute(query.order_by(SAMPLES.c.leaf)).scalars())

    def close(self) -> None:
        self.node.close()
        self.central.close()


def config_of(folder: Path) -> EdgeConfig:
    return EdgeConfig.model_validate(
        {
            "node": {
                "agency": IDENTITY.agency, "pharmacy": IDENTITY.pharmacy, "node": IDENTITY.node,
                "data": str(folder),
            },
            "cameras": [{"id": CAMERA, "scene_role": "purchase", "url": "rtsp://x/y"}],
            "verification": {"camera": CAMERA},
        }
    )  # fmt: skip
