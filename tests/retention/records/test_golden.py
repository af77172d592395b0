"""The record format does not change: golden bytes per kind and version, and no room for faces."""

from __future__ import annotations

import types
import typing

import pytest
from pydantic import Field
from pydantic.fields import FieldInfo

from retention.records.envelope import parse_record
from retention.records.fields import Count, Decimal, Frozen
from retention.records.kinds import KINDS, kind_of
from tests.golden.samples import FOLDER, SAMPLES, golden_path, record_of

MAX_STRING_BYTES = 800  # 200 characters of Chinese text
EMBEDDING_NUMBERS = 128
LONG_LISTS_OF_NUMBERS = {"records.disposed": 500}
"""Places in the node's own log; no face is near them."""


@pytest.mark.parametrize("payload", SAMPLES, ids=lambda payload: kind_of(payload).name)
def test_canonical_bytes_are_the_golden_bytes(payload: Frozen) -> None:
    golden = golden_path(payload).read_bytes()
    assert record_of(payload).to_bytes() == golden
    assert parse_record(golden).content() == payload


def test_every_kind_has_a_sample_and_every_golden_file_a_kind() -> None:
    names = {f"{kind.name}.v{kind.version}.json" for kind in KINDS}
    assert {golden_path(sample).name for sample in SAMPLES} == names
    assert {path.name for path in FOLDER.iterdir()} == names


def leaf_types(annotation: object, info: FieldInfo | None) -> typing.Iterator[tuple[object, list]]:
    """Yield each scalar type that a payload field can hold, with its constraints."""
    metadata = list(info.metadata) if info else []
    while typing.get_origin(annotation) is typing.Annotated:
        annotation, *more = typing.get_args(annotation)
        for item in more:
            metadata.extend(item.metadata if isinstance(item, FieldInfo) else [item])
    origin = typing.get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        for field in annotation.model_fields.values():
            yield from leaf_types(field.annotation, field)
    elif origin in (typing.Union, types.UnionType, tuple):
        if origin is tuple:
            assert any(getattr(item, "max_length", None) for item in metadata), annotation
        for part in typing.get_args(annotation):
            if part is not Ellipsis and part is not type(None):
                yield from leaf_types(part, None if origin is tuple else _merged(metadata))
    else:
        yield annotation, metadata


def _merged(metadata: list) -> FieldInfo:
    info = FieldInfo()
    info.metadata = metadata
    return info


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_payload_has_room_for_an_image_or_an_embedding(kind) -> None:
    for annotation, metadata in leaf_types(kind.payload, None):
        assert annotation is not bytes
        assert annotation is not float
        assert annotation is not typing.Any
        if annotation is str:
            bounded = [m for m in metadata if getattr(m, "max_length", None)]
            patterned = [m for m in metadata if getattr(m, "pattern", None)]
            assert bounded or patterned, metadata
            assert all(4 * m.max_length <= MAX_STRING_BYTES for m in bounded)
            assert all("*" not in m.pattern and "+$" not in m.pattern for m in patterned)


def longest_numbers(annotation: object, metadata: list) -> int:
    """Return how many numbers the longest list in a payload can hold; 0 when it has none."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation, *more = typing.get_args(annotation)
        for item in more:
            metadata = metadata + (item.metadata if isinstance(item, FieldInfo) else [item])
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        fields = annotation.model_fields.values()
        return max((longest_numbers(one.annotation, one.metadata) for one in fields), default=0)
    parts = [part for part in typing.get_args(annotation) if part is not Ellipsis]
    longest = max((longest_numbers(part, []) for part in parts), default=0)
    if typing.get_origin(annotation) is tuple and any(
        part in NUMBERS for part in map(_bare, parts)
    ):
        lengths = [one.max_length for one in metadata if getattr(one, "max_length", None)]
        longest = max(longest, *lengths)
    return longest


NUMBERS = (int, float, Decimal)


def _bare(annotation: object) -> object:
    """Return the type behind constraints; a decimal in a string stays what it is."""
    while annotation != Decimal and typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_list_of_numbers_is_as_long_as_an_embedding(kind) -> None:
    longest = longest_numbers(kind.payload, [])
    assert longest < EMBEDDING_NUMBERS or longest == LONG_LISTS_OF_NUMBERS.get(kind.name)


@pytest.mark.parametrize("number", [int, Decimal, Count])
def test_a_list_as_long_as_an_embedding_would_be_found(number: object) -> None:
    class Vector(Frozen):
        values: typing.Annotated[tuple[number, ...], Field(max_length=EMBEDDING_NUMBERS)] | None

    assert longest_numbers(Vector, []) == EMBEDDING_NUMBERS


def test_a_payload_with_an_image_in_it_is_refused() -> None:
    sample = record_of(SAMPLES[0])
    smuggled = sample.model_copy(update={"payload": {**sample.payload, "crop": "/9j/4AAQSkZJRg"}})
    with pytest.raises(Exception, match="crop"):
        parse_record(smuggled.to_bytes())
