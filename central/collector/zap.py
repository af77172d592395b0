"""Who may connect: only the CURVE keys of enrolled nodes (RFC 27, ZAP).

The handler asks the database at each handshake, so an enrolment or a revocation counts at once.
When the database cannot be asked the answer is a temporary refusal: unsure fails closed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
import zmq
from zmq.utils import z85

from central.errors import DatabaseUnavailable

log = structlog.get_logger()
ADDRESS = "inproc://zeromq.zap.01"
POLL_MS = 200


class Authenticator:
    """Answers ZAP requests on its own thread until `close`."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allowed: Callable[[str], bool]):
        self._allowed = allowed
        self._stop = threading.Event()
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind(ADDRESS)
        self._thread = threading.Thread(target=self._run, name="zap", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def require_alive(self) -> None:
        """Raise RuntimeError when nobody answers any more: better no collector than one that lets
        nobody in."""
        if not self._thread.is_alive():
            raise RuntimeError("the ZAP handler ended")

    def _run(self) -> None:
        with self._socket:
            while not self._stop.is_set():
                if self._socket.poll(POLL_MS):
                    self._socket.send_multipart(self._answer(self._socket.recv_multipart()))

    def _answer(self, request: list[bytes]) -> list[bytes]:
        version, request_id, _domain, _address, _identity, mechanism, *credentials = request
        code, text, user = b"400", b"not enrolled", b""
        if mechanism == b"CURVE" and len(credentials) == 1 and len(credentials[0]) == 32:
            key = z85.encode(credentials[0]).decode("ascii")
            try:
                if self._allowed(key):
                    code, text, user = b"200", b"OK", key.encode()
                else:
                    log.info("unknown_key_refused", key=key)
            except DatabaseUnavailable:
                code, text = b"300", b"try again"
        return [version, request_id, code, text, user, b""]
