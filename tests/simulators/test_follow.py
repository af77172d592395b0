"""What a demo starts ends with it, also when it was killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from edge.simulators.follow import following

DEADLINE = 20.0
PARENT = """
import subprocess, sys
from edge.simulators.follow import following
child = subprocess.Popen(following([sys.executable, "-c", "import time; time.sleep(600)"]))
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal is Linux's")
def test_a_child_does_not_outlive_a_killed_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-P", "-c", PARENT],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert parent.stdout is not None
    with parent.stdout as said:
        child = psutil.Process(int(said.readline()))
        assert child.is_running()
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + DEADLINE
    while _lives(child):
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.05)


def _lives(process: psutil.Process) -> bool:
    """Tell whether a process runs; an orphan that nobody reaped yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_it_becomes_the_command_and_keeps_its_process_id() -> None:
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    process = subprocess.Popen(following(command), stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate(timeout=DEADLINE)
    assert int(said) == process.pid
    assert process.returncode == 0
