"""Packets carry every byte of a picture, numbered and timed as the RFCs say."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.simulated_rtp import (
    MAX_PAYLOAD_BYTES,
    AccessUnit,
    H264Track,
    RtpSender,
    split_annex_b,
)

SPS, PPS = b"\x67\x42\xc0\x1e\xaa", b"\x68\xce\xbb"


def reassemble(payloads: list[bytes]) -> list[bytes]:
    """Undo RFC 6184 single NAL unit and FU-A packets."""
    units: list[bytes] = []
    for payload in payloads:
        if payload[0] & 31 != 28:
            units.append(payload)
        elif payload[1] & 0x80:
            units.append(bytes(((payload[0] & 0xE0) | (payload[1] & 31),)) + payload[2:])
        else:
            units[-1] += payload[2:]
    return units


@given(st.lists(st.binary(min_size=1, max_size=5_000), min_size=1, max_size=4))
def test_fragments_make_the_picture_again(bodies: list[bytes]) -> None:
    units = tuple(b"\x41" + body for body in bodies)
    payloads = H264Track(SPS, PPS, 15).payloads(AccessUnit(units, False, 0, 0.0))
    assert all(len(payload) <= MAX_PAYLOAD_BYTES for payload in payloads)
    assert tuple(reassemble(payloads)) == units


def test_only_the_last_fragment_is_marked_as_the_end() -> None:
    payloads = H264Track(SPS, PPS, 15).payloads(AccessUnit((b"\x41" + b"x" * 4_000,), False, 0, 0))
    assert [bool(p[1] & 0x80) for p in payloads] == [True, False, False]
    assert [bool(p[1] & 0x40) for p in payloads] == [False, False, True]


def test_a_key_picture_is_preceded_by_its_parameter_sets_once() -> None:
    track = H264Track(SPS, PPS, 15)
    idr, sei = b"\x65abc", b"\x06noise"
    assert track.payloads(AccessUnit((sei, idr), True, 0, 0)) == [SPS, PPS, idr]
    assert track.payloads(AccessUnit((SPS, PPS, idr), True, 0, 0)) == [SPS, PPS, idr]


def test_parameter_sets_must_be_there() -> None:
    with pytest.raises(ValueError, match="parameter sets"):
        H264Track.from_key_picture([b"\x65abc"], 15)


@given(
    st.lists(
        st.binary(min_size=1, max_size=40).map(lambda b: b"\x41" + b.replace(b"\x00", b"\x07")),
        min_size=1,
        max_size=5,
    ),
    st.booleans(),
)
def test_annex_b_splits_at_either_start_code(units: list[bytes], long: bool) -> None:
    code = b"\x00\x00\x00\x01" if long else b"\x00\x00\x01"
    assert split_annex_b(b"".join(code + unit for unit in units)) == tuple(units)


def test_packets_are_numbered_without_gaps_across_the_wrap() -> None:
    sender = RtpSender(source=7, first_sequence=65_534)
    packets = sender.packets([b"a", b"b"], 9) + sender.packets([b"c"], 10)
    heads = [struct.unpack(">BBHII", packet[:12]) for packet in packets]
    assert [head[2] for head in heads] == [65_534, 65_535, 0]
    assert [bool(head[1] & 0x80) for head in heads] == [False, True, True]
    assert {head[4] for head in heads} == {7}


def test_a_report_ties_rtp_time_to_the_camera_clock() -> None:
    sender = RtpSender(source=7, first_sequence=0)
    sender.packets([b"abcd", b"ef"], 90_000)
    report = sender.report(90_000, 1_700_000_000.5)
    kind, words, source, seconds, fraction, rtp, packets, octets = struct.unpack(
        ">xBHIIIIII", report[:28]
    )
    assert (kind, words, source, rtp, packets, octets) == (200, 6, 7, 90_000, 2, 6)
    assert seconds == 1_700_000_000 + 2_208_988_800
    assert fraction == 1 << 31
    assert len(report) % 4 == 0
    assert report[29] == 202
