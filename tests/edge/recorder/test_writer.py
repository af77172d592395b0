from __future__ import annotations

import io
from pathlib import Path

import av

from edge.recorder.writer import LONGEST_FRAGMENT_US, SegmentWriter
from retention.footage.boxes import scan
from retention.footage.layout import SegmentIdentity
from retention.footage.sink import SegmentSink
from retention.records.payloads import SceneRole
from tests.edge.recorder.conftest import encoded


def test_camera_without_further_key_pictures_does_not_fill_the_memory(tmp_path: Path):
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
    seconds = 2 * LONGEST_FRAGMENT_US // 1_000_000 + 10
    raw = encoded(160, 120, gops=1, gop_pictures=seconds * 2, rate=2)
    sink = SegmentSink(tmp_path, identity)
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
