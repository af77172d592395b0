from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import av
import pytest

from edge.recorder.writer import LONGEST_FRAGMENT_US, SegmentWriter
from retention.footage.boxes import scan
from retention.footage.layout import SegmentIdentity
from retention.footage.sink import SegmentSink
from retention.records.payloads import SceneRole
from tests.edge.recorder.conftest import encoded


@pytest.fixture
def sink(tmp_path: Path) -> SegmentSink:
    identity = SegmentIdentity(
        agency="430100",
        pharmacy="P1",
        node="node-a",
        camera="cam",
        scene_role=SceneRole.PURCHASE,
        run="00000000-0000-7000-8000-000000000001",
        ordinal=0,
        segment="00000000-0000-7000-8000-000000000002",
        started_at="2026-01-02T03:04:05.000000Z",
        codec="h264",
    )
    return SegmentSink(tmp_path, identity)


def test_pictures_keep_their_order_and_distance(sink, transport_stream):
    with av.open(io.BytesIO(transport_stream)) as camera:
        stream = camera.streams.video[0]
        packets = [packet for packet in camera.demux(stream) if packet.size]
        writer = SegmentWriter(sink, stream, packets[0].dts)
        for packet in packets:
            writer.write(packet)
        writer.close()
    with av.open(io.BytesIO(sink.part.read_bytes())) as container:
        times = [picture.time for picture in container.decode(video=0)]
    assert len(times) == len(packets)
    assert {round(after - before, 3) for before, after in pairwise(times)} == {0.1}


def test_camera_without_further_key_pictures_does_not_fill_the_memory(sink):
    seconds = 2 * LONGEST_FRAGMENT_US // 1_000_000 + 10
    raw = encoded(160, 120, gops=1, gop_pictures=seconds * 2, rate=2)
    with av.open(io.BytesIO(raw)) as camera:
        stream = camera.streams.video[0]
        writer = SegmentWriter(sink, stream, 0)
        for packet in camera.demux(stream):
            if packet.size:
                writer.write(packet)
        assert scan(sink.part).fragments == 2
        writer.close()
    found = scan(sink.part)
    assert (found.fragments, found.whole_bytes) == (3, found.file_bytes)
