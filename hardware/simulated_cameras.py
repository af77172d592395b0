"""The handle that the demo and the tests hold on running simulated cameras.

Starts ``hardware.simulated_camera`` as a child in its own session, waits until it serves,
and ends it on ``close``. The child also ends by itself when its standard input closes, so a
killed parent leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from hardware.errors import SIMULATION_VARIABLE, HardwareError, warn_simulated
from hardware.simulated_actors import Actor
from hardware.simulated_camera import CameraPlan, PicturePlan
from hardware.simulated_control import JumpClock, Plain, Show, cast_of, command_line

_START_SECONDS = 30.0
_ANSWER_SECONDS = 10.0
_END_SECONDS = 5.0


class SimulatedCameraFailed(HardwareError):
    """The simulated camera's process did not start, or refused a command."""


class _Ready(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    control_port: int
    cameras: dict[str, str]


class CameraControl:
    """Commands to one simulated camera; each raises ``SimulatedCameraFailed`` when refused."""

    def __init__(self, camera_id: str, control_port: int) -> None:
        self.camera_id, self._port = camera_id, control_port

    def show(self, *cast: Actor) -> Mapping[str, object]:
        """Put these actors in view; none clears it."""
        return self._send(Show(camera=self.camera_id, command="show", cast=cast_of(cast)))

    def freeze(self) -> Mapping[str, object]:
        """Repeat the last picture, clock included, until ``resume``."""
        return self._send(Plain(camera=self.camera_id, command="freeze"))

    def loop(self) -> Mapping[str, object]:
        """Send the next seven pictures again and again, as injected, until ``resume``."""
        return self._send(Plain(camera=self.camera_id, command="loop"))

    def black(self) -> Mapping[str, object]:
        """Send black pictures until ``resume``."""
        return self._send(Plain(camera=self.camera_id, command="black"))

    def resume(self) -> Mapping[str, object]:
        """Undo ``freeze``, ``loop`` and ``black``."""
        return self._send(Plain(camera=self.camera_id, command="resume"))

    def drop(self) -> Mapping[str, object]:
        """Cut all clients off now; new ones are welcome."""
        return self._send(Plain(camera=self.camera_id, command="drop"))

    def unplug(self) -> Mapping[str, object]:
        """Cut all clients off and refuse new ones until ``plug``."""
        return self._send(Plain(camera=self.camera_id, command="unplug"))

    def plug(self) -> Mapping[str, object]:
        """Undo ``unplug``."""
        return self._send(Plain(camera=self.camera_id, command="plug"))

    def jump_clock(self, seconds: float) -> Mapping[str, object]:
        """Move the drawn clock, the RTP clock and the sender reports by so many seconds."""
        command = JumpClock(camera=self.camera_id, command="jump_clock", seconds=seconds)
        return self._send(command)

    def status(self) -> Mapping[str, object]:
        """Return mode, clients, pictures sent and the rest; changes nothing."""
        return self._send(Plain(camera=self.camera_id, command="status"))

    def _send(self, command: Show | JumpClock | Plain) -> Mapping[str, object]:
        try:
            with socket.create_connection(("127.0.0.1", self._port), _ANSWER_SECONDS) as link:
                link.sendall(command_line(command))
                with link.makefile("rb") as lines:
                    line = lines.readline()
        except OSError as exc:
            raise SimulatedCameraFailed(f"{self.camera_id} does not answer: {exc}") from exc
        try:
            answer: object = json.loads(line)
        except ValueError as exc:
            raise SimulatedCameraFailed(f"{self.camera_id} hung up") from exc
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            reason = answer.get("error") if isinstance(answer, dict) else "no object"
            raise SimulatedCameraFailed(f"{self.camera_id} refused: {reason}")
        return answer


class SimulatedCameras:
    """Running simulated cameras, all in one process. Use as a context manager, or ``close``.

    Raises ``SimulatedCameraFailed`` when the process does not serve in time.
    """

    def __init__(
        self, cameras: Sequence[CameraPlan], *, pictures: PicturePlan | None = None
    ) -> None:
        warn_simulated("A set of cameras")
        pictures = pictures or PicturePlan()
        command = [
            sys.executable, "-P", "-m", "hardware.simulated_camera", "--exit-with-stdin",
            "--width", str(pictures.width), "--height", str(pictures.height),
            "--fps", str(pictures.frames_per_second), "--bitrate", str(pictures.bits_per_second),
            "--gop-seconds", str(pictures.gop_seconds), "--seed", str(pictures.seed),
        ]  # fmt: skip
        for plan in cameras:
            command += ["--camera", f"{plan.camera_id}:{plan.port}:{plan.role}"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, SIMULATION_VARIABLE: "1", "OMP_NUM_THREADS": "1"},
        )
        try:
            self._ready = self._wait_until_it_serves()
        except SimulatedCameraFailed:
            self.close()
            raise

    @property
    def process_id(self) -> int:
        return self._process.pid

    def url(self, camera_id: str) -> str:
        """Return the RTSP address of one camera; ``KeyError`` for an unknown id."""
        return self._ready.cameras[camera_id]

    def control(self, camera_id: str) -> CameraControl:
        """Return the control of one camera; ``KeyError`` for an unknown id."""
        self.url(camera_id)
        return CameraControl(camera_id, self._ready.control_port)

    def close(self) -> None:
        """End the process; safe to call twice."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _wait_until_it_serves(self) -> _Ready:
        stdout = self._process.stdout
        if stdout is None:
            raise SimulatedCameraFailed("The simulated camera has no standard output")
        deadline, line = time.monotonic() + _START_SECONDS, b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                raise SimulatedCameraFailed(f"No camera within {_START_SECONDS:.0f} s")
            piece = os.read(stdout.fileno(), 65_536)
            if not piece:
                code = self._process.wait()
                raise SimulatedCameraFailed(f"The simulated camera ended with {code} at its start")
            line += piece
        try:
            return _Ready.model_validate_json(line)
        except ValidationError as exc:
            raise SimulatedCameraFailed("The simulated camera's first line is unreadable") from exc
