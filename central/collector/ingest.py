"""Records into the database: insert if absent, compare if present, never overwrite.

A batch is one transaction and is acknowledged after its commit. The node's row carries
`expected_sent`, the next sent_sequence; everything before it is held. So each record is stored
exactly once however often it is sent (invariant 7), and a second version of a held record is an
incident that names it (invariant 6).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update

from central.collector.reading import ReadRecord, read_record
from central.collector.values import NODES, AttackSeen, MessageRefused, NodeState
from central.tables import StoredRecord, table_of
from retention.records.errors import MalformedRecord

RECORDS = table_of(StoredRecord)


def read_batch(blobs: Sequence[bytes]) -> list[ReadRecord]:
    """Parse the records of a batch. Raises MessageRefused naming the position and the field."""
    found = []
    for position, blob in enumerate(blobs):
        try:
            found.append(read_record(blob))
        except MalformedRecord as exc:
            raise MessageRefused("MALFORMED", f"record {position} of the batch: {exc}") from exc
    return found


def store_batch(
    connection: Connection, node: NodeState, first: int, batch: Sequence[ReadRecord], now: int
) -> int:
    """Store what is new and return the next sent_sequence wanted.

    Raises AttackSeen when a held record comes with another leaf, or when the sequence contradicts
    what was acknowledged before; MessageRefused when a record is another node's.
    """
    _check_envelopes(node, first, batch)
    if first > node.expected_sent:
        return node.expected_sent
    held = batch[: node.expected_sent - first]
    fresh = batch[node.expected_sent - first :]
    _compare_held(connection, node, first, held)
    if not fresh:
        return node.expected_sent
    _check_order(node, fresh)
    _insert(connection, [_row(node, read, now) for read in fresh])
    expected = node.expected_sent + len(fresh)
    connection.execute(
        update(NODES)
        .where(NODES.c.node == node.node)
        .values(expected_sent=expected, last_sequence=fresh[-1].sequence, last_seen=now)
    )
    return expected


def _check_envelopes(node: NodeState, first: int, batch: Sequence[ReadRecord]) -> None:
    mine = (node.agency, node.pharmacy, node.node)
    for sent_sequence, read in enumerate(batch, start=first):
        # (1) it is a record of the node whose key this connection has
        if (read.agency, read.pharmacy, read.node) != mine:
            raise AttackSeen(
                "OTHER_NODE", f"record {read.sequence}", f"record is of node {read.node}"
            )
        # (2) it stands where the batch says
        if read.sent_sequence != sent_sequence:
            raise MessageRefused(
                "MALFORMED",
                f"record {read.sequence}: sent_sequence {read.sent_sequence}, "
                f"expected {sent_sequence}",
            )


def _compare_held(
    connection: Connection, node: NodeState, first: int, held: Sequence[ReadRecord]
) -> None:
    if not held:
        return
    rows = connection.execute(
        select(RECORDS.c.sent_sequence, RECORDS.c.leaf).where(
            RECORDS.c.node == node.node,
            RECORDS.c.sent_sequence >= first,
            RECORDS.c.sent_sequence < first + len(held),
        )
    )
    leaves = {row.sent_sequence: row.leaf for row in rows}
    for read in held:
        # (3) a record that is held has the same leaf now as then
        if leaves.get(read.sent_sequence) != read.leaf:
            raise AttackSeen(
                "FORK",
                f"record {read.sequence}",
                f"record {read.sequence} (sent {read.sent_sequence}) differs from the one held",
            )


def _check_order(node: NodeState, fresh: Sequence[ReadRecord]) -> None:
    last = node.last_sequence
    for read in fresh:
        sequence = read.sequence
        # (4) the log only grows: no second record at a sequence, no going back
        if sequence <= last:
            raise AttackSeen(
                "FORK", f"record {sequence}", f"record {sequence} comes after record {last}"
            )
        # (5) what a checkpoint committed without sending cannot be sent later
        if sequence < node.tree_size:
            raise AttackSeen(
                "WITHHELD",
                f"record {sequence}",
                f"record {sequence} was missing at the checkpoint of {node.tree_size}",
            )
        last = sequence


_COLUMNS = (
    "agency", "pharmacy", "node", "sequence", "sent_sequence", "kind", "version", "occurred_at",
    "received_at", "body", "leaf",
)  # fmt: skip


def _row(node: NodeState, read: ReadRecord, now: int) -> tuple[object, ...]:
    return (
        node.agency, node.pharmacy, node.node, read.sequence, read.sent_sequence, read.kind,
        read.version, read.occurred_at, now, read.raw, read.leaf,
    )  # fmt: skip


def _insert(connection: Connection, rows: list[tuple[object, ...]]) -> None:
    """Insert rows in the order of _COLUMNS. On SQLite the driver takes them as they are: its
    column types need no conversion, and the detour per row costs more than the insert."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_SQLITE_INSERT, rows)
    else:
        connection.execute(insert(RECORDS), [dict(zip(_COLUMNS, row, strict=True)) for row in rows])


_SQLITE_INSERT = (
    f"INSERT INTO {RECORDS.name} ({', '.join(_COLUMNS)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' for _ in _COLUMNS)})"
)
