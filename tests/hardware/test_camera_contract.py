"""What every camera owes the product, real or simulated.

Runs against the simulated camera, and also against a real one when
COUNTERSIGHT_TEST_CAMERA_URL names it (never in CI).
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Literal

import av
import imageio_ffmpeg
import pytest

from hardware.frames import OpenCvFrames
from hardware.packets import ReceivedPacket, RtspPackets, open_packets
from hardware.simulated_cameras import SimulatedCameras

REAL = "COUNTERSIGHT_TEST_CAMERA_URL"
Transport = Literal["tcp", "udp"]
both_transports = pytest.mark.parametrize("transport", ["tcp", "udp"])


@pytest.fixture(params=["simulated", "real"] if REAL in os.environ else ["simulated"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "simulated":
        simulated: SimulatedCameras = request.getfixturevalue("cameras")
        return simulated.url("counter")
    return os.environ[REAL]


@pytest.fixture
def opened() -> Iterator[list[RtspPackets | OpenCvFrames]]:
    """Sources put in here are closed after the test."""
    sources: list[RtspPackets | OpenCvFrames] = []
    yield sources
    for source in sources:
        source.close()


def take(source: RtspPackets, count: int) -> list[ReceivedPacket]:
    return list(islice(source.packets(), count))


@both_transports
def test_packets_begin_with_a_key_picture_and_move_forward_in_time(
    url: str, transport: Transport, opened: list[RtspPackets | OpenCvFrames]
) -> None:
    source = open_packets(url, transport=transport)
    opened.append(source)
    received = take(source, 20)
    assert source.codec_name in ("h264", "hevc")
    assert source.width > 0
    assert source.height > 0
    assert source.extradata
    assert received[0].packet.is_keyframe
    times = [each.packet.pts for each in received]
    assert all(b > a for a, b in pairwise(times))  # type: ignore[operator]
    assert all(b.received_monotonic_ns >= a.received_monotonic_ns for a, b in pairwise(received))


@both_transports
def test_every_packet_decodes(
    url: str, transport: Transport, opened: list[RtspPackets | OpenCvFrames]
) -> None:
    source = open_packets(url, transport=transport)
    opened.append(source)
    pictures = [frame for each in take(source, 20) for frame in each.packet.decode()]
    assert len(pictures) >= 18
    assert {(p.width, p.height) for p in pictures} == {(source.width, source.height)}


def test_packets_are_copied_into_mp4_without_decoding(
    url: str, opened: list[RtspPackets | OpenCvFrames]
) -> None:
    source = open_packets(url)
    opened.append(source)
    kept = io.BytesIO()
    with av.open(kept, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as out:
        copy = out.add_stream_from_template(source.stream)
        for each in take(source, 20):
            each.packet.stream = copy
            out.mux(each.packet)
    kept.seek(0)
    with av.open(kept) as again:
        assert sum(1 for _ in again.decode(video=0)) == 20


@both_transports
def test_opencv_sees_pictures_and_only_newer_ones(
    url: str, transport: Transport, opened: list[RtspPackets | OpenCvFrames]
) -> None:
    frames = OpenCvFrames(url, transport=transport)
    opened.append(frames)
    first = frames.latest(0, 15)
    assert first is not None
    assert first.pixels.ndim == 3
    assert first.pixels.shape[2] == 3
    second = frames.latest(first.ordinal, 5)
    assert second is not None
    assert second.ordinal > first.ordinal
    assert second.monotonic_ns > first.monotonic_ns
    assert frames.healthy
    assert frames.latest(second.ordinal + 10_000, 0.1) is None


@both_transports
def test_the_ffmpeg_program_reads_it(url: str, transport: Transport) -> None:
    program = imageio_ffmpeg.get_ffmpeg_exe()
    command = [
        program, "-v", "error", "-nostdin", "-rtsp_transport", transport, "-i", url,
        "-frames:v", "12", "-f", "null", "-",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_ffprobe_describes_it(url: str) -> None:
    program = shutil.which("ffprobe")
    if program is None:
        pytest.skip("ffprobe is not on the PATH")
    command = [program, "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() in ("h264", "hevc")


def test_several_clients_are_served_at_once(
    url: str, opened: list[RtspPackets | OpenCvFrames]
) -> None:
    sources = [open_packets(url, transport=kind) for kind in ("tcp", "udp", "tcp")]
    frames = OpenCvFrames(url)
    opened += [*sources, frames]
    assert [len(take(source, 10)) for source in sources] == [10, 10, 10]
    assert frames.latest(0, 15) is not None
