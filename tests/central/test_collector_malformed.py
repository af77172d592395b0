"""No bytes that reach the collector end it or change what it holds."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central.collector.reading import _fast, _slow, read_record
from retention.records.canonical import MAX_SAFE_INTEGER, canonical_bytes
from retention.records.envelope import parse_record
from retention.records.errors import MalformedRecord
from retention.records.kinds import KINDS
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
    assert _fast(raw) == parse_record(raw).model_dump(mode="json")
    assert read_record(raw).problem is None


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
        assert _slow(mutated).model_dump(mode="json") == read


@pytest.mark.parametrize(
    "payload",
    [b'{"a":"\\ud800"}', b'{"a":' + b"9" * 5000 + b"}", b'{"a":1.5}', b"[" * 40 + b"]" * 40],
)
def test_json_without_a_canonical_form_is_malformed(payload: bytes) -> None:
    empty = canonical_bytes({**json.loads(RAW[0]), "payload": {}})
    with pytest.raises(MalformedRecord):
        read_record(empty.replace(b'"payload":{}', b'"payload":' + payload))


def test_nested_integers_are_bounded_so_that_the_fast_way_need_not_look() -> None:
    for kind in KINDS:
        for name, part in kind.payload.model_json_schema().get("$defs", {}).items():
            for field, schema in part.get("properties", {}).items():
                if schema.get("type") == "integer":
                    assert schema["maximum"] <= MAX_SAFE_INTEGER, f"{name}.{field}"
