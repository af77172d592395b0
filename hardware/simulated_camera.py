"""The simulated IP camera as a process: draws, encodes, serves RTSP, obeys control lines.

    python -P -m hardware.simulated_camera --port 8554 --control-port 8555 --scene purchase
    python -P -m hardware.simulated_camera --camera counter:0:purchase --camera desk:0:prescription

Port 0 lets the system choose; the first line on standard output is one JSON object with the
ports and addresses. Several cameras share one process and one thread, because the demo runs
three of them beside everything else on two cores. A camera that nobody watches draws nothing.
For the demo and tests only: it warns unless COUNTERSIGHT_SIMULATION=1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast, get_args

import cv2
import numpy as np

from hardware.errors import PeopleMissing, warn_simulated
from hardware.simulated_control import Answer, ControlServer, JumpClock, Plain, Show
from hardware.simulated_encoder import SimulatedEncoder
from hardware.simulated_people import People, Pixels, load_people
from hardware.simulated_rtp import CLOCK_HZ, AccessUnit, H264Track
from hardware.simulated_rtsp import STREAM_PATH, RtspServer
from hardware.simulated_scene import Role, Scene

LOOP_PICTURES = 7  # few enough to be recognised by whoever sees two pictures a second
_LATE_SECONDS = 1.0
_SHANGHAI_SECONDS = 8 * 3600

Coded = tuple[tuple[bytes, ...], bool]
"""A picture's NAL units, and whether a decoder can start at it."""


@dataclass(frozen=True, slots=True)
class CameraPlan:
    """One camera to serve: its id, its RTSP port (0: any free one) and what it looks at."""

    camera_id: str
    port: int
    role: Role


@dataclass(frozen=True, slots=True)
class PicturePlan:
    """Size in pixels, pictures and bits per second, seconds between key pictures, seed."""

    width: int = 640
    height: int = 480
    frames_per_second: float = 15.0
    bits_per_second: int = 1_000_000
    gop_seconds: float = 1.0
    seed: int = 1


class SimulatedCamera:
    """One camera: its scene, its encoder, its server and what has been done to it."""

    def __init__(self, plan: CameraPlan, pictures: PicturePlan, people: People | None) -> None:
        warn_simulated(f"Camera {plan.camera_id}")
        self.plan, self._pictures = plan, pictures
        self._scene = Scene(
            pictures.width, pictures.height,
            people=people, seed=pictures.seed, label=plan.camera_id, role=plan.role,
        )  # fmt: skip
        self._encoder = SimulatedEncoder(
            pictures.width, pictures.height,
            frames_per_second=pictures.frames_per_second,
            bits_per_second=pictures.bits_per_second, gop_seconds=pictures.gop_seconds,
        )  # fmt: skip
        self._started = time.monotonic()
        self._ordinal = -1
        self._clock_offset_seconds = 0.0
        self._mode = "live"
        self._last: Pixels | None = None
        self._was_watched = False
        # The coded pictures that are fed in again and again, and those of this round to come.
        self._loop: list[Coded] = []
        self._round: list[Coded] = []
        self._black = np.zeros((pictures.height, pictures.width, 3), np.uint8)
        units, _ = self._encoder.encode(self._black, -1, force_key=True)
        track = H264Track.from_key_picture(units, pictures.frames_per_second)
        self._server = RtspServer(track)
        self.port = 0

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}{STREAM_PATH}"

    async def run(self, stop: asyncio.Event) -> None:
        """Send pictures on time until told to stop; pictures that are too late are skipped."""
        while not stop.is_set():
            due = self._started + (self._ordinal + 1) / self._pictures.frames_per_second
            delay = due - time.monotonic()
            if delay < -_LATE_SECONDS:
                self._ordinal += int(-delay * self._pictures.frames_per_second)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, delay)):
                    await stop.wait()
                    return
            self.step()

    def step(self) -> None:
        """Make and send the next picture, if anybody watches."""
        self._ordinal += 1
        if self._server.playing == 0:
            self._was_watched = False
            return
        units, is_key = self._coded()
        self._was_watched = True
        ticks = self._ordinal / self._pictures.frames_per_second + self._clock_offset_seconds
        rtp_time = round(ticks * CLOCK_HZ) & 0xFFFFFFFF
        self._server.send(AccessUnit(units, is_key, rtp_time, self._wall_seconds()))

    async def start(self) -> None:
        """Listen; raises ``OSError`` when the port is taken."""
        self.port = await self._server.start(self.plan.port)

    async def close(self) -> None:
        await self._server.close()

    async def obey(self, command: Show | JumpClock | Plain) -> Answer:
        """Carry out one command; raises ``LookupError`` or ``ValueError`` when it cannot."""
        match command:
            case Show():
                actors = [member.actor() for member in command.cast]
                # Cutting people out takes tenths of a second: not on the thread that sends.
                await asyncio.to_thread(self._scene.show, actors)
            case JumpClock():
                self._clock_offset_seconds += command.seconds
            case Plain(command="freeze"):
                self._picture()
                self._mode = "frozen"
            case Plain(command="loop"):
                # A few pictures more are taken, of who is there now, beginning with a key picture.
                self._loop, self._round = [], []
                self._was_watched, self._mode = False, "looped"
            case Plain(command="black"):
                self._mode = "black"
            case Plain(command="resume"):
                if self._mode == "looped":
                    self._was_watched = False  # what comes next refers to nothing that was sent
                self._mode = "live"
            case Plain(command="drop"):
                self._server.drop_clients()
            case Plain(command="unplug"):
                self._server.plugged = False
                self._server.drop_clients()
            case Plain(command="plug"):
                self._server.plugged = True
            case Plain():
                pass
        return self.status()

    def status(self) -> Answer:
        return {
            "camera": self.plan.camera_id,
            "url": self.url,
            "scene": self.plan.role,
            "mode": self._mode,
            "plugged": self._server.plugged,
            "clients": self._server.clients,
            "playing": self._server.playing,
            "pictures_dropped": self._server.pictures_dropped,
            "ordinal": self._ordinal,
            "clock_offset_seconds": self._clock_offset_seconds,
        }

    def _coded(self) -> Coded:
        """Return the next coded picture: of the scene, or of those that come again."""
        if self._mode == "looped" and len(self._loop) == LOOP_PICTURES:
            if not self._round or not self._was_watched:
                self._round = list(self._loop)
            return self._round.pop(0)
        pixels = self._picture()
        coded = self._encoder.encode(pixels, self._ordinal, force_key=not self._was_watched)
        if self._mode == "looped":
            self._loop.append(coded)
        return coded

    def _picture(self) -> Pixels:
        if self._mode == "black":
            return cast(Pixels, self._black)
        if self._mode == "frozen" and self._last is not None:
            return self._last
        local = (self._wall_seconds() + _SHANGHAI_SECONDS) % 86_400
        at = self._ordinal / self._pictures.frames_per_second
        self._last = self._scene.frame(at, clock_seconds=local, ordinal=max(0, self._ordinal))
        return self._last

    def _wall_seconds(self) -> float:
        return time.time() + self._clock_offset_seconds


async def serve(
    plans: Sequence[CameraPlan],
    pictures: PicturePlan,
    *,
    control_port: int = 0,
    exit_with_stdin: bool = False,
) -> None:
    """Serve all cameras until SIGTERM, SIGINT, or the end of standard input when asked."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    missing: PeopleMissing | None = None
    people: People | None = None
    try:
        people = load_people()
    except PeopleMissing as exc:
        missing = exc  # A camera without people still records; ``show`` names the remedy.
    cameras = {plan.camera_id: SimulatedCamera(plan, pictures, people) for plan in plans}

    async def handle(command: Show | JumpClock | Plain) -> Answer:
        if command.camera not in cameras:
            raise LookupError(f"camera: no {command.camera!r}; there are {', '.join(cameras)}")
        if isinstance(command, Show) and command.cast and missing is not None:
            raise ValueError(str(missing))
        return await cameras[command.camera].obey(command)

    control = ControlServer(handle)
    try:
        for camera in cameras.values():
            await camera.start()
        ready = {
            "control_port": await control.start(control_port),
            "cameras": {key: camera.url for key, camera in cameras.items()},
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        if exit_with_stdin:
            await _watch_stdin(stop)
        await asyncio.gather(*(camera.run(stop) for camera in cameras.values()))
    finally:
        await control.close()
        for camera in cameras.values():
            await camera.close()


async def _watch_stdin(stop: asyncio.Event) -> None:
    """Stop when whoever started this process is gone, however it ended."""

    class _Ends(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            stop.set()

    await asyncio.get_running_loop().connect_read_pipe(_Ends, sys.stdin)


def _plan(text: str) -> CameraPlan:
    parts = text.split(":")
    if len(parts) != 3 or not parts[0] or not parts[1].isdigit() or int(parts[1]) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not id:port:scene")
    if parts[2] not in get_args(Role):
        raise argparse.ArgumentTypeError(f"scene {parts[2]!r} is not one of {get_args(Role)}")
    return CameraPlan(parts[0], int(parts[1]), cast(Role, parts[2]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; 0 stopped as asked, 2 wrong usage or a port in use."""
    default = PicturePlan()
    parser = argparse.ArgumentParser(prog="python -P -m hardware.simulated_camera")
    parser.add_argument("--camera", type=_plan, action="append", metavar="ID:PORT:SCENE")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--scene", choices=get_args(Role), default="purchase")
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--width", type=int, default=default.width)
    parser.add_argument("--height", type=int, default=default.height)
    parser.add_argument("--fps", type=float, default=default.frames_per_second)
    parser.add_argument("--bitrate", type=int, default=default.bits_per_second)
    parser.add_argument("--gop-seconds", type=float, default=default.gop_seconds)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--exit-with-stdin", action="store_true")
    given = parser.parse_args(argv)
    plans = given.camera or [CameraPlan("camera", given.port, given.scene)]
    if len({plan.camera_id for plan in plans}) != len(plans):
        parser.error("--camera: every camera needs its own id")
    pictures = PicturePlan(
        given.width, given.height, given.fps, given.bitrate, given.gop_seconds, given.seed
    )
    # One thread is enough for small pictures, and leaves the other core to the product.
    cv2.setNumThreads(1)
    try:
        asyncio.run(
            serve(
                plans,
                pictures,
                control_port=given.control_port,
                exit_with_stdin=given.exit_with_stdin,
            )
        )
    except (OSError, ValueError) as exc:
        sys.stderr.write(f"simulated camera: {exc}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
