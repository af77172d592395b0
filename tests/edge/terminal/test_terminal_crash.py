"""SIGKILL to the terminal process while the platform holds the answer: never two settlements."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.config import load_config
from edge.simulators.pharmacy import PharmacyClient
from edge.simulators.platform import Control, create_platform
from edge.terminal import pairing, pharmacists
from tests.serving import served

CHILD = """
import sys, threading
from pathlib import Path
from edge.config import load_config
from edge.process import ProcessContext
from edge.terminal.process import run
run(ProcessContext(load_config(Path(sys.argv[1])), threading.Event(), lambda: None))
"""
CONFIG = """
[node]
agency = "430100"
pharmacy = "P43010000001"
node = "node-a"
data = "{data}"
[[cameras]]
id = "till"
scene_role = "purchase"
url = "rtsp://127.0.0.1:1/stream"
[verification]
camera = "till"
[terminal]
port = 0
[settlement]
mode = "node"
platform_url = "{platform}"
timeout_seconds = 30
"""
DEADLINE_SECONDS = 40.0


def until(what: str, found: Callable[[], Any]) -> Any:
    """Return what is found before the deadline."""
    deadline, pause = time.monotonic() + DEADLINE_SECONDS, threading.Event()
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        pause.wait(0.02)
    pytest.fail(f"{what}: not in time")


class Node:
    """The terminal process of one node, started and killed."""

    def __init__(self, config: Path, data: Path) -> None:
        self._config, self._addresses = config, data / "run" / "terminal.json"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        self._addresses.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", CHILD, str(self._config)], stdout=subprocess.DEVNULL
        )
        until("listening", self._addresses.exists)
        port = httpx.Response(200, content=self._addresses.read_bytes()).json()["loopback"][1]
        return f"http://127.0.0.1:{port}"

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
            self._process = None


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_killed_between_question_and_answer_the_settlement_is_reversed_and_made_once(
    tmp_path: Path, stack: ExitStack
) -> None:
    platform = create_platform()
    address = stack.enter_context(served(platform))
    config = tmp_path / "node.toml"
    config.write_text(CONFIG.format(data=tmp_path / "data", platform=address))
    store = load_config(config).open_store()
    stack.callback(store.close)
    pharmacists.add(store, "ph-3", "correct horse")
    code = pairing.new_code(store, "counter-1", store.clock)
    node = Node(config, tmp_path / "data")
    stack.callback(node.kill)

    def held() -> list[str]:
        return [one["state"] for one in platform.state.ledger.to_json()["settlements"]]

    counter = stack.enter_context(PharmacyClient(node.start()))
    counter.pair(code)
    session = counter.open()["session"]
    counter.attest(session, "ph-3", "correct horse")
    counter.basket(session)
    counter.authorise(session)
    platform.state.faults.set(Control(fault="timeout_after", times=1))
    lost: list[Exception] = []

    def submit() -> None:
        try:
            counter.settle(session)
        except httpx.TransportError as exc:
            lost.append(exc)

    submitting = threading.Thread(target=submit, daemon=True)
    submitting.start()
    until("settled at the platform", held)
    node.kill()
    submitting.join(30)
    assert lost
    assert held() == ["settled"]

    again = stack.enter_context(PharmacyClient(node.start(), token=counter.token))
    until("reversed", lambda: again.session(session)["next_step"] == "authorise")
    assert held() == ["reversed"]
    again.authorise(session)
    settled = again.settle(session)
    assert settled == again.settle(session)
    assert held() == ["reversed", "settled"]
