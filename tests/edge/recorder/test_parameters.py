from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.recorder.parameters import parameter_set

START = b"\x00\x00\x00\x01"
SPS, PPS, IDR = b"\x67\x42\xc0\x1e\xaa", b"\x68\xce\x38\x80", b"\x65\x88\x84\x00"
HEVC_VPS, HEVC_SPS, HEVC_IDR = b"\x40\x01\x0c", b"\x42\x01\x01\x22", b"\x26\x01\xaf"


def test_parameter_set_is_found_among_the_others():
    assert (
        parameter_set(START + b"\x09\xf0" + START + SPS + START + PPS + START + IDR, "h264") == SPS
    )
    assert parameter_set(START + HEVC_VPS + START + HEVC_SPS + START + HEVC_IDR, "hevc") == HEVC_SPS


def test_picture_without_one_says_none():
    assert parameter_set(START + IDR + bytes(50), "h264") is None
    assert parameter_set(START + SPS, "h264") is None  # may be cut short


@given(st.binary(max_size=200), st.sampled_from(["h264", "hevc"]))
def test_any_bytes_are_read_without_error(head, codec):
    found = parameter_set(head, codec)
    assert found is None or found in head
