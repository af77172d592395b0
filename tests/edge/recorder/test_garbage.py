"""A camera that sends garbage: it is recorded or refused, never believed, and nothing is lost of
what was good before and after it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import pytest

from hardware.packets import ReceivedPacket
from tests.edge.recorder.conftest import ListedCamera
from tests.edge.recorder.test_recorder import Node, film, gone, node

__all__ = ["film", "node"]

START_CODE = b"\x00\x00\x00\x01"
Bend = Callable[[random.Random, av.Packet], av.Packet]


def noise(chance: random.Random, packet: av.Packet) -> av.Packet:
    """Bytes of any kind and length, at the time and with the flags of a picture."""
    return like(packet, chance.randbytes(chance.randint(1, 30_000)))


def nal_noise(chance: random.Random, packet: av.Packet) -> av.Packet:
    """What looks like H.264 on the outside: parameter sets among it that fit nothing."""
    units = (bytes([chance.choice((0x67, 0x68, 0x65, 0x41, 0x06))]) + chance.randbytes(
        chance.randint(1, 2000)) for _ in range(chance.randint(1, 5)))  # fmt: skip
    return like(packet, b"".join(START_CODE + unit for unit in units))


def times(chance: random.Random, packet: av.Packet) -> av.Packet:
    """Times that go back, stand still, or lie years ahead."""
    packet.dts = chance.choice((0, packet.dts or 0, -(2**40), 2**50, (packet.dts or 0) - 90_000))
    packet.pts = chance.choice((packet.dts, packet.dts - 1, 2**51, None))
    return packet


def flags(chance: random.Random, packet: av.Packet) -> av.Packet:
    """Key pictures that are none."""
    packet.is_keyframe = chance.random() < 0.5
    return packet


def like(packet: av.Packet, content: bytes) -> av.Packet:
    made = av.Packet(content)
    made.dts, made.pts, made.is_keyframe = packet.dts, packet.pts, packet.is_keyframe
    made.time_base = packet.time_base or Fraction(1, 90_000)
    made.stream = packet.stream
    return made


class GarbageCamera(ListedCamera):
    """A camera of which some packets are not what they were."""

    bend: Bend
    chance: random.Random

    def packets(self) -> Iterator[ReceivedPacket]:
        for received in super().packets():
            packet = received.packet
            if self.chance.random() < 0.2:
                packet = self.bend(self.chance, packet)
            yield ReceivedPacket(packet, received.received_monotonic_ns)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bend", [noise, nal_noise, times, flags])
def test_garbage_between_good_pictures_breaks_nothing(
    node: Node, film, transport_stream: bytes, listed, bend: Bend, seed: int
) -> None:
    node.run(film, gone)
    before, _ = node.rows()
    good = {row.id: row.file_sha256 for row in before}
    camera = listed(transport_stream)
    camera.__class__ = GarbageCamera
    camera.bend, camera.chance = bend, random.Random(seed)
    node.run(lambda: camera, film, gone)
    after, gaps = node.rows()
    assert good.items() <= {row.id: row.file_sha256 for row in after}.items()
    assert len(after) >= len(good) + 3, "the good camera after it was not recorded"
    assert sum(gap.ended_at is None for gap in gaps) == 1
    node.assert_sound()
