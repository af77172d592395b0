"""Canonical bytes: RFC 8785 JSON, with the house rules that keep every reader in agreement.

Floats never appear, and integers beyond 2^53-1 are refused (they travel as strings), so every
language reads the same value. Where that holds and all keys are ASCII, the standard library's
encoder writes exactly RFC 8785, five times as fast as the `rfc8785` library; a property test
holds the two against each other. Other keys sort differently and take the library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import rfc8785

from retention.records.errors import MalformedRecord

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 12

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]


def canonical_bytes(value: object) -> bytes:
    """Return the RFC 8785 bytes of a JSON value without floats.

    Raises MalformedRecord naming the path of a float, an unsafe integer, a foreign type or
    nesting deeper than MAX_DEPTH.
    """
    try:
        if _is_plain(value, 0):
            return _encode(value).encode()
        _check(value, "$", 0)
        return rfc8785.dumps(value)  # type: ignore[arg-type]
    except (UnicodeEncodeError, rfc8785.CanonicalizationError) as exc:
        raise MalformedRecord(f"no canonical form: {exc}") from exc


def parse_json(raw: bytes, *, limit: int) -> Json:
    """Read JSON of at most `limit` bytes, refusing floats, duplicate keys and deep nesting.

    Raises MalformedRecord.
    """
    return _parse(raw, limit)[0]


def parse_canonical(raw: bytes, *, limit: int) -> Json:
    """Read JSON that must be its own canonical form; what is looked at once is not looked at
    again, for a check reads millions. Raises MalformedRecord."""
    value, plain = _parse(raw, limit)
    try:
        found = _encode(value).encode() if plain else canonical_bytes(value)
    except UnicodeEncodeError as exc:
        raise MalformedRecord(f"no canonical form: {exc}") from exc
    if found != raw:
        raise MalformedRecord("bytes are not the canonical form (RFC 8785) of the record")
    return value


def _parse(raw: bytes, limit: int) -> tuple[Json, bool]:
    """Return the value, and whether the fast encoder may write it."""
    if len(raw) > limit:
        raise MalformedRecord(f"JSON of {len(raw)} bytes; at most {limit} are allowed")
    try:
        value = _decode(raw.decode())
    except (ValueError, RecursionError) as exc:  # also numbers of thousands of digits
        raise MalformedRecord(f"not JSON: {exc}") from exc
    plain = _is_plain(value, 0)
    if not plain:
        _check(value, "$", 0)
    return value, plain


def digest_of(value: object) -> str:
    """Return the SHA-256 of the canonical bytes as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def _is_plain(value: object, depth: int) -> bool:
    """Tell whether the fast encoder may write this value; `_check` words what may not."""
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return True
    if isinstance(value, dict):
        if depth >= MAX_DEPTH and value:
            return False
        for key, item in value.items():  # a loop: the log of a year is read by this line
            if not isinstance(key, str) or not key.isascii():
                return False
            kind = type(item)
            if kind is str or (kind is int and -MAX_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER):
                continue
            if item is not None and not _is_plain(item, depth + 1):
                return False
        return True
    if isinstance(value, list):
        if depth >= MAX_DEPTH and value:
            return False
        return all(type(item) is str or _is_plain(item, depth + 1) for item in value)
    return isinstance(value, int) and -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER


def _check(value: object, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise MalformedRecord(f"{path[:80]}: nested deeper than {MAX_DEPTH}")
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise MalformedRecord(f"{path}: integer beyond 2^53-1; write it as a string")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise MalformedRecord(f"{path}: key {key!r} is not a string")
            _check(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth + 1)
    else:
        raise MalformedRecord(f"{path}: {type(value).__name__} has no canonical form")


def _refuse_float(text: str) -> Any:
    raise MalformedRecord(f"number {text[:40]} is not an integer; write it as a string")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedRecord("an object names the same key twice")
    return found


_decode = json.JSONDecoder(
    parse_float=_refuse_float, parse_constant=_refuse_float, object_pairs_hook=_unique
).decode
