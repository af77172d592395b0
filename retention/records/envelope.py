"""The envelope around every payload, and its one canonical form.

The leaf of a record in the node's log is RFC 9162's hash of exactly these bytes. The salt keeps a
leaf meaningless after its payload is disposed of. Bytes that are not the canonical form of what
they say are refused, so one record has one leaf.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from retention.records.canonical import canonical_bytes, parse_canonical
from retention.records.clock import ClockState
from retention.records.errors import MalformedRecord
from retention.records.fields import Code, Count, Frozen, Id, Moment
from retention.records.kinds import BY_NAME
from retention.records.merkle import leaf_hash

MAX_RECORD_BYTES = 256 * 1024


class Record(Frozen):
    """One fact of one node. `sequence` is its leaf index; `sent_sequence` is null if committed."""

    id: Id
    agency: Code
    pharmacy: Code
    node: Code
    counter: Code | None
    sequence: Count
    sent_sequence: Count | None
    kind: Code
    version: Annotated[int, Field(ge=1, le=1000)]
    digest: Literal["sha-256"]
    occurred_at: Moment
    monotonic_ns: Annotated[str, Field(pattern=r"^\d{1,20}$")]
    boot_id: Id
    clock_state: ClockState
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    payload: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Return the canonical bytes."""
        return canonical_bytes(self.model_dump(mode="json"))

    def leaf(self) -> bytes:
        """Return the RFC 9162 leaf hash, 32 bytes."""
        return leaf_hash(self.to_bytes())

    def content(self) -> Frozen | None:
        """Return the typed payload, or None for a kind or version this code does not know.

        Raises MalformedRecord when a known kind carries a payload that does not fit it.
        """
        kind = BY_NAME.get((self.kind, self.version))
        if kind is None:
            return None
        try:
            return kind.payload.model_validate(self.payload)
        except ValidationError as exc:
            raise MalformedRecord(f"{self.kind} v{self.version}: {first_error(exc)}") from exc


def parse_record(raw: bytes) -> Record:
    """Read canonical bytes. Raises MalformedRecord naming the field that does not fit.

    A known kind's payload is checked too; an unknown kind is accepted as it is.
    """
    record = parse_envelope(raw)
    record.content()
    return record


def parse_envelope(raw: bytes) -> Record:
    """Read canonical bytes without looking into the payload. Raises MalformedRecord."""
    parse_canonical(raw, limit=MAX_RECORD_BYTES)
    try:
        return Record.model_validate_json(raw, strict=True)
    except ValidationError as exc:
        raise MalformedRecord(first_error(exc)) from exc


def first_error(exc: ValidationError) -> str:
    """Return one line for the first thing pydantic refused: field, reason, what was found."""
    error = exc.errors(include_url=False)[0]
    field = ".".join(str(part) for part in error["loc"]) or "value"
    if error["type"] == "missing":
        return f"{field}: {error['msg']}"
    found = repr(error.get("input"))
    return f"{field}: {error['msg']}, found {found[:80]}"
