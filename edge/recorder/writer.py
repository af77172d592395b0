"""One segment file: PyAV copies packets into fragmented MP4, one fragment a GOP, no decoding.

libav keeps a GOP in memory until the next key picture, then writes it whole; that is when it is
made durable. A GOP longer than LONGEST_FRAGMENT_US is written in pieces, so that a camera without
key pictures cannot fill the memory. The sink cannot seek, so nothing that was written is ever
touched again.
"""

from __future__ import annotations

import contextlib

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
        told, shown = packet.dts, packet.pts
        if told is None:
            raise StreamRefused("a packet without a time")
        dts = max(told - self._base, self._last + 1)
        packet.dts = self._last = dts
        packet.pts = dts if shown is None else max(shown - self._base, dts)
        packet.stream = self._stream
        try:
            self._container.mux_one(packet)
        except av.error.FFmpegError as exc:
            raise self._refusal(exc) from exc

    def sync(self) -> None:
        """Make the fragments written so far durable."""
        self.sink.sync()

    def close(self) -> None:
        """Write the last fragment into the sink. Raises OSError."""
        if not self._closed:
            self._closed = True
            try:
                self._container.close()
            except av.error.FFmpegError as exc:
                raise self._refusal(exc) from exc

    def abandon(self) -> None:
        """Give the segment up: its file is cut to what is durable and left to recovery."""
        self.sink.abandon()
        with contextlib.suppress(OSError, SegmentBroken, StreamRefused):
            self.close()

    def _refusal(self, exc: av.error.FFmpegError) -> SegmentBroken | StreamRefused:
        """libav raises the sink's own error the first time, and one of its own afterwards."""
        if self.sink.broken:
            return SegmentBroken(f"{self.sink.part}: written to after a failure")
        return StreamRefused(str(exc))
