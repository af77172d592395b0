"""The sequence parameter set inside a key picture: whether the camera changed its picture format.

Cameras repeat it before each key picture (Annex B). A file whose head tells one format must not
get pictures of another, so a change ends the connection and the next one begins a new run.
"""

from __future__ import annotations

LOOKED_AT_BYTES = 1024
LENGTH_PREFIXED = b"\x01"
"""How the parameter sets of a stream begin whose units have lengths before them (avcC, hvcC)."""
_START = b"\x00\x00\x01"
_H264_SPS, _HEVC_SPS = 7, 33


class FormatChanged(Exception):
    """The camera sends pictures of another format than the open run's."""


def parameter_set(head: bytes, codec: str) -> bytes | None:
    """Return the first whole SPS in the beginning of a key picture, None if there is none."""
    at = head.find(_START)
    while at >= 0:
        begin = at + len(_START)
        at = head.find(_START, begin)
        if at < 0:
            return None  # The last piece may be cut short, and is the picture itself anyway.
        if _is_sps(head[begin], codec):
            return head[begin:at].rstrip(b"\x00")
    return None


def _is_sps(first: int, codec: str) -> bool:
    if codec == "h264":
        return first & 0x1F == _H264_SPS
    return (first >> 1) & 0x3F == _HEVC_SPS
