"""What central may ask of a node, signed by central's key and bound to one node and a time.

Every command has `command` (its id; asked twice, it is done once), `kind`, `node`, `actor`,
`reason`, `issued_at` and `expires_at`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from retention.records.fields import Code, Count, Frozen, Id, Moment, Text
from retention.records.keeping import Hold, RetentionPolicy
from retention.records.merkle import CHUNK_BYTES
from retention.records.payloads import SignatureBlock

MOST_SAMPLES = 1000

CommandOutcome = Literal["sent", "done", "refused", "failed"]
"""How a command ended: `sent` footage; `done` everything else; `refused` before it was begun."""


class FootageCommand(Frozen):
    """Send the sealed segments that overlap a span (pre-roll and post-roll included)."""

    command: Id
    kind: Literal["footage"] = "footage"
    node: Code
    session: Id
    started_at: Moment
    ended_at: Moment
    cameras: Annotated[tuple[Code, ...], Field(max_length=16)] = ()
    actor: Text
    reason: Text
    issued_at: Moment
    expires_at: Moment


class PolicyCommand(Frozen):
    """Adopt a retention policy."""

    command: Id
    kind: Literal["policy"] = "policy"
    node: Code
    policy: RetentionPolicy
    actor: Text
    reason: Text
    issued_at: Moment
    expires_at: Moment


class HoldCommand(Frozen):
    """Place a hold."""

    command: Id
    kind: Literal["hold"] = "hold"
    node: Code
    hold: Hold
    actor: Text
    reason: Text
    issued_at: Moment
    expires_at: Moment


class ReleaseCommand(Frozen):
    """Release a hold that central placed."""

    command: Id
    kind: Literal["release"] = "release"
    node: Code
    hold: Id
    actor: Text
    reason: Text
    issued_at: Moment
    expires_at: Moment


class Sample(Frozen):
    """One leaf of the log, and which of its segment's chunks: `chunk` / 2^32 of the way in."""

    leaf: Count
    chunk: Annotated[int, Field(ge=0, lt=2**32)]


def chunk_index(chunk: int, size: int) -> int:
    """Return which 64 KiB chunk of a file of `size` bytes a sample means; 0 of an empty file."""
    return chunk * -(-size // CHUNK_BYTES) >> 32


class ChallengeCommand(Frozen):
    """Prove that these leaves of the tree of `tree_size` are held, before `expires_at`."""

    command: Id
    kind: Literal["challenge"] = "challenge"
    node: Code
    challenge: Id
    tree_size: Count
    samples: Annotated[tuple[Sample, ...], Field(min_length=1, max_length=MOST_SAMPLES)]
    actor: Text
    reason: Text
    issued_at: Moment
    expires_at: Moment


AnyCommand = FootageCommand | PolicyCommand | HoldCommand | ReleaseCommand | ChallengeCommand


class SignedCommand(Frozen):
    command: Annotated[AnyCommand, Field(discriminator="kind")]
    signature: SignatureBlock
