"""The commands process: a second connection to central, so that an upload never delays records.

A command is written down at first sight and done once; asked again, it is answered again from the
database. Central tells open commands at every hello, so either side may die at any time.
"""

from __future__ import annotations

import time
from contextlib import closing
from importlib.metadata import version

import structlog
import zmq

from edge.commands.jobs import CommandRefused, Job, JobTools, check_command, done_frames
from edge.commands.kinds import job_of
from edge.process import ProcessContext
from edge.uplink.connection import Connection
from edge.uplink.log import StoreLog
from retention.store import uplink
from retention.store.database import StoreUnavailable
from retention.terms import wire
from retention.terms.commands import SignedCommand

log = structlog.get_logger()
POLL_MS = 200
BEAT_SECONDS = 1.0
HELLO_SECONDS = 10.0
RECONNECT_SECONDS = 0.3
RETRY_SECONDS = 0.5


def run(context: ProcessContext) -> None:
    """Do what central asks until `stop`; without [central] only beat."""
    central = context.config.central
    if central is None:
        while not context.stop.wait(BEAT_SECONDS):
            context.beat()
        return
    store = context.config.open_store()
    zmq_context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        tools = JobTools(
            config=context.config,
            store=store,
            log=StoreLog(store, context.config.keys().signer()),
            seal=Recorders(context, zmq_context).seal,
            locate=context.config.volumes(store).path_of,
            signing_key=bytes.fromhex(central.signing_key),
        )
        with closing(Connection(zmq_context, context.config, central)) as connection:
            _serve(context, Commands(tools, connection))
    finally:
        zmq_context.destroy(linger=0)  # `term` would wait for a socket that was not set up
        store.close()


def _serve(context: ProcessContext, commands: Commands) -> None:
    while not context.stop.is_set():
        try:
            commands.step()
        except StoreUnavailable as exc:
            log.error("commands_store_unavailable", reason=str(exc))
            context.stop.wait(RETRY_SECONDS)
        context.beat()


class Recorders:
    """The local sockets on which recorders are asked to seal. Asking may be lost: the segment is
    then sealed at its own time. The sockets end with their context."""

    def __init__(
        self, context: ProcessContext, zmq_context: zmq.Context[zmq.Socket[bytes]]
    ) -> None:
        self._config, self._zmq = context.config, zmq_context
        self._sockets: dict[str, zmq.Socket[bytes]] = {}

    def seal(self, camera: str) -> None:
        socket = self._sockets.get(camera)
        if socket is None:
            socket = self._sockets[camera] = self._zmq.socket(zmq.PUSH)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.SNDHWM, 8)
            socket.connect(self._config.socket(f"recorder-{camera}"))
        try:
            socket.send(b"seal", zmq.NOBLOCK)
        except zmq.Again:
            log.warning("recorder_not_reached", camera=camera)


class Commands:
    """The shell: takes commands in, steps the jobs, moves frames."""

    def __init__(self, tools: JobTools, connection: Connection) -> None:
        self._tools, self._connection = tools, connection
        self._jobs: dict[str, Job] = {}
        self._hello_due = 0.0

    def step(self) -> None:
        now = time.monotonic()
        if now >= self._hello_due:
            self._hello_due = now + HELLO_SECONDS
            self._send(self._hello())
        for command, job in list(self._jobs.items()):
            for frames in job.step(now):
                self._send(frames)
            if job.conclusion is not None:
                del self._jobs[command]
        if self._connection.wait(POLL_MS):
            self._start_over()
        for frames in self._connection.received():
            self._receive(frames)

    def _receive(self, frames: list[bytes]) -> None:
        try:
            header = wire.decode(frames, wire.TO_NODE).header
        except wire.MalformedMessage as exc:
            log.warning("commands_malformed_message", reason=str(exc))
            return
        match header:
            case wire.Command():
                self._take(header.signed)
            case wire.SegmentAck() | wire.ProofAck():
                if header.command in self._jobs:
                    self._jobs[header.command].receive(header, time.monotonic())
            case wire.Refused():
                log.warning("commands_refused", code=header.code, detail=header.detail)
                for job in self._jobs.values():  # a refusal does not say which one it means
                    job.pause(time.monotonic())
            case _:
                pass  # a welcome: this connection has nothing to take up from it

    def _take(self, signed: SignedCommand) -> None:
        command = signed.command
        if command.command in self._jobs:
            return
        try:
            check_command(self._tools, signed)
        except CommandRefused as exc:
            log.error("command_refused", command=command.command, reason=exc.reason)
            refusal = uplink.Conclusion("refused", 0, exc.reason)
            self._send(done_frames(command.command, refusal))
            return
        with self._tools.store.write() as connection:
            known = uplink.take_command(self._tools.store, connection, signed)
        if known is not None:
            self._send(done_frames(command.command, known))
            return
        job = job_of(self._tools, command)
        try:
            job.check()
        except CommandRefused as exc:
            self._send(job.refuse(exc.reason))
            return
        self._jobs[command.command] = job

    def _hello(self) -> list[bytes]:
        identity = self._tools.config.identity
        with self._tools.store.read() as connection:
            size = uplink.log_size(connection)
        return wire.encode(
            wire.Hello(
                protocol=wire.PROTOCOL,
                role="commands",
                agency=identity.agency,
                pharmacy=identity.pharmacy,
                node=identity.node,
                software=f"countersight/{version('countersight')}",
                tree_size=size.tree_size,
                sent_count=size.sent_count,
            )
        )

    def _send(self, frames: list[bytes]) -> None:
        if not self._connection.send(frames):
            self._start_over()

    def _start_over(self) -> None:
        self._hello_due = time.monotonic() + RECONNECT_SECONDS
        for job in self._jobs.values():
            job.start_over()
