"""Starts the processes of the node, watches their heartbeats, restarts them, ends them orderly.

One supervisor a data folder. A process that ends unexpectedly, or is silent for too long, leaves
a `process.exited` record and comes back after a back-off; one that keeps failing is given up and
tried only now and then. None of this stops the others.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from types import FrameType

import structlog

from edge import child, stopping
from edge.config import EdgeConfig
from edge.processes import BUDGET_SECONDS, GIVEN_UP_SECONDS, ProcessSpec, process_table
from retention.durable import FileLock, write_durably
from retention.records.errors import UsageError
from retention.records.fields import Frozen
from retention.records.payloads import GapCause, NodeStarted, NodeStopped, ProcessExited
from retention.signals import setting
from retention.store.database import NodeStore, StoreError
from retention.store.log import append

DATA_FORMAT = 1
TICK_SECONDS = 0.5
KILL_SECONDS = 1.0
LOCK_WAIT_SECONDS = 1.0
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0

log = structlog.get_logger()


class DataFolderRefused(UsageError):
    """DATA/VERSION names another node or a newer format."""


class Child:
    """One process of the table and its history."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.process: SpawnProcess | None = None
        self.restarts = 0
        self.start_at = 0.0
        self._heartbeat = RawValue("Q", 0)
        self._ends: list[float] = []

    def start(self, config: EdgeConfig) -> None:
        """Start it, or plan the next try when the machine has no room for a process."""
        self._heartbeat.value = time.monotonic_ns()
        process = multiprocessing.get_context("spawn").Process(
            target=child.main, args=(self.spec, config, self._heartbeat), name=self.spec.name
        )
        try:
            process.start()
        except OSError as exc:
            log.error("process_not_started", child=self.spec.name, reason=str(exc))
            self.ended(time.monotonic())
            return
        self.process = process
        log.info("process_started", child=self.spec.name, pid=process.pid)

    def silent_seconds(self) -> float:
        beaten_ns: int = self._heartbeat.value
        return (time.monotonic_ns() - beaten_ns) / 1e9

    def ended(self, now: float) -> bool:
        """Count an unexpected end; plan the next start. False: it is given up."""
        self.process = None
        self._ends = [end for end in self._ends if now - end < BUDGET_SECONDS] + [now]
        self.restarts += 1
        kept = len(self._ends) <= self.spec.restart_budget
        doubled = FIRST_WAIT_SECONDS * float(1 << min(len(self._ends) - 1, 16))
        self.start_at = now + (min(LONGEST_WAIT_SECONDS, doubled) if kept else GIVEN_UP_SECONDS)
        return kept


class Supervisor:
    """The node. `run` returns when told to stop."""

    def __init__(self, config: EdgeConfig, table: Sequence[ProcessSpec] | None = None) -> None:
        self._config = config
        self._children = [Child(spec) for spec in (table or process_table(config))]
        self._pending: list[Frozen] = []
        self.stop = threading.Event()
        self._stop_reason = "asked"

    def run(self, *, handle_signals: bool = True) -> int:
        """Keep the node running until a signal of `stopping` or `stop`. Returns the exit code.

        Raises HeldElsewhere, DataFolderRefused, StoreRefused, KeyRefused, StoreUnavailable.
        """
        data = self._config.node.data
        lock = FileLock(data / "run" / "supervisor.lock", wait_seconds=LOCK_WAIT_SECONDS)
        try:
            with closing(self._config.open_store()) as store:
                write_version(data, store)
                if handle_signals:
                    self._handle_signals()
                self._watch(store)
        finally:
            lock.release()
        return 0

    def _watch(self, store: NodeStore) -> None:
        self._forget_last_stop()
        log.info("node_started", node=self._config.node.node, pid=os.getpid())
        self._note(store, self._started())
        try:
            while not self.stop.is_set():
                self._start_due()
                self._wait()
                self._look_at_children(store)
                self._flush(store)
        finally:
            reason = self._stop_reason
            self._tell_why(reason)
            self._pending += self._stop_children()
            self._note(store, NodeStopped(reason=reason))

    # -- steps ------------------------------------------------------------------------------------

    def _start_due(self) -> None:
        now = time.monotonic()
        for one in self._children:
            if one.process is None and now >= one.start_at and not self.stop.is_set():
                one.start(self._config)

    def _wait(self) -> None:
        sentinels = [one.process.sentinel for one in self._children if one.process is not None]
        waits = [one.start_at - time.monotonic() for one in self._children if one.process is None]
        seconds = max(0.0, min([TICK_SECONDS, *waits]))
        if sentinels:
            connection.wait(sentinels, timeout=seconds)
        else:
            self.stop.wait(seconds)

    def _look_at_children(self, store: NodeStore) -> None:
        for one in self._children:
            process = one.process
            if process is None:
                continue
            if process.exitcode is None and one.silent_seconds() > one.spec.heartbeat_seconds:
                log.error(
                    "process_silent", child=one.spec.name, seconds=round(one.silent_seconds(), 1)
                )
                process.kill()
                # One that hangs in the kernel (a dying disk) must not keep the others waiting.
                process.join(KILL_SECONDS)
            if process.exitcode is not None and not self.stop.is_set():
                self._note(store, self._exited(one, process.exitcode))

    def _exited(self, one: Child, exit_code: int) -> ProcessExited:
        if one.process is not None:
            one.process.close()
        kept = one.ended(time.monotonic())
        log.error(
            "process_exited",
            child=one.spec.name,
            exit_code=exit_code,
            decision="restarted" if kept else "given_up",
        )
        return ProcessExited(
            process=one.spec.name,
            exit_code=exit_code,
            restarts=one.restarts,
            decision="restarted" if kept else "given_up",
        )

    def _forget_last_stop(self) -> None:
        try:
            stopping.forget(self._config.node.data)
        except OSError as exc:
            log.error("last_stop_not_forgotten", reason=str(exc))

    def _tell_why(self, reason: str) -> None:
        """Say why the node ends, first of all, for the recorders' last gap carries it."""
        data = self._config.node.data
        log.info("node_stopping", reason=reason, said=stopping.request_text(data))
        try:
            stopping.tell(data, reason)
        except OSError as exc:
            log.error("stop_reason_not_told", reason=str(exc))

    def _stop_children(self) -> list[Frozen]:
        """Ask all to end at once, recorders first, wait, kill the rest; returns records of those
        killed."""
        running = [one for one in self._children if one.process is not None]
        for one in running:
            if one.process is not None and one.process.exitcode is None:
                one.process.terminate()
        asked_at = time.monotonic()
        killed: list[Frozen] = []
        for one in running:
            process = one.process
            if process is None:
                continue
            process.join(max(0.0, asked_at + one.spec.stop_seconds - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join(KILL_SECONDS)
            # One that hangs in the kernel has no exit code even now; the node ends without it.
            code = -signal.SIGKILL if process.exitcode is None else process.exitcode
            if code:
                log.warning("process_ended_badly", child=one.spec.name, exit_code=code)
                killed.append(
                    ProcessExited(
                        process=one.spec.name,
                        exit_code=code,
                        restarts=one.restarts,
                        decision="stopped",
                    )
                )
            if process.exitcode is not None:
                process.close()
            one.process = None
        return killed

    def _started(self) -> NodeStarted:
        return NodeStarted(
            software=software_name(),
            signing_key_id=self._config.keys().signer().key_id,
            cameras=tuple(camera.id for camera in self._config.cameras),
        )

    def _note(self, store: NodeStore, payload: Frozen) -> None:
        self._pending.append(payload)
        self._flush(store)

    def _flush(self, store: NodeStore) -> None:
        """Write the records that wait; a full disk keeps them waiting, not lost."""
        if not self._pending:
            return
        try:
            with store.write() as transaction:
                for payload in self._pending:
                    append(store, transaction, payload)
        except (StoreError, sqlite3.Error) as exc:
            log.error("records_wait", count=len(self._pending), reason=str(exc))
        else:
            self._pending.clear()

    def _handle_signals(self) -> None:
        set_stop = setting(self.stop)

        def handler(number: int, frame: FrameType | None) -> None:
            # A shutdown ends with a SIGTERM too, and of signals that came together Python handles
            # that one first: a reason with a cause of its own stands.
            reason = stopping.REASON_OF_SIGNAL[number]
            if stopping.cause_of(self._stop_reason) is GapCause.RECORDER_STOPPED:
                self._stop_reason = reason
            set_stop(number, frame)

        for number in stopping.REASON_OF_SIGNAL:
            signal.signal(number, handler)


def write_version(data: Path, store: NodeStore) -> None:
    """Write DATA/VERSION, or refuse a folder of another node or a newer format."""
    with store.read() as transaction:
        (database_id,) = transaction.execute("SELECT database_id FROM node").fetchone()
    identity = store.identity
    wanted = {
        "format": DATA_FORMAT,
        "agency": identity.agency,
        "pharmacy": identity.pharmacy,
        "node": identity.node,
        "database_id": database_id,
    }
    path = data / "VERSION"
    if path.exists():
        try:
            found = json.loads(path.read_bytes())
        except ValueError as exc:
            raise DataFolderRefused(f"{path}: not JSON: {exc}") from exc
        if found != wanted:
            raise DataFolderRefused(f"{path}: found {json.dumps(found)[:200]}; this is {wanted}")
        return
    write_durably(path, json.dumps(wanted).encode() + b"\n")


def software_name() -> str:
    """Return the name and version that records carry."""
    try:
        return f"countersight-{version('countersight')}"
    except PackageNotFoundError:
        return "countersight-source"


def run_node(config: EdgeConfig) -> int:
    """Run the node in this process."""
    return Supervisor(config).run()
