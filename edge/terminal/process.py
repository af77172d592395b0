"""The terminal process: plain HTTP on loopback, TLS on the LAN when configured.

Sockets are bound before anything else: a port in use is one clear line and a non-zero exit, and
the reversals left by a crash begin only when no other terminal process can be serving.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import structlog
import uvicorn
import zmq
from fastapi import FastAPI

from edge.config import EdgeConfig
from edge.platform.nhsa import NhsaPlatform
from edge.process import ProcessContext
from edge.session.settling import Settler
from edge.terminal.app import create_app
from edge.terminal.cameras import CameraPictures
from edge.terminal.http import CounterProtocol
from edge.terminal.live import LiveView
from edge.terminal.qr import ADDRESS_FILE, LOOPBACK
from edge.terminal.tls import ensure_certificate
from edge.verifier.client import VerifierClient
from retention.durable import write_durably
from retention.records.clock import SystemClock
from retention.store.database import StoreUnavailable

log = structlog.get_logger(__name__)

STEP_SECONDS = 0.5
STOP_SECONDS = 5.0


class PortInUse(SystemExit):
    """The listener's port cannot be bound; exits with 1 after one clear line."""

    def __init__(self) -> None:
        super().__init__(1)


def run(context: ProcessContext) -> None:
    """Serve until asked to stop. Raises PortInUse."""
    config = context.config
    listeners = _bind_all(config)
    store = config.open_store()
    zmq_context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        verifier = VerifierClient(config.socket("verifier"), context=zmq_context, stop=context.stop)
        live, cameras = LiveView(store.clock), CameraPictures(store.clock)
        app = create_app(
            store=store,
            verifier=verifier,
            keys=config.keys(),
            config=config,
            settlement=_platform(config),
            verifier_answers=verifier.answers,
            live=live,
            cameras=cameras,
        )
        servers = [_server(app, config, ordinal) for ordinal in range(len(listeners))]
        _publish(config, listeners)
        watches = [
            partial(live.run, zmq_context, config.socket("live"), context.stop),
            partial(cameras.run, zmq_context, config.socket("view"), context.stop),
        ]
        _serve(app, servers, listeners, context, watches)
    finally:
        for listener in listeners:
            listener.close()
        store.close()
        zmq_context.destroy(linger=0)


def _serve(
    app: FastAPI,
    servers: list[uvicorn.Server],
    listeners: list[socket.socket],
    context: ProcessContext,
    watches: Sequence[Callable[[], None]],
) -> None:
    workers = [
        _Worker(partial(server.run, [listener]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    workers += [_Worker(watch) for watch in watches]
    settler: Settler | None = app.state.settler
    if settler is not None:
        workers.append(_Worker(partial(_reconcile, settler, context.stop)))
    log.info("terminal_serving", ports=[listener.getsockname()[1] for listener in listeners])
    try:
        while not context.stop.wait(STEP_SECONDS):
            context.beat()
            for worker in workers:
                worker.check()
    finally:
        context.stop.set()
        for server in servers:
            server.should_exit = True
        deadline = time.monotonic() + STOP_SECONDS
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))


class _Worker(threading.Thread):
    """A thread whose death is the process's death, never silence."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except BaseException as exc:  # noqa: BLE001 - carried over to the main thread
            self._failure = exc

    def check(self) -> None:
        if not self.is_alive():
            raise RuntimeError("a part of the terminal process ended") from self._failure


def _reconcile(settler: Settler, stop: threading.Event) -> None:
    """Reverse what a crash left open, then whatever stays unknown, in the background."""
    started = False
    while not stop.wait(STEP_SECONDS):
        try:
            if not started:
                found = settler.recover_all()
                started = True
                if found:
                    log.warning("settlements_left_open", count=found)
            settler.retry_due()
        except StoreUnavailable as exc:
            log.error("storage_unavailable", detail=str(exc))


def _server(app: FastAPI, config: EdgeConfig, ordinal: int) -> uvicorn.Server:
    files: dict[str, str] = {}
    if ordinal == 1 and config.terminal.lan_host is not None:
        made = ensure_certificate(tls_folder(config), config.terminal.lan_host)
        files = {"ssl_certfile": str(made.certificate), "ssl_keyfile": str(made.key)}
        log.info("terminal_certificate", sha256=made.fingerprint)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_keep_alive=30,
            timeout_graceful_shutdown=3,
            http=CounterProtocol,
            h11_max_incomplete_event_size=64 * 1024,
            **files,  # type: ignore[arg-type]
        )
    )


def tls_folder(config: EdgeConfig) -> Path:
    """Return where the LAN listener's certificate lies."""
    return config.node.data / "tls"


def _platform(config: EdgeConfig) -> NhsaPlatform | None:
    settlement = config.settlement
    if settlement.mode != "node" or settlement.platform_url is None:
        return None
    return NhsaPlatform(
        settlement.platform_url,
        institution=config.node.pharmacy,
        area=config.node.agency,
        timeout_seconds=settlement.timeout_seconds,
        clock=SystemClock(),
    )


def _bind_all(config: EdgeConfig) -> list[socket.socket]:
    wanted = [(LOOPBACK, config.terminal.port)]
    if config.terminal.lan_host is not None:
        wanted.append((config.terminal.lan_host, config.terminal.lan_port))
    bound: list[socket.socket] = []
    for host, port in wanted:
        try:
            listener = socket.create_server((host, port), backlog=128)
            # Connections inherit it; asyncio sets it only on sockets that name their protocol, and
            # without it every answer on a kept connection waits 40 ms for an acknowledgement.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            bound.append(listener)
        except OSError as exc:
            for listener in bound:
                listener.close()
            log.error("port_unavailable", host=host, port=port, why=exc.strerror)
            raise PortInUse from exc
    return bound


def _publish(config: EdgeConfig, listeners: list[socket.socket]) -> None:
    """Say where we listen, for whoever asked for port 0."""
    folder = config.node.data / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    addresses = [listener.getsockname()[:2] for listener in listeners]
    content = {"loopback": addresses[0], "lan": addresses[1] if len(addresses) > 1 else None}
    write_durably(folder / ADDRESS_FILE, json.dumps(content).encode())
