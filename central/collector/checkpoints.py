"""Checkpoints: central extends the tree itself and countersigns only what it found consistent.

An offer may overlap leaves that central has; the overlap must be the same. So a node whose root
was refused can offer its leaves again from the start, and the first bad one is named.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from central.collector.values import NODES, NodeState
from central.tables import CheckpointRow, StoredRecord, table_of
from retention.records.canonical import canonical_bytes
from retention.records.checkpoint import Checkpoint, Countersignature, SignedCountersignature
from retention.records.clock import from_micros, to_text
from retention.records.errors import ProofRejected, RecordsError
from retention.records.merkle import HASH_BYTES, Frontier, split_hashes
from retention.records.signing import Context, Signer, verify_signature
from retention.terms.wire import CheckpointOffer

CHECKPOINTS = table_of(CheckpointRow)
RECORDS = table_of(StoredRecord)


class CheckpointRejected(RecordsError):
    """A checkpoint that is not countersigned; `attack` when an honest node does not send it."""

    def __init__(
        self, code: str, detail: str, *, first_bad: int | None = None, attack: bool = True
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail[:200]
        self.first_bad, self.attack = first_bad, attack


@dataclass(frozen=True, slots=True)
class _Extension:
    """What an accepted checkpoint adds to the tree."""

    frontier: Frontier
    leaves: bytes


def accept_checkpoint(
    connection: Connection,
    node: NodeState,
    offer: CheckpointOffer,
    raw_leaves: bytes,
    signer: Signer,
    now: int,
) -> SignedCountersignature:
    """Check an offer against everything held, store and countersign it.

    Raises CheckpointRejected naming the first bad leaf where it can be told.
    """
    signed = offer.signed
    checkpoint = signed.checkpoint
    # (1) the node's own key signed it, and it names this node
    try:
        verify_signature(node.signing_key, Context.CHECKPOINT, checkpoint, signed.signature)
    except ProofRejected as exc:
        raise CheckpointRejected("BAD_SIGNATURE", str(exc)) from exc
    if (checkpoint.agency, checkpoint.pharmacy, checkpoint.node) != (
        node.agency, node.pharmacy, node.node,
    ):  # fmt: skip
        raise CheckpointRejected("OTHER_NODE", f"checkpoint of node {checkpoint.node}")
    leaves = split_hashes(raw_leaves)
    if offer.previous_size > node.tree_size:
        raise CheckpointRejected(
            "BEHIND", f"leaves from {offer.previous_size}, held {node.tree_size}", attack=False
        )
    _compare_overlap(connection, node, offer, leaves)
    if checkpoint.tree_size <= node.tree_size:
        return _seen_before(connection, node, checkpoint)
    _check_held(connection, node, offer, leaves)
    extension = _extend(node, offer, leaves)
    return _store(connection, node, offer, extension, signer, now)


def _compare_overlap(
    connection: Connection, node: NodeState, offer: CheckpointOffer, leaves: list[bytes]
) -> None:
    # (2) leaves that are held already are the same
    start = offer.previous_size
    end = min(node.tree_size, offer.signed.checkpoint.tree_size)
    if start >= end:
        return
    for sequence, known in enumerate(held_leaves(connection, node.node, start, end), start=start):
        if leaves[sequence - start] != known:
            raise CheckpointRejected(
                "FORK", f"leaf {sequence} differs from the one held", first_bad=sequence
            )


def _seen_before(
    connection: Connection, node: NodeState, checkpoint: Checkpoint
) -> SignedCountersignature:
    # (3) an older checkpoint has the root that the held leaves give
    size = checkpoint.tree_size
    row = connection.execute(
        select(CHECKPOINTS.c.root_hash, CHECKPOINTS.c.countersigned).where(
            CHECKPOINTS.c.node == node.node, CHECKPOINTS.c.tree_size == size
        )
    ).one_or_none()
    root = (
        row.root_hash
        if row is not None
        else Frontier().extend(held_leaves(connection, node.node, 0, size)).root()
    )
    if root.hex() != checkpoint.root_hash:
        raise CheckpointRejected("FORK", f"another root at size {size} was acknowledged before")
    if row is None:
        raise CheckpointRejected("BEHIND", f"the tree is at {node.tree_size}", attack=False)
    return SignedCountersignature.model_validate_json(row.countersigned)


def _check_held(
    connection: Connection, node: NodeState, offer: CheckpointOffer, leaves: list[bytes]
) -> None:
    checkpoint = offer.signed.checkpoint
    # (4) everything it commits to as sent is held
    if checkpoint.sent_count > node.expected_sent:
        raise CheckpointRejected(
            "BEHIND",
            f"{checkpoint.sent_count} records are committed as sent, {node.expected_sent} held",
            attack=False,
        )
    rows = connection.execute(
        select(RECORDS.c.sequence, RECORDS.c.sent_sequence, RECORDS.c.leaf)
        .where(
            RECORDS.c.node == node.node,
            RECORDS.c.sequence >= node.tree_size,
            RECORDS.c.sequence < checkpoint.tree_size,
        )
        .order_by(RECORDS.c.sequence)
    ).all()
    for sequence, sent_sequence, leaf in rows:
        # (5) each held record is the leaf at its sequence
        if leaves[sequence - offer.previous_size] != leaf:
            raise CheckpointRejected(
                "LEAF_MISMATCH", f"leaf {sequence} is not the record held", first_bad=sequence
            )
        # (6) and is counted as sent
        if sent_sequence >= checkpoint.sent_count:
            raise CheckpointRejected(
                "SENT_COUNT", f"record {sequence} is held but not counted", first_bad=sequence
            )
    # (7) no record is counted as sent that stands elsewhere
    if node.tree_sent + len(rows) != checkpoint.sent_count:
        later = connection.execute(
            select(func.min(RECORDS.c.sequence)).where(
                RECORDS.c.node == node.node, RECORDS.c.sequence >= checkpoint.tree_size
            )
        ).scalar_one()
        raise CheckpointRejected(
            "SENT_COUNT",
            f"{checkpoint.sent_count} counted, {node.tree_sent + len(rows)} held in the tree",
            first_bad=later,
        )


def _extend(node: NodeState, offer: CheckpointOffer, leaves: list[bytes]) -> _Extension:
    fresh = leaves[node.tree_size - offer.previous_size :]
    frontier = node.frontier.extend(fresh)
    # (8) our own tree, extended by these leaves, has the root that was signed
    if frontier.root().hex() != offer.signed.checkpoint.root_hash:
        raise CheckpointRejected(
            "ROOT_MISMATCH", f"the tree of {frontier.size} does not extend the tree held"
        )
    return _Extension(frontier, b"".join(fresh))


def _store(
    connection: Connection,
    node: NodeState,
    offer: CheckpointOffer,
    extension: _Extension,
    signer: Signer,
    now: int,
) -> SignedCountersignature:
    checkpoint = offer.signed.checkpoint
    statement = Countersignature(
        node=node.node,
        tree_size=checkpoint.tree_size,
        root_hash=checkpoint.root_hash,
        seen_at=to_text(from_micros(now)),
    )
    countersigned = SignedCountersignature(
        countersignature=statement, signature=signer.sign(Context.COUNTERSIGNATURE, statement)
    )
    connection.execute(
        insert(CHECKPOINTS).values(
            agency=node.agency,
            pharmacy=node.pharmacy,
            node=node.node,
            tree_size=checkpoint.tree_size,
            previous_size=node.tree_size,
            sent_count=checkpoint.sent_count,
            root_hash=bytes.fromhex(checkpoint.root_hash),
            leaves=extension.leaves,
            body=canonical_bytes(offer.signed.model_dump(mode="json")),
            countersigned=canonical_bytes(countersigned.model_dump(mode="json")),
            seen_at=now,
        )
    )
    connection.execute(
        update(NODES)
        .where(NODES.c.node == node.node)
        .values(
            tree_size=checkpoint.tree_size,
            tree_sent=checkpoint.sent_count,
            frontier=extension.frontier.to_bytes(),
            last_seen=now,
        )
    )
    return countersigned


def held_leaves(connection: Connection, node: str, start: int, end: int) -> list[bytes]:
    """Return the leaf hashes start..end of a node's tree as acknowledged."""
    rows = connection.execute(
        select(CHECKPOINTS.c.previous_size, CHECKPOINTS.c.leaves)
        .where(
            CHECKPOINTS.c.node == node,
            CHECKPOINTS.c.tree_size > start,
            CHECKPOINTS.c.previous_size < end,
        )
        .order_by(CHECKPOINTS.c.tree_size)
    ).all()
    if not rows:
        return []
    joined = b"".join(row.leaves for row in rows)
    first = rows[0].previous_size
    return split_hashes(joined[(start - first) * HASH_BYTES : (end - first) * HASH_BYTES])
