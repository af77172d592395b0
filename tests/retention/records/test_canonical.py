"""Canonical bytes: the examples of RFC 8785 itself, and what the house refuses on top."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from retention.records.canonical import (
    MAX_SAFE_INTEGER,
    canonical_bytes,
    parse_canonical,
    parse_json,
)
from retention.records.errors import MalformedRecord

RFC_8785_3_2_2 = r"""{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}"""
RFC_8785_3_2_4 = bytes.fromhex(
    "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b33"
    "33333333333333332e333333333333332c31652b33302c342e352c302e3030322c31652d32375d2c2273"
    "7472696e67223a22e282ac245c75303030665c6e4127425c225c5c5c5c5c222f227d"
)
RFC_8785_3_2_3 = r"""{
  "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
  "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
  "\u00f6": "Latin Small Letter O With Diaeresis"
}"""


def test_the_library_gives_the_bytes_of_the_rfc() -> None:
    assert rfc8785.dumps(json.loads(RFC_8785_3_2_2)) == RFC_8785_3_2_4


def test_the_strings_and_literals_of_the_rfc() -> None:
    value = json.loads(RFC_8785_3_2_2)
    del value["numbers"]
    start = RFC_8785_3_2_4.index(b',"numbers"')
    end = RFC_8785_3_2_4.index(b',"string"')
    assert canonical_bytes(value) == RFC_8785_3_2_4[:start] + RFC_8785_3_2_4[end:]


def test_keys_are_sorted_by_utf_16_as_in_the_rfc() -> None:
    ordered = list(json.loads(canonical_bytes(json.loads(RFC_8785_3_2_3))).values())
    assert ordered == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": {"b": 0.5}}, r"\$\.a\.b: float"),
        ({"n": MAX_SAFE_INTEGER + 1}, r"\$\.n: integer beyond"),
        ({"n": b"raw"}, r"\$\.n: bytes"),
        ({1: "x"}, "key 1 is not a string"),
        (json.loads("[" * 20 + "]" * 20), "nested deeper"),
    ],
)
def test_what_has_no_canonical_form_is_refused_by_name(value, message) -> None:
    with pytest.raises(MalformedRecord, match=message):
        canonical_bytes(value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"a":1.5}', "1.5 is not an integer"),
        (b'{"a":1,"a":2}', "same key twice"),
        (b'{"a":NaN}', "NaN"),
        (b"[" * 5000, "not JSON"),
        (b"[" * 40 + b"]" * 40, "nested deeper"),
        (b"\xff\xfe", "not JSON"),
        (b" " * 101, "101 bytes; at most 100"),
    ],
)
def test_hostile_json_is_refused(raw, message) -> None:
    with pytest.raises(MalformedRecord, match=message):
        parse_json(raw, limit=100 if raw.startswith(b" ") else 10_000)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,  # so that nesting stays within MAX_DEPTH
)


@given(values)
def test_canonical_bytes_read_back_to_the_same_value_and_bytes(value) -> None:
    raw = canonical_bytes(value)
    assert parse_json(raw, limit=10_000_000) == value
    assert canonical_bytes(parse_json(raw, limit=10_000_000)) == raw


@given(values)
def test_both_encoders_write_the_same_bytes(value) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_half_a_surrogate_pair_is_refused(text) -> None:
    for value in (text, {text: 1}, [text], {"ключ": text}):
        with pytest.raises(MalformedRecord):
            canonical_bytes(value)


@given(values)
def test_what_is_read_as_canonical_is_exactly_its_canonical_form(value: object) -> None:
    raw = canonical_bytes(value)
    assert parse_canonical(raw, limit=100_000) == value
    spaced = json.dumps(value, indent=1).encode()
    if spaced != raw:
        with pytest.raises(MalformedRecord):
            parse_canonical(spaced, limit=100_000)


def test_keys_in_the_order_of_code_points_are_not_canonical() -> None:
    """U+FB33 sorts before U+1F600 as a code point, and after it in UTF-16."""
    raw = '{"\ufb33":1,"\U0001f600":2}'.encode()
    with pytest.raises(MalformedRecord, match="canonical form"):
        parse_canonical(raw, limit=1000)
    assert parse_canonical('{"\U0001f600":2,"\ufb33":1}'.encode(), limit=1000)
