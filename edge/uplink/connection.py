"""A CURVE connection to central, and the node's own CURVE key."""

from __future__ import annotations

import time
from collections.abc import Iterator

import structlog
import zmq
from zmq.utils.monitor import parse_monitor_message

from edge.config import CentralConfig, EdgeConfig
from retention.terms.wire import MAX_MESSAGE_BYTES

log = structlog.get_logger()
HEARTBEAT_MS = 5_000
RECONNECT_MS = 100
RECONNECT_MAX_MS = 1_000
REOPEN_SECONDS = 1.0


def curve_keys(config: EdgeConfig) -> tuple[bytes, bytes]:
    """Return the node's CURVE (public, secret) keys in Z85, made on first use."""
    secret = config.keys().text("curve", zmq.curve_keypair()[1].decode("ascii")).encode("ascii")
    return zmq.curve_public(secret), secret


class Connection:
    """A DEALER that keeps connecting. What waits in it is lost when it closes, on purpose: the
    log has it, and the next connection asks central where to go on.

    libzmq gives up for good on a key that central refuses, so the socket is opened again then: a
    node that is enrolled later is let in without a restart.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        config: EdgeConfig,
        central: CentralConfig,
        *,
        reopen_seconds: float = REOPEN_SECONDS,
    ) -> None:
        self._context, self._central = context, central
        self._public, self._secret = curve_keys(config)
        self._reopen_seconds = reopen_seconds
        self._reopen_at: float | None = None
        self._refused = False
        self._open()

    def close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)

    def send(self, frames: list[bytes]) -> bool:
        """Send now or not at all; tell which."""
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def wait(self, timeout_ms: int) -> bool:
        """Wait for something to happen; tell whether the connection was lost meanwhile."""
        self._poller.poll(timeout_ms)
        lost = False
        while self._monitor.poll(0):
            event = parse_monitor_message(self._monitor.recv_multipart())["event"]
            lost = lost or event == zmq.EVENT_DISCONNECTED
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._note_refusal()
        if self._reopen_at is not None and time.monotonic() >= self._reopen_at:
            self.close()
            self._open()
            return True
        return lost

    def received(self) -> Iterator[list[bytes]]:
        """Yield the messages that are there."""
        while True:
            try:
                yield self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return

    def _note_refusal(self) -> None:
        self._reopen_at = time.monotonic() + self._reopen_seconds
        if not self._refused:
            log.error("central_refused_this_key", key=self._public.decode())
        self._refused = True

    def _open(self) -> None:
        self._reopen_at = None
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.CURVE_SERVERKEY, self._central.server_key.encode("ascii"))
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self._public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._secret)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        self._monitor = socket.get_monitor_socket(
            zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
        )
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._socket = socket
        socket.connect(self._central.endpoint)
