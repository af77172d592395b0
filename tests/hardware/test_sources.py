"""Cameras that are no RTSP cameras: a USB device that is encoded here, and a film in its place.

No V4L2 device exists where these tests run: what a device gives is drawn, all behind it is real.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from hardware.encoder import (
    ENCODERS,
    TICKS_A_SECOND,
    EncoderKind,
    H264Encoder,
    NoEncoder,
    Pixels,
    open_encoder,
)
from hardware.errors import CameraEnded, CameraUnavailable, SimulatedPartWarning, UnsupportedCodec
from hardware.packets import EncodePlan, PacketSource, ReceivedPacket, open_packets
from hardware.v4l2 import EncodedPackets, V4l2Device
from tests.hardware.test_hevc import encoded_pictures

URL = "v4l2:///dev/video0"
PLAN = EncodePlan(160, 120, 10.0, 300_000)
SOFTWARE = ENCODERS[-1:]


class DrawnDevice:
    """Gives grey pictures whose brightness tells their number; then says that it is unplugged."""

    def __init__(self, pictures: int, width: int = 160, height: int = 120) -> None:
        self.plan = EncodePlan(width, height, 10.0, 300_000)
        self._left, self.closed = pictures, 0

    def read(self) -> Pixels:
        if self._left == 0:
            raise CameraUnavailable(URL, "no picture in time")
        self._left -= 1
        height, width = self.plan.height, self.plan.width
        return np.full((height, width, 3), 40 + 5 * self._left, np.uint8)

    def close(self) -> None:
        self.closed += 1


def ticking(step_ns: int) -> Callable[[], int]:
    """Return a monotonic clock that advances by `step_ns` whenever it is asked."""
    times = iter(range(5_000_000_000, 2**62, step_ns))
    return lambda: next(times)


@pytest.fixture
def opened() -> Iterator[list[EncodedPackets]]:
    sources: list[EncodedPackets] = []
    yield sources
    for source in sources:
        source.close()


def usb(opened: list[EncodedPackets], device: DrawnDevice, step_ns: int) -> EncodedPackets:
    encoder = open_encoder(device.plan, SOFTWARE)
    opened.append(EncodedPackets(URL, device, encoder, ticking(step_ns)))
    return opened[-1]


def all_of(source: EncodedPackets) -> list[ReceivedPacket]:
    found: list[ReceivedPacket] = []
    with pytest.raises(CameraUnavailable, match="no picture in time"):
        take_all(source, found)
    return found


def take_all(source: PacketSource, into: list[ReceivedPacket]) -> None:
    for each in source.packets():
        into.append(each)


def test_pictures_of_a_device_become_a_stream_that_opencv_decodes_in_order(
    opened: list[EncodedPackets], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, when first used
    source = usb(opened, DrawnDevice(30), 100_000_000)
    assert (source.codec_name, source.width, source.height) == ("h264", 160, 120)
    assert source.extradata
    kept = tmp_path / "kept.mp4"
    with av.open(str(kept), "w", options={"movflags": "frag_keyframe+empty_moov"}) as out:
        copy = out.add_stream_from_template(source.stream)
        for each in all_of(source):
            each.packet.stream = copy
            out.mux_one(each.packet)
    capture, levels = cv2.VideoCapture(str(kept)), []
    while True:
        taken, pixels = capture.read()
        if not taken:
            break
        levels.append(float(np.mean(pixels)))
    capture.release()
    assert len(levels) == 30
    expected = [40 + 5 * left for left in range(29, -1, -1)]
    assert max(abs(seen - true) for seen, true in zip(levels, expected, strict=True)) < 4


def test_key_pictures_come_by_time_and_times_are_those_of_the_device(
    opened: list[EncodedPackets],
) -> None:
    """The device promised ten pictures a second and gives four."""
    found = all_of(usb(opened, DrawnDevice(24), 250_000_000))
    keys = [each.packet.pts for each in found if each.packet.is_keyframe]
    assert [after - before for before, after in pairwise(keys)] == [TICKS_A_SECOND] * 5
    assert [each.packet.dts for each in found] == [at * TICKS_A_SECOND // 4 for at in range(24)]
    received = [each.received_monotonic_ns for each in found]
    assert received == [5_000_000_000 + at * 250_000_000 for at in range(24)]


def test_odd_picture_size_is_made_even(opened: list[EncodedPackets]) -> None:
    source = usb(opened, DrawnDevice(2, 161, 121), 100_000_000)
    assert (source.width, source.height) == (160, 120)
    assert len(all_of(source)) == 2


def test_encoder_is_taken_only_when_it_really_encodes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Holding(H264Encoder):
        def encode(self, pixels: Pixels, at: int) -> list[av.Packet[av.VideoStream]]:
            return [] if self.kind.name == "libx264rgb" else super().encode(pixels, at)

        def flush(self) -> list[av.Packet[av.VideoStream]]:
            return []

    monkeypatch.setattr("hardware.encoder.H264Encoder", Holding)
    holding = EncoderKind("libx264rgb", "bgr24", {})
    absent = EncoderKind("h264_of_nobody", "yuv420p", {})
    broken = EncoderKind("libx264", "rgba", {})
    with pytest.raises(NoEncoder) as refused:
        open_encoder(PLAN, [absent, holding])
    assert refused.value.tried == {
        "h264_of_nobody": "not in this build",
        "libx264rgb": "gave no packet",
    }
    with pytest.raises(NoEncoder):
        open_encoder(PLAN, [broken])
    chosen = open_encoder(PLAN, [absent, holding, *SOFTWARE])
    assert chosen.kind.name == "libx264"
    chosen.close()


def test_some_encoder_of_the_table_works_on_this_machine() -> None:
    encoder = open_encoder(PLAN)
    try:
        grey = np.full((120, 160, 3), 90, np.uint8)
        assert sum(packet.size for packet in [*encoder.encode(grey, 0), *encoder.flush()]) > 0
    finally:
        encoder.close()


def test_device_that_is_not_there_or_no_camera_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(CameraUnavailable, match=f"v4l2://{tmp_path}/video0 is .*no such device"):
        open_packets(f"v4l2://{tmp_path}/video0")
    plain = tmp_path / "video1"
    plain.write_bytes(b"no device")
    with pytest.raises(CameraUnavailable, match="in use or gives no video"):
        V4l2Device(URL, plain, PLAN, 1.0)


def test_address_of_no_known_kind_is_refused_without_its_password() -> None:
    with pytest.raises(CameraUnavailable, match="neither") as refused:
        open_packets("http://user:secret@camera/stream")
    assert "secret" not in str(refused.value)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film of the counter.mp4"
    encoder = open_encoder(PLAN, SOFTWARE)
    with av.open(str(path), "w") as out:
        copy = out.add_stream_from_template(encoder.stream)
        for number in range(12):
            pixels = np.full((120, 160, 3), 20 * number, np.uint8)
            for packet in encoder.encode(pixels, number * TICKS_A_SECOND // 10):
                packet.stream = copy
                out.mux_one(packet)
    encoder.close()
    return path


def test_film_is_played_at_the_pace_that_was_asked_for_and_then_the_camera_has_ended(
    film: Path,
) -> None:
    source = open_packets(f"file://{str(film).replace(' ', '%20')}?speed=2")
    assert (source.codec_name, source.width, source.height) == ("h264", 160, 120)
    began = time.monotonic_ns()
    found: list[ReceivedPacket] = []
    with pytest.raises(CameraEnded):
        take_all(source, found)
    source.close()
    assert len(found) == 12
    due = [began + at * 50_000_000 for at in range(12)]
    assert all(each.received_monotonic_ns >= at for each, at in zip(found, due, strict=True))
    assert found[0].packet.is_keyframe


def test_hevc_film_is_played_as_hevc(tmp_path: Path) -> None:
    raw = io.BytesIO(b"".join(b"\0\0\0\1" + u for us, _ in encoded_pictures(6) for u in us))
    path = tmp_path / "film.mp4"
    with av.open(raw, format="hevc") as read, av.open(str(path), "w") as out:
        copy = out.add_stream_from_template(read.streams.video[0])
        for at, packet in enumerate(read.demux(video=0)):
            if packet.size:
                packet.pts = packet.dts = at
                packet.stream = copy
                out.mux_one(packet)
    source = open_packets(f"file://{path}?speed=0")
    assert source.codec_name == "hevc"
    assert sum(len(each.packet.decode()) for each in islice(source.packets(), 6)) >= 4
    source.close()


def test_film_that_cannot_be_played_is_refused(tmp_path: Path, film: Path) -> None:
    with pytest.raises(CameraUnavailable):
        open_packets(f"file://{tmp_path}/nothing.mp4")
    for speed in ("fast", "-1", "nan"):
        with pytest.raises(CameraUnavailable, match="speed"):
            open_packets(f"file://{film}?speed={speed}")
    sound = tmp_path / "film.avi"
    with av.open(str(sound), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 160, 120
        picture = av.VideoFrame.from_ndarray(np.zeros((120, 160, 3), np.uint8), format="bgr24")
        out.mux(stream.encode(picture.reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    with pytest.raises(UnsupportedCodec):
        open_packets(f"file://{sound}")


def test_film_outside_demo_and_tests_warns(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COUNTERSIGHT_SIMULATION")
    with pytest.warns(SimulatedPartWarning, match="film"):
        open_packets(f"file://{film}").close()
