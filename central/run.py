"""Central as one command: a parent that starts its processes, restarts them and ends them.

Each child is `run(config, stop, ready)`. A child that ends is started again after a growing pause;
a child whose parent is gone stops by itself, so nothing is left behind by a killed parent.
"""

from __future__ import annotations

import multiprocessing
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import structlog

from central.config import CentralConfig
from central.database import configured, migrate
from central.errors import AddressInUse
from central.keys import admin_token_file, admin_token_sha256, load_keys
from central.web.process import listen
from retention.durable import FileLock
from retention.logs import configure
from retention.records.errors import UsageError
from retention.signals import setting

log = structlog.get_logger()
# name: module with `run(config, stop, ready)`
PROCESSES: dict[str, str] = {
    "collector": "central.collector.process",
    "projector": "central.projector",
    "web": "central.web.process",
}
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
HEALTHY_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.5
USAGE_EXIT = 2


@dataclass(slots=True)
class _Child:
    """One process of the table, its restarts, and when it may be started again."""

    name: str
    process: BaseProcess | None = None
    started_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    due_at: float = 0.0


def run(config: CentralConfig) -> int:
    """Run until SIGTERM or SIGINT; return the exit code. Raises UsageError before anything runs."""
    configure("central")
    prepare(config)
    lock = FileLock(config.storage.data / "central.lock")
    try:
        return _run(config)
    finally:
        lock.release()


def _run(config: CentralConfig) -> int:
    with _stop_on_signals() as stop:
        context = multiprocessing.get_context("spawn")
        children = [_Child(name) for name in PROCESSES]
        _announce(config)
        try:
            while not stop.is_set():
                for child in children:
                    _keep_running(child, config, context)
                _wait_for_an_end(children, stop)
        finally:
            _stop_all(children)
    return 0


def prepare(config: CentralConfig) -> None:
    """Make folders, keys and schema, and see that both addresses are free. Raises UsageError."""
    data = config.storage.data
    try:
        data.mkdir(parents=True, exist_ok=True)
        config.footage_root.mkdir(exist_ok=True)
        load_keys(config)
        admin_token_sha256(config)
    except OSError as exc:
        raise UsageError(f"storage.data {exc.filename or data}: {exc.strerror}") from exc
    listen(config.web.host, config.web.port).close()
    _require_free(config.collector.endpoint)
    with configured(config) as database:
        migrate(database)


def child_main(name: str, config: CentralConfig) -> None:
    """Run one process of the table until told to stop or until the parent is gone."""
    configure(f"central.{name}")
    with _stop_on_signals() as stop:
        threading.Thread(target=_follow_parent, args=(stop,), daemon=True).start()
        target: Callable[..., None] = import_module(PROCESSES[name]).run
        try:
            target(config, stop, lambda: None)
        except UsageError as exc:
            log.error("process_refused", reason=str(exc))
            sys.exit(USAGE_EXIT)


def _announce(config: CentralConfig) -> None:
    host = f"[{config.web.host}]" if ":" in config.web.host else config.web.host
    print(  # noqa: T201 - for the person who started it
        f"central: http://{host}:{config.web.port}  collector {config.collector.endpoint}  "
        f"admin token in {admin_token_file(config)}",
        file=sys.stderr,
        flush=True,
    )


def _keep_running(
    child: _Child, config: CentralConfig, context: multiprocessing.context.SpawnContext
) -> None:
    now = time.monotonic()
    if child.process is not None:
        if child.process.is_alive():
            return
        code = child.process.exitcode
        child.process.close()
        child.process = None
        if now - child.started_at > HEALTHY_SECONDS:
            child.pause = FIRST_PAUSE_SECONDS
        log.error("process_ended", child=child.name, exit_code=code, pause=child.pause)
        child.due_at = now + child.pause
        child.pause = min(2 * child.pause, LONGEST_PAUSE_SECONDS)
    if now >= child.due_at:
        child.process = context.Process(
            target=child_main, args=(child.name, config), name=f"central.{child.name}"
        )
        child.process.start()
        child.started_at = now
        log.info("process_started", child=child.name, pid=child.process.pid)


def _wait_for_an_end(children: list[_Child], stop: threading.Event) -> None:
    sentinels = [child.process.sentinel for child in children if child.process is not None]
    if len(sentinels) < len(children):
        stop.wait(FIRST_PAUSE_SECONDS)
    else:
        wait(sentinels, timeout=POLL_SECONDS)


def _stop_all(children: list[_Child]) -> None:
    alive = [child.process for child in children if child.process is not None]
    for process in alive:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in alive:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _follow_parent(stop: threading.Event) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        stop.set()


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    stop = threading.Event()
    handler = setting(stop)
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _require_free(endpoint: str) -> None:
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    address = "" if host == "*" else host
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, int(port)))
        except (OSError, OverflowError) as exc:
            reason = getattr(exc, "strerror", None) or str(exc)
            raise AddressInUse(f"collector.endpoint {endpoint}: {reason}") from exc
