"""The uplink process: one connection around the machine.

It wakes when central says something, and looks at the log five times a second for what is new.
At an orderly stop it signs a last checkpoint and gives central a short while to acknowledge it.
"""

from __future__ import annotations

import time
from importlib.metadata import version

import structlog
import zmq

from edge.config import CentralConfig
from edge.process import ProcessContext
from edge.room import RoomWatch
from edge.uplink.connection import Connection
from edge.uplink.contact import note_of
from edge.uplink.log import StoreLog
from edge.uplink.machine import UplinkMachine, UplinkSettings
from edge.uplink.status import status_of
from retention.store.database import NodeStore, StoreUnavailable
from retention.terms import wire

log = structlog.get_logger()
POLL_MS = 200
BEAT_SECONDS = 1.0
STATUS_SECONDS = 5.0
FLUSH_SECONDS = 2.0
RETRY_SECONDS = 0.5


def run(context: ProcessContext) -> None:
    """Carry records to central until `stop`; without [central] only beat."""
    central = context.config.central
    if central is None:
        log.info("uplink_without_central")
        while not context.stop.wait(BEAT_SECONDS):
            context.beat()
        return
    store = context.config.open_store()
    zmq_context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        connection = Connection(zmq_context, context.config, central)
        try:
            Uplink(context, central, store, connection).run()
        finally:
            connection.close()
    finally:
        zmq_context.destroy(linger=0)  # `term` would wait for a socket that was not set up
        store.close()


class Uplink:
    """The shell: reads the clocks, moves frames, asks for checkpoints and status in time."""

    def __init__(
        self,
        context: ProcessContext,
        central: CentralConfig,
        store: NodeStore,
        connection: Connection,
    ) -> None:
        self._context, self._store, self._connection = context, store, connection
        self._central = central
        self._log = StoreLog(store, context.config.keys().signer())
        settings = UplinkSettings(
            identity=context.config.identity,
            software=f"countersight/{version('countersight')}",
            window=central.window,
            signing_key=bytes.fromhex(central.signing_key),
        )
        self._machine = UplinkMachine(settings, self._log)
        self._room = RoomWatch(context.config, store)
        self._contact = note_of(context.config, store.clock)
        self._checkpoint_due = time.monotonic() + central.checkpoint_seconds
        self._status_due = 0.0

    def run(self) -> None:
        while not self._context.stop.is_set():
            self._guarded_step()
            self._context.beat()
        try:
            self._flush()
        except StoreUnavailable as exc:
            log.error("uplink_store_unavailable", reason=str(exc))

    def _flush(self) -> None:
        self._checkpoint(time.monotonic())
        deadline = time.monotonic() + FLUSH_SECONDS
        while time.monotonic() < deadline and not self._machine.drained:
            self._step()
        self._machine.note_progress(time.monotonic(), at_once=True)

    def _guarded_step(self) -> None:
        """A full or locked disk stops nothing for good: the step is done again a little later."""
        try:
            self._step()
        except StoreUnavailable as exc:
            log.error("uplink_store_unavailable", reason=str(exc))
            self._context.stop.wait(RETRY_SECONDS)

    def _step(self) -> None:
        now = time.monotonic()
        if now >= self._checkpoint_due:
            self._checkpoint(now)
        for frames in self._machine.tick(now):
            self._send(frames)
        self._machine.note_progress(now)
        if self._machine.welcomed and now >= self._status_due:
            status = status_of(
                self._context.config, self._store, self._machine.confirmed, self._room
            )
            self._send(wire.encode(status))
            self._status_due = now + STATUS_SECONDS
        if self._connection.wait(POLL_MS):
            self._machine.disconnected(time.monotonic())
        for frames in self._connection.received():
            self._machine.receive(frames, time.monotonic())
            self._contact.answered()
        self._note_contact()

    def _note_contact(self) -> None:
        try:
            self._contact.write(self._machine.welcomed)
        except OSError as exc:  # it is for people to look at; records go on
            log.error("contact_not_written", reason=exc.strerror)

    def _checkpoint(self, now: float) -> None:
        self._machine.note_progress(now, at_once=True)
        self._log.make_checkpoint_if_grown()
        self._checkpoint_due = now + self._central.checkpoint_seconds

    def _send(self, frames: list[bytes]) -> None:
        """Without a connection the frames are dropped here and the machine starts over."""
        if not self._connection.send(frames):
            self._machine.disconnected(time.monotonic())
