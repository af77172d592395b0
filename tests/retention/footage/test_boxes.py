from __future__ import annotations

import io
import random
import struct

from hypothesis import given
from hypothesis import strategies as st

from retention.footage.boxes import recover_length, scan
from retention.footage.layout import SegmentIdentity, identity_from_box
from retention.footage.recovery import recover
from retention.store import footage


@given(st.binary(max_size=400))
def test_any_bytes_are_walked_without_error(raw):
    assert recover_length(io.BytesIO(raw), len(raw)) <= len(raw)


@given(seed=st.integers(0, 2**32))
def test_damaged_boxes_never_claim_more_than_the_file(clip, seed):
    raw = bytearray(clip.head + b"".join(clip.fragments))
    source = random.Random(seed)
    for _ in range(source.randint(1, 8)):
        raw[source.randrange(min(len(raw), 2000))] = source.randrange(256)
    assert 0 <= recover_length(io.BytesIO(raw), len(raw)) <= len(raw)


@given(st.data())
def test_cut_file_keeps_every_whole_fragment(clip, data):
    whole = clip.head + b"".join(clip.fragments)
    cut = data.draw(st.integers(0, len(whole)))
    ends, at = [0], len(clip.head)
    for fragment in clip.fragments:
        at += len(fragment)
        ends.append(at)
    assert recover_length(io.BytesIO(whole[:cut]), cut) == max(end for end in ends if end <= cut)


def test_zeros_after_a_power_loss_are_no_footage(clip):
    raw = clip.head + clip.fragments[0] + bytes(5000)
    assert recover_length(io.BytesIO(raw), len(raw)) == len(clip.head + clip.fragments[0])


def test_identity_survives_its_box_and_foreign_boxes_are_not_ours(camera):
    camera.begin_run()
    identity = camera.identity()
    box = identity.to_box()
    assert struct.unpack_from(">I4s", box) == (len(box), b"uuid")
    assert identity_from_box(box[8:]) == identity
    assert identity_from_box(box[8:-1]) is None
    assert identity_from_box(bytes(16) + box[24:]) is None
    wrong = identity.model_copy(update={"started_at": "2026-13-40T00:00:00.000000Z"})
    assert identity_from_box(wrong.to_box()[8:]) is None
    assert isinstance(identity, SegmentIdentity)


def test_random_cuts_of_a_part_decode_fully(camera, store, root, clip, pictures_in):
    source = random.Random(7)
    sizes = [len(fragment) for fragment in clip.fragments]
    for _ in range(8):
        sink = camera.open_segment()
        sink.finish(store.clock.now())
        head = sink.tell() - sum(sizes)
        cut = source.randrange(head + sizes[0], sink.tell())
        with sink.part.open("r+b") as file:
            file.truncate(cut)
        recover(store, root, camera.name)
        with store.read() as connection:
            path = root / footage.segment_at(connection, sink.identity.path()).path
        assert pictures_in(path) == scan(path).fragments * 5


def test_fragment_is_whole_only_when_its_media_follows_at_once(clip):
    first, (size,) = clip.fragments[0], struct.unpack_from(">I", clip.fragments[1])
    moof, mdat = clip.fragments[1][:size], clip.fragments[1][size:]
    between = struct.pack(">I4s", 8, b"free")
    raw = clip.head + first + moof + between + mdat
    assert recover_length(io.BytesIO(raw), len(raw)) == len(clip.head + first)
