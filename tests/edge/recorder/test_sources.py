"""Recording from what is no RTSP camera: a USB device, a film; and HEVC that changes its format."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edge.config import CameraConfig, EdgeConfig
from edge.process import ProcessContext
from edge.recorder import process as recorder_process
from edge.recorder.process import open_camera, run
from hardware.encoder import ENCODERS, TICKS_A_SECOND, open_encoder
from hardware.errors import CameraUnavailable
from hardware.packets import EncodePlan, PacketSource
from hardware.v4l2 import EncodedPackets
from retention.check import Depth, check
from retention.store import footage
from retention.store.footage import GapRow, SegmentRow
from tests.edge.recorder.conftest import encoded

PICTURES, STEP_NS = 60, 100_000_000


class Device:
    """Sixty drawn pictures, then it is pulled out."""

    plan = EncodePlan(160, 120, 10.0, 300_000)

    def __init__(self) -> None:
        self._number = -1

    def read(self):
        self._number += 1
        if self._number == PICTURES:
            raise CameraUnavailable("v4l2:///dev/video0", "no picture in time")
        return np.full((120, 160, 3), 30 + 3 * self._number, np.uint8)

    def close(self) -> None:
        pass


def record(config: EdgeConfig, *sources: PacketSource) -> tuple[list[SegmentRow], list[GapRow]]:
    """Record each source until it ends, then stop."""
    stop, waiting = threading.Event(), list(sources)

    def open_next(_camera: object) -> PacketSource:
        if not waiting:
            stop.set()
            raise CameraUnavailable("camera", "no more")
        return waiting.pop(0)

    run(ProcessContext(config, stop, lambda: None, "cam"), open_next)
    store = config.open_store()
    with store.read() as connection:
        found = sorted(footage.all_segments(connection), key=lambda row: row.sequence)
        gaps = footage.gaps_between(connection, "cam", 0, 2**60)
    store.close()
    assert check(config.node.data, Depth.DIGESTS).bad == []
    return found, gaps


@pytest.fixture(autouse=True)
def _quick_and_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, when first used
    monkeypatch.setattr(recorder_process.Backoff, "next_seconds", lambda _: 0.01)


def levels(path: Path) -> list[float]:
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        taken, pixels = capture.read()
        if not taken:
            capture.release()
            return found
        found.append(float(np.mean(pixels)))


def test_usb_camera_is_recorded_into_segments_that_decode_to_what_it_saw(config):
    times = iter(range(time.monotonic_ns(), 2**62, STEP_NS))
    encoder = open_encoder(Device.plan, ENCODERS[-1:])
    source = EncodedPackets("v4l2:///dev/video0", Device(), encoder, lambda: next(times))
    segments, gaps = record(config, source)
    assert [row.ended_at - row.started_at for row in segments] == [2_000_000] * 3
    assert gaps[0].cause == "stream_stalled"
    seen = [level for row in segments for level in levels(config.footage_root / row.path)]
    assert len(seen) == PICTURES
    assert max(abs(level - (30 + 3 * at)) for at, level in enumerate(seen)) < 4


def filler(size: int, content: int) -> bytes:
    """Return a unit that decoders skip."""
    return b"\0\0\0\1\x0c" + bytes((content,)) * (size - 2) + b"\x80"


def test_film_is_recorded_even_where_its_lengths_look_like_parameter_sets(config, tmp_path):
    """A unit of 423 bytes has a length that looks like a start code and the head of an SPS."""
    path = tmp_path / "film.mp4"
    encoder = open_encoder(Device.plan, ENCODERS[-1:])
    with av.open(str(path), "w") as out:
        copy = out.add_stream_from_template(encoder.stream)
        for at in range(40):
            grey = np.full((120, 160, 3), 90, np.uint8)
            (packet,) = encoder.encode(grey, at * TICKS_A_SECOND // 10)
            grown = packet
            if packet.is_keyframe:
                grown = av.Packet(filler(423, 100 + at) + filler(300, 255) + bytes(packet))
                grown.pts, grown.dts, grown.is_keyframe = packet.pts, packet.dts, True
                grown.time_base = encoder.stream.time_base
            grown.stream = copy
            out.mux_one(grown)
    encoder.close()
    camera = CameraConfig(
        id="cam", scene_role="purchase", url=f"file://{path}?speed=0", simulated=True
    )
    segments, gaps = record(config, open_camera(camera))
    assert sum(len(levels(config.footage_root / row.path)) for row in segments) == 40
    assert gaps[0].cause == "camera_unreachable"


def test_hevc_that_changes_its_picture_size_begins_a_run_and_every_file_decodes(config, listed):
    first, other = (encoded(*size, gops=4, encoder="libx265") for size in ((160, 120), (320, 240)))
    changing, after = listed(first + other), listed(other)
    changing.codec_name = after.codec_name = "hevc"
    segments, gaps = record(config, changing, after)
    assert {row.codec for row in segments} == {"hevc"}
    assert gaps[0].cause == "stream_changed"
    assert len({row.run for row in segments}) == 2
    sizes = []
    for row in segments:
        with av.open(str(config.footage_root / row.path)) as container:
            sizes.append({(one.width, one.height) for one in container.decode(video=0)})
    assert sizes == [{(160, 120)}] * 2 + [{(320, 240)}] * 2
