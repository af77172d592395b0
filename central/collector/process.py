"""The collector process: a ROUTER socket over CURVE around the core.

What came together is answered together: up to MAX_ROUND messages are taken from the socket and
handled in one transaction. When the database cannot be written nothing is answered, so nodes keep
their records and send again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import structlog
import zmq

from central.collector.core import Arrival, Collector, Departure, key_is_enrolled
from central.collector.footage import FootageDesk
from central.collector.zap import Authenticator
from central.config import CentralConfig
from central.database import Database, require_head
from central.errors import AddressInUse, DatabaseUnavailable
from central.keys import load_keys
from retention.records.clock import SystemClock
from retention.terms.wire import MAX_MESSAGE_BYTES

log = structlog.get_logger()
MAX_ROUND = 64
MAX_ROUND_BYTES = 8 * 1024 * 1024
POLL_MS = 200
COMMANDS_EVERY_NS = 500_000_000
RETRY_SECONDS = 0.5
HEARTBEAT_MS = 5_000
MAX_WAITING = 16  # messages of one connection; a node has fewer under way


def run(config: CentralConfig, stop: threading.Event, ready: Callable[[], None]) -> None:
    """Collect until `stop`. Raises AddressInUse, DatabaseOutdated."""
    database = Database(config.database_url)
    require_head(database)
    keys = load_keys(config)
    clock = SystemClock()
    config.footage_root.mkdir(parents=True, exist_ok=True)
    desk = FootageDesk(config.footage_root, config.footage.segment_bytes)
    core = Collector(database, keys.signer, clock, desk)
    with ExitStack() as closing:
        closing.callback(database.close)
        closing.callback(desk.close)
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        closing.callback(context.destroy, linger=0)
        authenticator = Authenticator(context, lambda key: key_is_enrolled(database, key))
        closing.callback(authenticator.close)
        with bind(context, config.collector.endpoint, keys.curve_secret) as socket:
            ready()
            log.info("collector_ready", endpoint=config.collector.endpoint)
            _serve(socket, core, clock, stop, authenticator)


def bind(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, curve_secret: str
) -> zmq.Socket[bytes]:
    """Return the collector's socket. Raises AddressInUse."""
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, curve_secret.encode("ascii"))
    socket.setsockopt(zmq.ZAP_DOMAIN, b"nodes")
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS)
    socket.setsockopt(zmq.RCVHWM, MAX_WAITING)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # so that a connection that is gone is told
    socket.setsockopt(zmq.BACKLOG, 4096)
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as exc:
        socket.close()
        raise AddressInUse(f"collector.endpoint {endpoint}: {exc.strerror}") from exc
    return socket


def _serve(
    socket: zmq.Socket[bytes],
    core: Collector,
    clock: SystemClock,
    stop: threading.Event,
    authenticator: Authenticator,
) -> None:
    commands_at = 0
    while not stop.is_set():
        authenticator.require_alive()
        arrivals = _receive(socket) if socket.poll(POLL_MS) else []
        try:
            departures = core.handle(arrivals) if arrivals else []
            if clock.monotonic_ns() >= commands_at:
                departures += core.commands_due()
                commands_at = clock.monotonic_ns() + COMMANDS_EVERY_NS
        except DatabaseUnavailable as exc:
            log.error("database_unavailable", reason=str(exc))
            stop.wait(RETRY_SECONDS)
            continue
        for departure in departures:
            _send(socket, core, departure)


def _receive(socket: zmq.Socket[bytes]) -> list[Arrival]:
    arrivals: list[Arrival] = []
    size = 0
    while len(arrivals) < MAX_ROUND and size < MAX_ROUND_BYTES:
        try:
            first = socket.recv(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            break
        frames = socket.recv_multipart() if first.more else []
        arrivals.append(Arrival(first.bytes, _user(first), frames))
        size += sum(map(len, frames))
    return arrivals


def _user(frame: zmq.Frame) -> str:
    """Return the key the ZAP handler vouched for; a connection without one has none."""
    found = frame.get("User-Id")
    return found if isinstance(found, str) else ""


def _send(socket: zmq.Socket[bytes], core: Collector, departure: Departure) -> None:
    try:
        socket.send_multipart([departure.route, *departure.frames], zmq.NOBLOCK)
    except zmq.ZMQError as exc:
        if exc.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
            raise
        core.forget(departure.route)
