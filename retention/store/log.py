"""Appending to and reading the node's log.

`append` is called inside the transaction that also writes the fact, so a record exists exactly
when its fact does. Sequences are gapless because they come from the frontier row, under the
write lock. Nothing here updates or deletes a log row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from retention.records.clock import to_micros, to_text
from retention.records.envelope import Record, parse_record
from retention.records.fields import Frozen
from retention.records.kinds import Delivery, kind_of
from retention.records.merkle import Frontier, inclusion_proof, leaf_hash
from retention.store.database import NodeStore, StoreError


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it lies in the log: position, canonical bytes and leaf hash."""

    sequence: int
    sent_sequence: int | None
    kind: str
    raw: bytes
    leaf: bytes

    def parse(self) -> Record:
        return parse_record(self.raw)


class RecordMissing(StoreError):
    """The log has no record at this sequence."""


def append(
    store: NodeStore,
    connection: sqlite3.Connection,
    payload: Frozen,
    *,
    counter: str | None = None,
    session: str | None = None,
) -> Record:
    """Append one record inside the caller's transaction and return it.

    `session` makes the record findable by session; it is taken from the payload when it has one.
    """
    kind = kind_of(payload)
    frontier, sent_count = read_frontier(connection)
    sent = kind.delivery is Delivery.SENT
    now = store.clock.now()
    record = Record(
        id=store.ids.new(),
        agency=store.identity.agency,
        pharmacy=store.identity.pharmacy,
        node=store.identity.node,
        counter=counter,
        sequence=frontier.size,
        sent_sequence=sent_count if sent else None,
        kind=kind.name,
        version=kind.version,
        digest="sha-256",
        occurred_at=to_text(now),
        monotonic_ns=str(store.clock.monotonic_ns()),
        boot_id=store.clock.boot_id(),
        clock_state=store.clock.state(),
        salt=store.ids.salt(),
        payload=payload.model_dump(mode="json"),
    )
    raw = record.to_bytes()
    leaf = leaf_hash(raw)
    connection.execute(
        "INSERT INTO log (sequence, sent_sequence, id, kind, version, session, occurred_at, bytes,"
        " leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (record.sequence, record.sent_sequence, record.id, record.kind, record.version,
         session or getattr(payload, "session", None), to_micros(now), raw, leaf),
    )  # fmt: skip
    grown = frontier.append(leaf)
    connection.execute(
        "UPDATE frontier SET size = ?, sent_count = ?, hashes = ?",
        (grown.size, sent_count + sent, grown.to_bytes()),
    )
    return record


def read_frontier(connection: sqlite3.Connection) -> tuple[Frontier, int]:
    """Return the frontier of the log and the number of sent records in it."""
    row = connection.execute("SELECT size, sent_count, hashes FROM frontier").fetchone()
    return Frontier.from_bytes(row["size"], row["hashes"]), row["sent_count"]


def by_sequence(connection: sqlite3.Connection, sequence: int) -> StoredRecord:
    """Return one record. Raises RecordMissing."""
    row = connection.execute(
        "SELECT sequence, sent_sequence, kind, bytes, leaf FROM log WHERE sequence = ?",
        (sequence,),
    ).fetchone()
    if row is None:
        raise RecordMissing(f"no record {sequence}")
    return StoredRecord(*row)


def of_session(connection: sqlite3.Connection, session: str) -> list[StoredRecord]:
    """Return the steps of a session in order."""
    rows = connection.execute(
        "SELECT sequence, sent_sequence, kind, bytes, leaf FROM log WHERE session = ?"
        " ORDER BY sequence",
        (session,),
    )
    return [StoredRecord(*row) for row in rows]


def all_records(connection: sqlite3.Connection) -> Iterator[StoredRecord]:
    """Yield the whole log in order."""
    for row in connection.execute(
        "SELECT sequence, sent_sequence, kind, bytes, leaf FROM log ORDER BY sequence"
    ):
        yield StoredRecord(*row)


def unsent(connection: sqlite3.Connection, first: int, limit: int) -> list[StoredRecord]:
    """Return up to `limit` sent-kind records from `first` (a sent_sequence) on."""
    rows = connection.execute(
        "SELECT sequence, sent_sequence, kind, bytes, leaf FROM log WHERE sent_sequence >= ?"
        " ORDER BY sent_sequence LIMIT ?",
        (first, limit),
    )
    return [StoredRecord(*row) for row in rows]


def leaves(connection: sqlite3.Connection, first: int, size: int) -> list[bytes]:
    """Return the leaf hashes first..size of the log."""
    rows = connection.execute(
        "SELECT leaf FROM log WHERE sequence >= ? AND sequence < ? ORDER BY sequence",
        (first, size),
    )
    return [row[0] for row in rows]


def prove_inclusion(connection: sqlite3.Connection, sequence: int, size: int) -> list[bytes]:
    """Return the audit path of a record in the tree of the first `size` leaves."""
    return inclusion_proof(leaves(connection, 0, size), sequence, size)
