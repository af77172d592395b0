"""What the wire tests share: a central in memory, a node's log, and a channel between the two."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from central.collector.core import Arrival, Collector
from central.collector.footage import FootageDesk
from central.database import Database
from central.enrolment import enrol
from central.tables import Base, StoredRecord, WireIncident, table_of
from central.web.views import Enrolment
from edge.uplink.log import StoreLog
from edge.uplink.machine import UplinkMachine, UplinkSettings
from retention.keyfiles import KeyDirectory
from retention.records.canonical import canonical_bytes
from retention.records.clock import ManualClock, to_micros
from retention.records.envelope import parse_record
from retention.records.ids import SeededIds
from retention.records.merkle import Frontier, leaf_hash
from retention.records.payloads import NodeStopped, SegmentSealed
from retention.records.signing import Ed25519Signer
from retention.store.database import NodeIdentity, NodeStore
from retention.store.log import append
from tests.golden.samples import SAMPLES

IDENTITY = NodeIdentity(agency="430100", pharmacy="P43010000001", node="node-a")
KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
OTHER_KEY = "bBQr=JK*.LbIOJ(dU>T?fF?8!vhkVD6ByG/CZ+#4"
RECORDS, INCIDENTS = table_of(StoredRecord), table_of(WireIncident)
SEALED = next(sample for sample in SAMPLES if isinstance(sample, SegmentSealed))


def signer(seed: int) -> Ed25519Signer:
    """Return a repeatable key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519Signer(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


NODE_SIGNER, CENTRAL_SIGNER = signer(1), signer(2)


@dataclass
class TestCentral:
    """A collector core over a database that a test can look into, restart and set back."""

    __test__ = False
    root: Path
    clock: ManualClock = field(default_factory=ManualClock)
    database: Database = field(default_factory=lambda: Database("sqlite://"))

    def __post_init__(self) -> None:
        with self.database.write() as connection:
            Base.metadata.create_all(connection)
        self.desk = FootageDesk(self.root / "received", 10_000_000)
        self.restart()

    def restart(self) -> None:
        self.desk.close()
        (self.root / "received").mkdir(exist_ok=True)
        self.desk = FootageDesk(self.root / "received", 10_000_000)
        self.core = Collector(self.database, CENTRAL_SIGNER, self.clock, self.desk)

    def close(self) -> None:
        self.desk.close()
        self.database.close()

    def enrol(self, identity: NodeIdentity = IDENTITY, key: str = KEY) -> None:
        asked = Enrolment(
            agency=identity.agency,
            pharmacy=identity.pharmacy,
            node=identity.node,
            curve_public_key=key,
            signing_public_key=NODE_SIGNER.public_key.hex(),
        )
        with self.database.write() as connection:
            enrol(connection, asked, to_micros(self.clock.now()))

    def handle(self, frames: Sequence[bytes], key: str = KEY) -> list[list[bytes]]:
        """Give one message to the core and return the frames of its answers."""
        return [out.frames for out in self.core.handle([Arrival(b"route", key, frames)])]

    def bodies(self, node: str = IDENTITY.node) -> list[bytes]:
        with self.database.read() as connection:
            return list(
                connection.execute(
                    select(RECORDS.c.body)
                    .where(RECORDS.c.node == node)
                    .order_by(RECORDS.c.sent_sequence)
                ).scalars()
            )

    def incidents(self) -> list[tuple[str, str]]:
        with self.database.read() as connection:
            rows = connection.execute(select(INCIDENTS.c.code, INCIDENTS.c.subject))
            return [(row.code, row.subject) for row in rows]

    def snapshot(self) -> bytes:
        raw = self.database.engine.raw_connection()
        try:
            copied: bytes = raw.driver_connection.serialize()
            return copied
        finally:
            raw.close()

    def set_back(self, snapshot: bytes) -> None:
        """Replace the database by an older copy, as a restore from a backup does."""
        source = sqlite3.connect(":memory:")
        source.deserialize(snapshot)
        raw = self.database.engine.raw_connection()
        try:
            source.backup(raw.driver_connection)
        finally:
            raw.close()
            source.close()
        self.restart()


@dataclass
class TestNode:
    """A node's database and its uplink machine."""

    __test__ = False
    folder: Path
    window: int = 20
    identity: NodeIdentity = IDENTITY
    clock: ManualClock = field(default_factory=ManualClock)
    ids: SeededIds = field(default_factory=SeededIds)

    def __post_init__(self) -> None:
        self.store = NodeStore(self.folder / "node.sqlite3", self.identity, self.clock, self.ids)
        with self.store.write() as connection:  # tests lose power on nobody
            assert connection is not None
        self.store._connection.execute("PRAGMA synchronous = OFF")
        self.restart()

    def restart(self) -> None:
        self.log = StoreLog(self.store, NODE_SIGNER)
        settings = UplinkSettings(self.identity, "test", self.window, CENTRAL_SIGNER.public_key)
        self.machine = UplinkMachine(settings, self.log)

    def append(self, count: int, *, committed: bool = False) -> None:
        with self.store.write() as connection:
            for number in range(count):
                payload = SEALED if committed else NodeStopped(reason=f"r{number}")
                append(self.store, connection, payload)

    def sent_bodies(self) -> list[bytes]:
        return self.log.records(0, 1_000_000)

    def close(self) -> None:
        self.store.close()


def rewritten(raw: bytes, **changes: object) -> bytes:
    record = parse_record(raw).model_dump(mode="json")
    return canonical_bytes({**record, **changes})


def rewrite_in_log(node: TestNode, sequence: int) -> None:
    """Change a record in the node's database and rebuild everything that hangs on it."""
    connection: sqlite3.Connection = node.store._connection
    rows = connection.execute("SELECT sequence, bytes FROM log ORDER BY sequence").fetchall()
    frontier = Frontier()
    for number, raw in rows:
        if number == sequence:
            raw = rewritten(raw, salt="f" * 32)
            connection.execute(
                "UPDATE log SET bytes = ?, leaf = ? WHERE sequence = ?",
                (raw, leaf_hash(raw), number),
            )
        frontier = frontier.append(leaf_hash(raw))
    connection.execute("UPDATE frontier SET hashes = ?", (frontier.to_bytes(),))


def settle(node: TestNode, central: TestCentral, rounds: int = 40, start: float = 1e6) -> None:
    """Let both talk over a faithful channel until the node has nothing left to say."""
    now = start
    for _ in range(rounds):
        for frames in node.machine.tick(now):
            for answer in central.handle(frames):
                node.machine.receive(answer, now)
        node.machine.note_progress(now)
        if node.machine.drained:
            return
        now += 1.0
    raise AssertionError("the two sides did not come to rest")


def node_keys(folder: Path) -> KeyDirectory:
    return KeyDirectory(folder / "keys")
