"""Processes for the supervisor's tests: one that works, one that ends, one that hangs."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path

from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.processes import STOP_SECONDS, ProcessSpec
from edge.supervisor import Supervisor


def spec(
    name: str,
    *,
    budget: int = 5,
    heartbeat_seconds: float = 30.0,
    stop_seconds: float = STOP_SECONDS,
) -> ProcessSpec:
    """Return a table line whose target is the function of that name here."""
    target = f"tests.edge.children:{name}"
    return ProcessSpec(name, target, name, budget, heartbeat_seconds, stop_seconds)


def _mark(context: ProcessContext, event: str) -> None:
    folder = context.config.node.data / "marks"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{context.argument}.{os.getpid()}.{event}").write_text("")


def works(context: ProcessContext) -> None:
    """Beat until stopped, then say that it ended orderly."""
    _mark(context, "started")
    while not context.stop.wait(0.05):
        context.beat()
    _mark(context, "sealed")


def ends(context: ProcessContext) -> None:
    """Fail at once."""
    _mark(context, "started")
    raise RuntimeError("failing on purpose")


def leaves_a_thread(context: ProcessContext) -> None:
    """End orderly, but for a thread that waits for something that does not come."""
    threading.Thread(target=threading.Event().wait, name="frames", daemon=True).start()
    atexit.register(_mark, context, "finalised")
    _mark(context, "started")
    while not context.stop.wait(0.05):
        context.beat()
    _mark(context, "sealed")


def hangs(context: ProcessContext) -> None:
    """Never beat, and ignore the request to stop."""
    _mark(context, "started")
    context.stop.clear()
    while True:
        context.stop.wait(0.5)


def supervise(config_json: str, *names: str) -> None:
    """Run a supervisor over children of these names; the test ends this process."""
    config = EdgeConfig.model_validate_json(config_json)
    Path(config.node.data).mkdir(parents=True, exist_ok=True)
    Supervisor(config, [spec(name) for name in names]).run()
