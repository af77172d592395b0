"""No bytes that reach the collector end it or change what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central.collector.reading import _fast, _slow, read_record
from retention.records.canonical import canonical_bytes
from retention.records.envelope import parse_envelope, parse_record
from retention.records.errors import MalformedRecord
from retention.terms import wire
from tests.central.wirekit import TestCentral
from tests.golden.samples import SAMPLES, record_of

NAMES = st.sampled_from([*wire.TO_CENTRAL, *wire.TO_NODE, b"nonsense", b""])
HEADERS = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [
            b"[" * 5000,
            b'{"first":' + b"9" * 5000 + b"}",
            b'{"first":0,"count":1}',
            b'{"first":-1,"count":1}',
            b'{"first":0,"count":501}',
            b'{"first":0,"first":0,"count":1}',
            b'{"first":0.0,"count":1}',
            b'{"command":"\\ud800"}',
        ]
    ),
)
FRAMES = st.one_of(
    st.lists(st.binary(max_size=100), max_size=5),
    st.builds(
        lambda name, header, blobs: [wire.MAGIC, name, header, *blobs],
        NAMES, HEADERS, st.lists(st.binary(max_size=100), max_size=3),
    ),
)  # fmt: skip


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(frames=FRAMES)
def test_malformed_frames_are_refused(central: TestCentral, frames: list[bytes]) -> None:
    answers = central.handle(frames)
    assert [frame[1] for frame in answers] == [b"refused"]
    assert central.bodies() == []


RAW = [record_of(sample).to_bytes() for sample in SAMPLES]


@pytest.mark.parametrize("raw", RAW, ids=[type(sample).__name__ for sample in SAMPLES])
def test_every_kind_is_read_the_fast_way(raw: bytes) -> None:
    read = _fast(raw)
    assert read is not None
    assert read == _slow(raw)
    record = parse_record(raw)
    assert (read.sequence, read.sent_sequence) == (record.sequence, record.sent_sequence)
    assert (read.agency, read.pharmacy, read.node) == (record.agency, record.pharmacy, record.node)
    assert read.leaf == record.leaf()


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_fast_reading_accepts_nothing_that_parsing_refuses(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(RAW)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        cut = data.draw(st.integers(0, 3))
        raw[at : at + cut] = data.draw(
            st.binary(max_size=3)
            | st.sampled_from([b"1.0", b"true", b"null", b'"', b"9" * 17, b"\\u00e9", b"[[[["])
        )
    mutated = bytes(raw)
    read = _fast(mutated)
    if read is not None:
        assert read == _slow(mutated)


EMPTY = canonical_bytes({**json.loads(RAW[0]), "kind": "unknown.kind", "payload": {}})
NUMBERS = st.integers(-(2**54), 2**54) | st.sampled_from([2**53 - 1, 2**53, 2**64, 0.0, 1.5])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


def with_payload(payload: bytes) -> bytes:
    return EMPTY.replace(b'"payload":{}', b'"payload":' + payload)


def accepted(read: Callable[[bytes], object], raw: bytes) -> bool:
    try:
        read(raw)
    except MalformedRecord:
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(
    payload=st.dictionaries(st.text(max_size=2), VALUES, max_size=4),
    ordered=st.booleans(),
    escaped=st.booleans(),
    spaced=st.booleans(),
)
def test_a_payload_is_read_exactly_when_parsing_accepts_it(
    payload: dict[str, object], ordered: bool, escaped: bool, spaced: bool
) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    text = json.dumps(payload, sort_keys=ordered, ensure_ascii=escaped, separators=separators)
    raw = with_payload(text.encode())
    assert accepted(read_record, raw) == accepted(parse_envelope, raw)
    read = _fast(raw)
    assert read is None or read == _slow(raw)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a":"\\ud800"}', b'{"a":' + b"9" * 5000 + b"}", b'{"a":1.5}', b'{"a":1.0}',
        b'{"a":1e2}', b'{"a":-0}', b'{"a":9007199254740992}', b'{"a":[{"b":-9007199254740992}]}',
        b'{"b":1,"a":1}', b'{"a":{"c":1,"b":1}}', b'{"a":[{"c":1,"b":1}]}', b'{"a":1,"a":1}',
        b'{"a": 1}', b'{"a":"\\u0041"}', b'{"a":"\\/"}', b'{"a":"\\u001F"}', b'{"a":"\\u0008"}',
        b'{"a":' + b"[" * 12 + b"1" + b"]" * 12 + b"}", b"[" * 40 + b"]" * 40, b'{"a":NaN}',
        b'{"a":"\xff"}', b'{"\xef\xbf\xbf":1,"\xf0\x90\x80\x80":1}', b"{}}", b'{"a":"\n"}',
    ],
)  # fmt: skip
def test_json_that_is_not_canonical_is_malformed(payload: bytes) -> None:
    assert _fast(with_payload(payload)) is None
    with pytest.raises(MalformedRecord):
        read_record(with_payload(payload))


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a":' + b"[" * 11 + b"]" * 11 + b"}", b'{"a":"\\u001f\\b\x7f\xe2\x80\xa8/\\"\\\\"}',
        b'{"\xf0\x90\x80\x80":1,"\xef\xbf\xbf":1}', b'{"a":-9007199254740991}',
        b'{"a":"},\\"pharmacy\\":\\"x\\""}',
    ],
)  # fmt: skip
def test_unusual_canonical_json_is_read(payload: bytes) -> None:
    assert read_record(with_payload(payload)).raw == with_payload(payload)
