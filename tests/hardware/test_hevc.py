"""HEVC cameras are recorded too: their packets pass without being decoded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

import av
from av.video.codeccontext import VideoCodecContext

from hardware.packets import open_packets
from hardware.simulated_rtp import MAX_PAYLOAD_BYTES, AccessUnit, split_annex_b
from hardware.simulated_scene import Scene

if TYPE_CHECKING:
    from tests.hardware.conftest import ServerInThread


class HevcTrack:
    """RFC 7798 without aggregation: single NAL unit packets and fragmentation units."""

    def sdp(self) -> list[str]:
        return ["m=video 0 RTP/AVP 96", "a=rtpmap:96 H265/90000"]

    def payloads(self, unit: AccessUnit) -> list[bytes]:
        return [payload for nal in unit.units for payload in self._fragments(nal)]

    def _fragments(self, nal: bytes) -> list[bytes]:
        if len(nal) <= MAX_PAYLOAD_BYTES:
            return [nal]
        head, kind = bytes(((nal[0] & 0x81) | (49 << 1), nal[1])), (nal[0] >> 1) & 63
        step = MAX_PAYLOAD_BYTES - 3
        starts = range(2, len(nal), step)
        return [
            head
            + bytes((kind | (0x80 if at == 2 else 0) | (0x40 if at + step >= len(nal) else 0),))
            + nal[at : at + step]
            for at in starts
        ]


def encoded_pictures(count: int) -> list[tuple[tuple[bytes, ...], bool]]:
    context = av.CodecContext.create("libx265", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = 320, 240, "yuv420p"
    context.framerate, context.bit_rate = 15, 400_000  # type: ignore[assignment]
    context.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x265-params": "keyint=5:min-keyint=5:repeat-headers=1:pools=none:log-level=none",
    }
    scene = Scene(320, 240, people=None, seed=1, label="hevc")
    pictures = []
    for at in range(count):
        frame = av.VideoFrame.from_ndarray(scene.frame(at / 15), format="bgr24")
        frame = frame.reformat(format="yuv420p")
        frame.pts = at
        for packet in context.encode(frame):
            pictures.append((split_annex_b(bytes(packet)), packet.is_keyframe))
    return pictures


def test_hevc_packets_are_received_and_decode(
    serve: Callable[[HevcTrack], ServerInThread],
) -> None:
    pictures = encoded_pictures(30)
    running = serve(HevcTrack())
    stop = threading.Event()

    def feed() -> None:
        at = 0
        while not stop.wait(0.02):
            units, is_key = pictures[at % len(pictures)]
            running.send(AccessUnit(units, is_key, at * 6_000, at / 15))
            at += 1

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        source = open_packets(running.url, timeout_seconds=5)
        assert (source.codec_name, source.width, source.height) == ("hevc", 320, 240)
        received = list(islice(source.packets(), 12))
        assert received[0].packet.is_keyframe
        assert sum(len(each.packet.decode()) for each in received) >= 10
        source.close()
    finally:
        stop.set()
        feeder.join()
