"""The processes of a node: one table, one line each. The supervisor, docs and tests read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.config import EdgeConfig

STOP_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process to keep running.

    `target` is `module:function` taking a ProcessContext. More than `restart_budget` unexpected
    ends within BUDGET_SECONDS and it is given up (tried again only every GIVEN_UP_SECONDS).
    Silence for `heartbeat_seconds` is a hang: it is killed and started again. When asked to end it
    has `stop_seconds` before it is killed.
    """

    name: str
    target: str
    argument: str | None
    restart_budget: int
    heartbeat_seconds: float
    stop_seconds: float = STOP_SECONDS


BUDGET_SECONDS = 600.0
GIVEN_UP_SECONDS = 300.0

# name, target, restart budget, heartbeat limit in seconds, only with a central
_SINGLE = (
    ("verifier", "edge.verifier.process:run", 10, 60.0, False),
    ("terminal", "edge.terminal.process:run", 10, 30.0, False),
    ("watch", "edge.watch.process:run", 10, 60.0, False),
    ("custodian", "edge.custodian.process:run", 10, 60.0, False),
    ("uplink", "edge.uplink.process:run", 10, 30.0, True),
    ("commands", "edge.commands.process:run", 10, 60.0, True),
)
_RECORDER_BUDGET = 20
_RECORDER_HEARTBEAT_SECONDS = 30.0
_SEAL_SECONDS = 3.0


def process_table(config: EdgeConfig) -> tuple[ProcessSpec, ...]:
    """Return what runs on this node: recorders first, for footage is owed from the first second."""
    recorders = [
        ProcessSpec(
            f"recorder-{camera.id}",
            "edge.recorder.process:run",
            camera.id,
            _RECORDER_BUDGET,
            # Connecting, learning the format and the first picture may each take the timeout.
            _RECORDER_HEARTBEAT_SECONDS + 3 * camera.timeout_seconds,
            # A silent camera is noticed after its timeout; only then the recorder can seal.
            max(STOP_SECONDS, camera.timeout_seconds + _SEAL_SECONDS),
        )
        for camera in config.cameras
    ]
    singles = [
        ProcessSpec(name, target, None, budget, heartbeat)
        for name, target, budget, heartbeat, needs_central in _SINGLE
        if config.central is not None or not needs_central
    ]
    return (*recorders, *singles)


def recorder_lock(config: EdgeConfig, camera: str) -> Path:
    """Return the lock that a camera's folder may be written under."""
    return config.node.data / "run" / f"recorder-{camera}.lock"
