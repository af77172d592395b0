"""Footage that a node was asked for: offered, received in chunks, checked, kept.

A segment is accepted only when (1) its record is the node's, for a simulated camera and a time that
the command asks for, (2) the record's inclusion in an acknowledged checkpoint is proven, and (3)
the bytes that came have the record's length, SHA-256 and chunk root. Bytes lie in `.part` until
then; what fails (3) is kept apart as `.rejected` with an incident. A restart, a full disk or the
end of the command forgets half a segment; it is asked for again from its start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from sqlalchemy import Connection

from central.collector import footage_rows as rows
from central.collector.offers import offer_problem, sealed_record
from central.collector.receiving import Receiving, file_of, remove_halves
from central.collector.values import MessageRefused, NodeState
from central.incidents import note_incident
from retention.terms import wire

log = structlog.get_logger()
MAX_OPEN = 8  # segments of one node at a time; an honest node sends one for each command
Key = tuple[str, str]  # node, segment


class FootageDesk:
    """Receives segments for open commands into `root/NODE/SEGMENT.mp4`."""

    def __init__(self, root: Path, segment_bytes: int) -> None:
        """Begin with nothing half received; the halves of an earlier process are removed."""
        self._root, self._segment_bytes = root, segment_bytes
        self._receiving: dict[Key, Receiving] = {}
        remove_halves(root)

    def close(self) -> None:
        """Forget half segments; they are asked for again from their start."""
        for key in list(self._receiving):
            self._abandon(key)

    def open_commands(
        self, connection: Connection, nodes: tuple[str, ...], now: int
    ) -> list[tuple[str, str, list[bytes]]]:
        """Return (node, command id, frames) of every command that still wants an answer."""
        self._forget_expired(now)
        return [
            (node, command, wire.encode(wire.Command(signed=signed)))
            for node, command, signed in rows.open_commands(connection, nodes, now)
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
        self._forget_expired(now)
        asked, expires_at = rows.open_footage(connection, node, offer.command, now)
        sealed, sequence = sealed_record(node, blobs[0])
        known = rows.find(connection, node, sealed.segment)
        reason = offer_problem(
            connection, node, asked, sealed, sequence, offer, blobs,
            longest=self._segment_bytes,
        )  # fmt: skip
        if reason is None and known is not None and known.record != blobs[0]:
            reason = "RECORD_MISMATCH"
        if reason is not None:
            note_incident(connection, node, reason, f"segment {sealed.segment}", "offer", now)
            return _ack(offer.command, sealed.segment, 0, accepted=False, reason=reason)
        rows.link(connection, node, offer, sealed.segment)
        if known is not None and known.state == "accepted":
            return _ack(offer.command, sealed.segment, known.size_bytes, accepted=True)
        key = (node.node, sealed.segment)
        receiving = self._receiving.get(key)
        if receiving is None:
            self._make_room(node.node)
            with self._disk(key):
                path = file_of(self._root, *key)
                receiving = Receiving(path, sealed, offer.command, expires_at)
            self._receiving[key] = receiving
        # The row is looked at apart from the file: a commit that failed kept the file open.
        if known is None:
            rows.insert_receiving(connection, node, sealed, sequence, offer, blobs)
        else:
            rows.set_state(connection, node, sealed.segment, "receiving")
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
        rows.open_footage(connection, node, chunk.command, now)
        key = (node.node, chunk.segment)
        receiving = self._receiving.get(key)
        if receiving is None:
            known = rows.find(connection, node, chunk.segment)
            if known is None or known.state == "receiving":
                raise MessageRefused("OFFER_FIRST", f"segment {chunk.segment} is not being sent")
            return _ack(
                chunk.command, chunk.segment, known.size_bytes,
                accepted=known.state == "accepted", reason=known.reason,
            )  # fmt: skip
        if chunk.offset != receiving.received or not content:
            return _ack(chunk.command, chunk.segment, receiving.received)
        with self._disk(key):
            receiving.add(content)
            if receiving.received < receiving.size:
                return _ack(chunk.command, chunk.segment, receiving.received)
            reason = receiving.finish()
            path = receiving.keep(rejected=reason is not None)
        del self._receiving[key]
        rows.set_state(
            connection, node, chunk.segment, "accepted" if reason is None else "rejected",
            reason=reason, path=str(path.relative_to(self._root)), concluded_at=now,
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

    def done(
        self, connection: Connection, node: NodeState, done: wire.CommandDone, now: int
    ) -> None:
        """Conclude a command as the node says; `sent` only if that many segments were accepted."""
        if rows.kind_of(connection, node, done.command) != "footage":
            rows.conclude(connection, node, done, done.outcome, done.reason, now)
            return
        accepted = rows.count_accepted(connection, node, done.command)
        outcome, detail = done.outcome, done.reason
        if outcome == "sent" and not 0 < accepted == done.segments:
            outcome, detail = "failed", f"{done.segments} said to be sent, {accepted} accepted"
        rows.conclude(connection, node, done, outcome, detail, now)
        for key, receiving in list(self._receiving.items()):
            if (key[0], receiving.command) == (node.node, done.command):
                self._abandon(key)

    @contextmanager
    def _disk(self, key: Key) -> Iterator[None]:
        """Give up a segment that cannot be written now; the node offers it again later."""
        try:
            yield
        except OSError as exc:
            self._abandon(key)
            log.error("footage_not_stored", node=key[0], segment=key[1], reason=exc.strerror)
            raise MessageRefused("STORAGE_UNAVAILABLE", f"segment {key[1]} not stored") from exc

    def _make_room(self, node: str) -> None:
        """Keep the files that one node holds open few: its oldest half segment goes."""
        mine = [key for key in self._receiving if key[0] == node]
        if len(mine) >= MAX_OPEN:
            self._abandon(mine[0])

    def _forget_expired(self, now: int) -> None:
        for key, receiving in list(self._receiving.items()):
            if receiving.expires_at <= now:
                self._abandon(key)

    def _abandon(self, key: Key) -> None:
        receiving = self._receiving.pop(key, None)
        if receiving is not None:
            receiving.abandon()


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
