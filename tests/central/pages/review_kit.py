"""A node with one dispensing session and its footage, as an inspector meets them at central."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from central.projector import project_all
from central.tables import CommandRow, table_of
from retention.records import payloads as p
from retention.records.clock import to_text
from retention.records.fields import Frozen
from retention.records.merkle import chunk_root, inclusion_proof
from retention.store.log import append, by_sequence, leaves
from retention.terms import wire
from tests.central.wirekit import KEY, TestCentral, TestNode, settle
from tests.golden.samples import CLAIM, RECEIPT, SAMPLES, SIGNATURE, D

COMMANDS = table_of(CommandRow)
SESSION = "01900000-0000-7000-8000-0000000000aa"
ROLES = {"cam-1": "purchase", "cam-2": "prescription", "cam-3": "dispensing"}
LENGTH = timedelta(seconds=46)
OWED = timedelta(seconds=60)


@dataclass
class Review:
    """Tells central about a session of `node`, and sends its footage when it was asked for."""

    central: TestCentral
    node: TestNode
    cameras: dict[str, str] = field(default_factory=lambda: dict(ROLES))
    key: str = KEY
    contents: dict[str, bytes] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.node.clock = self.central.clock
        self.node.store.clock = self.central.clock
        received, footage = self.central.root / "received", self.central.root / "footage"
        if not footage.exists():
            footage.symlink_to(received)
        self.tell_status()

    def tell_status(self) -> None:
        """Let the node say that it is there, with its cameras."""
        now = to_text(self.node.clock.now())
        cameras = tuple(
            wire.CameraStatus(
                camera=name, scene_role=role, state="recording", last_sealed_at=now, simulated=True
            )
            for name, role in self.cameras.items()
        )
        status = wire.Status(
            occurred_at=now, clock_state="steady", cameras=cameras, disk_free_bytes=10**12,
            bytes_per_day=10**10, backlog=0, oldest_unsent_at=None,
        )  # fmt: skip
        assert self.central.handle(wire.encode(status), self.key) == []

    def tell(self, *payloads: Frozen, seconds: float = 3) -> None:
        """Write records, some seconds apart, and let central project them."""
        for payload in payloads:
            with self.node.store.write() as connection:
                append(self.node.store, connection, payload, counter="counter-1")
            self.node.clock.advance(timedelta(seconds=seconds))
        self.node.log.make_checkpoint_if_grown()
        settle(self.node, self.central, start=self.node.clock.monotonic_ns() / 1e9)
        project_all(self.central.database)

    def session(
        self,
        session: str = SESSION,
        *,
        closed: bool = True,
        covered_ms: int = 168_000,
        **changes: Any,
    ) -> None:
        """Tell a whole session; `changes` go into its receipt."""
        started = self.node.clock.now() - timedelta(seconds=5)
        receipt = RECEIPT.model_copy(update={"session": session, **changes})
        basket = sample(p.BasketSet, session=session)
        self.tell(
            p.SessionOpened(
                session=session, terminal=D[:8] + "-0000-7000-8000-000000000001", operator="op-1",
                claim=CLAIM, claim_digest=D,
            ),
            p.IdentityDecided(session=session, receipt=receipt, signature=SIGNATURE),
            sample(p.PrescriptionAttached, session=session),
            basket,
            sample(p.SessionAuthorised, session=session),
            sample(p.SettlementConcluded, session=session),
        )  # fmt: skip
        if not closed:
            return
        ended = started + OWED
        scenes = tuple(
            p.SceneCoverage(
                camera=name, scene_role=p.SceneRole(role), owed_ms=60_000,
                covered_ms=covered_ms // len(self.cameras), gap_causes=(),
            )
            for name, role in self.cameras.items()
        )  # fmt: skip
        self.tell(
            p.SessionClosed(
                session=session, outcome="settled", opened_at=to_text(started),
                closed_at=to_text(self.node.clock.now()),
            ),
            p.SessionCovered(
                session=session, started_at=to_text(started), ended_at=to_text(ended),
                owed_ms=60_000 * len(self.cameras), covered_ms=covered_ms, scenes=scenes,
            ),
        )  # fmt: skip
        self.node.clock.advance(ended - self.node.clock.now())

    def seal(self, camera: str, seconds: tuple[float, float], content: bytes | None = None) -> str:
        """Seal a segment `seconds` from and to, counted back from now; return its id."""
        segment, now = self.node.ids.new(), self.node.clock.now()
        content = content or f"{camera} {seconds}".encode() * 500
        payload = p.SegmentSealed(
            segment=segment, camera=camera, scene_role=p.SceneRole(self.cameras[camera]),
            run=segment, ordinal=0, started_at=to_text(now - timedelta(seconds=seconds[0])),
            ended_at=to_text(now - timedelta(seconds=seconds[1])),
            duration_ms=int((seconds[0] - seconds[1]) * 1000), bytes=len(content), codec="h264",
            file_sha256=hashlib.sha256(content).hexdigest(),
            chunk_root=chunk_root(content).hex(), recovered=False, truncated_bytes=0,
        )  # fmt: skip
        with self.node.store.write() as connection:
            self.sequences[segment] = append(self.node.store, connection, payload).sequence
        self.contents[segment] = content
        self.tell()
        return segment

    def commands(self) -> list[str]:
        """Return what central asked, oldest first."""
        with self.central.database.read() as connection:
            query = select(COMMANDS.c.command).order_by(COMMANDS.c.issued_at)
            return list(connection.execute(query).scalars())

    def send(
        self, segments: Sequence[str], *, total: int | None = None, bend: bool = False
    ) -> None:
        """Send segments for the newest command; `bend` changes their last byte on the way."""
        command = self.commands()[-1]
        with self.node.store.read() as connection:
            (size,) = connection.execute("SELECT max(tree_size) FROM checkpoints").fetchone()
            for ordinal, segment in enumerate(segments):
                sequence, content = self.sequences[segment], self.contents[segment]
                record = by_sequence(connection, sequence).raw
                proof = b"".join(inclusion_proof(leaves(connection, 0, size), sequence, size))
                offer = wire.SegmentOffer(
                    command=command, ordinal=ordinal, total=total or len(segments), tree_size=size,
                    bytes=len(content),
                )  # fmt: skip
                assert self._say(offer, [record, proof]) is None
                sent = content[:-1] + b"!" if bend else content
                for offset in range(0, len(sent), wire.MAX_CHUNK_BYTES):
                    chunk = wire.SegmentChunk(command=command, segment=segment, offset=offset)
                    self._say(chunk, [sent[offset : offset + wire.MAX_CHUNK_BYTES]])

    def conclude(self, outcome: str, segments: int = 0, reason: str | None = None) -> None:
        """End the newest command as the node does."""
        done = wire.CommandDone.model_validate(
            {"command": self.commands()[-1], "outcome": outcome, "segments": segments,
             "reason": reason}
        )  # fmt: skip
        self.central.handle(wire.encode(done), self.key)

    def file(self, segment: str) -> Path:
        """Return where central keeps a segment."""
        return self.central.root / "received" / self.node.identity.node / f"{segment}.mp4"

    def _say(self, header: Frozen, blobs: list[bytes]) -> str | None:
        """Say something about a segment; return why central does not take it."""
        (answer,) = self.central.handle(wire.encode(header, blobs), self.key)
        said = wire.decode(answer, wire.TO_NODE).header
        assert isinstance(said, wire.SegmentAck), said
        return said.reason


def sample(kind: type[Any], **changes: object) -> Any:
    """Return the golden payload of a kind with changes."""
    found = next(one for one in SAMPLES if isinstance(one, kind))
    return found.model_copy(update=changes)
