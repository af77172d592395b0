"""The collector as a process, over real sockets on loopback: keys, kills and garbage."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import psutil
import pytest
import zmq
from sqlalchemy import func, select

from central.collector.core import Collector, Departure
from central.collector.process import _send, bind
from central.collector.zap import Authenticator
from central.config import CentralConfig
from central.database import Database
from central.enrolment import enrol, revoke
from central.keys import load_keys
from central.run import child_main, prepare
from central.tables import Node, StoredRecord, table_of
from central.web.views import Enrolment
from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.uplink.connection import Connection, curve_keys
from edge.uplink.process import run as run_uplink
from retention.records.payloads import NodeStopped
from retention.store.log import append, unsent
from retention.terms import wire

REPOSITORY = Path(__file__).resolve().parents[2]
DEADLINE = 30.0
RECORDS, NODES = table_of(StoredRecord), table_of(Node)


def until(holds: Callable[[], bool], seconds: float = DEADLINE) -> None:
    """Wait for something to become true; fail when it does not."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Rig:
    """Central's database, its collector as a child process, and one node's configuration."""

    def __init__(self, folder: Path) -> None:
        self.central = CentralConfig.model_validate(
            {
                "storage": {"data": str(folder / "central")},
                "collector": {"endpoint": f"tcp://127.0.0.1:{free_port()}"},
                "web": {"port": free_port()},
            }
        )
        prepare(self.central)
        self.database = Database(self.central.database_url)
        keys = load_keys(self.central)
        self.edge = EdgeConfig.model_validate(
            {
                "node": {
                    "agency": "430100", "pharmacy": "P1", "node": "node-a",
                    "data": str(folder / "edge"),
                },
                "central": {
                    "endpoint": self.central.collector.endpoint,
                    "server_key": keys.curve_public,
                    "signing_key": keys.signer.public_key.hex(),
                    "checkpoint_seconds": 0.5,
                    "window": 100,
                },
                "cameras": [{"id": "c", "scene_role": "purchase", "url": "rtsp://x/y"}],
                "verification": {"camera": "c"},
            }
        )  # fmt: skip
        self.store = self.edge.open_store()
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.collector = context.Process(target=child_main, args=("collector", self.central))
        self.collector.start()

    def kill(self) -> None:
        self.collector.kill()
        self.collector.join()

    def enrol(self) -> None:
        asked = Enrolment(
            agency="430100",
            pharmacy="P1",
            node="node-a",
            curve_public_key=curve_keys(self.edge)[0].decode(),
            signing_public_key=self.edge.keys().signer().public_key.hex(),
        )
        with self.database.write() as connection:
            enrol(connection, asked, 0)

    def append(self, count: int) -> None:
        with self.store.write() as connection:
            for number in range(count):
                append(self.store, connection, NodeStopped(reason=f"r{number}"))

    def held(self) -> int:
        with self.database.read() as connection:
            found = connection.execute(select(func.count()).select_from(RECORDS)).scalar_one()
            return int(found)

    def tree_size(self) -> int:
        with self.database.read() as connection:
            return int(connection.execute(select(NODES.c.tree_size)).scalar_one())

    @contextmanager
    def uplink(self) -> Iterator[None]:
        stop = threading.Event()
        context = ProcessContext(self.edge, stop, lambda: None)
        thread = threading.Thread(target=run_uplink, args=(context,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def close(self) -> None:
        self.collector.terminate()
        self.collector.join()
        self.database.close()
        self.store.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


def test_unknown_key_gets_nothing_until_it_is_enrolled(
    rig: Rig, zmq_context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    rig.append(3)
    assert rig.edge.central is not None
    connection = Connection(zmq_context, rig.edge, rig.edge.central, reopen_seconds=0.2)
    refusals = 0
    deadline = time.monotonic() + DEADLINE
    while refusals < 2 and time.monotonic() < deadline:
        refusals += connection.wait(100)  # each refusal opens the socket again
        assert not connection.send([b"hello"])
        assert list(connection.received()) == []
    connection.close()
    assert refusals == 2
    with rig.uplink():
        rig.enrol()
        until(lambda: rig.held() == 3)


def test_revoked_key_is_cut(rig: Rig, zmq_context: zmq.Context[zmq.Socket[bytes]]) -> None:
    rig.enrol()
    rig.append(3)
    with rig.uplink():
        until(lambda: rig.held() == 3)
        with rig.database.write() as connection:
            revoke(connection, "node-a", 1)
        rig.append(1)
        assert rig.edge.central is not None
        late = Connection(zmq_context, rig.edge, rig.edge.central, reopen_seconds=0.1)
        until(lambda: late.wait(50))
        assert not late.send([b"hello"])
        late.close()
    assert rig.held() == 3


def test_killed_collector_loses_and_repeats_nothing(rig: Rig) -> None:
    rig.enrol()
    rig.append(500)
    with rig.uplink():
        for milestone in (100, 600, 1100):
            until(lambda wanted=milestone: rig.held() >= wanted)
            rig.append(500)
            rig.kill()
            rig.start()
        until(lambda: rig.held() == 2000 and rig.tree_size() == 2000)
    with rig.store.read() as connection:
        sent = [record.raw for record in unsent(connection, 0, 10_000)]
    with rig.database.read() as connection:
        held = connection.execute(select(RECORDS.c.body).order_by(RECORDS.c.sent_sequence))
        assert [row[0] for row in held] == sent


def test_garbage_on_the_port_does_not_end_the_collector(
    rig: Rig, zmq_context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    rig.enrol()
    host, port = "127.0.0.1", int(rig.central.collector.endpoint.rsplit(":", 1)[1])
    until(lambda: rig.collector.is_alive() and _connects(host, port))
    for content in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, bytes(range(256)) * 16, b""):
        with socket.create_connection((host, port)) as raw:
            raw.sendall(content)
    assert rig.edge.central is not None
    connection = Connection(zmq_context, rig.edge, rig.edge.central)
    until(lambda: connection.send([b"nonsense", b"\0" * 70_000]))
    answers: list[list[bytes]] = []
    until(lambda: bool(connection.wait(50) or answers.extend(connection.received()) or answers))
    assert answers[0][1] == b"refused"
    assert wire.decode(answers[0], wire.TO_NODE)
    connection.close()
    rig.append(2)
    with rig.uplink():
        until(lambda: rig.held() == 2)


def _lives(process: psutil.Process) -> bool:
    """Tell whether a process runs; an orphan that nobody reaped yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _connects(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def write_config(folder: Path, web_port: int) -> Path:
    path = folder / "central.toml"
    path.write_text(
        f'[storage]\ndata = "{folder}/data"\n[collector]\nendpoint = "tcp://127.0.0.1:'
        f'{free_port()}"\n[web]\nport = {web_port}\n'
    )
    return path


def start_central(config: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / "countersight.py"), "central", "run", "--config",
         str(config)],
        stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
    )  # fmt: skip


def test_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start_central(write_config(tmp_path, port))
        _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 2
    assert errors == (
        f"countersight central: web.host, web.port 127.0.0.1:{port}: Address already in use\n"
    )


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_children_end_with_their_parent(tmp_path: Path, end: str) -> None:
    port = free_port()
    process = start_central(write_config(tmp_path, port))
    parent = psutil.Process(process.pid)
    until(lambda: _connects("127.0.0.1", port))
    family = parent.children(recursive=True)
    assert len(family) >= 3
    getattr(process, end)()
    process.communicate(timeout=DEADLINE)
    assert process.returncode == (0 if end == "terminate" else -9)
    until(lambda: not any(_lives(child) for child in family))
    token = tmp_path / "data" / "admin.token"
    assert token.stat().st_mode & 0o777 == 0o600


def test_collector_does_not_go_on_without_its_doorkeeper(
    zmq_context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    keeper = Authenticator(zmq_context, lambda key: True)
    keeper.require_alive()
    keeper.close()
    with pytest.raises(RuntimeError, match="ZAP"):
        keeper.require_alive()


def test_connection_that_is_gone_is_forgotten(zmq_context: zmq.Context[zmq.Socket[bytes]]) -> None:
    _, secret = zmq.curve_keypair()
    gone: list[bytes] = []

    class Core:
        def forget(self, route: bytes) -> None:
            gone.append(route)

    with bind(zmq_context, f"tcp://127.0.0.1:{free_port()}", secret.decode()) as router:
        _send(router, cast(Collector, Core()), Departure(b"nobody", [b"CS1"]))
    assert gone == [b"nobody"]
