"""Packets in bunches, so that what is done with each finds the processor's caches warm.

A picture comes every 40 ms; handled one by one, most of what a picture costs is fetching the code
that handles it. A bunch ends with a key picture, so nothing that a key picture decides comes later
than before; and nothing is durable before the next key picture anyway, since libav keeps the open
GOP in memory. What ends the stream ends the bunch first: no packet that was received is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from hardware.errors import HardwareError
from hardware.packets import ReceivedPacket

LONGEST_NS = 1_000_000_000
"""A camera with few key pictures waits no longer than this; nothing waits for a stop."""


def bunched(
    packets: Iterable[ReceivedPacket], stopped: Callable[[], bool]
) -> Iterator[list[ReceivedPacket]]:
    """Yield the packets in order, each bunch at once. Raises what the packets raise, last."""
    held: list[ReceivedPacket] = []
    failure: HardwareError | None = None
    try:
        for received in packets:
            held.append(received)
            waited_ns = received.received_monotonic_ns - held[0].received_monotonic_ns
            if received.packet.is_keyframe or waited_ns >= LONGEST_NS or stopped():
                yield held
                held = []
    except HardwareError as exc:
        failure = exc
    if held:
        yield held
    if failure is not None:
        raise failure
