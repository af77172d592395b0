"""Signed checkpoints of a node's log, and central's countersignature.

A checkpoint commits to every record before it. It travels with the leaf hashes since the last
one, so central extends the tree itself and a withheld record cannot pass as a committed one.
"""

from __future__ import annotations

from typing import Literal

from retention.records.fields import Code, Count, Digest, Frozen, Moment
from retention.records.payloads import SignatureBlock


class Checkpoint(Frozen):
    """The state of a log: `tree_size` leaves, of which `sent_count` are of sent kinds."""

    agency: Code
    pharmacy: Code
    node: Code
    tree_size: Count
    root_hash: Digest
    sent_count: Count
    digest: Literal["sha-256"]
    occurred_at: Moment


class SignedCheckpoint(Frozen):
    checkpoint: Checkpoint
    signature: SignatureBlock


class Countersignature(Frozen):
    """Central saw this checkpoint, extended the tree to it, and found it consistent."""

    node: Code
    tree_size: Count
    root_hash: Digest
    seen_at: Moment


class SignedCountersignature(Frozen):
    countersignature: Countersignature
    signature: SignatureBlock
