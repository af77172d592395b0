"""Sending segments to central, without sockets: acknowledgements in, offers and chunks out.

One segment at a time is offered and sent with at most WINDOW chunks unacknowledged. Central's
`received` counts: what it has is not sent again, and when it forgot everything the segment begins
again. Nothing here decides what may leave the node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from retention.terms import wire

ANSWER_SECONDS = 5.0
REFUSED_SECONDS = 2.0
WINDOW = 4
CHUNK_BYTES = 256 * 1024

Frames = list[bytes]


@dataclass(frozen=True, slots=True)
class UploadItem:
    """A segment to send: where its record stands, the tree that covers it, the file's length."""

    segment: str
    sequence: int
    tree_size: int
    size: int


class Source(Protocol):
    """Where the bytes of an upload come from."""

    def evidence(self, item: UploadItem) -> list[bytes]:
        """Return the segment's record and the record's inclusion proof; may take seconds."""
        ...

    def read(self, item: UploadItem, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes of the file."""
        ...


@dataclass(frozen=True, slots=True)
class Rejection:
    """A segment that central did not accept, and why."""

    segment: str
    reason: str


class Upload:
    """One command's segments on their way. Times are seconds of any monotonic clock."""

    def __init__(self, command: str, items: Sequence[UploadItem], source: Source) -> None:
        self._command, self._items, self._source = command, items, source
        self._index = 0
        self._offer: Frames | None = None
        self.accepted: list[str] = []
        self.rejected: list[Rejection] = []
        self._offered = False
        self._received: int | None = None
        self._sent = 0
        self._answer_due = 0.0
        self._not_before = 0.0

    @property
    def finished(self) -> bool:
        return self._index == len(self._items)

    def send(self, now: float) -> list[Frames]:
        """Return what is to be sent now."""
        if self.finished or now < self._not_before:
            return []
        if self._offered and now >= self._answer_due:
            self._start_segment()
        item = self._items[self._index]
        if not self._offered:
            self._offered, self._answer_due = True, now + ANSWER_SECONDS
            # Proving takes long in a large log: once for each segment, never for all in one step.
            self._offer = self._offer or self._make_offer(item)
            return [self._offer]
        return self._chunks(item, now)

    def receive(self, ack: wire.SegmentAck, now: float) -> None:
        """Take in an acknowledgement; one of another segment is a late one and ignored."""
        if self.finished or ack.segment != self._items[self._index].segment:
            return
        if ack.accepted is not None:
            if ack.accepted:
                self.accepted.append(ack.segment)
            else:
                self.rejected.append(Rejection(ack.segment, ack.reason or "not said"))
            self._index += 1
            self._offer = None
            self._start_segment()
        elif self._received is None or ack.received > self._received:
            self._sent = max(self._sent, ack.received)
            self._received, self._answer_due = ack.received, now + ANSWER_SECONDS
        elif ack.received < self._received:
            self._start_segment()

    def start_over(self, not_before: float = 0.0) -> None:
        """Offer the current segment again: the connection or central was lost."""
        self._not_before = not_before
        self._start_segment()

    def _start_segment(self) -> None:
        self._offered = False
        self._received = None
        self._sent = 0
        self._answer_due = 0.0

    def _make_offer(self, item: UploadItem) -> Frames:
        offer = wire.SegmentOffer(
            command=self._command,
            ordinal=self._index,
            total=len(self._items),
            tree_size=item.tree_size,
            bytes=item.size,
        )
        return wire.encode(offer, self._source.evidence(item))

    def _chunks(self, item: UploadItem, now: float) -> list[Frames]:
        out: list[Frames] = []
        if self._received is None:
            return out
        while self._sent < item.size and self._sent - self._received < WINDOW * CHUNK_BYTES:
            length = min(CHUNK_BYTES, item.size - self._sent)
            content = self._source.read(item, self._sent, length)
            header = wire.SegmentChunk(
                command=self._command, segment=item.segment, offset=self._sent
            )
            out.append(wire.encode(header, [content]))
            self._sent += len(content)
        return out
