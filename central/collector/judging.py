"""Judging what a node shows of one sample. Pure: everything looked up comes in.

Nothing that a node says of itself counts: a record is what gives the leaf that central holds, a
chunk is what gives the chunk root in that record, and a disposal is lawful by central's own time
and by what the node had promised before. The checks are numbered; the first that does not hold is
the cause, and the sample is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from retention.policy import AdoptedPolicy, HeldScope, Item, covers, owed_until
from retention.records.clock import from_text
from retention.records.envelope import Record, parse_record
from retention.records.errors import MalformedRecord, ProofRejected
from retention.records.keeping import RecordsDisposed, RetentionSubject, SegmentDisposed
from retention.records.merkle import CHUNK_BYTES, leaf_hash, split_hashes, verify_inclusion
from retention.records.payloads import SegmentSealed
from retention.terms import wire
from retention.terms.commands import chunk_index

Verdict = Literal["held", "record", "disposed", "missing"]


@dataclass(frozen=True, slots=True)
class Question:
    """A sample, and the leaf that central holds there."""

    node: tuple[str, str, str]  # agency, pharmacy, node
    leaf: int
    chunk: int
    held_leaf: bytes


@dataclass(frozen=True, slots=True)
class Tree:
    """An acknowledged tree, and the leaves and times that central holds of it."""

    size: int
    root: bytes
    leaf_at: Callable[[int], bytes | None]
    seen_at: Callable[[int], datetime | None]  # when central first saw a leaf
    made_after: Callable[[int], datetime]  # when central saw the last tree without a leaf


@dataclass(frozen=True, slots=True)
class Promises:
    """What a node had promised when its record at a sequence was written."""

    policies: Callable[[int], Sequence[AdoptedPolicy]]
    holds: Callable[[int], Sequence[HeldScope]]


@dataclass(frozen=True, slots=True)
class Facts:
    """Which footage a sample is about, as its own proven record says."""

    camera: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Judgement:
    """`own` when the node itself said that it has nothing to show."""

    verdict: Verdict
    cause: str | None = None
    facts: Facts | None = None
    own: bool = False


class _Refuted(Exception):
    """A check that does not hold."""

    def __init__(self, cause: str, facts: Facts | None = None) -> None:
        super().__init__(cause)
        self.cause, self.facts = cause, facts


def judge(
    question: Question, proof: wire.Proof, blobs: Sequence[bytes], tree: Tree, promises: Promises
) -> Judgement:
    """Say what an answer proves."""
    raw, path, third, fourth = blobs
    try:
        if proof.outcome == "missing":
            facts = _facts_of(_leaf_record(question, raw, path, tree)) if raw else None
            return Judgement("missing", proof.cause or "NOT_SAID", facts, own=True)
        if proof.outcome == "disposed":
            return _judge_disposal(question, raw, path, third, fourth, tree, promises)
        return _judge_held(question, _leaf_record(question, raw, path, tree), third, fourth)
    except _Refuted as exc:
        return Judgement("missing", exc.cause, exc.facts)


def _leaf_record(question: Question, raw: bytes, path: bytes, tree: Tree) -> Record:
    # (1) the record gives the leaf that central holds at this place
    if leaf_hash(raw) != question.held_leaf:
        raise _Refuted("RECORD_CHANGED")
    # (2) its inclusion in the acknowledged tree is proven
    _verify(question.held_leaf, question.leaf, path, tree)
    # (3) it says that it is this node's, and stands here
    return _read(question, raw, question.leaf)


def _read(question: Question, raw: bytes, sequence: int) -> Record:
    try:
        record = parse_record(raw)
    except MalformedRecord as exc:
        raise _Refuted("RECORD_UNREADABLE") from exc
    stands = (record.agency, record.pharmacy, record.node, record.sequence)
    if stands != (*question.node, sequence):
        raise _Refuted("RECORD_MISPLACED")
    return record


def _verify(leaf: bytes, index: int, path: bytes, tree: Tree) -> None:
    try:
        verify_inclusion(leaf, index, tree.size, split_hashes(path), tree.root)
    except ProofRejected as exc:
        raise _Refuted("PROOF_REJECTED") from exc


def _judge_held(question: Question, record: Record, chunk: bytes, path: bytes) -> Judgement:
    sealed = record.content()
    if not isinstance(sealed, SegmentSealed):
        return Judgement("record")
    facts = _facts_of(record)
    # (4) the chunk is the one asked for, whole, and gives the record's chunk root
    if sealed.bytes == 0:
        return Judgement("record", facts=facts)
    count = -(-sealed.bytes // CHUNK_BYTES)
    index = chunk_index(question.chunk, sealed.bytes)
    length = min(CHUNK_BYTES, sealed.bytes - index * CHUNK_BYTES)
    if len(chunk) != length:
        raise _Refuted("CHUNK_REJECTED", facts)
    try:
        root = bytes.fromhex(sealed.chunk_root)
        verify_inclusion(leaf_hash(chunk), index, count, split_hashes(path), root)
    except ProofRejected as exc:
        raise _Refuted("CHUNK_REJECTED", facts) from exc
    return Judgement("held", facts=facts)


def _judge_disposal(
    question: Question,
    raw: bytes,
    path: bytes,
    disposal: bytes,
    disposal_path: bytes,
    tree: Tree,
    promises: Promises,
) -> Judgement:
    record = _leaf_record(question, raw, path, tree) if raw else None
    facts = None if record is None else _facts_of(record)
    # (5) the disposal's record is a leaf too: central holds it, and its inclusion is proven
    try:
        sequence = parse_record(disposal).sequence
    except MalformedRecord as exc:
        raise _Refuted("DISPOSAL_UNPROVEN", facts) from exc
    if tree.leaf_at(sequence) != leaf_hash(disposal):
        raise _Refuted("DISPOSAL_UNPROVEN", facts)
    try:
        _verify(leaf_hash(disposal), sequence, disposal_path, tree)
        gone = _read(question, disposal, sequence).content()
    except _Refuted as exc:
        raise _Refuted("DISPOSAL_UNPROVEN", facts) from exc
    # (6) it names this very thing
    made_after = tree.made_after(question.leaf)
    if record is not None and facts is not None and isinstance(gone, SegmentDisposed):
        _require_same(question, record, gone)
        # However old a segment says it is: it was not in the tree before this one.
        items = [
            Item(
                "footage", facts.started_at, facts.ended_at, latest_at=made_after,
                camera=gone.camera,
            )
        ]  # fmt: skip
    elif record is None and isinstance(gone, RecordsDisposed) and question.leaf in gone.sequences:
        if gone.retention not in _GONE_WITH:  # no committed record is of such a class
            raise _Refuted("DISPOSAL_MISPLACED", facts)
        items = [Item(subject, made_after, made_after) for subject in _GONE_WITH[gone.retention]]
    else:
        raise _Refuted("DISPOSAL_MISPLACED", facts)
    # (7) it was owed no longer when central first saw the disposal, by floor and promises
    for item in items:
        _require_due(gone, sequence, item, tree, promises, facts)
    return Judgement("disposed", facts=facts)


_GONE_WITH: dict[RetentionSubject, tuple[RetentionSubject, ...]] = {
    "footage_index": ("footage_index", "footage"),  # a segment's record outlives its footage
    "processing": ("processing",),  # the record of a segment's disposal
}
"""What a committed record may be, by its class, and what has to be owed no longer when it goes."""


def _require_same(question: Question, record: Record, gone: SegmentDisposed) -> None:
    sealed = record.content()
    if not isinstance(sealed, SegmentSealed) or (
        gone.sequence, gone.segment, gone.camera, gone.file_sha256,
    ) != (question.leaf, sealed.segment, sealed.camera, sealed.file_sha256):  # fmt: skip
        raise _Refuted("DISPOSAL_MISPLACED", _facts_of(record))


def _require_due(
    gone: SegmentDisposed | RecordsDisposed,
    sequence: int,
    item: Item,
    tree: Tree,
    promises: Promises,
    facts: Facts | None,
) -> None:
    seen_at = tree.seen_at(sequence)
    try:
        claimed = from_text(gone.owed_until)
    except ValueError as exc:
        raise _Refuted("DISPOSAL_UNPROVEN", facts) from exc
    if seen_at is None or seen_at <= claimed:
        raise _Refuted("DISPOSED_EARLY", facts)
    until = owed_until(
        item.subject,
        item.counts_from,
        promises.policies(sequence),
        lived_since=item.lived_since,
    )
    if seen_at <= until:
        raise _Refuted("DISPOSED_EARLY", facts)
    # (8) no hold stood over it
    if any(covers(hold, item) for hold in promises.holds(sequence)):
        raise _Refuted("DISPOSED_UNDER_HOLD", facts)


def _facts_of(record: Record) -> Facts | None:
    sealed = record.content()
    if not isinstance(sealed, SegmentSealed):
        return None
    try:
        return Facts(sealed.camera, from_text(sealed.started_at), from_text(sealed.ended_at))
    except ValueError:  # a moment that no calendar has
        return None
