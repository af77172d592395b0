"""A camera that is a list of packets, and a node's configuration around it."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest

from edge.config import (
    CameraConfig,
    EdgeConfig,
    NodeConfig,
    RecordingConfig,
    VerificationConfig,
)
from hardware.errors import CameraEnded
from hardware.packets import ReceivedPacket

URL = "rtsp://camera/stream"
GOPS, GOP_PICTURES, RATE = 6, 10, 10


@pytest.fixture(scope="session")
def transport_stream() -> bytes:
    """Six GOPs of a second each, H.264 in MPEG-TS, with B-frames as some cameras send."""
    return encoded(160, 120)


@pytest.fixture(scope="session")
def larger_transport_stream() -> bytes:
    """The same from a camera that was set to another picture size."""
    return encoded(192, 144)


def encoded(
    width: int,
    height: int,
    *,
    gops: int = GOPS,
    gop_pictures: int = GOP_PICTURES,
    rate: int = RATE,
    encoder: str = "libx264",
    form: str = "mpegts",
) -> bytes:
    raw, random = io.BytesIO(), np.random.default_rng(2)
    options = {"g": str(gop_pictures), "bf": "1", "preset": "ultrafast", "sc_threshold": "0"}
    if encoder == "libx265":
        options["x265-params"] = (
            f"keyint={gop_pictures}:min-keyint={gop_pictures}:scenecut=0:open-gop=0:bframes=1"
            ":repeat-headers=1:pools=none:log-level=none"
        )
    with av.open(raw, "w", format=form) as container:
        stream = container.add_stream(encoder, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(gops * gop_pictures):
            pixels = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return raw.getvalue()


@dataclass
class ListedCamera:
    """A PacketSource over a recorded stream; `before` runs before each packet is handed out."""

    raw: bytes
    before: Callable[[int], None] = field(default=lambda _: None)
    received_ns: int = 0

    def __post_init__(self) -> None:
        self._container = av.open(io.BytesIO(self.raw))
        self.stream = self._container.streams.video[0]
        self.codec_name, self.extradata = "h264", b""
        self.width, self.height = 160, 120

    def packets(self) -> Iterator[ReceivedPacket]:
        for number, packet in enumerate(self._container.demux(self.stream)):
            if packet.size:
                self.before(number)
                yield ReceivedPacket(packet, self.received_ns + number * 100_000_000)
        raise CameraEnded(URL)

    def close(self) -> None:
        self._container.close()


@pytest.fixture
def config(tmp_path: Path) -> EdgeConfig:
    return EdgeConfig(
        node=NodeConfig(agency="430100", pharmacy="P1", node="node-a", data=tmp_path / "data"),
        cameras=(CameraConfig(id="cam", scene_role="purchase", url=URL, simulated=True),),
        recording=RecordingConfig(segment_seconds=2),
        verification=VerificationConfig(camera="cam"),
    )


@pytest.fixture
def listed() -> Callable[..., ListedCamera]:
    """Make cameras; each connection's pictures were received 100 s after those of the last."""
    first = time.monotonic_ns() - 5_000_000_000_000  # under the two hours that `check` allows
    connections = itertools.count()

    def make(raw: bytes, before: Callable[[int], None] = lambda _: None) -> ListedCamera:
        return ListedCamera(raw, before, first + next(connections) * 100_000_000_000)

    return make
