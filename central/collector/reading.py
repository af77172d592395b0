"""Reading the canonical bytes of a record once, fast.

`read_record` accepts exactly what `retention.records.envelope.parse_record` accepts, and one thing
more: a known kind whose payload does not fit is read with its `problem` named, because evidence is
kept even when it is not understood. Bytes that are not canonical are refused.

The fast way: where floats and unsafe integers are refused and keys are ASCII, RFC 8785 is what the
standard library's encoder writes. Anything the fast way does not accept takes the slow way, which
also words the refusal.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from retention.records.canonical import MAX_DEPTH, parse_json
from retention.records.clock import from_text, to_micros
from retention.records.envelope import MAX_RECORD_BYTES, Record, first_error
from retention.records.errors import MalformedRecord
from retention.records.kinds import BY_NAME
from retention.records.merkle import leaf_hash

_LONG_NUMBER = re.compile(rb"\d{16}")


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """A record, its bytes, its leaf, and what is wrong with its payload (None: nothing)."""

    record: Record
    raw: bytes
    leaf: bytes
    occurred_at: int
    problem: str | None


def read_record(raw: bytes) -> ReadRecord:
    """Read canonical bytes. Raises MalformedRecord naming what does not fit."""
    record = _fast(raw) or _slow(raw)
    try:
        occurred_at = to_micros(from_text(record.occurred_at))
    except ValueError as exc:
        raise MalformedRecord(f"occurred_at: {exc}") from exc
    return ReadRecord(record, raw, leaf_hash(raw), occurred_at, _payload_problem(record))


def _fast(raw: bytes) -> Record | None:
    if len(raw) > MAX_RECORD_BYTES or (_LONG_NUMBER.search(raw) and _has_unsafe_integer(raw)):
        return None
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        return None
    try:
        record = Record.model_validate_json(raw, strict=True)
        if (record.kind, record.version) not in BY_NAME or (not raw.isascii() and _odd_keys(raw)):
            return None
        value = json.loads(raw, parse_float=_refuse, parse_constant=_refuse)
        same = _encode(value).encode() == raw
    except (ValueError, RecursionError):
        return None
    return record if same else None


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


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)":')


def _has_unsafe_integer(raw: bytes) -> bool:
    """Tell whether a run of 16 digits stands outside strings."""
    return _LONG_NUMBER.search(_STRING.sub(b"", raw)) is not None


def _odd_keys(raw: bytes) -> bool:
    """Tell whether a key is not ASCII: Python and RFC 8785 may then sort differently."""
    return any(not match.group(1).isascii() for match in _KEY.finditer(raw))


def _depth(raw: bytes) -> int:
    depth = deepest = -1
    for byte in _STRING.sub(b"", raw):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _refuse(text: str) -> Any:
    raise ValueError(text)
