"""A reader that rests reads the same packets, never falls behind, and is on time."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware import packets
from hardware.pace import REST_APART_US, REST_SECONDS, WAITED_NS, Pace
from hardware.packets import RtspPackets, Transport, open_packets
from hardware.simulated_cameras import SimulatedCameras

TICK = Fraction(1, 90_000)
PICTURE = 3_600
"""Ticks between two pictures, 25 a second."""
WAITED, QUEUED = WAITED_NS, WAITED_NS - 1


def rests(pace: Pace, read: list[tuple[int | None, int]]) -> list[int]:
    """Return after which packets (by number) the reader rests."""
    return [number for number, one in enumerate(read) if pace.rest_after(*one)]


def test_a_reader_rests_after_a_packet_it_waited_for_once_in_five_pictures() -> None:
    read: list[tuple[int | None, int]] = [(number * PICTURE, WAITED) for number in range(16)]
    assert rests(Pace(TICK), read) == [5, 10, 15]


def test_a_reader_that_fell_behind_never_rests() -> None:
    read: list[tuple[int | None, int]] = [(0, WAITED)]
    read += [(number * PICTURE, QUEUED) for number in range(1, 500)]
    assert rests(Pace(TICK), read) == []


def test_packets_without_times_and_media_that_jumps_back_give_no_rest() -> None:
    read: list[tuple[int | None, int]] = [(900_000, WAITED), (None, WAITED), (0, WAITED)]
    assert rests(Pace(TICK), read) == []


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(0, 90_000 * 60), st.sampled_from([0, QUEUED, WAITED, 2**40])
        ),
        max_size=60,
    )
)
def test_rests_take_less_time_than_the_media_that_came(
    read: list[tuple[int | None, int]],
) -> None:
    forward = times = 0
    last: int | None = None
    pace = Pace(TICK)
    for dts, reading_ns in read:
        times += pace.rest_after(dts, reading_ns)
        if dts is not None:
            forward += max(0, dts - last) if last is not None else 0
            last = dts
    assert times * REST_APART_US <= forward * TICK * 1_000_000
    assert REST_SECONDS * 1_000_000 < REST_APART_US


@pytest.mark.parametrize(("transport", "rests_at_all"), [("tcp", True), ("udp", False)])
def test_a_camera_read_with_rests_loses_no_picture(
    cameras: SimulatedCameras,
    monkeypatch: pytest.MonkeyPatch,
    transport: Transport,
    rests_at_all: bool,
) -> None:
    asked: list[bool] = []

    class Counted(Pace):
        def rest_after(self, dts: int | None, reading_ns: int) -> bool:
            asked.append(super().rest_after(dts, reading_ns))
            return asked[-1]

    monkeypatch.setattr(packets, "Pace", Counted)
    source = open_packets(cameras.url("counter"), transport=transport, collect=True)
    assert isinstance(source, RtspPackets)
    try:
        times = [one.packet.dts or 0 for one in islice(source.packets(), 40)]
    finally:
        source.close()
    steps = {later - earlier for earlier, later in pairwise(times)}
    assert max(steps) < 2 * min(steps)
    assert any(asked) is rests_at_all
