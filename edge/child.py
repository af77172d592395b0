"""The first lines of every child process: logs, signals, heartbeat, and not outliving its parent.

A child ends orderly on SIGTERM, and on the death of its supervisor: the sentinel of the parent
process tells, then there are five seconds before the hard end. None leaves a core file: faces and
keys are in its memory (invariant 9).
"""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import connection, parent_process
from typing import Protocol

import structlog

from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.processes import ProcessSpec
from edge.stopping import PLANNED_SIGNAL, POWER_SIGNAL
from retention.logs import configure
from retention.records.errors import UsageError, explained_import
from retention.signals import setting

ORPHAN_SECONDS = 5.0
ORPHAN_EXIT_CODE = 70
FAILED_EXIT_CODE = 1
USAGE_EXIT_CODE = 2
PARENT = "parent"
# glibc gives every thread a heap of its own, up to eight a core, and takes little of it back: a
# verifier of two cameras is 401 MB instead of 315 without this bound.
HEAPS = 2
_M_ARENA_MAX = -8  # of <malloc.h>


class Heartbeat(Protocol):
    """Shared memory: the monotonic nanoseconds of the last beat."""

    value: int


def main(spec: ProcessSpec, config: EdgeConfig, heartbeat: Heartbeat) -> None:
    """Run one process of the table until it ends. The target of multiprocessing's spawn."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bound_heaps()
    configure(spec.name)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, setting(stop))
    for number in (signal.SIGINT, POWER_SIGNAL, PLANNED_SIGNAL):
        signal.signal(number, signal.SIG_IGN)  # It may reach the whole group; the parent decides.
    threading.Thread(target=_follow_parent, args=(stop,), name=PARENT, daemon=True).start()

    def beat() -> None:
        heartbeat.value = time.monotonic_ns()

    beat()
    log = structlog.get_logger()
    try:
        target = load_target(spec.target)
        beat()
        target(ProcessContext(config, stop, beat, spec.argument))
    except UsageError as exc:
        log.error("process_refused", reason=str(exc))
        raise SystemExit(USAGE_EXIT_CODE) from exc
    except Exception as exc:
        log.exception("process_failed")
        raise SystemExit(FAILED_EXIT_CODE) from exc
    _leave()


def bound_heaps() -> None:
    """Let the threads of this process share HEAPS heaps; changes nothing where the C library
    has no such call."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_ARENA_MAX, HEAPS)


def _leave() -> None:
    """End at once when a thread is left behind, in a camera that does not answer: where it comes
    back from native code, the interpreter's own end would abort the process."""
    left = [one.name for one in threading.enumerate() if one.daemon and one.name != PARENT]
    if left:
        structlog.get_logger().info("threads_left", names=left)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def load_target(target: str) -> Callable[[ProcessContext], None]:
    """Import `module:function`."""
    module, _, name = target.partition(":")
    try:
        imported = importlib.import_module(module)
    except ImportError as exc:
        raise explained_import(exc) from exc
    found: Callable[[ProcessContext], None] = getattr(imported, name)
    return found


def _follow_parent(stop: threading.Event) -> None:
    parent = parent_process()
    if parent is None:
        return
    connection.wait([parent.sentinel])
    structlog.get_logger().warning("supervisor_died")
    stop.set()
    threading.Event().wait(ORPHAN_SECONDS)
    os._exit(ORPHAN_EXIT_CODE)
