"""The uplink without sockets and without a clock: messages in, messages out.

Central's word counts: the machine sends from the `expected_sent` of the last welcome, keeps at most
`window` records unacknowledged, and starts over with a hello when no answer comes. A record is
never dropped and never skipped: what central refuses stops the stream with an incident, not the
record. A checkpoint is offered once everything it counts as sent is acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Protocol

import structlog

from retention.records.checkpoint import SignedCheckpoint, SignedCountersignature
from retention.records.errors import ProofRejected
from retention.records.signing import Context, verify_signature
from retention.store.database import NodeIdentity
from retention.store.uplink import LogSize
from retention.terms import wire

log = structlog.get_logger()
ANSWER_SECONDS = 5.0
RECONNECT_SECONDS = 0.3
REFUSED_SECONDS = 30.0
IDLE_HELLO_SECONDS = 30.0
NOTE_SECONDS = 0.5
MAX_BATCH_BYTES = 4 * 1024 * 1024

Frames = list[bytes]


class UplinkLog(Protocol):
    """The node's log as the uplink needs it; every change is durable on return."""

    def size(self) -> LogSize: ...
    def records(self, first: int, limit: int) -> list[bytes]: ...
    def disposed_by(self, sent_sequence: int) -> int | None: ...
    def note_acked(self, expected_sent: int) -> None: ...
    def newest_checkpoint(self, above: int) -> SignedCheckpoint | None: ...
    def checkpoint_at(self, size: int) -> SignedCheckpoint: ...
    def checkpoint_root(self, tree_size: int) -> str | None: ...
    def leaves(self, first: int, size: int) -> bytes: ...
    def keep_countersignature(self, signed: SignedCountersignature) -> None: ...
    def note_incident(self, incident: str, subject: str, detail: str) -> None: ...


@dataclass(frozen=True, slots=True)
class UplinkSettings:
    """`signing_key` is central's public key, 32 bytes; `window` counts records."""

    identity: NodeIdentity
    software: str
    window: int
    signing_key: bytes


class UplinkMachine:
    """One connection's protocol. Times are seconds of any monotonic clock."""

    def __init__(self, settings: UplinkSettings, uplink_log: UplinkLog) -> None:
        self._settings, self._log = settings, uplink_log
        self._batch = max(1, min(wire.MAX_BATCH, settings.window // 2))
        self.welcomed = False
        self.confirmed = 0  # central holds everything before this sent_sequence
        self._next = 0
        self._tree_size = 0
        self._hello_due = 0.0
        self._answer_due = 0.0
        self._blocked_until = 0.0
        self._checkpoints_from = 0.0
        self._noted = 0
        self._note_due = 0.0
        self._rewound_at: int | None = None
        self._pinned: SignedCheckpoint | None = None
        self._offered: SignedCheckpoint | None = None
        self._offer_all = False

    @property
    def drained(self) -> bool:
        """Tell whether central acknowledged everything, the newest checkpoint included."""
        size = self._log.size()
        nothing_newer = self._log.newest_checkpoint(self._tree_size) is None
        return self.welcomed and self.confirmed >= size.sent_count and nothing_newer

    def tick(self, now: float) -> list[Frames]:
        """Return what is to be sent now."""
        if now < self._blocked_until:
            return []
        waiting = self._next > self.confirmed or self._offered is not None
        if self.welcomed and waiting and now >= self._answer_due:
            log.warning("uplink_answer_missing", confirmed=self.confirmed)
            self.welcomed, self._hello_due = False, now
        if now >= self._hello_due and (not self.welcomed or not waiting):
            return [self._hello(now)]
        if not self.welcomed:
            return []
        return [*self._send_records(now), *self._send_checkpoint(now)]

    def receive(self, frames: Frames, now: float) -> None:
        """Take in one message of central. What is not of this protocol is logged and ignored."""
        try:
            header = wire.decode(frames, wire.TO_NODE).header
        except wire.MalformedMessage as exc:
            log.warning("uplink_malformed_answer", reason=str(exc))
            return
        match header:
            case wire.Welcome():
                self._on_welcome(header, now)
            case wire.Ack():
                self._on_ack(header.expected_sent, now)
            case wire.CheckpointAck():
                self._on_countersignature(header.signed, now)
            case wire.CheckpointRefused():
                self._on_checkpoint_refused(header, now)
            case wire.Refused():
                self._on_refused(header, now)
            case _:
                log.warning("uplink_unexpected_answer", message=type(header).__name__)

    def disconnected(self, now: float) -> None:
        """Start over with a hello soon: what was handed out just now did not leave."""
        self.welcomed = False
        self._offered = None
        self._hello_due = now + RECONNECT_SECONDS

    def note_progress(self, now: float, *, at_once: bool = False) -> None:
        """Write down how far central acknowledged. The pointer decides nothing, so on a busy
        connection it may lag by NOTE_SECONDS; it is exact whenever nothing is under way."""
        if self.confirmed <= self._noted:
            return
        if at_once or self._next <= self.confirmed or now >= self._note_due:
            self._log.note_acked(self.confirmed)
            self._noted, self._note_due = self.confirmed, now + NOTE_SECONDS

    # -- sending ----------------------------------------------------------------------------------

    def _hello(self, now: float) -> Frames:
        self._hello_due = now + (IDLE_HELLO_SECONDS if self.welcomed else ANSWER_SECONDS)
        identity, size = self._settings.identity, self._log.size()
        return wire.encode(
            wire.Hello(
                protocol=wire.PROTOCOL,
                role="uplink",
                agency=identity.agency,
                pharmacy=identity.pharmacy,
                node=identity.node,
                software=self._settings.software,
                tree_size=size.tree_size,
                sent_count=size.sent_count,
            )
        )

    def _send_records(self, now: float) -> list[Frames]:
        out: list[Frames] = []
        room = self.confirmed + self._settings.window - self._next
        while room > 0:
            found = self._log.records(self._next, min(room, self._batch))
            blobs = _fitting(list(takewhile(bool, found)))
            if found and not blobs:
                self._stop_at_disposed(now)
            if not blobs:
                break
            if self._next == self.confirmed:
                self._answer_due = now + ANSWER_SECONDS
            out.append(wire.encode(wire.Records(first=self._next, count=len(blobs)), blobs))
            self._next += len(blobs)
            room -= len(blobs)
        return out

    def _stop_at_disposed(self, now: float) -> None:
        """Central asks again for a record that is lawfully gone: it was restored from a copy older
        than the record's term. Nothing may stand in for a record, or a node could withhold one;
        people decide, and a newer copy of central lets the stream go on by itself."""
        if self._next > self.confirmed:
            return  # what is under way comes first
        by = self._log.disposed_by(self._next)
        self._blocked_until = self._hello_due = now + REFUSED_SECONDS
        self.welcomed = False
        self._log.note_incident(
            "RECORD_DISPOSED",
            f"sent record {self._next}",
            f"central asks for it again; record {by} disposed of it",
        )

    def _send_checkpoint(self, now: float) -> list[Frames]:
        if self._offered is not None or now < self._checkpoints_from:
            return []
        # A checkpoint stays the goal until it is through, or a busy node would chase its own tail.
        if self._pinned is None or self._pinned.checkpoint.tree_size <= self._tree_size:
            self._pinned = self._log.newest_checkpoint(self._tree_size)
        signed = self._pinned
        if signed is None or signed.checkpoint.sent_count > self.confirmed:
            return []
        previous = self._tree_size
        fresh = wire.MAX_LEAVES // 2 if self._offer_all else wire.MAX_LEAVES
        if signed.checkpoint.tree_size - previous > fresh:
            signed = self._log.checkpoint_at(previous + fresh)
        if self._offer_all:
            previous = max(0, min(previous, signed.checkpoint.tree_size - wire.MAX_LEAVES))
        self._offered = signed
        self._answer_due = now + ANSWER_SECONDS
        leaves = self._log.leaves(previous, signed.checkpoint.tree_size)
        return [wire.encode(wire.CheckpointOffer(previous_size=previous, signed=signed), [leaves])]

    # -- answers ----------------------------------------------------------------------------------

    def _on_welcome(self, welcome: wire.Welcome, now: float) -> None:
        size = self._log.size()
        if welcome.expected_sent > size.sent_count or welcome.tree_size > size.tree_size:
            self.welcomed = False
            self._log.note_incident(
                "CENTRAL_AHEAD",
                f"sent record {welcome.expected_sent}",  # central's number: the same every time
                f"central holds {welcome.expected_sent} sent and a tree of {welcome.tree_size}; "
                f"this log has {size.sent_count} of {size.tree_size}",
            )
            return
        if welcome.expected_sent < self.confirmed:
            log.warning("central_went_back", was=self.confirmed, now=welcome.expected_sent)
        if self.welcomed and self._next > self.confirmed == welcome.expected_sent:
            return  # an idle hello crossed records on their way; nothing to rewind
        self.welcomed = True
        self._move_to(welcome.expected_sent)
        self._next = welcome.expected_sent
        self._tree_size = welcome.tree_size
        self._offered = self._pinned = None
        self._hello_due = now + IDLE_HELLO_SECONDS

    def _on_ack(self, expected_sent: int, now: float) -> None:
        if not self.welcomed:
            return
        if expected_sent > self._log.size().sent_count or expected_sent < self.confirmed:
            # Neither can be an answer to what this machine sent: ask again where central stands.
            self.welcomed, self._hello_due = False, now
        elif expected_sent > self.confirmed:
            self._move_to(expected_sent)
            self._answer_due = now + ANSWER_SECONDS
            self._next = max(self._next, expected_sent)
        elif self._next > expected_sent and self._rewound_at != expected_sent:
            self._rewound_at = self._next = expected_sent

    def _on_countersignature(self, signed: SignedCountersignature, now: float) -> None:
        seen = signed.countersignature
        try:
            verify_signature(
                self._settings.signing_key, Context.COUNTERSIGNATURE, seen, signed.signature
            )
        except ProofRejected as exc:
            self._block_checkpoints(now)
            self._log.note_incident("COUNTERSIGNATURE", f"tree {seen.tree_size}", str(exc))
            return
        root = self._log.checkpoint_root(seen.tree_size)
        if seen.node != self._settings.identity.node or root != seen.root_hash:
            self._block_checkpoints(now)
            self._log.note_incident(
                "COUNTERSIGNATURE", f"tree {seen.tree_size}", "it names another node or root"
            )
            return
        self._log.keep_countersignature(signed)
        self._tree_size = max(self._tree_size, seen.tree_size)
        self._offer_all = False
        if self._offered is not None and self._offered.checkpoint.tree_size == seen.tree_size:
            self._offered = None

    def _on_checkpoint_refused(self, refused: wire.CheckpointRefused, now: float) -> None:
        if self._offered is None or not self.welcomed:
            return
        self._offered = self._pinned = None
        log.warning("checkpoint_refused", code=refused.code, first_bad=refused.first_bad)
        if refused.code == "BEHIND":
            self.welcomed, self._hello_due = False, now
        elif refused.code == "ROOT_MISMATCH" and not self._offer_all:
            self._offer_all = True  # so that central can name the first bad leaf
        else:
            first_bad = "unknown" if refused.first_bad is None else str(refused.first_bad)
            self._block_checkpoints(now)
            self._log.note_incident(
                "CHECKPOINT_REFUSED", f"leaf {first_bad}", f"{refused.code}: {refused.detail}"
            )

    def _on_refused(self, refused: wire.Refused, now: float) -> None:
        log.error("uplink_refused", code=refused.code, detail=refused.detail)
        self.welcomed = False
        self._offered = None
        if refused.code == "FORBIDDEN":
            self._hello_due = self._blocked_until = now + ANSWER_SECONDS
            return
        self._hello_due = self._blocked_until = now + REFUSED_SECONDS
        self._log.note_incident(
            "UPLINK_REFUSED", f"sent record {self.confirmed}", f"{refused.code}: {refused.detail}"
        )

    def _move_to(self, expected_sent: int) -> None:
        self.confirmed = expected_sent
        self._rewound_at = None

    def _block_checkpoints(self, now: float) -> None:
        self._offered, self._offer_all = None, False
        self._checkpoints_from = now + 10 * REFUSED_SECONDS


def _fitting(blobs: list[bytes]) -> list[bytes]:
    """Cut a batch so that one message stays small; a single large record always fits."""
    total = 0
    for count, blob in enumerate(blobs):
        total += len(blob)
        if total > MAX_BATCH_BYTES and count:
            return blobs[:count]
    return blobs
