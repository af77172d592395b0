"""The demo's parts: simulated cameras and platform around a real central and a real node.

Everything runs on loopback below one data folder. Central is a child process started through the
front door, because the node's side never imports central. Used by the demo and by the end-to-end
tests; both start, kill and restart the parts through this class.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import structlog

from edge.config import EdgeConfig, load_config
from edge.simulators.demo_config import (
    AGENCY,
    CAMERAS,
    COUNTER,
    NODE,
    PHARMACIST,
    PHARMACY,
    DemoTimes,
    central_toml,
    edge_toml,
)
from edge.simulators.follow import following
from edge.simulators.pharmacy import PharmacyClient
from edge.terminal.pairing import new_code
from edge.terminal.pharmacists import add as add_pharmacist
from hardware.errors import HardwareError
from hardware.simulated_camera import CameraPlan
from hardware.simulated_cameras import SimulatedCameras

log = structlog.get_logger()
START_SECONDS = 120.0  # seconds on a quiet machine; a part that ends is told at once
STOP_SECONDS = 20.0


class DemoFailed(Exception):
    """A part of the demo did not start, stop or answer; the message says which and why."""


class DemoStack:
    """One central, one node, three cameras, one platform."""

    def __init__(self, data: Path, *, port: int = 0, times: DemoTimes | None = None) -> None:
        self.data = data.resolve()
        self.times = times or DemoTimes()
        self.central_port = port or free_port()
        self.collector_port = free_port()
        self.terminal_port = free_port()
        self.platform_port = free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._cameras: SimulatedCameras | None = None
        self._admin_token = ""
        self.pharmacist_secret = ""

    # -- addresses and clients --------------------------------------------------------------------

    @property
    def cameras(self) -> SimulatedCameras:
        if self._cameras is None:
            raise DemoFailed("the cameras are not started")
        return self._cameras

    @property
    def central_url(self) -> str:
        return f"http://127.0.0.1:{self.central_port}"

    @property
    def terminal_url(self) -> str:
        return f"http://127.0.0.1:{self.terminal_port}"

    @property
    def platform_url(self) -> str:
        return f"http://127.0.0.1:{self.platform_port}"

    @property
    def edge_config(self) -> EdgeConfig:
        return load_config(self.data / "edge.toml")

    @property
    def admin_token(self) -> str:
        return self._admin_token

    def central_get(self, path: str, **params: str | int) -> Any:
        """Return one answer of central's read API. Raises DemoFailed on a refusal."""
        try:
            answer = httpx.get(
                self.central_url + path, params=params, headers=self._admin(), timeout=10
            )
        except httpx.HTTPError as exc:
            raise DemoFailed(f"central does not answer {path}: {exc}") from exc
        if answer.is_error:
            raise DemoFailed(f"central refused {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json()

    def central_post(self, path: str, body: Mapping[str, object]) -> Any:
        """Post to central as its admin. Raises DemoFailed on a refusal."""
        answer = httpx.post(self.central_url + path, json=body, headers=self._admin(), timeout=10)
        if answer.is_error:
            raise DemoFailed(f"central refused {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json()

    def pharmacy(self) -> PharmacyClient:
        """Return a paired pharmacy system with a pharmacist who can attest."""
        config = self.edge_config
        store = config.open_store()
        try:
            code = new_code(store, COUNTER, store.clock)
        finally:
            store.close()
        client = PharmacyClient(self.terminal_url)
        client.pair(code, "demo")
        return client

    # -- starting ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything and wait until the node records and the terminal answers."""
        self.data.mkdir(parents=True, exist_ok=True)
        os.environ["COUNTERSIGHT_SIMULATION"] = "1"
        self._cameras = SimulatedCameras([CameraPlan(camera, 0, role) for camera, role in CAMERAS])
        self.start_platform()
        (self.data / "central.toml").write_text(
            central_toml(self.data / "central", self.collector_port, self.central_port)
        )
        self.start_central()
        self._enrol()
        self.start_edge()

    def start_platform(self) -> None:
        self._spawn(
            "platform", ["-m", "edge.simulators.platform", "--port", str(self.platform_port)]
        )

    def start_central(self) -> None:
        """Start central and wait for its read API."""
        self._spawn("central", ["-m", "countersight", "central", "run", "--config",
                                str(self.data / "central.toml")])  # fmt: skip
        self.wait_for("central", lambda: _answers(f"{self.central_url}/readyz"))
        self._admin_token = (self.data / "central" / "admin.token").read_text().strip()

    def start_edge(self) -> None:
        """Start the node and wait until its terminal and verifier are ready."""
        self._spawn("edge", ["-m", "countersight", "edge", "run", "--config",
                             str(self.data / "edge.toml")])  # fmt: skip
        self.wait_for("edge", lambda: _answers(f"{self.terminal_url}/readyz"))

    def _enrol(self) -> None:
        keys = self.central_get("/v1/keys")
        urls = {camera: self.cameras.url(camera) for camera, _ in CAMERAS}
        (self.data / "edge.toml").write_text(
            edge_toml(
                self.data / "edge",
                endpoint=f"tcp://127.0.0.1:{self.collector_port}",
                server_key=keys["server_key"],
                signing_key=keys["signing_key"],
                urls=urls,
                terminal_port=self.terminal_port,
                platform_url=self.platform_url,
                times=self.times,
            )
        )
        command = ["-m", "countersight", "edge", "enrol", "--config", str(self.data / "edge.toml")]
        printed = subprocess.run(
            [sys.executable, "-P", *command], capture_output=True, check=False, timeout=60
        )
        if printed.returncode:
            raise DemoFailed(f"enrol: {printed.stderr.decode(errors='replace').strip()}")
        self.central_post("/v1/nodes", json.loads(printed.stdout))
        self.pharmacist_secret = os.urandom(9).hex()
        store = self.edge_config.open_store()
        try:
            add_pharmacist(store, PHARMACIST, self.pharmacist_secret)
        finally:
            store.close()

    def _spawn(self, name: str, arguments: list[str]) -> None:
        with (self.data / f"{name}.log").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                following([sys.executable, "-P", *arguments]),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    # -- stopping and killing ---------------------------------------------------------------------

    def stop(self, name: str) -> None:
        """Ask one part to end in order; kill it when it does not."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("demo_part_killed", part=name)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def kill(self, name: str) -> None:
        """SIGKILL the first process of a part, as a crash would."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def kill_child(self, part: str, child: str) -> int:
        """SIGKILL one process that a part started, by its name in that part's log."""
        pid = self.child_pid(part, child)
        os.kill(pid, signal.SIGKILL)
        return pid

    def child_pid(self, part: str, child: str) -> int:
        """Return the process id under which a part last started a child. Raises DemoFailed."""
        found: int | None = None
        for line in (self.data / f"{part}.log").read_text(errors="replace").splitlines():
            if '"process_started"' in line:
                event = json.loads(line)
                found = event["pid"] if event.get("child") == child else found
        if found is None:
            raise DemoFailed(f"{part} has not started {child}")
        return found

    def close(self) -> None:
        """Stop everything, the node first, so that its last records reach central."""
        for name in ("edge", "central", "platform"):
            self.stop(name)
        if self._cameras is not None:
            self._cameras.close()

    # -- waiting ----------------------------------------------------------------------------------

    def wait_for(
        self, what: str, condition: Callable[[], bool], seconds: float = START_SECONDS
    ) -> None:
        """Poll until a condition holds. Raises DemoFailed with the tail of the part's log."""
        deadline = time.monotonic() + seconds
        while not condition():
            process = self._processes.get(what)
            if process is not None and process.poll() is not None:
                raise DemoFailed(f"{what} ended with {process.returncode}: {self._tail(what)}")
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what}: not within {seconds:.0f} s: {self._tail(what)}")
            time.sleep(0.1)

    def missing(self) -> list[str]:
        """Return the parts that do not run or do not answer, in the order in which they start."""
        asked = {
            "platform": f"{self.platform_url}/held",
            "central": f"{self.central_url}/readyz",
            "edge": f"{self.terminal_url}/readyz",
        }
        found = [] if self._cameras_answer() else ["cameras"]
        return found + [
            name for name, url in asked.items() if not (self.runs(name) and _answers(url))
        ]

    def _cameras_answer(self) -> bool:
        try:
            for camera, _ in CAMERAS:
                self.cameras.control(camera).status()
        except (DemoFailed, HardwareError):
            return False
        return True

    def runs(self, name: str) -> bool:
        """Tell whether the first process of a part is there."""
        process = self._processes.get(name)
        return process is not None and process.poll() is None

    def _tail(self, name: str) -> str:
        path = self.data / f"{name}.log"
        return path.read_text(errors="replace")[-1500:].strip() if path.exists() else "no log"

    def _admin(self) -> dict[str, str]:
        token = self._admin_token or (self.data / "central" / "admin.token").read_text().strip()
        return {"Authorization": f"Bearer {token}", "X-Reason": "demo"}


def free_port() -> int:
    """Return a TCP port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


__all__ = ["AGENCY", "NODE", "PHARMACY", "DemoFailed", "DemoStack", "free_port"]
