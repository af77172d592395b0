"""H.264 for the simulated camera: x264 through PyAV, tuned for little work and no delay."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import av
import cv2
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from hardware.simulated_people import Pixels
from hardware.simulated_rtp import split_annex_b


class SimulatedEncoder:
    """Encodes BGR pictures one by one; every picture comes back before the next goes in."""

    def __init__(
        self,
        width: int,
        height: int,
        *,
        frames_per_second: float,
        bits_per_second: int,
        gop_seconds: float,
    ) -> None:
        if width % 2 or height % 2:
            raise ValueError(f"Width and height must be even, found {width}x{height}")
        rate = Fraction(frames_per_second).limit_denominator(1001)
        gop = max(1, round(frames_per_second * gop_seconds))
        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, VideoCodecContext)  # noqa: S101 (narrows a foreign type)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.framerate, context.time_base = rate, 1 / rate
        context.bit_rate, context.gop_size, context.max_b_frames = bits_per_second, gop, 0
        context.thread_count = 1
        kilobits = bits_per_second // 1000
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": "baseline",
            "forced-idr": "1",
            "x264-params": (
                f"keyint={gop}:min-keyint={gop}:scenecut=0:repeat-headers=1:threads=1:"
                f"sliced-threads=0:vbv-maxrate={kilobits}:vbv-bufsize={kilobits}"
            ),
        }
        self._context = context

    def encode(
        self, pixels: Pixels, ordinal: int, *, force_key: bool = False
    ) -> tuple[tuple[bytes, ...], bool]:
        """Return the picture's NAL units and whether a decoder can start at it."""
        planar = cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420))
        frame = av.VideoFrame.from_ndarray(planar, format="yuv420p")
        frame.pts = ordinal
        frame.pict_type = PictureType.I if force_key else PictureType.NONE
        units: list[bytes] = []
        is_key = False
        for packet in self._context.encode(frame):
            units += split_annex_b(bytes(packet))
            is_key = is_key or packet.is_keyframe
        return tuple(units), is_key
