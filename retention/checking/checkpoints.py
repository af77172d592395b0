"""Signed checkpoints and central's countersignatures, against the log that is there.

A countersigned root that the log does not have shows that the log was cut short, rewritten or set
back after central saw it. A node's own signature proves little to who holds its disk; central's
does, hence the key that the asker brings.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from retention.checking.report import Bad
from retention.checking.subject import Subject
from retention.keyfiles import KeyDirectory, KeyRefused
from retention.records.checkpoint import Checkpoint, SignedCheckpoint, SignedCountersignature
from retention.records.errors import ProofRejected
from retention.records.signing import Context, verify_signature


def checkpoints(subject: Subject, roots: dict[int, tuple[str, int]]) -> Iterator[Bad]:
    """Check every checkpoint; `roots` is what the log gives at each size."""
    public_key = _public_key(subject)
    count = countersigned = 0
    seen_before = ""
    for row in subject.connection.execute(
        "SELECT tree_size, body, countersigned FROM checkpoints ORDER BY tree_size"
    ):
        count += 1
        name = f"checkpoint {row['tree_size']}"
        try:
            signed = SignedCheckpoint.model_validate_json(row["body"])
            said = _own(signed, row["tree_size"], roots)
            if said is not None:
                yield Bad("checkpoints", name, said)
            if public_key is not None:
                verify_signature(
                    public_key, Context.CHECKPOINT, signed.checkpoint, signed.signature
                )
            if row["countersigned"] is not None:
                countersigned += 1
                seen = SignedCountersignature.model_validate_json(row["countersigned"])
                yield from _central(subject, name, signed.checkpoint, seen, seen_before)
                seen_before = seen.countersignature.seen_at
        except (ValidationError, ProofRejected) as exc:
            yield Bad("checkpoints", name, str(exc).splitlines()[0])
    if countersigned and subject.central_key is None:
        subject.report.skipped.append("countersignatures: central's key was not given")
    subject.report.counts |= {"checkpoints": count, "countersigned": countersigned}


def _own(signed: SignedCheckpoint, tree_size: int, roots: dict[int, tuple[str, int]]) -> str | None:
    if signed.checkpoint.tree_size != tree_size:
        return "the row and the body disagree on the size"
    if roots.get(tree_size) != (signed.checkpoint.root_hash, signed.checkpoint.sent_count):
        return "the log does not have this root"
    return None


def _central(
    subject: Subject,
    name: str,
    checkpoint: Checkpoint,
    seen: SignedCountersignature,
    seen_before: str,
) -> Iterator[Bad]:
    statement = seen.countersignature
    same = (statement.node, statement.tree_size, statement.root_hash)
    if same != (checkpoint.node, checkpoint.tree_size, checkpoint.root_hash):
        yield Bad("checkpoints", name, f"countersigned for another root at {statement.tree_size}")
    elif statement.seen_at < seen_before:
        yield Bad("checkpoints", name, "countersigned before a smaller one")
    if subject.central_key is not None:
        verify_signature(subject.central_key, Context.COUNTERSIGNATURE, statement, seen.signature)


def _public_key(subject: Subject) -> bytes | None:
    path = subject.data / "keys" / "signing.key"
    try:
        if path.exists():
            return KeyDirectory(path.parent).signer().public_key
        reason = "no keys in the data folder"
    except (KeyRefused, OSError) as exc:
        reason = str(exc)
    subject.report.skipped.append(f"checkpoint signatures: {reason}")
    return None
