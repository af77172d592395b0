"""RTP for the simulated camera: H.264 into packets (RFC 6184), sender reports (RFC 3550).

Pure: bytes in, bytes out. Each client has its own ``RtpSender``, so that its sequence
numbers are gapless exactly when nothing was dropped on its way.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

CLOCK_HZ = 90_000
PAYLOAD_TYPE = 96
MAX_PAYLOAD_BYTES = 1_388
_NTP_EPOCH_SECONDS = 2_208_988_800
_SPS, _PPS, _IDR, _FU_A = 7, 8, 5, 28
# Access unit delimiters, SEI and filler say nothing that a receiver needs.
_DROPPED = frozenset({6, 9, 12})


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One encoded picture: its NAL units, whether a decoder can start here, and its times.

    ``rtp_time`` is in 90 kHz ticks modulo 2^32, ``wall_seconds`` is the camera's own clock.
    """

    units: tuple[bytes, ...]
    is_key: bool
    rtp_time: int
    wall_seconds: float


class Track(Protocol):
    """A codec's way into RTP: how it is announced and how a picture becomes payloads."""

    def sdp(self) -> Sequence[str]: ...

    def payloads(self, unit: AccessUnit) -> list[bytes]: ...


def split_annex_b(stream: bytes) -> tuple[bytes, ...]:
    """Split an Annex B byte stream into NAL units without start codes."""
    parts = re.split(rb"\x00\x00\x00?\x01", stream)
    return tuple(part.rstrip(b"\x00") for part in parts[1:] if part.rstrip(b"\x00"))


class H264Track:
    """H.264 in packetization mode 1: single NAL unit packets and FU-A fragments."""

    def __init__(self, sps: bytes, pps: bytes, frames_per_second: float) -> None:
        self._sps, self._pps, self._frames_per_second = sps, pps, frames_per_second

    @classmethod
    def from_key_picture(cls, units: Sequence[bytes], frames_per_second: float) -> H264Track:
        """Take the parameter sets out of an encoded key picture; ``ValueError`` without them."""
        kinds = {unit[0] & 31: unit for unit in units}
        if _SPS not in kinds or _PPS not in kinds:
            raise ValueError("The encoder's key picture has no parameter sets")
        return cls(kinds[_SPS], kinds[_PPS], frames_per_second)

    def sdp(self) -> Sequence[str]:
        sets = ",".join(base64.b64encode(each).decode("ascii") for each in (self._sps, self._pps))
        return (
            f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
            f"a=rtpmap:{PAYLOAD_TYPE} H264/{CLOCK_HZ}",
            f"a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;"
            f"profile-level-id={self._sps[1:4].hex().upper()};sprop-parameter-sets={sets}",
            f"a=framerate:{self._frames_per_second:g}",
        )

    def payloads(self, unit: AccessUnit) -> list[bytes]:
        nals = [nal for nal in unit.units if nal[0] & 31 not in _DROPPED]
        if unit.is_key:
            # Whoever joins here, and whoever lost packets, can decode without the SDP.
            kinds = {nal[0] & 31 for nal in nals}
            nals = [s for s in (self._sps, self._pps) if s[0] & 31 not in kinds] + nals
        return [payload for nal in nals for payload in _fragments(nal)]


def _fragments(nal: bytes) -> list[bytes]:
    if len(nal) <= MAX_PAYLOAD_BYTES:
        return [nal]
    indicator, kind = (nal[0] & 0xE0) | _FU_A, nal[0] & 31
    step = MAX_PAYLOAD_BYTES - 2
    starts = range(1, len(nal), step)
    return [
        bytes((indicator, kind | (0x80 if at == 1 else 0) | (0x40 if at + step >= len(nal) else 0)))
        + nal[at : at + step]
        for at in starts
    ]


class RtpSender:
    """One receiver's numbering: sequence numbers, source id, counts for its sender reports."""

    def __init__(self, source: int, first_sequence: int) -> None:
        self.source, self._sequence = source & 0xFFFFFFFF, first_sequence & 0xFFFF
        self._packets = self._octets = 0

    def packets(self, payloads: Sequence[bytes], rtp_time: int) -> list[bytes]:
        """Return RTP packets; the last one of a picture carries the marker bit."""
        packets = []
        for index, payload in enumerate(payloads):
            marker = 0x80 if index == len(payloads) - 1 else 0
            head = struct.pack(
                ">BBHII", 0x80, marker | PAYLOAD_TYPE, self._sequence, rtp_time, self.source
            )
            packets.append(head + payload)
            self._sequence = (self._sequence + 1) & 0xFFFF
            self._packets += 1
            self._octets += len(payload)
        return packets

    def report(self, rtp_time: int, wall_seconds: float) -> bytes:
        """Return an RTCP sender report with a CNAME, tying RTP time to the camera's clock."""
        ntp = wall_seconds + _NTP_EPOCH_SECONDS
        seconds = int(ntp)
        fraction = int((ntp - seconds) * (1 << 32)) & 0xFFFFFFFF
        report = struct.pack(
            ">BBHIIIIII", 0x80, 200, 6, self.source, seconds & 0xFFFFFFFF, fraction, rtp_time,
            self._packets & 0xFFFFFFFF, self._octets & 0xFFFFFFFF,
        )  # fmt: skip
        name = b"simulated"
        item = struct.pack(">IBB", self.source, 1, len(name)) + name
        item += bytes(4 - len(item) % 4)
        return report + struct.pack(">BBH", 0x81, 202, len(item) // 4) + item
