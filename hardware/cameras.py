"""Cameras, behind two seams: ``PacketSource`` to record from and ``FrameSource`` to look through.

This module only gathers the names. Import ``hardware.packets`` alone where OpenCV should not
be loaded (recorders).
"""

from __future__ import annotations

from hardware.errors import (
    ALLOWED_CODECS,
    CameraEnded,
    CameraUnavailable,
    HardwareError,
    UnsupportedCodec,
    without_credentials,
)
from hardware.frames import CapturedFrame, FrameSource, OpenCvFrames
from hardware.packets import (
    EncodePlan,
    PacketSource,
    ReceivedPacket,
    RtspPackets,
    open_packets,
)

__all__ = [
    "ALLOWED_CODECS",
    "CameraEnded",
    "CameraUnavailable",
    "CapturedFrame",
    "EncodePlan",
    "FrameSource",
    "HardwareError",
    "OpenCvFrames",
    "PacketSource",
    "ReceivedPacket",
    "RtspPackets",
    "UnsupportedCodec",
    "open_packets",
    "without_credentials",
]
