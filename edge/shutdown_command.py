"""`countersight edge shut-down`: end the node on purpose, footage sealed first.

The gap that follows then says `planned_shutdown`, and `node.stopped` the same. Returns when the
node has ended, so that a script may switch the machine off next.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path

from edge import stopping
from edge.config import EdgeConfig
from edge.processes import process_table
from retention.records.errors import UsageError

SPARE_SECONDS = 15.0
LOOK_SECONDS = 0.1


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `countersight edge`."""
    purpose = "有计划地停止节点，先封存录像 / stop the node on purpose, footage sealed first"
    command = commands.add_parser("shut-down", help=purpose, description=purpose)
    command.add_argument("--config", type=Path, required=True, help="the node's TOML file")
    command.add_argument("--reason", default="", help="停机原因 / why, for the node's log")
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    command.set_defaults(run=run)


def run(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    """Ask the supervisor to end and wait until it has. Raises UsageError when none runs."""
    data = config.node.data
    pid = stopping.running_supervisor(data)
    if pid is None:
        raise UsageError(f"{data}: no node runs here")
    stopping.leave_request(data, wanted.reason)
    with contextlib.suppress(ProcessLookupError):  # it ended by itself just now; the lock tells
        os.kill(pid, stopping.PLANNED_SIGNAL)
    longest = max(spec.stop_seconds for spec in process_table(config)) + SPARE_SECONDS
    ended = _ended(data, time.monotonic() + longest)
    if wanted.json:
        said = json.dumps({"stopped": ended, "pid": pid})
    elif ended:
        said = "节点已停止，录像已封存 / the node has stopped, its footage is sealed"
    else:
        said = f"{longest:.0f} 秒内未停止 / still running after {longest:.0f} s: process {pid}"
    sys.stdout.write(said + "\n")
    return 0 if ended else 1


def _ended(data: Path, deadline: float) -> bool:
    while stopping.running_supervisor(data) is not None:
        if time.monotonic() >= deadline:
            return False
        threading.Event().wait(LOOK_SECONDS)
    return True
