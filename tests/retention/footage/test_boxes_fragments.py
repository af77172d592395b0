"""The index of fragments: exact where the file is honest, short where it is not."""

from __future__ import annotations

import io
import random
import struct

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.footage.boxes import recover_length
from retention.footage.fragments import FragmentIndex, fragments, index_of


def indexed(raw: bytes) -> FragmentIndex:
    return index_of(io.BytesIO(raw), len(raw))


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def head(trex_duration: int, timescale: int = 1000) -> bytes:
    """A `moov` with what the index reads of one: a time scale and a usual sample length."""
    mdhd = box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, timescale, 0, 0))
    trex = box(b"trex", struct.pack(">IIIIII", 0, 1, 1, trex_duration, 0, 0))
    return box(b"moov", box(b"trak", box(b"mdia", mdhd)) + box(b"mvex", trex))


def moof(start: int, samples: int, *, tfhd_duration: int | None = None) -> bytes:
    tfhd = struct.pack(">II", 0 if tfhd_duration is None else 0x8, 1)
    if tfhd_duration is not None:
        tfhd += struct.pack(">I", tfhd_duration)
    tfdt = struct.pack(">IQ", 1 << 24, start)
    trun = struct.pack(">II", 0, samples)
    boxes = box(b"tfhd", tfhd) + box(b"tfdt", tfdt) + box(b"trun", trun)
    return box(b"moof", box(b"traf", boxes))


def test_fragments_lie_and_play_where_the_file_has_them(clip, tmp_path):
    path = tmp_path / "segment.mp4"
    path.write_bytes(clip.head + b"".join(clip.fragments))
    found = fragments(path)
    assert found.head_bytes == len(clip.head)
    at = len(clip.head)
    for number, (fragment, raw) in enumerate(zip(found.fragments, clip.fragments, strict=True)):
        assert (fragment.offset, fragment.size) == (at, len(raw))
        assert (fragment.start_us, fragment.duration_us) == (number * 1_000_000, 1_000_000)
        at += len(raw)


def test_head_and_any_one_fragment_are_a_playable_file(clip, tmp_path):
    path = tmp_path / "segment.mp4"
    path.write_bytes(clip.head + b"".join(clip.fragments))
    found, raw = fragments(path), path.read_bytes()
    third = found.fragments[2]
    piece = raw[: found.head_bytes] + raw[third.offset : third.offset + third.size]
    with av.open(io.BytesIO(piece)) as container:
        pictures = list(container.decode(video=0))
    assert float(pictures[0].time) == pytest.approx(third.start_us / 1e6)


def test_changed_file_is_indexed_again(clip, tmp_path):
    path = tmp_path / "segment.mp4"
    path.write_bytes(clip.head + clip.fragments[0])
    assert len(fragments(path).fragments) == 1
    path.write_bytes(clip.head + clip.fragments[0] + clip.fragments[1])
    assert len(fragments(path).fragments) == 2


def test_sample_length_comes_from_the_fragment_before_the_head():
    raw = head(trex_duration=40) + moof(0, 25) + box(b"mdat", b"")
    assert indexed(raw).fragments[0].duration_us == 1_000_000
    raw = head(trex_duration=40) + moof(0, 25, tfhd_duration=80) + box(b"mdat", b"")
    assert indexed(raw).fragments[0].duration_us == 2_000_000


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        ([0, 1000, 500], 2),  # back in time
        ([0, 1000, 1000], 2),  # no time at all
        ([0, 10_000_000], 1),  # hours further
        ([2**62], 0),
    ],
)
def test_index_ends_at_a_time_that_cannot_be(times, kept):
    raw = head(40) + b"".join(moof(start, 25) + box(b"mdat", b"x") for start in times)
    assert len(indexed(raw).fragments) == kept


def test_fragment_is_whole_only_when_its_media_follows_at_once():
    between = moof(0, 25) + box(b"free", b"") + box(b"mdat", b"x")
    assert indexed(head(40) + between).fragments == ()
    index = indexed(head(40) + between + moof(1000, 25) + box(b"mdat", b"x"))
    assert [one.start_us for one in index.fragments] == [1_000_000]


def test_fragment_of_endless_samples_is_none():
    assert indexed(head(40) + moof(0, 2**32 - 1) + box(b"mdat", b"x")).fragments == ()


def test_deeply_nested_boxes_end_the_walk_not_the_process():
    nested = b""
    for _ in range(5000):
        nested = box(b"traf", nested)
    raw = head(40) + box(b"moof", nested) + box(b"mdat", b"x")
    assert indexed(raw).fragments == ()
    assert recover_length(io.BytesIO(raw), len(raw)) == 0


@given(seed=st.integers(0, 2**32))
def test_damaged_file_never_yields_bytes_outside_of_it(clip, seed):
    raw = bytearray(clip.head + b"".join(clip.fragments))
    source = random.Random(seed)
    for _ in range(source.randint(1, 12)):
        raw[source.randrange(min(len(raw), 2500))] = source.randrange(256)
    found = indexed(bytes(raw))
    at, time = found.head_bytes, 0
    for fragment in found.fragments:
        assert at <= fragment.offset
        assert fragment.offset + fragment.size <= len(raw)
        assert fragment.start_us >= time
        assert fragment.duration_us >= 0
        at, time = fragment.offset + fragment.size, fragment.end_us


@given(st.binary(max_size=600))
def test_any_bytes_are_indexed_without_error(raw):
    assert indexed(raw).fragments == () or indexed(raw).head_bytes > 0
