"""The web process: the application on its address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import structlog
import uvicorn

from central.config import CentralConfig
from central.database import Database, require_head
from central.errors import AddressInUse
from central.keys import admin_token_sha256, load_keys
from central.web.app import create_app
from central.web.state import WebState
from retention.records.clock import SystemClock
from retention.records.ids import SystemIds

log = structlog.get_logger()
STOP_POLL_SECONDS = 0.2


def run(config: CentralConfig, stop: threading.Event, ready: Callable[[], None]) -> None:
    """Serve until `stop`. Raises AddressInUse, DatabaseOutdated."""
    database = Database(config.database_url)
    require_head(database)
    state = WebState(
        config=config,
        database=database,
        keys=load_keys(config),
        clock=SystemClock(),
        ids=SystemIds(),
        admin_sha256=admin_token_sha256(config),
    )
    listener = listen(config.web.host, config.web.port)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(state), log_config=None, access_log=False, server_header=False,
            timeout_graceful_shutdown=3, ws="none",
        )
    )  # fmt: skip
    ready()
    log.info("web_ready", host=config.web.host, port=config.web.port)
    watcher = threading.Thread(target=_watch, args=(stop, server), daemon=True)
    watcher.start()
    try:
        server.run(sockets=[listener])
    finally:
        stop.set()
        watcher.join()
        listener.close()
        database.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises AddressInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. asyncio sets it only on sockets that name their protocol; without it
    # every answer on a kept connection waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
        listener.listen(256)
    except OSError as exc:
        listener.close()
        raise AddressInUse(f"web.host, web.port {host}:{port}: {exc.strerror}") from exc
    return listener


def _watch(stop: threading.Event, server: uvicorn.Server) -> None:
    while not stop.wait(STOP_POLL_SECONDS):
        pass
    server.should_exit = True
