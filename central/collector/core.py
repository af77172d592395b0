"""The collector without sockets: messages in, answers out, one transaction for what came together.

Who sends is told by the CURVE key of the connection, never by the message. Answers leave only
after the commit, so an acknowledged record is durable. A message that is refused changes nothing
but, for what an honest node does not send, a row in `wire_incidents`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import Connection, select, update

from central import standing
from central.collector.checkpoints import CheckpointRejected, accept_checkpoint
from central.collector.footage import FootageDesk
from central.collector.ingest import read_batch, store_batch
from central.collector.proofs import take_proof
from central.collector.reading import ReadRecord
from central.collector.values import (
    NODES,
    AttackSeen,
    MessageRefused,
    NodeState,
    node_by_key,
)
from central.database import Database
from central.incidents import note_incident
from retention.records.clock import Clock, to_micros
from retention.records.fields import Frozen
from retention.records.ids import IdSource, SystemIds
from retention.records.signing import Signer
from retention.terms import wire

log = structlog.get_logger()
TRUNCATION_SPACING = timedelta(seconds=1) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message: the connection it came on, the key of that connection (Z85), its frames."""

    route: bytes
    key: str
    frames: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Departure:
    """One answer and the connection it goes to."""

    route: bytes
    frames: list[bytes]


@dataclass(frozen=True, slots=True)
class _Read:
    """An arrival after decoding; `batch` holds the parsed records of a `records` message."""

    arrival: Arrival
    message: wire.Message
    batch: Sequence[ReadRecord] = ()


@dataclass(frozen=True, slots=True)
class _ShortHello:
    """The first hello that told of fewer records than are held."""

    expected_sent: int
    tree_size: int
    seen_at: int


class Collector:
    """Answers nodes. Holds no state that a restart may not lose."""

    def __init__(
        self,
        database: Database,
        signer: Signer,
        clock: Clock,
        footage: FootageDesk,
        ids: IdSource | None = None,
    ) -> None:
        self._database, self._signer, self._clock = database, signer, clock
        self._footage, self._ids = footage, ids or SystemIds()
        self._routes: dict[str, bytes] = {}  # node -> connection of its commands process
        self._delivered: set[tuple[bytes, str]] = set()
        self._short_hellos: dict[str, _ShortHello] = {}

    def handle(self, arrivals: Sequence[Arrival]) -> list[Departure]:
        """Take in what came, commit once, and return the answers in order.

        Raises DatabaseUnavailable when nothing could be committed; nothing is answered then, and
        the nodes send again.
        """
        now = to_micros(self._clock.now())
        read = [self._read(arrival) for arrival in arrivals]
        departures: list[Departure] = []
        with self._database.write() as connection:
            for item in read:
                if isinstance(item, Departure):
                    departures.append(item)
                else:
                    route = item.arrival.route
                    frames = self._answer(connection, item, now)
                    departures.extend(Departure(route, frame) for frame in frames)
        return departures

    def commands_due(self) -> list[Departure]:
        """Return open commands for connected nodes that were not told them on this connection."""
        if not self._routes:
            return []
        with self._database.read() as connection:
            nodes = connection.execute(
                select(NODES.c.node).where(
                    NODES.c.node.in_(self._routes), NODES.c.revoked_at.is_(None)
                )
            ).scalars()
            due = self._footage.open_commands(connection, tuple(nodes), self._now())
        return [
            Departure(self._routes[node], frames)
            for node, command, frames in due
            if self._first_delivery(self._routes[node], command)
        ]

    def forget(self, route: bytes) -> None:
        """Drop a connection that can no longer be reached."""
        self._routes = {node: known for node, known in self._routes.items() if known != route}
        self._delivered = {item for item in self._delivered if item[0] != route}

    def _now(self) -> int:
        return to_micros(self._clock.now())

    def _read(self, arrival: Arrival) -> _Read | Departure:
        try:
            message = wire.decode(arrival.frames, wire.TO_CENTRAL)
            batch = read_batch(message.blobs) if isinstance(message.header, wire.Records) else ()
        except wire.MalformedMessage as exc:
            return Departure(arrival.route, _refused("MALFORMED", str(exc)))
        except MessageRefused as exc:
            return Departure(arrival.route, _refused(exc.code, exc.detail))
        return _Read(arrival, message, batch)

    def _answer(self, connection: Connection, item: _Read, now: int) -> list[list[bytes]]:
        node = node_by_key(connection, item.arrival.key, lock=True)
        if node is None or node.revoked:
            return [_refused("FORBIDDEN", "this key is not enrolled, or was revoked")]
        try:
            with connection.begin_nested():
                return [
                    wire.encode(header) for header in self._dispatch(connection, node, item, now)
                ]
        except AttackSeen as exc:
            note_incident(connection, node, exc.code, exc.subject, exc.detail, now)
            return [_refused(exc.code, exc.detail)]
        except CheckpointRejected as exc:
            return [self._checkpoint_refused(connection, node, exc, now)]
        except MessageRefused as exc:
            log.info("message_refused", node=node.node, code=exc.code)
            return [_refused(exc.code, exc.detail)]

    def _dispatch(
        self, connection: Connection, node: NodeState, item: _Read, now: int
    ) -> Sequence[Frozen]:
        header, blobs = item.message.header, item.message.blobs
        match header:
            case wire.Records():
                expected = store_batch(connection, node, header.first, item.batch, now)
                return [wire.Ack(expected_sent=expected)]
            case wire.CheckpointOffer():
                signed = accept_checkpoint(connection, node, header, blobs[0], self._signer, now)
                return [wire.CheckpointAck(signed=signed)]
            case wire.Status():
                _store_status(connection, node, header, now)
                return []
            case wire.Hello():
                return self._hello(connection, node, header, item.arrival.route, now)
            case wire.SegmentOffer():
                return [self._footage.offer(connection, node, header, blobs, now)]
            case wire.SegmentChunk():
                return [self._footage.chunk(connection, node, header, blobs[0], now)]
            case wire.Proof():
                return [take_proof(connection, node, header, blobs, now)]
            case wire.CommandDone():
                self._footage.done(connection, node, header, now)
                return []
            case _:
                raise MessageRefused("MALFORMED", f"{type(header).__name__} is not expected here")

    def _hello(
        self, connection: Connection, node: NodeState, hello: wire.Hello, route: bytes, now: int
    ) -> Sequence[Frozen]:
        # (1) both sides speak the same protocol
        if hello.protocol != wire.PROTOCOL:
            raise MessageRefused(
                "PROTOCOL", f"protocol {hello.protocol}; this central speaks {wire.PROTOCOL}"
            )
        # (2) the node is the one this key was enrolled for
        if (hello.agency, hello.pharmacy, hello.node) != (node.agency, node.pharmacy, node.node):
            raise AttackSeen("OTHER_NODE", f"hello of {hello.node}", "the key is another node's")
        welcome = wire.Welcome(
            protocol=wire.PROTOCOL, expected_sent=node.expected_sent, tree_size=node.tree_size
        )
        connection.execute(update(NODES).where(NODES.c.node == node.node).values(last_seen=now))
        if hello.role == "uplink":
            self._watch_truncation(connection, node, hello, now)
            return [welcome]
        if (before := self._routes.get(node.node)) != route:
            if before is not None:
                self.forget(before)
            self._routes[node.node] = route
            standing.take_over(connection, node.agency, node.pharmacy)
        standing.issue_due(connection, node, self._signer, self._ids, now)
        commands = self._footage.open_commands(connection, (node.node,), now)
        self._delivered.update((route, command) for _, command, _ in commands)
        return [welcome, *(wire.decode(frames, wire.TO_NODE).header for _, _, frames in commands)]

    def _watch_truncation(
        self, connection: Connection, node: NodeState, hello: wire.Hello, now: int
    ) -> None:
        """Name a log that became shorter. One short hello may be a late one; a second is not."""
        if hello.sent_count >= node.expected_sent and hello.tree_size >= node.tree_size:
            self._short_hellos.pop(node.node, None)
            return
        found = _ShortHello(node.expected_sent, hello.tree_size, now)
        first = self._short_hellos.setdefault(node.node, found)
        if first.expected_sent != node.expected_sent:
            self._short_hellos[node.node] = found
        elif now - first.seen_at >= TRUNCATION_SPACING:
            note_incident(
                connection, node, "TRUNCATED",
                f"record {min(first.tree_size, node.last_sequence)}",
                f"the node has {hello.sent_count} sent of {hello.tree_size} records; "
                f"central holds {node.expected_sent} and a tree of {node.tree_size}",
                now,
            )  # fmt: skip

    def _first_delivery(self, route: bytes, command: str) -> bool:
        if (route, command) in self._delivered:
            return False
        self._delivered.add((route, command))
        return True

    def _checkpoint_refused(
        self, connection: Connection, node: NodeState, exc: CheckpointRejected, now: int
    ) -> list[bytes]:
        if exc.attack:
            first_bad = "unknown" if exc.first_bad is None else str(exc.first_bad)
            note_incident(connection, node, exc.code, f"leaf {first_bad}", exc.detail, now)
        return wire.encode(
            wire.CheckpointRefused(
                code=exc.code,
                detail=exc.detail,
                tree_size=node.tree_size,
                expected_sent=node.expected_sent,
                first_bad=exc.first_bad,
            )
        )


def _store_status(connection: Connection, node: NodeState, status: wire.Status, now: int) -> None:
    cameras = {known.camera for known in status.cameras}
    if len(cameras) != len(status.cameras):  # or one could be called simulated and real at once
        raise MessageRefused("MALFORMED", "status: a camera is named twice")
    connection.execute(
        update(NODES)
        .where(NODES.c.node == node.node)
        .values(
            status=json.dumps(status.model_dump(mode="json")),
            status_received_at=now,
            last_seen=now,
        )
    )


def _refused(code: str, detail: str) -> list[bytes]:
    return wire.encode(wire.Refused(code=code, detail=detail[:200]))


def key_is_enrolled(database: Database, key: str) -> bool:
    """Tell whether a CURVE key belongs to an enrolled node that was not revoked."""
    with database.read() as connection:
        revoked = connection.execute(
            select(NODES.c.revoked_at).where(NODES.c.curve_key == key)
        ).one_or_none()
    return revoked is not None and revoked[0] is None
