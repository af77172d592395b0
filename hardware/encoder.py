"""Encodes pictures to H.264, by the machine's hardware where that really works.

An encoder that is listed may still lack its device or driver, so each is tried by encoding two
pictures; the first that gives a packet is taken, and x264 in software is the last resort. No
B-frames, a key picture every GOP_SECONDS, parameter sets in ``extradata``, 90 kHz time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.codec.context import Flags
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from hardware.errors import HardwareError
from hardware.packets import EncodePlan

Pixels = NDArray[np.uint8]
TICKS_A_SECOND = 90_000
GOP_SECONDS = 1


@dataclass(frozen=True, slots=True)
class EncoderKind:
    """An encoder of FFmpeg, the picture format it takes, and its own options."""

    name: str
    pixel_format: str
    options: Mapping[str, str]


ENCODERS: tuple[EncoderKind, ...] = (
    EncoderKind("h264_nvenc", "yuv420p", {"tune": "ll", "forced-idr": "1", "zerolatency": "1"}),
    EncoderKind("h264_qsv", "nv12", {"forced_idr": "1", "async_depth": "1"}),
    EncoderKind("h264_vaapi", "nv12", {"async_depth": "1"}),
    EncoderKind("h264_v4l2m2m", "yuv420p", {}),
    EncoderKind(
        "libx264",
        "yuv420p",
        {"preset": "veryfast", "tune": "zerolatency", "forced-idr": "1", "sc_threshold": "0"},
    ),
)


class NoEncoder(HardwareError):
    """None of the encoders works on this machine."""

    def __init__(self, tried: Mapping[str, str]) -> None:
        said = "; ".join(f"{name}: {reason}" for name, reason in tried.items())
        super().__init__(f"No H.264 encoder works here ({said})")
        self.tried = tried


class _Nowhere:
    """Takes what libav would write; the packets are used, not a file."""

    def write(self, raw: bytes) -> int:
        return len(raw)


class H264Encoder:
    """One encoder of one picture size. Raises av.FFmpegError or UnknownCodecError when made."""

    def __init__(self, kind: EncoderKind, plan: EncodePlan) -> None:
        self.kind = kind
        self._container = av.open(_Nowhere(), "w", format="h264")
        bits = {"maxrate": str(plan.bits_per_second), "bufsize": str(2 * plan.bits_per_second)}
        rate = Fraction(plan.frames_per_second).limit_denominator(1000)
        stream = self._container.add_stream(kind.name, rate=rate, options={**kind.options, **bits})
        assert isinstance(stream, VideoStream)  # noqa: S101 (narrows a foreign type)
        self.stream, context = stream, stream.codec_context
        context.width, context.height = plan.width, plan.height
        context.pix_fmt, context.bit_rate = kind.pixel_format, plan.bits_per_second
        context.gop_size = max(1, round(plan.frames_per_second * GOP_SECONDS))
        context.max_b_frames = 0
        context.time_base = Fraction(1, TICKS_A_SECOND)
        context.flags |= Flags.global_header
        self._container.start_encoding()
        self._key_due = 0

    @property
    def width(self) -> int:
        return self.stream.codec_context.width

    @property
    def height(self) -> int:
        return self.stream.codec_context.height

    @property
    def extradata(self) -> bytes:
        return bytes(self.stream.codec_context.extradata or b"")

    def encode(self, pixels: Pixels, at: int) -> list[Packet[VideoStream]]:
        """Encode a picture (BGR uint8, HxWx3) of time ``at`` in ticks. Raises av.FFmpegError."""
        frame = VideoFrame.from_ndarray(pixels, format="bgr24").reformat(
            width=self.width, height=self.height, format=self.kind.pixel_format
        )
        frame.pts, frame.time_base = at, Fraction(1, TICKS_A_SECOND)
        if at >= self._key_due:  # By time, for a device may give fewer pictures than it promised.
            frame.pict_type = PictureType.I
            self._key_due = at + GOP_SECONDS * TICKS_A_SECOND
        return list(self.stream.encode(frame))

    def flush(self) -> list[Packet[VideoStream]]:
        """Return what the encoder still holds; nothing can be encoded after it."""
        return list(self.stream.encode(None))

    def close(self) -> None:
        """Free the encoder; safe to call twice."""
        self._container.close()


def open_encoder(plan: EncodePlan, kinds: Sequence[EncoderKind] = ENCODERS) -> H264Encoder:
    """Return the first encoder that works here. Raises ``NoEncoder`` with what each one said."""
    even = replace(plan, width=plan.width // 2 * 2, height=plan.height // 2 * 2)
    tried: dict[str, str] = {}
    for kind in kinds:
        try:
            _prove(kind, even)
            return H264Encoder(kind, even)
        except UnknownCodecError:
            tried[kind.name] = "not in this build"
        except av.error.FFmpegError as exc:
            tried[kind.name] = exc.strerror or type(exc).__name__
        except _GaveNothing:
            tried[kind.name] = "gave no packet"
    raise NoEncoder(tried)


class _GaveNothing(Exception):
    """The encoder opened and then encoded nothing."""


def _prove(kind: EncoderKind, plan: EncodePlan) -> None:
    encoder = H264Encoder(kind, plan)
    try:
        grey = np.full((plan.height, plan.width, 3), 128, np.uint8)
        found = [*encoder.encode(grey, 0), *encoder.encode(grey, 6000), *encoder.flush()]
        if not any(packet.size for packet in found):
            raise _GaveNothing
    finally:
        encoder.close()
