"""Whether a segment that a node offers may be taken: its record, its camera, its proof.

Nothing is written here. The checks are numbered; the first one that does not hold is the reason.
"""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from central.collector.values import MessageRefused, NodeState
from central.tables import CheckpointRow, table_of
from retention.records.clock import from_text
from retention.records.envelope import parse_record
from retention.records.errors import MalformedRecord, ProofRejected
from retention.records.merkle import leaf_hash, split_hashes, verify_inclusion
from retention.records.payloads import SegmentSealed
from retention.terms import wire
from retention.terms.commands import FootageCommand

CHECKPOINTS = table_of(CheckpointRow)


def sealed_record(node: NodeState, raw: bytes) -> tuple[SegmentSealed, int]:
    """Read the offered record; return its payload and sequence. Raises MessageRefused."""
    try:
        record = parse_record(raw)
        content = record.content()
    except MalformedRecord as exc:
        raise MessageRefused("MALFORMED", f"offered record: {exc}") from exc
    if not isinstance(content, SegmentSealed):
        raise MessageRefused("MALFORMED", f"offered record is {record.kind}, not segment.sealed")
    if (record.agency, record.pharmacy, record.node) != (node.agency, node.pharmacy, node.node):
        raise MessageRefused("OTHER_NODE", f"offered record is of node {record.node}")
    try:
        from_text(content.started_at), from_text(content.ended_at)
    except ValueError as exc:
        raise MessageRefused("MALFORMED", f"offered record: {exc}") from exc
    return content, record.sequence


def offer_problem(
    connection: Connection,
    node: NodeState,
    asked: FootageCommand,
    sealed: SegmentSealed,
    sequence: int,
    offer: wire.SegmentOffer,
    blobs: tuple[bytes, ...],
    *,
    longest: int,
) -> str | None:
    """Return why a segment is not taken for a command, None when it is; `longest` in bytes."""
    # (1) the camera is simulated by the node's own latest status (invariant 9)
    if not is_simulated(node.status, sealed.camera):
        return "NOT_SIMULATED"
    # (2) the command asks for this camera and this time
    if asked.cameras and sealed.camera not in asked.cameras:
        return "NOT_ASKED_FOR"
    if sealed.ended_at <= asked.started_at or sealed.started_at >= asked.ended_at:
        return "NOT_ASKED_FOR"
    # (3) the length is the record's, and bearable
    if offer.bytes != sealed.bytes or not 0 < sealed.bytes <= longest:
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


def is_simulated(status: str | None, camera: str) -> bool:
    """Tell whether the node's latest status says that a camera is simulated."""
    cameras = json.loads(status)["cameras"] if status is not None else []
    return any(known["camera"] == camera and known["simulated"] is True for known in cameras)
