"""Checking what central holds against itself: read-only, first bad thing named.

A database or a file that was changed by hand shows here: every record must still give its leaf and
its columns, every acknowledged tree must still be the one that was signed and countersigned, and
every received segment must still be the file whose record that tree covers.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, select

from central.checks_footage import check_footage
from central.collector.reading import read_record
from central.config import CentralConfig
from central.database import Database, require_file, require_head
from central.errors import CheckFailed, require
from central.keys import load_keys, require_private
from central.tables import CheckpointRow, Node, StoredRecord, table_of
from retention.records.checkpoint import SignedCheckpoint, SignedCountersignature
from retention.records.clock import from_micros, to_text
from retention.records.errors import RecordsError
from retention.records.merkle import Frontier, split_hashes
from retention.records.signing import Context, verify_signature

NODES, RECORDS, CHECKPOINTS = table_of(Node), table_of(StoredRecord), table_of(CheckpointRow)
AnyRow = Row[*tuple[Any, ...]]
Leaves = dict[int, bytes]  # sequence: leaf, in the order of the log


def check(config: CentralConfig) -> dict[str, int]:
    """Check keys, schema, records, trees and footage; return counts. Makes nothing.

    Raises CheckFailed, DatabaseUnavailable, UsageError.
    """
    require_private(config)
    central_key = load_keys(config).signer.public_key
    database = Database(config.database_url)
    require_file(config.database_url)
    counts = {"nodes": 0, "records": 0, "checkpoints": 0, "segments": 0}
    try:
        require_head(database)
        with database.read() as connection:
            for node in connection.execute(select(NODES).order_by(NODES.c.node)).all():
                try:
                    leaves = _check_records(connection, node)
                    roots = _check_tree(connection, node, central_key, leaves)
                    segments = check_footage(connection, node.node, config.footage_root, roots)
                except (CheckFailed, RecordsError, ValueError, TypeError) as exc:
                    # The last two: a value changed by hand may not even have its type.
                    raise CheckFailed(f"node {node.node}: {exc}") from exc
                counts["nodes"] += 1
                counts["records"] += len(leaves)
                counts["checkpoints"] += len(roots)
                counts["segments"] += segments
    finally:
        database.close()
    return counts


def _check_records(connection: Connection, node: AnyRow) -> Leaves:
    leaves: Leaves = {}
    last = -1
    rows = connection.execute(
        select(RECORDS).where(RECORDS.c.node == node.node).order_by(RECORDS.c.sent_sequence),
        execution_options={"yield_per": 1000},
    )
    for position, row in enumerate(rows):
        require(row.sent_sequence == position, f"sent record {position} is missing")
        require(isinstance(row.body, bytes), f"sent record {position} is not bytes")
        read = read_record(row.body)
        name = f"record {read.sequence}"
        require(read.leaf == row.leaf, f"{name} does not give its leaf")
        for column in (
            "agency", "pharmacy", "node", "sequence", "sent_sequence", "kind", "version",
            "occurred_at",
        ):  # fmt: skip
            require(
                getattr(read, column) == row._mapping[column],
                f"{name}: its {column} is not what its bytes say",
            )
        require(read.sequence > last, f"{name} comes after record {last}")
        last = read.sequence
        leaves[last] = row.leaf
    require(
        (len(leaves), last) == (node.expected_sent, node.last_sequence),
        f"{len(leaves)} records up to {last} held, "
        f"{node.expected_sent} up to {node.last_sequence} acknowledged",
    )
    return leaves


def _check_tree(
    connection: Connection, node: AnyRow, central_key: bytes, leaves: Leaves
) -> dict[int, bytes]:
    """Build the tree again from all checkpoints; return the root at each size."""
    frontier, sent_count = Frontier(), 0
    roots: dict[int, bytes] = {}
    sequences = list(leaves)
    rows = connection.execute(
        select(CHECKPOINTS)
        .where(CHECKPOINTS.c.node == node.node)
        .order_by(CHECKPOINTS.c.tree_size),
        execution_options={"yield_per": 10},
    )
    for row in rows:
        name = f"checkpoint {row.tree_size}"
        # (1) it begins where the one before ends, and each record held is its leaf
        require(row.previous_size == frontier.size, f"{name} does not follow")
        hashes = split_hashes(row.leaves)
        for sequence, leaf in enumerate(hashes, start=frontier.size):
            require(
                leaves.get(sequence, leaf) == leaf,
                f"record {sequence} is not the leaf of {name}",
            )
        frontier = frontier.extend(hashes)
        require(
            (frontier.size, frontier.root()) == (row.tree_size, row.root_hash),
            f"{name} has another root",
        )
        # (2) node and central signed this very tree
        check_signatures(row, bytes.fromhex(node.signing_key), central_key, name)
        # (3) as many records are held as it counts
        sent_count = row.sent_count
        require(
            bisect_left(sequences, frontier.size) == sent_count,
            f"{name} counts {sent_count} sent records, others are held",
        )
        roots[frontier.size] = row.root_hash
    require(
        (frontier.size, frontier.to_bytes(), sent_count)
        == (node.tree_size, node.frontier, node.tree_sent),
        "the tree is not its checkpoints'",
    )
    return roots


def check_signatures(row: AnyRow, signing_key: bytes, central_key: bytes, name: str) -> None:
    """Check that node and central signed a checkpoint row as it stands. Raises CheckFailed."""
    try:
        signed = SignedCheckpoint.model_validate_json(row.body)
        seen = SignedCountersignature.model_validate_json(row.countersigned)
    except ValidationError as exc:
        raise CheckFailed(f"{name} cannot be read") from exc
    checkpoint, statement = signed.checkpoint, seen.countersignature
    root = row.root_hash.hex()
    require(
        (
            checkpoint.agency, checkpoint.pharmacy, checkpoint.node, checkpoint.tree_size,
            checkpoint.sent_count, checkpoint.root_hash,
        )
        == (row.agency, row.pharmacy, row.node, row.tree_size, row.sent_count, root),
        f"{name} is not the one that the node signed",
    )  # fmt: skip
    require(
        (statement.node, statement.tree_size, statement.root_hash, statement.seen_at)
        == (row.node, row.tree_size, root, to_text(from_micros(row.seen_at))),
        f"{name} is not the one that central signed",
    )
    try:
        verify_signature(signing_key, Context.CHECKPOINT, checkpoint, signed.signature)
        verify_signature(central_key, Context.COUNTERSIGNATURE, statement, seen.signature)
    except RecordsError as exc:
        raise CheckFailed(f"{name}: {exc}") from exc
