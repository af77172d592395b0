"""A minute of 1080p25 at 4 Mb/s as a recorder writes it: fragments of one GOP."""

from __future__ import annotations

from typing import cast

import av

from edge.recorder.writer import BUFFER_BYTES, MUXER
from hardware.packets import open_packets
from tests.bench.recorder import stream

SECONDS, PICTURES_PER_SECOND = 60, 25


class _Sink:
    """Takes the muxer's bytes into memory."""

    def __init__(self) -> None:
        self.raw = bytearray()

    def write(self, raw: bytes) -> int:
        self.raw += raw
        return len(raw)

    def tell(self) -> int:
        return len(self.raw)


def minute() -> bytes:
    """Record the simulated camera for a few seconds and repeat them to a minute."""
    sink = _Sink()
    with stream() as camera:
        source = open_packets(str(camera["url"]))
        seen: list[tuple[bytes, bool]] = []
        for received in source.packets():
            if seen or received.packet.is_keyframe:
                seen.append((bytes(received.packet), received.packet.is_keyframe))
            if len(seen) > PICTURES_PER_SECOND and received.packet.is_keyframe:
                break
        seen.pop()  # the key picture of the next GOP
        time_base = source.stream.time_base
        assert time_base is not None
        tick = round(1 / (PICTURES_PER_SECOND * time_base))
        with av.open(sink, "w", format="mp4", options=MUXER, buffer_size=BUFFER_BYTES) as out:
            target = out.add_stream_from_template(source.stream)
            for number in range(SECONDS * PICTURES_PER_SECOND):
                raw, is_key = seen[number % len(seen)]
                packet = av.Packet(raw)
                packet.stream, packet.is_keyframe = target, is_key
                packet.dts = packet.pts = number * tick
                packet.time_base = time_base
                out.mux_one(cast("av.packet.Packet[av.video.stream.VideoStream]", packet))
        source.close()
    return bytes(sink.raw)
