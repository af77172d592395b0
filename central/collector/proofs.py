"""Taking in the answers to a challenge: each sample is judged once, and that stands.

An answer counts only while its challenge is open. What a node shows wrong is an incident beside the
sample's judgement; what it says it cannot show is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select, update

from central.collector.checkpoints import CHECKPOINTS
from central.collector.footage_rows import open_command
from central.collector.judging import Judgement, Promises, Question, Tree, Verdict, judge
from central.collector.values import NODES, MessageRefused, NodeState
from central.incidents import note_incident
from central.node_terms import NodeTerms
from central.tables import Audit, AuditSample, table_of
from retention.records.clock import from_micros, to_micros
from retention.records.merkle import HASH_BYTES
from retention.terms import wire
from retention.terms.commands import ChallengeCommand

AUDITS, SAMPLES = table_of(Audit), table_of(AuditSample)
COUNTED_IN: dict[Verdict, str] = {
    "held": "held",
    "record": "records",
    "disposed": "disposed",
    "missing": "missing",
}


def take_proof(
    connection: Connection,
    node: NodeState,
    proof: wire.Proof,
    blobs: tuple[bytes, ...],
    now: int,
) -> wire.ProofAck:
    """Judge an answer, unless the sample was judged before. Raises MessageRefused."""
    signed, _ = open_command(connection, node, proof.command, now)
    asked = signed.command
    if not isinstance(asked, ChallengeCommand):
        raise MessageRefused("COMMAND_UNKNOWN", f"command {proof.command} is no challenge")
    row = _sample(connection, asked.challenge, proof.ordinal)
    if row.verdict is not None:
        return _ack(proof, row.verdict, row.cause)
    held = Leaves(connection, node.node)
    held_leaf, tree = held.leaf_at(row.leaf), held.tree(proof.tree_size)
    no_proof = proof.outcome == "missing" and not blobs[0]
    if held_leaf is None or (tree is None and not no_proof):
        # Central may have been set back: the node's uplink brings the tree again.
        raise MessageRefused("CHECKPOINT_UNKNOWN", f"no tree of {proof.tree_size} is held")
    whose = (node.agency, node.pharmacy, node.node)
    question = Question(whose, row.leaf, row.chunk, held_leaf)
    terms = NodeTerms(connection, node.node)
    found = judge(
        question, proof, blobs, tree or held.no_tree(), Promises(terms.policies, terms.holds)
    )
    _store(connection, asked.challenge, proof.ordinal, found, now)
    if found.verdict == "missing" and not found.own:
        detail = f"audit {asked.challenge} sample {proof.ordinal}"
        note_incident(connection, node, found.cause or "", f"leaf {row.leaf}", detail, now)
    return _ack(proof, found.verdict, found.cause)


def _sample(connection: Connection, audit: str, ordinal: int) -> Row[*tuple[Any, ...]]:
    row = connection.execute(
        select(SAMPLES).where(SAMPLES.c.audit == audit, SAMPLES.c.ordinal == ordinal)
    ).one_or_none()
    if row is None:
        raise MessageRefused("MALFORMED", f"audit {audit} has no sample {ordinal}")
    return row


def _store(connection: Connection, audit: str, ordinal: int, found: Judgement, now: int) -> None:
    facts = found.facts
    connection.execute(
        update(SAMPLES)
        .where(SAMPLES.c.audit == audit, SAMPLES.c.ordinal == ordinal)
        .values(
            verdict=found.verdict,
            cause=found.cause,
            camera=None if facts is None else facts.camera,
            started_at=None if facts is None else to_micros(facts.started_at),
            ended_at=None if facts is None else to_micros(facts.ended_at),
            answered_at=now,
        )
    )
    column = AUDITS.c[COUNTED_IN[found.verdict]]
    connection.execute(update(AUDITS).where(AUDITS.c.audit == audit).values({column: column + 1}))


def _ack(proof: wire.Proof, verdict: str, cause: str | None) -> wire.ProofAck:
    return wire.ProofAck(command=proof.command, ordinal=proof.ordinal, verdict=verdict, cause=cause)


@dataclass(frozen=True, slots=True)
class Leaves:
    """The leaves of a node's acknowledged tree, one at a time, as the database holds them."""

    connection: Connection
    node: str

    def tree(self, size: int) -> Tree | None:
        """Return the acknowledged tree of a size; None when there is none."""
        root = self.connection.execute(
            select(CHECKPOINTS.c.root_hash).where(
                CHECKPOINTS.c.node == self.node, CHECKPOINTS.c.tree_size == size
            )
        ).scalar_one_or_none()
        if root is None:
            return None
        return Tree(size, root, self.leaf_at, self.seen_at, self.made_after)

    def no_tree(self) -> Tree:
        """Return a tree that proves nothing, for an answer that shows nothing."""
        return Tree(0, b"", self.leaf_at, self.seen_at, self.made_after)

    def leaf_at(self, sequence: int) -> bytes | None:
        """Return the leaf hash at a place; reads its 32 bytes, not the whole checkpoint."""
        first = (sequence - CHECKPOINTS.c.previous_size) * HASH_BYTES + 1
        found: bytes | None = self._covering(
            sequence, func.substr(CHECKPOINTS.c.leaves, first, HASH_BYTES)
        )
        return found

    def seen_at(self, sequence: int) -> datetime | None:
        """Return when central first saw a leaf."""
        found: int | None = self._covering(sequence, CHECKPOINTS.c.seen_at)
        return None if found is None else from_micros(found)

    def made_after(self, sequence: int) -> datetime:
        """Return when central saw the last tree that a leaf was not in yet (the empty one when it
        enrolled the node). By its own clock: what a node says of its own would let it date back."""
        row = self.connection.execute(
            select(CHECKPOINTS.c.seen_at)
            .where(CHECKPOINTS.c.node == self.node, CHECKPOINTS.c.tree_size <= sequence)
            .order_by(CHECKPOINTS.c.tree_size.desc())
            .limit(1)
        ).scalar_one_or_none()
        enrolled = select(NODES.c.enrolled_at).where(NODES.c.node == self.node)
        return from_micros(self.connection.execute(enrolled).scalar_one() if row is None else row)

    def _covering(self, sequence: int, wanted: ColumnElement[Any]) -> Any:
        """Return something of the first checkpoint that covers a leaf; each follows the last."""
        return self.connection.execute(
            select(wanted)
            .where(CHECKPOINTS.c.node == self.node, CHECKPOINTS.c.tree_size > sequence)
            .order_by(CHECKPOINTS.c.tree_size)
            .limit(1)
        ).scalar_one_or_none()
