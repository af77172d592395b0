"""Running simulated cameras, and an RTSP server inside the test's own process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from hardware.errors import SIMULATION_VARIABLE, PeopleMissing
from hardware.simulated_cameras import CameraPlan, PicturePlan, SimulatedCameras
from hardware.simulated_people import People, load_people
from hardware.simulated_rtp import AccessUnit, Track
from hardware.simulated_rtsp import RtspServer

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _this_is_a_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIMULATION_VARIABLE, "1")


@pytest.fixture(scope="session")
def cameras() -> Iterator[SimulatedCameras]:
    """Two small cameras in one process, shared: a test leaves them live and plugged in."""
    before = os.environ.get(SIMULATION_VARIABLE)
    os.environ[SIMULATION_VARIABLE] = "1"
    try:
        plans = [CameraPlan("counter", 0, "purchase"), CameraPlan("desk", 0, "prescription")]
        pictures = PicturePlan(width=320, height=240, bits_per_second=400_000, gop_seconds=0.5)
        with SimulatedCameras(plans, pictures=pictures) as running:
            yield running
    finally:
        if before is None:
            del os.environ[SIMULATION_VARIABLE]
        else:
            os.environ[SIMULATION_VARIABLE] = before


@pytest.fixture(scope="session")
def people() -> People:
    try:
        return load_people()
    except PeopleMissing as missing:
        pytest.skip(str(missing))


class ServerInThread:
    """An ``RtspServer`` whose loop runs beside the test."""

    def __init__(self, track: Track) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server = RtspServer(track)
        self.port = self.run(self.server.start())

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/stream"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def send(self, unit: AccessUnit) -> None:
        async def on_the_loop() -> None:
            self.server.send(unit)

        self.run(on_the_loop())

    def close(self) -> None:
        self.run(self.server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Track], ServerInThread]]:
    started: list[ServerInThread] = []

    def start(track: Track) -> ServerInThread:
        started.append(ServerInThread(track))
        return started[-1]

    yield start
    for each in started:
        each.close()
