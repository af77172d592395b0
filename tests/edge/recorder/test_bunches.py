"""Bunches change when packets are handled, never which, in what order or by what time."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.recorder.bunches import LONGEST_NS, bunched
from hardware.errors import CameraUnavailable
from hardware.packets import ReceivedPacket

pictures = st.lists(st.tuples(st.booleans(), st.integers(0, LONGEST_NS)), max_size=40)


def received(pictures: list[tuple[bool, int]]) -> list[ReceivedPacket]:
    found, at = [], 0
    for is_key, wait in pictures:
        at += wait
        packet = SimpleNamespace(is_keyframe=is_key, dts=len(found))
        found.append(cast(ReceivedPacket, SimpleNamespace(packet=packet, received_monotonic_ns=at)))
    return found


def never() -> bool:
    return False


@given(pictures)
def test_every_packet_comes_once_in_order_and_no_key_picture_waits(
    shown: list[tuple[bool, int]],
) -> None:
    packets = received(shown)
    bunches = list(bunched(packets, never))
    assert [one for bunch in bunches for one in bunch] == packets
    for bunch in bunches:
        assert not any(one.packet.is_keyframe for one in bunch[:-1])
        assert bunch[-2:][0].received_monotonic_ns - bunch[0].received_monotonic_ns < LONGEST_NS


def test_a_bunch_is_handled_before_the_next_packet_is_awaited() -> None:
    seen: list[str] = []

    def camera() -> Iterator[ReceivedPacket]:
        for number, one in enumerate(received([(True, 0), (False, 40), (False, LONGEST_NS)])):
            seen.append(f"came {number}")
            yield one
        seen.append("waits")

    for bunch in bunched(camera(), never):
        seen.append(f"handled {len(bunch)}")
    assert seen == ["came 0", "handled 1", "came 1", "came 2", "handled 2", "waits"]


def test_a_stop_does_not_wait_for_a_bunch() -> None:
    packets = received([(True, 0), (False, 40), (False, 40), (False, 40)])
    stops = iter([False, True, True])  # a key picture asks nobody
    assert [len(one) for one in bunched(packets, lambda: next(stops))] == [1, 2, 1]


def test_what_was_received_before_the_camera_was_lost_is_handled_first() -> None:
    packets = received([(True, 0), (False, 40), (False, 40)])

    def camera() -> Iterator[ReceivedPacket]:
        yield from packets
        raise CameraUnavailable("rtsp://127.0.0.1/s", "gone")

    handled: list[ReceivedPacket] = []

    def follow() -> None:
        for bunch in bunched(camera(), never):
            handled.extend(bunch)

    with pytest.raises(CameraUnavailable):
        follow()
    assert handled == packets
