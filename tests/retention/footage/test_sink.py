from __future__ import annotations

import errno
import hashlib
import os
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.footage import sink as sink_module
from retention.footage.boxes import scan
from retention.footage.sink import (
    DirectorySyncFailed,
    Fingerprint,
    SegmentBroken,
    SegmentSink,
    seal,
)
from retention.records.clock import to_micros
from retention.records.merkle import CHUNK_BYTES, chunk_root
from retention.store import footage
from retention.store.log import by_sequence


@given(st.lists(st.integers(0, 3 * CHUNK_BYTES // 2), max_size=6))
def test_fingerprint_of_pieces_is_that_of_the_whole(sizes):
    fingerprint, whole = Fingerprint(), b""
    for number, size in enumerate(sizes):
        piece = bytes([number]) * size
        whole += piece
        fingerprint.update(piece)
    assert fingerprint.file_sha256() == hashlib.sha256(whole).hexdigest()
    assert fingerprint.chunk_root() == chunk_root(whole).hex()
    assert fingerprint.bytes == len(whole)


def test_sealed_file_is_indexed_recorded_and_plays(camera, store, root, pictures_in):
    sealed = camera.record()
    with store.read() as connection:
        row = footage.last_segment(connection, camera.name)
        record = by_sequence(connection, row.sequence).parse()
    content = (root / row.path).read_bytes()
    assert record.payload == sealed.model_dump(mode="json")
    assert hashlib.sha256(content).hexdigest() == sealed.file_sha256 == row.file_sha256
    assert chunk_root(content).hex() == sealed.chunk_root == row.chunk_root
    assert row.ended_at - row.started_at == 4_000_000
    assert pictures_in(root / row.path) == 20
    assert not list(root.rglob("*.part"))


def test_file_tells_its_own_identity_and_length(camera, root):
    sealed = camera.record()
    found = scan(next(root.rglob("*.mp4")))
    assert found.identity is not None
    assert (found.identity.segment, found.identity.run) == (sealed.segment, sealed.run)
    assert (found.fragments, found.duration_us) == (4, 4_000_000)
    assert found.whole_bytes == found.file_bytes == sealed.bytes


def test_sink_cannot_seek_and_makes_no_file_before_footage(camera, clip, root):
    camera.begin_run()
    sink = SegmentSink(root, camera.identity())
    assert not hasattr(sink, "seek")
    for at in range(0, len(clip.head), 7):
        sink.write(clip.head[at : at + 7])
    assert not root.exists()
    sink.write(clip.fragments[0])
    assert sink.part.exists()
    assert sink.tell() == sink.part.stat().st_size


def test_failed_fsync_breaks_the_segment_for_ever(camera, clip, store, monkeypatch):
    sink = camera.open_segment(2)
    durable = sink.part.stat().st_size
    sink.write(clip.fragments[2])

    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(OSError, match="Input/output"):
        sink.sync()
    monkeypatch.undo()
    with pytest.raises(SegmentBroken):
        sink.write(clip.fragments[3])
    with pytest.raises(SegmentBroken):
        sink.finish(store.clock.now())
    sink.abandon()
    assert sink.part.stat().st_size == durable


def test_full_disk_breaks_the_segment_and_keeps_what_is_durable(camera, clip, monkeypatch):
    sink = camera.open_segment(1)
    durable = sink.part.stat().st_size
    written = os.write

    def full(descriptor: int, raw: bytes) -> int:
        if len(raw) > 100:
            return written(descriptor, bytes(raw[:100]))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        sink.write(clip.fragments[1][:150])
    monkeypatch.undo()
    sink.abandon()
    assert sink.part.stat().st_size == durable


def test_unsynced_directory_stops_the_process(camera, store, root, monkeypatch):
    finished = camera.open_segment().finish(store.clock.now())

    def failing(path: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sink_module, "fsync_directory", failing)
    with pytest.raises(DirectorySyncFailed):
        seal(store, root, finished)
    with store.read() as connection:
        assert footage.last_segment(connection, camera.name) is None


def test_segment_never_ends_before_it_begins(camera, store, root):
    finished = camera.open_segment().finish(store.clock.now() - timedelta(seconds=9))
    sealed = seal(store, root, finished)
    assert sealed.duration_ms == 0
    with store.read() as connection:
        row = footage.last_segment(connection, camera.name)
    assert row.ended_at == row.started_at == to_micros(store.clock.now())
