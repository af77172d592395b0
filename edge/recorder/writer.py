"""One segment file: PyAV copies packets into fragmented MP4, one fragment a GOP, no decoding.

libav keeps a GOP in memory until the next key picture, then writes it whole; that is when it is
made durable. A GOP longer than LONGEST_FRAGMENT_US is written in pieces, so that a camera without
key pictures cannot fill the memory. The sink cannot seek, so nothing that was written is ever
touched again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import cast

import av
from av.packet import Packet
from av.video.stream import VideoStream

from retention.footage.sink import SegmentBroken, SegmentSink

LONGEST_FRAGMENT_US = 20_000_000
MUXER = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof+skip_trailer",
    "frag_duration": str(LONGEST_FRAGMENT_US),
}
BUFFER_BYTES = 256 * 1024


class StreamRefused(Exception):
    """The container format cannot take this packet: the stream changed or is damaged."""


class SegmentWriter:
    """Writes packets of one run to one sink, times rebased to begin at 0."""

    def __init__(self, sink: SegmentSink, template: VideoStream, base: int) -> None:
        self.sink = sink
        self._base, self._last = base, -1
        self._container = av.open(sink, "w", format="mp4", options=MUXER, buffer_size=BUFFER_BYTES)
        self._stream = self._container.add_stream_from_template(template)
        self._closed = False

    def write(self, packet: Packet[VideoStream]) -> None:
        """Copy one packet. Raises OSError from the sink, StreamRefused from libav."""
        dts = max(cast(int, packet.dts) - self._base, self._last + 1)
        pts = packet.dts if packet.pts is None else packet.pts
        packet.dts = self._last = dts
        packet.pts = max(cast(int, pts) - self._base, dts)
        packet.stream = self._stream
        self._guarded(lambda: self._container.mux_one(packet))

    def sync(self) -> None:
        """Make the fragments written so far durable."""
        self.sink.sync()

    def close(self) -> None:
        """Write the last fragment into the sink. Raises OSError."""
        if not self._closed:
            self._closed = True
            self._guarded(self._container.close)

    def abandon(self) -> None:
        """Give the segment up: its file is cut to what is durable and left to recovery."""
        self.sink.abandon()
        with contextlib.suppress(OSError, SegmentBroken, StreamRefused):
            self.close()

    def _guarded(self, operation: Callable[[], object]) -> None:
        """libav raises the sink's own error the first time, and one of its own afterwards."""
        try:
            operation()
        except av.error.FFmpegError as exc:
            if self.sink.broken:
                raise SegmentBroken(f"{self.sink.part}: written to after a failure") from exc
            raise StreamRefused(str(exc)) from exc
