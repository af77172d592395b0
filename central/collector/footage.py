"""Footage that a node was asked for: offered, received in chunks, checked, kept.

A segment is accepted only when (1) its record is the node's, for a simulated camera that the
command asks for, (2) the record's inclusion in an acknowledged checkpoint is proven, and (3) the
bytes that came have the record's length, SHA-256 and chunk root. Bytes lie in `.part` until then;
what fails (3) is kept apart as `.rejected` with an incident. A restart forgets half a segment and
asks for it again from its start.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, Row, func, insert, select, update

from central.collector.values import MessageRefused, NodeState
from central.incidents import note_incident
from central.tables import CheckpointRow, CommandRow, CommandSegment, Footage, table_of
from retention.durable import fsync_directory, rename_durably
from retention.records.clock import from_text, to_micros
from retention.records.envelope import parse_record
from retention.records.errors import MalformedRecord, ProofRejected
from retention.records.merkle import (
    CHUNK_BYTES,
    Frontier,
    leaf_hash,
    split_hashes,
    verify_inclusion,
)
from retention.records.payloads import SegmentSealed
from retention.terms import wire
from retention.terms.commands import SignedCommand

COMMANDS, FOOTAGE = table_of(CommandRow), table_of(Footage)
LINKS, CHECKPOINTS = table_of(CommandSegment), table_of(CheckpointRow)


@dataclass(slots=True)
class _Receiving:
    """A segment on its way in: its file and the digests of the bytes so far."""

    path: Path
    file: BinaryIO
    size: int
    expected_sha256: str
    expected_root: str
    received: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    chunks: Frontier = field(default_factory=Frontier)
    pending: bytearray = field(default_factory=bytearray)

    def add(self, content: bytes) -> None:
        self.file.write(content)
        self.sha256.update(content)
        self.received += len(content)
        self.pending += content
        while len(self.pending) >= CHUNK_BYTES:
            self._chunk(CHUNK_BYTES)

    def finish(self) -> str | None:
        """Make the bytes durable and return what does not fit, None when all does."""
        if self.pending:
            self._chunk(len(self.pending))
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        if self.sha256.hexdigest() != self.expected_sha256:
            return "SHA256_MISMATCH"
        if self.chunks.root().hex() != self.expected_root:
            return "CHUNK_ROOT_MISMATCH"
        return None

    def _chunk(self, length: int) -> None:
        self.chunks = self.chunks.append(leaf_hash(bytes(self.pending[:length])))
        del self.pending[:length]


class FootageDesk:
    """Receives segments for open commands into `root/NODE/SEGMENT.mp4`."""

    def __init__(self, root: Path, segment_bytes: int) -> None:
        self._root, self._segment_bytes = root, segment_bytes
        self._receiving: dict[tuple[str, str], _Receiving] = {}

    def close(self) -> None:
        """Forget half segments; they are asked for again from their start."""
        for receiving in self._receiving.values():
            receiving.file.close()
        self._receiving.clear()

    def open_commands(
        self, connection: Connection, nodes: tuple[str, ...], now: int
    ) -> list[tuple[str, str, list[bytes]]]:
        """Return (node, command id, frames) of every command that still wants an answer."""
        rows = connection.execute(
            select(COMMANDS.c.node, COMMANDS.c.command, COMMANDS.c.body)
            .where(
                COMMANDS.c.node.in_(nodes),
                COMMANDS.c.concluded_at.is_(None),
                COMMANDS.c.expires_at > now,
            )
            .order_by(COMMANDS.c.issued_at)
        )
        return [
            (row.node, row.command, wire.encode(wire.Command(signed=_signed(row.body))))
            for row in rows
        ]

    def offer(
        self,
        connection: Connection,
        node: NodeState,
        offer: wire.SegmentOffer,
        blobs: tuple[bytes, ...],
        now: int,
    ) -> wire.SegmentAck:
        """Check a segment's record and proof, and say from which byte on it is wanted."""
        command = _open_command(connection, node, offer.command, now)
        sealed, sequence = _sealed_record(node, blobs[0])
        _link(connection, node, offer, sealed.segment)
        known = _footage_row(connection, node, sealed.segment)
        if known is not None and known.state == "accepted":
            return _ack(offer.command, sealed.segment, known.size_bytes, accepted=True)
        reason = self._offer_problem(connection, node, command, sealed, sequence, offer, blobs)
        if reason is not None:
            note_incident(connection, node, reason, f"segment {sealed.segment}", "offer", now)
            return _ack(offer.command, sealed.segment, 0, accepted=False, reason=reason)
        receiving = self._receiving.get((node.node, sealed.segment))
        if receiving is None:
            receiving = self._open(node, sealed)
            if known is None:
                _insert(connection, node, sealed, sequence, offer, blobs)
            else:
                _set_state(connection, node, sealed.segment, "receiving", None, None, None)
        return _ack(offer.command, sealed.segment, receiving.received)

    def chunk(
        self,
        connection: Connection,
        node: NodeState,
        chunk: wire.SegmentChunk,
        content: bytes,
        now: int,
    ) -> wire.SegmentAck:
        """Add bytes; at the last one check the whole and keep or set apart the file."""
        _open_command(connection, node, chunk.command, now)
        receiving = self._receiving.get((node.node, chunk.segment))
        if receiving is None:
            known = _footage_row(connection, node, chunk.segment)
            if known is None or known.state == "receiving":
                raise MessageRefused("OFFER_FIRST", f"segment {chunk.segment} is not being sent")
            return _ack(
                chunk.command, chunk.segment, known.size_bytes,
                accepted=known.state == "accepted", reason=known.reason,
            )  # fmt: skip
        if chunk.offset != receiving.received or not content:
            return _ack(chunk.command, chunk.segment, receiving.received)
        receiving.add(content)
        if receiving.received < receiving.size:
            return _ack(chunk.command, chunk.segment, receiving.received)
        del self._receiving[node.node, chunk.segment]
        reason = receiving.finish()
        if receiving.received > receiving.size:
            reason = "TOO_LONG"
        return self._conclude(connection, node, chunk, receiving, reason, now)

    def done(
        self, connection: Connection, node: NodeState, done: wire.FootageDone, now: int
    ) -> None:
        """Conclude a command as the node says; `sent` only if that many segments were accepted."""
        accepted = connection.execute(
            select(func.count())
            .select_from(LINKS.join(FOOTAGE, LINKS.c.segment == FOOTAGE.c.segment))
            .where(
                LINKS.c.command == done.command,
                FOOTAGE.c.node == node.node,
                FOOTAGE.c.state == "accepted",
            )
        ).scalar_one()
        outcome, detail = done.outcome, done.reason
        if outcome == "sent" and accepted != done.segments:
            outcome, detail = "failed", f"{done.segments} said to be sent, {accepted} accepted"
        connection.execute(
            update(COMMANDS)
            .where(
                COMMANDS.c.command == done.command,
                COMMANDS.c.node == node.node,
                COMMANDS.c.concluded_at.is_(None),
            )
            .values(
                outcome=outcome, detail=detail, segments_offered=done.segments, concluded_at=now
            )
        )

    def _offer_problem(
        self,
        connection: Connection,
        node: NodeState,
        command: SignedCommand,
        sealed: SegmentSealed,
        sequence: int,
        offer: wire.SegmentOffer,
        blobs: tuple[bytes, ...],
    ) -> str | None:
        asked = command.command
        # (1) the camera is simulated by the node's own latest status (invariant 9)
        if not is_simulated(node.status, sealed.camera):
            return "NOT_SIMULATED"
        # (2) the command asks for this camera and this time
        if asked.cameras and sealed.camera not in asked.cameras:
            return "NOT_ASKED_FOR"
        if sealed.ended_at <= asked.started_at or sealed.started_at >= asked.ended_at:
            return "NOT_ASKED_FOR"
        # (3) the length is the record's, and bearable
        if offer.bytes != sealed.bytes or not 0 < sealed.bytes <= self._segment_bytes:
            return "BYTES_MISMATCH"
        # (4) the record is a leaf of a checkpoint that central countersigned
        root = connection.execute(
            select(CHECKPOINTS.c.root_hash).where(
                CHECKPOINTS.c.node == node.node, CHECKPOINTS.c.tree_size == offer.tree_size
            )
        ).scalar_one_or_none()
        if root is None:
            return "CHECKPOINT_UNKNOWN"
        try:
            proof = split_hashes(blobs[1])
            verify_inclusion(leaf_hash(blobs[0]), sequence, offer.tree_size, proof, root)
        except ProofRejected:
            return "PROOF_REJECTED"
        return None

    def _open(self, node: NodeState, sealed: SegmentSealed) -> _Receiving:
        folder = self._root / node.node
        folder.mkdir(parents=True, exist_ok=True)
        fsync_directory(self._root)
        path = folder / f"{sealed.segment}.mp4"
        receiving = _Receiving(
            path=path,
            file=path.with_suffix(".mp4.part").open("wb"),
            size=sealed.bytes,
            expected_sha256=sealed.file_sha256,
            expected_root=sealed.chunk_root,
        )
        self._receiving[node.node, sealed.segment] = receiving
        return receiving

    def _conclude(
        self,
        connection: Connection,
        node: NodeState,
        chunk: wire.SegmentChunk,
        receiving: _Receiving,
        reason: str | None,
        now: int,
    ) -> wire.SegmentAck:
        state = "accepted" if reason is None else "rejected"
        path = receiving.path if reason is None else receiving.path.with_suffix(".mp4.rejected")
        rename_durably(receiving.path.with_suffix(".mp4.part"), path)
        _set_state(
            connection, node, chunk.segment, state, reason,
            str(path.relative_to(self._root)), now,
        )  # fmt: skip
        if reason is not None:
            note_incident(
                connection, node, reason, f"segment {chunk.segment}",
                f"{receiving.received} bytes kept apart as {path.name}", now,
            )  # fmt: skip
        return _ack(
            chunk.command, chunk.segment, receiving.received,
            accepted=reason is None, reason=reason,
        )  # fmt: skip


def is_simulated(status: str | None, camera: str) -> bool:
    """Tell whether the node's latest status says that a camera is simulated."""
    cameras = json.loads(status)["cameras"] if status is not None else []
    return any(known["camera"] == camera and known["simulated"] is True for known in cameras)


def _open_command(connection: Connection, node: NodeState, command: str, now: int) -> SignedCommand:
    row = connection.execute(
        select(COMMANDS.c.body, COMMANDS.c.expires_at, COMMANDS.c.concluded_at).where(
            COMMANDS.c.command == command, COMMANDS.c.node == node.node
        )
    ).one_or_none()
    if row is None:
        raise MessageRefused("COMMAND_UNKNOWN", f"no command {command} for this node")
    if row.concluded_at is not None or row.expires_at <= now:
        raise MessageRefused("COMMAND_CLOSED", f"command {command} is concluded or expired")
    return _signed(row.body)


def _sealed_record(node: NodeState, raw: bytes) -> tuple[SegmentSealed, int]:
    try:
        record = parse_record(raw)
        content = record.content()
    except MalformedRecord as exc:
        raise MessageRefused("MALFORMED", f"offered record: {exc}") from exc
    if not isinstance(content, SegmentSealed):
        raise MessageRefused("MALFORMED", f"offered record is {record.kind}, not segment.sealed")
    if (record.agency, record.pharmacy, record.node) != (node.agency, node.pharmacy, node.node):
        raise MessageRefused("OTHER_NODE", f"offered record is of node {record.node}")
    return content, record.sequence


def _link(connection: Connection, node: NodeState, offer: wire.SegmentOffer, segment: str) -> None:
    known = connection.execute(
        select(LINKS.c.segment).where(LINKS.c.command == offer.command, LINKS.c.segment == segment)
    ).first()
    if known is None:
        connection.execute(
            insert(LINKS).values(
                agency=node.agency, pharmacy=node.pharmacy, node=node.node,
                command=offer.command, segment=segment, ordinal=offer.ordinal,
            )
        )  # fmt: skip
        connection.execute(
            update(COMMANDS)
            .where(COMMANDS.c.command == offer.command)
            .values(segments_offered=offer.total)
        )


def _insert(
    connection: Connection,
    node: NodeState,
    sealed: SegmentSealed,
    sequence: int,
    offer: wire.SegmentOffer,
    blobs: tuple[bytes, ...],
) -> None:
    connection.execute(
        insert(FOOTAGE).values(
            agency=node.agency,
            pharmacy=node.pharmacy,
            node=node.node,
            segment=sealed.segment,
            camera=sealed.camera,
            scene_role=sealed.scene_role,
            started_at=to_micros(from_text(sealed.started_at)),
            ended_at=to_micros(from_text(sealed.ended_at)),
            sequence=sequence,
            tree_size=offer.tree_size,
            size_bytes=sealed.bytes,
            file_sha256=sealed.file_sha256,
            chunk_root=sealed.chunk_root,
            record=blobs[0],
            proof=blobs[1],
            state="receiving",
        )
    )


def _set_state(
    connection: Connection,
    node: NodeState,
    segment: str,
    state: str,
    reason: str | None,
    path: str | None,
    concluded_at: int | None,
) -> None:
    connection.execute(
        update(FOOTAGE)
        .where(FOOTAGE.c.node == node.node, FOOTAGE.c.segment == segment)
        .values(state=state, reason=reason, path=path, concluded_at=concluded_at)
    )


def _footage_row(
    connection: Connection, node: NodeState, segment: str
) -> Row[*tuple[Any, ...]] | None:
    return connection.execute(
        select(FOOTAGE.c.state, FOOTAGE.c.size_bytes, FOOTAGE.c.reason).where(
            FOOTAGE.c.node == node.node, FOOTAGE.c.segment == segment
        )
    ).one_or_none()


def _signed(body: bytes) -> SignedCommand:
    return SignedCommand.model_validate_json(body)


def _ack(
    command: str,
    segment: str,
    received: int,
    *,
    accepted: bool | None = None,
    reason: str | None = None,
) -> wire.SegmentAck:
    return wire.SegmentAck(
        command=command, segment=segment, received=received, accepted=accepted, reason=reason
    )
