"""What the uplink keeps: how far central acknowledged, signed checkpoints, commands taken up.

`acked_sent` only grows: it says what central once acknowledged. Where to send from is central's
word at each welcome, because a restored central may need older records again; the log has them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from retention.records.canonical import canonical_bytes
from retention.records.checkpoint import Checkpoint, SignedCheckpoint, SignedCountersignature
from retention.records.clock import to_micros, to_text
from retention.records.merkle import Frontier
from retention.records.payloads import FootageSent, IncidentRecorded
from retention.records.signing import Context, Signer
from retention.store.database import NodeStore
from retention.store.log import append, leaves, read_frontier
from retention.terms.commands import CommandOutcome, SignedCommand

LEAVES_AT_ONCE = 10_000
DAY_US = 86_400_000_000
LEAST_FOOTAGE_US = 120_000_000
"""Less footage of a camera than this says too little about how much a day of it takes."""


@dataclass(frozen=True, slots=True)
class LogSize:
    """How long the log is: all records, and those of sent kinds."""

    tree_size: int
    sent_count: int


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A sealed segment: where its file lies (relative to its volume) and its record."""

    segment: str
    camera: str
    path: str
    bytes: int
    sequence: int
    ended_at: int
    volume: str


@dataclass(frozen=True, slots=True)
class CameraState:
    """What the tables say of a camera now; `ended_at` of its last sealed segment."""

    last_ended_at: int | None
    gap_open: bool


def log_size(connection: sqlite3.Connection) -> LogSize:
    row = connection.execute("SELECT size, sent_count FROM frontier").fetchone()
    return LogSize(row["size"], row["sent_count"])


def acked_sent(connection: sqlite3.Connection) -> int:
    (value,) = connection.execute("SELECT acked_sent FROM uplink").fetchone()
    return int(value)


def note_acked(connection: sqlite3.Connection, expected_sent: int) -> None:
    """Move the acknowledged pointer forward; never back."""
    connection.execute(
        "UPDATE uplink SET acked_sent = ? WHERE acked_sent < ?", (expected_sent, expected_sent)
    )


def unsent_bytes(connection: sqlite3.Connection, first: int, limit: int) -> list[bytes]:
    """Return the canonical bytes of up to `limit` sent-kind records from `first` on; empty bytes
    for one that was disposed of."""
    rows = connection.execute(
        "SELECT bytes FROM log WHERE sent_sequence >= ? ORDER BY sent_sequence LIMIT ?",
        (first, limit),
    )
    return [row[0] for row in rows]


def disposed_by(connection: sqlite3.Connection, sent_sequence: int) -> int | None:
    """Return where the record stands that disposed of a sent-kind record, if one did."""
    row = connection.execute(
        "SELECT disposed_by FROM log WHERE sent_sequence = ?", (sent_sequence,)
    ).fetchone()
    return None if row is None else row[0]


def oldest_unsent_at(connection: sqlite3.Connection, first: int) -> int | None:
    """Return when the record with sent_sequence `first` occurred, in microseconds."""
    row = connection.execute(
        "SELECT occurred_at FROM log WHERE sent_sequence = ?", (first,)
    ).fetchone()
    return None if row is None else int(row[0])


# -- checkpoints ----------------------------------------------------------------------------------


def last_checkpoint_size(connection: sqlite3.Connection) -> int:
    (size,) = connection.execute("SELECT coalesce(max(tree_size), 0) FROM checkpoints").fetchone()
    return int(size)


def make_checkpoint(
    store: NodeStore, connection: sqlite3.Connection, signer: Signer
) -> SignedCheckpoint:
    """Sign the log as it is now and keep the checkpoint; the same size gives the same one."""
    frontier, sent_count = read_frontier(connection)
    return _keep_checkpoint(store, connection, signer, frontier, sent_count)


def frontier_at(connection: sqlite3.Connection, start: Frontier, size: int) -> Frontier:
    """Extend an earlier frontier of the log to `size` leaves, a few at a time in memory."""
    for first in range(start.size, size, LEAVES_AT_ONCE):
        start = start.extend(leaves(connection, first, min(first + LEAVES_AT_ONCE, size)))
    return start


def make_checkpoint_at(
    store: NodeStore, connection: sqlite3.Connection, signer: Signer, frontier: Frontier
) -> SignedCheckpoint:
    """Sign an earlier size of the log, for an offer that must travel in pieces."""
    last = connection.execute(
        "SELECT sent_sequence FROM log WHERE sequence < ? AND sent_sequence IS NOT NULL"
        " ORDER BY sequence DESC LIMIT 1",
        (frontier.size,),
    ).fetchone()
    sent_count = 0 if last is None else last["sent_sequence"] + 1
    return _keep_checkpoint(store, connection, signer, frontier, sent_count)


def _keep_checkpoint(
    store: NodeStore,
    connection: sqlite3.Connection,
    signer: Signer,
    frontier: Frontier,
    sent_count: int,
) -> SignedCheckpoint:
    row = connection.execute(
        "SELECT body FROM checkpoints WHERE tree_size = ?", (frontier.size,)
    ).fetchone()
    if row is not None:
        return SignedCheckpoint.model_validate_json(row["body"])
    identity, now = store.identity, store.clock.now()
    checkpoint = Checkpoint(
        agency=identity.agency,
        pharmacy=identity.pharmacy,
        node=identity.node,
        tree_size=frontier.size,
        root_hash=frontier.root().hex(),
        sent_count=sent_count,
        digest="sha-256",
        occurred_at=to_text(now),
    )
    signed = SignedCheckpoint(
        checkpoint=checkpoint, signature=signer.sign(Context.CHECKPOINT, checkpoint)
    )
    connection.execute(
        "INSERT INTO checkpoints VALUES (?, ?, ?, NULL)",
        (frontier.size, canonical_bytes(signed.model_dump(mode="json")), to_micros(now)),
    )
    return signed


def newest_checkpoint(connection: sqlite3.Connection, above: int) -> SignedCheckpoint | None:
    """Return the newest checkpoint if it is larger than `above`."""
    row = connection.execute(
        "SELECT body FROM checkpoints WHERE tree_size > ? ORDER BY tree_size DESC LIMIT 1",
        (above,),
    ).fetchone()
    return None if row is None else SignedCheckpoint.model_validate_json(row["body"])


def checkpoint_root(connection: sqlite3.Connection, tree_size: int) -> str | None:
    """Return the root hash (hexadecimal) that was signed at a size."""
    row = connection.execute(
        "SELECT body FROM checkpoints WHERE tree_size = ?", (tree_size,)
    ).fetchone()
    if row is None:
        return None
    return SignedCheckpoint.model_validate_json(row["body"]).checkpoint.root_hash


def keep_countersignature(connection: sqlite3.Connection, signed: SignedCountersignature) -> None:
    connection.execute(
        "UPDATE checkpoints SET countersigned = ? WHERE tree_size = ?",
        (
            canonical_bytes(signed.model_dump(mode="json")),
            signed.countersignature.tree_size,
        ),
    )


def covering_checkpoint(connection: sqlite3.Connection, sequence: int) -> int | None:
    """Return the size of the newest countersigned checkpoint that covers a record."""
    (size,) = connection.execute(
        "SELECT max(tree_size) FROM checkpoints WHERE countersigned IS NOT NULL AND tree_size > ?",
        (sequence,),
    ).fetchone()
    return None if size is None else int(size)


def note_incident(
    store: NodeStore, connection: sqlite3.Connection, incident: str, subject: str, detail: str
) -> bool:
    """Write an incident and its record once; tell whether it is new."""
    found = connection.execute(
        "INSERT OR IGNORE INTO incidents VALUES (?, ?, ?, ?)",
        (incident, subject, detail, to_micros(store.clock.now())),
    )
    if found.rowcount == 0:
        return False
    payload = IncidentRecorded(incident=incident, subject=subject[:200], detail=detail[:200])
    append(store, connection, payload)
    return True


# -- commands and footage -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Conclusion:
    """How a command ended, as it is told to central every time it asks."""

    outcome: CommandOutcome
    segments: int
    reason: str | None


def take_command(
    store: NodeStore, connection: sqlite3.Connection, signed: SignedCommand
) -> Conclusion | None:
    """Write a command down at first sight; return how it ended when it ended already."""
    command = signed.command
    row = connection.execute(
        "SELECT outcome FROM commands WHERE id = ?", (command.command,)
    ).fetchone()
    if row is None:
        connection.execute(
            "INSERT INTO commands VALUES (?, ?, ?, NULL, NULL)",
            (
                command.command,
                canonical_bytes(signed.model_dump(mode="json")),
                to_micros(store.clock.now()),
            ),
        )
        return None
    return None if row["outcome"] is None else _read_conclusion(row["outcome"])


def conclude_command(
    store: NodeStore, connection: sqlite3.Connection, sent: FootageSent
) -> Conclusion:
    """Write the outcome of a footage command and its `footage.sent` record in one transaction."""
    conclusion = Conclusion(sent.outcome, len(sent.segments), sent.reason)
    note_conclusion(store, connection, sent.command, conclusion)
    append(store, connection, sent)
    return conclusion


def note_conclusion(
    store: NodeStore, connection: sqlite3.Connection, command: str, conclusion: Conclusion
) -> None:
    """Write how a command ended, in the caller's transaction that also did what it asked."""
    connection.execute(
        "UPDATE commands SET outcome = ?, concluded_at = ? WHERE id = ?",
        (
            f"{conclusion.outcome}:{conclusion.segments}:{conclusion.reason or ''}",
            to_micros(store.clock.now()),
            command,
        ),
    )


def _read_conclusion(stored: str) -> Conclusion:
    outcome, segments, reason = stored.split(":", 2)
    if outcome not in get_args(CommandOutcome):
        raise ValueError(f"unknown outcome {outcome!r}")
    return Conclusion(outcome, int(segments), reason or None)  # type: ignore[arg-type]


def segments_between(
    connection: sqlite3.Connection, cameras: Sequence[str], started_at: int, ended_at: int
) -> list[SegmentFile]:
    """Return the sealed segments of `cameras` that overlap a span (microseconds), in order."""
    marks = ", ".join("?" for _ in cameras)
    rows = connection.execute(
        "SELECT id, camera, path, bytes, sequence, ended_at, volume FROM segments"  # noqa: S608 - marks only
        f" WHERE camera IN ({marks}) AND state = 'sealed' AND started_at < ? AND ended_at > ?"
        " ORDER BY camera, started_at",
        (*cameras, ended_at, started_at),
    )
    return [SegmentFile(*row) for row in rows]


def camera_state(connection: sqlite3.Connection, camera: str) -> CameraState:
    """Return the last sealed end (microseconds) of a camera and whether a gap is open."""
    (ended_at,) = connection.execute(
        "SELECT ended_at FROM segments WHERE camera = ? ORDER BY started_at DESC LIMIT 1",
        (camera,),
    ).fetchone() or (None,)
    gap = connection.execute(
        "SELECT 1 FROM gaps WHERE camera = ? AND layer = 'footage' AND ended_at IS NULL", (camera,)
    ).fetchone()
    return CameraState(ended_at, gap is not None)


def bytes_per_day(connection: sqlite3.Connection, cameras: Sequence[str]) -> int | None:
    """Return what a day of recording every camera takes, from the newest day of footage of each.

    Hours without footage do not make a day look smaller. None while any camera has recorded too
    little to tell. At one-minute segments this reads 1,440 rows a camera: ask once a minute.
    """
    total = 0
    for camera in cameras:
        size, footage_us = connection.execute(
            "SELECT coalesce(sum(bytes), 0), coalesce(sum(ended_at - started_at), 0)"
            " FROM segments WHERE camera = ?1 AND started_at >"
            " (SELECT max(started_at) FROM segments WHERE camera = ?1) - ?2",
            (camera, DAY_US),
        ).fetchone()
        if footage_us < LEAST_FOOTAGE_US:
            return None
        total += size * DAY_US // footage_us
    return total
