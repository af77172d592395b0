"""What an attacker has: the whole disk of a node, its key and its database. Central he has not.

`pristine` makes one node with footage, a hold, a policy, gaps, a lawful disposal, and two
checkpoints that central countersigned, one a day. Each attack gets its own copy of it.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from edge.commands.jobs import JobTools
from retention.check import Depth, Options, check
from retention.checking.report import Bad
from retention.footage.volume import open_volume
from retention.footage.volumes import Volumes
from retention.records.clock import ManualClock, from_text, to_micros, to_text
from retention.records.envelope import Record, parse_record
from retention.records.ids import SeededIds
from retention.records.keeping import (
    Hold,
    HoldPlaced,
    PolicyAdopted,
    RetentionPolicy,
    Term,
)
from retention.records.merkle import Frontier, leaf_hash
from retention.records.payloads import GapCause, NodeStopped, SceneRole
from retention.scrub import Scrub
from retention.store import footage, holds, policies, trusted
from retention.store.log import append
from tests.central.auditkit import AuditRig, config_of
from tests.central.wirekit import (
    CENTRAL_SIGNER,
    TestCentral,
    TestNode,
    settle,
)
from tests.retention.footage.conftest import Camera, Clip

SAMPLES = 300
BEGAN = from_text("2026-01-02T03:04:05.000000Z")
SEGMENTS_A_DAY = 4
NODE_KEY = bytes([1]) * 32
NEXT_DAY = 40
"""Records of the day after the attack: more than any attack takes away."""


@dataclass
class World:
    """One copy of the node's disk, and the central that it reports to."""

    data: Path
    central: TestCentral
    clock: ManualClock
    ids: SeededIds
    segments: list[footage.SegmentRow] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.data / "footage"

    def path(self, number: int) -> Path:
        return self.root / self.segments[number].path

    @contextmanager
    def sql(self) -> Iterator[sqlite3.Connection]:
        """Open the database as an attacker does: no rule of ours holds."""
        connection = sqlite3.connect(self.data / "node.sqlite3", isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = OFF")
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def node(self) -> Iterator[TestNode]:
        """Run the node's own code on the disk as it is."""
        node = TestNode(self.data, clock=self.clock, ids=self.ids)
        try:
            yield node
        finally:
            node.close()

    def check(self, depth: Depth, *, with_central_key: bool = True) -> list[Bad]:
        key = CENTRAL_SIGNER.public_key if with_central_key else None
        now = self.clock.now() + timedelta(minutes=2)
        return check(self.data, depth, Options(central_key=key, now=now)).bad

    def go_on(self) -> list[tuple[str, str]]:
        """Let the node talk to central, work on, and talk again; return what central newly wrote
        down, in order."""
        before = self.central.incidents()
        with self.node() as node:
            for appended in (0, NEXT_DAY):
                node.append(appended)
                node.log.make_checkpoint_if_grown()
                self._talk(node)
        return [one for one in self.central.incidents() if one not in before]

    def challenge(self) -> list[str]:
        """Let central ask for proof of holding; return why what it drew is not proven."""
        with self.node() as node:
            rig = _rig(self.central, node, self.root)
            rig.settle()
            audit, command = rig.ask(SAMPLES)
            rig.answer(command)
            return sorted({cause for cause in rig.causes(audit) if cause is not None})

    def scrub(self) -> list[str]:
        """Let the node read all of its footage once; return the incidents it newly writes."""
        with self.node() as node:
            volumes = Volumes(node.store, {"main": self.root}, ("main",))
            scrub = Scrub(node.store, volumes, 10**9)
            for _ in range(20):
                self.clock.advance(timedelta(minutes=1))
                scrub.step()
            scrub.close()
            with node.store.read() as connection:
                return sorted(
                    {row[0] for row in connection.execute("SELECT incident FROM incidents")}
                )

    def _talk(self, node: TestNode) -> None:
        node.restart()
        now = 5e6
        for _ in range(40):
            for frames in node.machine.tick(now):
                for answer in self.central.handle(frames):
                    node.machine.receive(answer, now)
            node.machine.note_progress(now)
            self.central.clock.advance(timedelta(seconds=10))
            now += 10.0


def _rig(central: TestCentral, node: TestNode, root: Path) -> AuditRig:
    """Challenge a node that is there already, instead of one that the kit makes."""
    rig = object.__new__(AuditRig)
    rig.central, rig.node, rig.root = central, node, root
    rig.unreachable, rig.chooser, rig.sealed = set(), random.Random(7), []
    rig.tools = JobTools(
        config=config_of(root.parent), store=node.store, log=node.log,
        seal=lambda camera: None, locate=rig._locate, signing_key=CENTRAL_SIGNER.public_key,
    )  # fmt: skip
    return rig


@dataclass
class Pristine:
    """The disk before any attack, with yesterday's copy, and central's database."""

    data: Path
    yesterday: Path
    central: bytes
    now: datetime

    def copy(self, target: Path) -> World:
        shutil.copytree(self.data, target / "data")
        central = TestCentral(target)
        central.set_back(self.central)
        clock = ManualClock(self.now)
        central.clock.advance(self.now - central.clock.now())
        digest = int.from_bytes(hashlib.sha256(str(target).encode()).digest()[:4], "big")
        world = World(target / "data", central, clock, SeededIds(digest))
        with world.sql() as connection:
            world.segments = list(footage.segments_in_log_order(connection))
        return world


def pristine(folder: Path, clip: Clip) -> Pristine:
    data, yesterday = folder / "data", folder / "yesterday"
    keys = data / "keys"
    keys.mkdir(parents=True, mode=0o700)
    (keys / "signing.key").write_bytes(NODE_KEY)
    (keys / "signing.key").chmod(0o600)
    clock = ManualClock(BEGAN)
    central = TestCentral(folder)
    central.enrol()
    node = TestNode(data, clock=clock)
    camera = Camera(node.store, data / "footage", clip)
    open_volume(data / "footage", node.store)
    _bind(node)
    _record(camera, clock)
    _talk(node, central, clock)
    node.close()
    shutil.copytree(data, yesterday)
    node = TestNode(data, clock=clock, ids=node.ids)
    camera.store = node.store
    clock.advance(timedelta(days=1))
    _gap(node, camera, clock)
    camera.run = ""
    _record(camera, clock)
    _talk(node, central, clock)
    node.close()
    made = Pristine(data, yesterday, central.snapshot(), clock.now())
    central.close()
    return made


def _bind(node: TestNode) -> None:
    policy = RetentionPolicy(
        policy="hunan", version=1, province="430000", agreement=None,
        effective_from=to_text(BEGAN - timedelta(days=1)),
        terms=(Term(subject="footage", years=2, days=731),), ceilings=(),
    )  # fmt: skip
    hold = Hold(
        hold=node.ids.new(), scope="span", session=None, person_ref=None,
        started_at=to_text(BEGAN), ended_at=to_text(BEGAN + timedelta(seconds=6)), cameras=(),
    )  # fmt: skip
    with node.store.write() as connection:
        adopted = PolicyAdopted(policy=policy, authority="central", author="a", reason="law")
        assert policies.adopt(node.store, connection, adopted)
        placed = HoldPlaced(hold=hold, authority="central", author="a", reason="case 12")
        assert holds.place(node.store, connection, placed)


def _record(camera: Camera, clock: ManualClock) -> None:
    for _ in range(SEGMENTS_A_DAY):
        camera.record()
        clock.advance(timedelta(seconds=4))


def _gap(node: TestNode, camera: Camera, clock: ManualClock) -> None:
    with node.store.write() as connection:
        last = footage.explained_until(connection, camera.name)
        assert last is not None
        footage.open_gap(
            node.store, connection, camera.name, SceneRole.PURCHASE, last,
            GapCause.CAMERA_UNREACHABLE,
        )  # fmt: skip
    clock.advance(timedelta(minutes=5))
    with node.store.write() as connection:
        now = clock.now() - BEGAN
        until = int((BEGAN.timestamp() + now.total_seconds()) * 1e6)
        footage.close_gap(node.store, connection, camera.name, until)
        trusted.advance(node.store, connection, None)


def _talk(node: TestNode, central: TestCentral, clock: ManualClock) -> None:
    central.clock.advance(clock.now() - central.clock.now())
    node.append(1)
    node.log.make_checkpoint_if_grown()
    node.restart()
    settle(node, central)


# -- an attacker's tools --------------------------------------------------------------------------


def records(connection: sqlite3.Connection) -> list[Record]:
    return [
        parse_record(row["bytes"])
        for row in connection.execute("SELECT bytes FROM log ORDER BY sequence")
    ]


def put_back(connection: sqlite3.Connection, log: list[Record]) -> None:
    """Write a whole log as if it had always been so: numbers, leaves, frontier; what was signed
    goes, for the node's key (which lies on the disk) signs the next one."""
    places = {
        row["id"]: row["sequence"] for row in connection.execute("SELECT id, sequence FROM log")
    }
    moved: dict[int, int] = {}
    connection.execute("DELETE FROM log")
    connection.execute("DELETE FROM checkpoints")
    frontier, sent = Frontier(), 0
    for sequence, record in enumerate(log):
        is_sent = record.sent_sequence is not None
        made = record.model_copy(
            update={"sequence": sequence, "sent_sequence": sent if is_sent else None}
        )
        raw = made.to_bytes()
        connection.execute(
            "INSERT INTO log (sequence, sent_sequence, id, kind, version, session, occurred_at,"
            " bytes, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (sequence, made.sent_sequence, made.id, made.kind, made.version,
             made.payload.get("session"), to_micros(from_text(made.occurred_at)), raw,
             leaf_hash(raw)),
        )  # fmt: skip
        frontier = frontier.append(leaf_hash(raw))
        sent += is_sent
        if record.id in places:
            moved[places[record.id]] = sequence
    connection.execute(
        "UPDATE frontier SET size = ?, sent_count = ?, hashes = ?",
        (frontier.size, sent, frontier.to_bytes()),
    )
    rows = connection.execute("SELECT id, sequence FROM segments").fetchall()
    for row in rows:
        connection.execute(
            "UPDATE segments SET sequence = ? WHERE id = ?",
            (moved.get(row["sequence"], -1), row["id"]),
        )


def changed(record: Record, **payload: object) -> Record:
    return record.model_copy(update={"payload": {**record.payload, **payload}})


def stop(world: World, reason: str) -> None:
    with world.node() as node, node.store.write() as connection:
        append(node.store, connection, NodeStopped(reason=reason))


Attack = Callable[[World, Pristine], None]
