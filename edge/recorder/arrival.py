"""When the first packets of a connection were really taken by the camera.

While a connection is opened packets wait unread, so the first ones are read late, all at once.
The least (time read - media time) of the first second is the best guess of the camera's delay
(moonfire-nvr's rule); times read are set back to it, so a run does not begin in the future.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from hardware.errors import HardwareError
from hardware.packets import ReceivedPacket

HOLD_US = 1_000_000
MOST_HELD = 128
LONGEST_HOLD_NS = 3_000_000_000
"""Of our time, for a camera whose media time stands still, jumps back or is not told."""


def settled(packets: Iterator[ReceivedPacket], time_base: Fraction) -> Iterator[ReceivedPacket]:
    """Yield every packet in order, the first second's with corrected times.

    Raises what the source raises, after the packets that came before it.
    """
    us_per_tick = time_base * 1_000_000
    held: list[ReceivedPacket] = []
    failure: HardwareError | None = None
    try:
        for received in packets:
            held.append(received)
            waited_ns = received.received_monotonic_ns - held[0].received_monotonic_ns
            if (
                len(held) >= MOST_HELD
                or waited_ns >= LONGEST_HOLD_NS
                or _span_us(held, us_per_tick) >= HOLD_US
            ):
                break
    except HardwareError as exc:
        failure = exc
    yield from corrected(held, us_per_tick)
    if failure is not None:
        raise failure
    yield from packets


def corrected(held: list[ReceivedPacket], us_per_tick: Fraction) -> list[ReceivedPacket]:
    """Return the packets as if each had been read with the least delay of them all."""
    lags = [
        received.received_monotonic_ns // 1000 - int(received.packet.dts * us_per_tick)
        for received in held
        if received.packet.dts is not None
    ]
    if not lags:
        return held
    least = min(lags)
    return [
        received
        if received.packet.dts is None
        else ReceivedPacket(
            received.packet, (int(received.packet.dts * us_per_tick) + least) * 1000
        )
        for received in held
    ]


def _span_us(held: list[ReceivedPacket], us_per_tick: Fraction) -> int:
    times = [received.packet.dts for received in held if received.packet.dts is not None]
    return int((times[-1] - times[0]) * us_per_tick) if times else 0
