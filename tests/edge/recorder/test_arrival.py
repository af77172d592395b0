from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import pytest

from edge.recorder.arrival import settled
from hardware.errors import CameraEnded
from hardware.packets import ReceivedPacket

TICK = Fraction(1, 1000)


def packet(dts: int, received_ms: int) -> ReceivedPacket:
    made = av.Packet(b"x")
    made.dts = made.pts = dts
    return ReceivedPacket(made, received_ms * 1_000_000)


def test_packets_that_waited_get_the_least_delay_and_none_is_lost():
    # Half a second waited while the connection was opened, then pictures come on time.
    sent = [packet(dts, max(5500, 5010 + dts)) for dts in range(0, 3000, 100)]
    found = list(settled(iter(sent), TICK))
    assert [one.packet.dts for one in found] == list(range(0, 3000, 100))
    assert found[0].received_monotonic_ns == 5_010_000_000
    assert found[-1].received_monotonic_ns == sent[-1].received_monotonic_ns


def test_camera_whose_time_stands_still_is_not_held_back_for_long():
    """A recorder that hands nothing on does not beat, and is killed for it."""
    taken: list[int] = []

    def standing() -> Iterator[ReceivedPacket]:
        for number in range(20):
            taken.append(number)
            yield packet(0, number * 500)

    assert next(settled(standing(), TICK)).packet.dts == 0
    assert len(taken) == 7  # three seconds


def test_camera_that_ends_early_still_gives_what_it_sent():
    def ending() -> Iterator[ReceivedPacket]:
        yield packet(0, 100)
        yield packet(40, 140)
        raise CameraEnded("rtsp://camera/stream")

    found: list[int] = []
    with pytest.raises(CameraEnded):
        into_list(settled(ending(), TICK), found)
    assert found == [0, 40]


def into_list(packets: Iterator[ReceivedPacket], into: list[int]) -> None:
    for one in packets:
        into.append(one.packet.dts)
