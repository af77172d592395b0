"""An RTSP camera for measuring: loops ten seconds of pre-encoded 1080p25 at 4 Mb/s.

Encoding happens once before the clock starts, so that serving costs little beside what is measured.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time

import numpy as np

from hardware.simulated_encoder import SimulatedEncoder
from hardware.simulated_rtp import CLOCK_HZ, AccessUnit, H264Track
from hardware.simulated_rtsp import RtspServer

WIDTH, HEIGHT, FRAMES_PER_SECOND, BITS_PER_SECOND, SECONDS = 1920, 1080, 25.0, 4_000_000, 10


def encode() -> list[tuple[tuple[bytes, ...], bool]]:
    """Return ten seconds of pictures busy enough to need the whole bit rate."""
    encoder = SimulatedEncoder(
        WIDTH, HEIGHT, frames_per_second=FRAMES_PER_SECOND, bits_per_second=BITS_PER_SECOND,
        gop_seconds=1.0,
    )  # fmt: skip
    random = np.random.default_rng(1)
    texture = random.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    base = np.kron(texture, np.ones((8, 8, 1), np.uint8))
    made = []
    for ordinal in range(int(FRAMES_PER_SECOND * SECONDS)):
        pixels = np.roll(base, ordinal * 3, axis=1).copy()
        pixels[: HEIGHT // 6] = random.integers(0, 60, (HEIGHT // 6, WIDTH, 3), np.uint8)
        units, is_key = encoder.encode(pixels, ordinal, force_key=ordinal == 0)
        made.append((tuple(units), is_key))
    return made


async def serve() -> None:
    pictures = encode()
    size = sum(len(unit) for units, _ in pictures for unit in units)
    server = RtspServer(H264Track.from_key_picture(pictures[0][0], FRAMES_PER_SECOND))
    port = await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    ready = {"url": f"rtsp://127.0.0.1:{port}/stream", "bits_per_second": size * 8 // SECONDS}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    started, ordinal = time.monotonic(), 0
    while not stop.is_set():
        units, is_key = pictures[ordinal % len(pictures)]
        rtp_time = round(ordinal / FRAMES_PER_SECOND * CLOCK_HZ) & 0xFFFFFFFF
        server.send(AccessUnit(units, is_key, rtp_time, time.time()))
        ordinal += 1
        await asyncio.sleep(max(0.0, started + ordinal / FRAMES_PER_SECOND - time.monotonic()))
    await server.close()


if __name__ == "__main__":
    asyncio.run(serve())
