"""Reading the canonical bytes of a record once, fast.

`read_record` accepts exactly what `retention.records.envelope.parse_record` accepts, and one thing
more: a known kind whose payload does not fit is read with its `problem` named, because evidence is
kept even when it is not understood. Bytes that are not canonical are refused.

The fast way takes records of known kinds: one strict pass of a model that holds envelope and
payload leaves no room for floats, odd keys or deep nesting, so what the standard library's encoder
writes is RFC 8785. Everything else takes the slow way, which words the refusal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError, create_model
from pydantic_core import from_json

from retention.records.canonical import MAX_SAFE_INTEGER, parse_json
from retention.records.clock import to_micros
from retention.records.envelope import MAX_RECORD_BYTES, Record, first_error
from retention.records.errors import MalformedRecord
from retention.records.kinds import BY_NAME
from retention.records.merkle import leaf_hash

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


# One model per known kind and version: the envelope with its payload typed.
_WHOLE: dict[tuple[object, object], type[Record]] = {
    key: create_model(f"{kind.name}.v{kind.version}", __base__=Record, payload=(kind.payload, ...))
    for key, kind in BY_NAME.items()
}


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """What central needs of a record, its bytes and leaf, and what is wrong with its payload
    (None: nothing). `occurred_at` is in microseconds."""

    agency: str
    pharmacy: str
    node: str
    sequence: int
    sent_sequence: int | None
    kind: str
    version: int
    occurred_at: int
    raw: bytes
    leaf: bytes
    problem: str | None


def read_record(raw: bytes) -> ReadRecord:
    """Read canonical bytes. Raises MalformedRecord naming what does not fit."""
    value, problem = _fast(raw), None
    if value is None:
        record = _slow(raw)
        value, problem = record.model_dump(mode="json"), _payload_problem(record)
    try:
        occurred_at = to_micros(datetime.fromisoformat(value["occurred_at"]))
    except ValueError as exc:
        raise MalformedRecord(f"occurred_at: {exc}") from exc
    return ReadRecord(
        agency=value["agency"],
        pharmacy=value["pharmacy"],
        node=value["node"],
        sequence=value["sequence"],
        sent_sequence=value["sent_sequence"],
        kind=value["kind"],
        version=value["version"],
        occurred_at=occurred_at,
        raw=raw,
        leaf=leaf_hash(raw),
        problem=problem,
    )


def _fast(raw: bytes) -> dict[str, Any] | None:
    """Return the value of a canonical record whose payload fits its kind, None if unsure."""
    if len(raw) > MAX_RECORD_BYTES:
        return None
    try:
        value = from_json(raw, allow_inf_nan=False)
        whole = _WHOLE.get((value["kind"], value["version"]))
        if whole is None:
            return None
        whole.model_validate_json(raw, strict=True)
        if any(type(i) is int and abs(i) > MAX_SAFE_INTEGER for i in value["payload"].values()):
            return None
        return value if _encode(value).encode() == raw else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _slow(raw: bytes) -> Record:
    value = parse_json(raw, limit=MAX_RECORD_BYTES)
    try:
        record = Record.model_validate(value)
    except ValidationError as exc:
        raise MalformedRecord(first_error(exc)) from exc
    if record.to_bytes() != raw:
        raise MalformedRecord("bytes are not the canonical form (RFC 8785) of the record")
    return record


def _payload_problem(record: Record) -> str | None:
    kind = BY_NAME.get((record.kind, record.version))
    if kind is None:
        return None
    try:
        kind.payload.model_validate(record.payload)
    except ValidationError as exc:
        return f"{record.kind} v{record.version}: {first_error(exc)}"[:500]
    return None
