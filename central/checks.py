"""Checking what central holds against itself: read-only, first bad thing named.

A database that was changed by hand shows here: every record must still give its leaf, and every
acknowledged tree must still be the one that was countersigned.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from central.config import CentralConfig
from central.database import Database, require_head
from central.keys import load_keys
from central.tables import CheckpointRow, Node, StoredRecord, table_of
from retention.records.checkpoint import SignedCheckpoint, SignedCountersignature
from retention.records.errors import ProofRejected
from retention.records.merkle import Frontier, leaf_hash, split_hashes
from retention.records.signing import Context, verify_signature

NODES, RECORDS, CHECKPOINTS = table_of(Node), table_of(StoredRecord), table_of(CheckpointRow)


class CheckFailed(Exception):
    """The first thing that does not hold; the message names it."""


def check(config: CentralConfig) -> dict[str, int]:
    """Check keys, schema, records and trees; return counts. Raises CheckFailed, UsageError."""
    keys = load_keys(config)
    database = Database(config.database_url)
    counts = {"nodes": 0, "records": 0, "checkpoints": 0}
    try:
        require_head(database)
        with database.read() as connection:
            for row in connection.execute(select(NODES).order_by(NODES.c.node)).all():
                try:
                    leaves = _check_records(connection, row.node, row.expected_sent)
                    checkpoints = _check_tree(
                        connection, row.node, bytes.fromhex(row.signing_key),
                        keys.signer.public_key, (row.tree_size, row.frontier), leaves,
                    )  # fmt: skip
                except (CheckFailed, ProofRejected) as exc:
                    raise CheckFailed(f"node {row.node}: {exc}") from exc
                counts["nodes"] += 1
                counts["records"] += len(leaves)
                counts["checkpoints"] += checkpoints
    finally:
        database.close()
    return counts


def _check_records(connection: Connection, node: str, expected_sent: int) -> dict[int, bytes]:
    leaves: dict[int, bytes] = {}
    rows = connection.execution_options(yield_per=1000).execute(
        select(RECORDS.c.sequence, RECORDS.c.sent_sequence, RECORDS.c.body, RECORDS.c.leaf)
        .where(RECORDS.c.node == node)
        .order_by(RECORDS.c.sent_sequence)
    )
    for position, row in enumerate(rows):
        _require(row.sent_sequence == position, f"sent record {position} is missing")
        _require(
            leaf_hash(row.body) == row.leaf,
            f"record {row.sequence} does not give its leaf",
        )
        leaves[row.sequence] = row.leaf
    _require(
        len(leaves) == expected_sent,
        f"{len(leaves)} records held, {expected_sent} acknowledged",
    )
    return leaves


def _check_tree(
    connection: Connection,
    node: str,
    signing_key: bytes,
    central_key: bytes,
    state: tuple[int, bytes],
    leaves: dict[int, bytes],
) -> int:
    frontier, count = Frontier(), 0
    rows = connection.execute(
        select(CHECKPOINTS).where(CHECKPOINTS.c.node == node).order_by(CHECKPOINTS.c.tree_size)
    )
    for row in rows:
        name = f"checkpoint {row.tree_size}"
        _require(row.previous_size == frontier.size, f"{name} does not follow")
        for sequence, leaf in enumerate(split_hashes(row.leaves), start=frontier.size):
            _require(
                leaves.get(sequence, leaf) == leaf,
                f"record {sequence} is not the leaf of {name}",
            )
        frontier = frontier.extend(split_hashes(row.leaves))
        _require(frontier.root() == row.root_hash, f"{name} has another root")
        _check_signatures(row.body, row.countersigned, signing_key, central_key, frontier, name)
        count += 1
    _require((frontier.size, frontier.to_bytes()) == state, "the tree is not its checkpoints'")
    return count


def _check_signatures(
    body: bytes,
    countersigned: bytes,
    signing_key: bytes,
    central_key: bytes,
    frontier: Frontier,
    name: str,
) -> None:
    signed = SignedCheckpoint.model_validate_json(body)
    seen = SignedCountersignature.model_validate_json(countersigned)
    root = frontier.root().hex()
    _require(
        signed.checkpoint.root_hash == root == seen.countersignature.root_hash,
        f"{name} was signed for another root",
    )
    try:
        verify_signature(signing_key, Context.CHECKPOINT, signed.checkpoint, signed.signature)
        verify_signature(
            central_key, Context.COUNTERSIGNATURE, seen.countersignature, seen.signature
        )
    except ProofRejected as exc:
        raise CheckFailed(f"{name}: {exc}") from exc


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise CheckFailed(message)
