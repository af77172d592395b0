"""The wire between node and central: protocol 1, ZeroMQ multipart frames over CURVE.

Frames: `CS1`, message name, header (JSON of a class below), then blobs. Both sides decode with
`decode`, which checks names, sizes and counts before anything else looks at a message; there is
no I/O here. Who sent a message is told by its CURVE key (ZAP), never by what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from retention.records.canonical import canonical_bytes, parse_json
from retention.records.checkpoint import SignedCheckpoint, SignedCountersignature
from retention.records.envelope import MAX_RECORD_BYTES, first_error
from retention.records.errors import RecordsError
from retention.records.fields import Code, Count, Frozen, Id, Moment, Text
from retention.terms.commands import CommandOutcome, SignedCommand

PROTOCOL = 1
MAGIC = b"CS1"
MAX_BATCH = 500
MAX_CHUNK_BYTES = 1024 * 1024
MAX_LEAVES = 50_000
MAX_PATH_BYTES = 64 * 32
MAX_HEADER_BYTES = 64 * 1024
MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # also set as ZMQ_MAXMSGSIZE, which is per frame


class MalformedMessage(RecordsError):
    """Frames that are not a message of this protocol; the text names what was found."""


# -- node to central ------------------------------------------------------------------------------


class Hello(Frozen):
    """First on every connection. `role` keeps a slow upload from delaying records."""

    protocol: Count
    role: Literal["uplink", "commands"]
    agency: Code
    pharmacy: Code
    node: Code
    software: Code
    tree_size: Count
    sent_count: Count


class Records(Frozen):
    """Blobs: `count` records in canonical form with sent_sequence first, first+1, …"""

    first: Count
    count: Annotated[int, Field(ge=1, le=MAX_BATCH)]


class CheckpointOffer(Frozen):
    """Blob 0: leaf hashes previous_size..tree_size, 32 bytes each."""

    previous_size: Count
    signed: SignedCheckpoint


class CameraStatus(Frozen):
    camera: Code
    scene_role: Code
    state: Literal["recording", "down", "starting"]
    last_sealed_at: Moment | None
    simulated: bool


class Status(Frozen):
    """Live state. May be lost; never evidence. `bytes_per_day` is what recording takes up;
    `disk_days` how many days of it still fit by the node's forecast, which counts what may go
    meanwhile. Both are None while too little was recorded to tell."""

    occurred_at: Moment
    clock_state: Code
    cameras: Annotated[tuple[CameraStatus, ...], Field(max_length=64)]
    disk_free_bytes: Count
    bytes_per_day: Count | None = None
    disk_days: Count | None = None
    backlog: Count
    oldest_unsent_at: Moment | None


class SegmentOffer(Frozen):
    """Blobs: the canonical `segment.sealed` record, its inclusion proof (32-byte hashes)."""

    command: Id
    ordinal: Count
    total: Count
    tree_size: Count
    bytes: Count


class SegmentChunk(Frozen):
    """Blob 0: at most MAX_CHUNK_BYTES of the offered segment from `offset`."""

    command: Id
    segment: Id
    offset: Count


class Proof(Frozen):
    """What a node can show of one sample of a challenge, in four blobs that may be empty.

    Blobs: the record, its inclusion proof in the tree of `tree_size`, then for `held` the chunk
    and the chunk's path to the chunk root (both empty for a record of no file), for `disposed` the
    disposal's record and its inclusion proof. `cause` is why something is `missing`.
    """

    command: Id
    ordinal: Count
    tree_size: Count
    outcome: Literal["held", "disposed", "missing"]
    cause: Code | None


class CommandDone(Frozen):
    """How a command ended. `segments` counts what a footage command sent; else it is 0."""

    command: Id
    outcome: CommandOutcome
    segments: Count
    reason: Text | None


# -- central to node ------------------------------------------------------------------------------


class Welcome(Frozen):
    """What central holds of this node: the next sent_sequence it wants and its tree size."""

    protocol: Count
    expected_sent: Count
    tree_size: Count


class Ack(Frozen):
    """Everything before `expected_sent` is committed in central's database."""

    expected_sent: Count


class CheckpointAck(Frozen):
    signed: SignedCountersignature


class CheckpointRefused(Frozen):
    """`tree_size` and `expected_sent` are central's; `first_bad` is the first leaf that differs."""

    code: Code
    detail: Text
    tree_size: Count
    expected_sent: Count
    first_bad: Count | None


class Command(Frozen):
    signed: SignedCommand


class SegmentAck(Frozen):
    """`received` counts bytes; `accepted` is set once digest and proof were checked."""

    command: Id
    segment: Id
    received: Count
    accepted: bool | None
    reason: Text | None


class ProofAck(Frozen):
    """A sample's answer was judged, and that stands; `cause` is what was wrong with it."""

    command: Id
    ordinal: Count
    verdict: Code
    cause: Code | None


class Refused(Frozen):
    """The message before was not accepted."""

    code: Code
    detail: Text


TO_CENTRAL: dict[bytes, type[Frozen]] = {
    b"hello": Hello,
    b"records": Records,
    b"checkpoint": CheckpointOffer,
    b"status": Status,
    b"segment": SegmentOffer,
    b"chunk": SegmentChunk,
    b"proof": Proof,
    b"command_done": CommandDone,
}
TO_NODE: dict[bytes, type[Frozen]] = {
    b"welcome": Welcome,
    b"ack": Ack,
    b"checkpoint_ack": CheckpointAck,
    b"checkpoint_refused": CheckpointRefused,
    b"command": Command,
    b"segment_ack": SegmentAck,
    b"proof_ack": ProofAck,
    b"refused": Refused,
}
_NAMES = {header: name for table in (TO_CENTRAL, TO_NODE) for name, header in table.items()}


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded message: its typed header and its blobs."""

    header: Frozen
    blobs: tuple[bytes, ...] = ()


def encode(header: Frozen, blobs: Sequence[bytes] = ()) -> list[bytes]:
    """Return the frames of a message."""
    body = canonical_bytes(header.model_dump(mode="json"))
    return [MAGIC, _NAMES[type(header)], body, *blobs]


def decode(frames: Sequence[bytes], table: dict[bytes, type[Frozen]]) -> Message:
    """Read frames by TO_CENTRAL or TO_NODE. Raises MalformedMessage; never anything else."""
    if len(frames) < 3 or frames[0] != MAGIC:
        raise MalformedMessage(f"{len(frames)} frames that do not begin with {MAGIC.decode()}")
    kind = table.get(frames[1])
    if kind is None:
        raise MalformedMessage(f"unknown message {frames[1][:32]!r}")
    name = frames[1].decode()
    try:
        header = kind.model_validate(parse_json(frames[2], limit=MAX_HEADER_BYTES), strict=False)
    except ValidationError as exc:
        raise MalformedMessage(f"{name}: {first_error(exc)}") from exc
    except RecordsError as exc:
        raise MalformedMessage(f"{name}: {exc}") from exc
    blobs = tuple(frames[3:])
    _check_blobs(name, header, blobs)
    return Message(header, blobs)


def _check_blobs(name: str, header: Frozen, blobs: tuple[bytes, ...]) -> None:
    expected, largest = 0, 0
    if isinstance(header, Records):
        expected, largest = header.count, MAX_RECORD_BYTES
    elif isinstance(header, CheckpointOffer):
        expected, largest = 1, MAX_LEAVES * 32
        count = header.signed.checkpoint.tree_size - header.previous_size
        if len(blobs) == 1 and len(blobs[0]) != 32 * count:
            raise MalformedMessage(
                f"{name}: {len(blobs[0])} bytes of leaf hashes, not {32 * count}"
            )
    elif isinstance(header, SegmentOffer):
        expected, largest = 2, MAX_RECORD_BYTES
    elif isinstance(header, SegmentChunk):
        expected, largest = 1, MAX_CHUNK_BYTES
    elif isinstance(header, Proof):
        expected, largest = 4, MAX_RECORD_BYTES
        for at, limit in ((1, MAX_PATH_BYTES), (3, MAX_PATH_BYTES)):
            if len(blobs) == expected and len(blobs[at]) > limit:
                raise MalformedMessage(f"{name}: a path of {len(blobs[at])} bytes")
    if len(blobs) != expected:
        raise MalformedMessage(f"{name}: {len(blobs)} blobs, expected {expected}")
    too_long = next((blob for blob in blobs if len(blob) > largest), None)
    if too_long is not None:
        raise MalformedMessage(f"{name}: a blob of {len(too_long)} bytes, at most {largest}")
