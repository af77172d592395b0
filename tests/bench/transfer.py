"""Records per second from the node's database to central's, durable to durable.

The node's log is filled beforehand. The clock starts at the first acknowledgement (processes and
connection are up) and stops when the node has durably noted the last one. The peer is a raw
SQLAlchemy insert of the same rows, 500 a transaction, into the same kind of database.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import insert

from central.collector.ingest import RECORDS
from central.collector.process import run as collect
from central.config import CentralConfig
from central.database import Database, migrate
from central.enrolment import enrol
from central.keys import load_keys
from central.run import prepare
from central.web.views import Enrolment
from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.simulators.demo_stack import free_port
from edge.uplink.connection import curve_keys
from edge.uplink.process import run as carry
from retention.records import payloads as p
from retention.signals import setting
from retention.store.database import NodeStore
from retention.store.log import append, unsent
from tests.golden.samples import SAMPLES

RECORDS_SENT, BATCH = 40_000, 500
STEPS = tuple(
    sample
    for sample in SAMPLES
    if isinstance(sample, p.SessionOpened | p.BasketSet | p.IdentityDecided | p.SessionClosed)
)


def measure() -> Iterator[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        central = _central(data)
        edge = _edge(data, central)
        store = edge.open_store()
        _fill(store)
        _enrol(central, edge)
        rate = _carried(central, edge, store)
        raw = _inserted(data, store)
        with store.read() as connection:
            (size,) = connection.execute("SELECT avg(length(bytes)) FROM log").fetchone()
        store.close()
    yield {
        "bench": "transfer",
        "peer": "SQLAlchemy insert, 500 rows a transaction, same SQLite settings",
        "records": RECORDS_SENT,
        "bytes_each": round(size),
        "records_per_second": round(rate),
        "peer_records_per_second": round(raw),
        "ratio": round(rate / raw, 2),
        "aim": "ratio >= 0.5",
    }


def _central(data: Path) -> CentralConfig:
    return CentralConfig.model_validate(
        {
            "storage": {"data": data / "central"},
            "collector": {"endpoint": f"tcp://127.0.0.1:{free_port()}"},
            "web": {"port": free_port()},
        }
    )


def _edge(data: Path, central: CentralConfig) -> EdgeConfig:
    prepare(central)
    keys = load_keys(central)
    return EdgeConfig.model_validate(
        {
            "node": {"agency": "430100", "pharmacy": "bench", "node": "bench", "data": data},
            "central": {
                "endpoint": central.collector.endpoint,
                "server_key": keys.curve_public,
                "signing_key": keys.signer.public_key.hex(),
            },
            "cameras": [{"id": "none", "scene_role": "purchase", "url": "rtsp://127.0.0.1/stream"}],
            "verification": {"camera": "none"},
        }
    )


def _fill(store: NodeStore) -> None:
    for _ in range(RECORDS_SENT // BATCH):
        with store.write() as connection:
            for number in range(BATCH):
                append(store, connection, STEPS[number % len(STEPS)])


def _enrol(central: CentralConfig, edge: EdgeConfig) -> None:
    public, _ = curve_keys(edge)
    asked = Enrolment(
        agency=edge.node.agency,
        pharmacy=edge.node.pharmacy,
        node=edge.node.node,
        curve_public_key=public.decode(),
        signing_public_key=edge.keys().signer().public_key.hex(),
    )
    database = Database(central.database_url)
    with database.write() as connection:
        enrol(connection, asked, 0)
    database.close()


def _carried(central: CentralConfig, edge: EdgeConfig, store: NodeStore) -> float:
    context = multiprocessing.get_context("spawn")
    sides = [
        context.Process(target=_collector, args=(central,)),
        context.Process(target=_uplink, args=(edge,)),
    ]
    for side in sides:
        side.start()
    try:
        first = _acknowledged(store, more_than=0)
        started = time.perf_counter()
        _acknowledged(store, more_than=RECORDS_SENT - 1)
        return (RECORDS_SENT - first) / (time.perf_counter() - started)
    finally:
        for side in sides:
            side.terminate()
            side.join()


def _acknowledged(store: NodeStore, *, more_than: int) -> int:
    while True:
        with store.read() as connection:
            (acked,) = connection.execute("SELECT acked_sent FROM uplink").fetchone()
        if acked > more_than:
            return int(acked)
        time.sleep(0.01)


def _inserted(data: Path, store: NodeStore) -> float:
    config = CentralConfig.model_validate(
        {"storage": {"data": data / "raw"}, "collector": {"endpoint": "tcp://127.0.0.1:1"}}
    )

    config.storage.data.mkdir()
    database = Database(config.database_url)
    migrate(database)
    with store.read() as connection:
        held = unsent(connection, 0, RECORDS_SENT)
    rows = [
        {
            "agency": "430100", "pharmacy": "bench", "node": "bench", "sequence": one.sequence,
            "sent_sequence": one.sent_sequence, "kind": one.kind, "version": 1, "occurred_at": 0,
            "received_at": 0, "body": one.raw, "leaf": one.leaf,
        }
        for one in held
    ]  # fmt: skip
    started = time.perf_counter()
    for at in range(0, len(rows), BATCH):
        with database.write() as connection:
            connection.execute(insert(RECORDS), rows[at : at + BATCH])
    spent = time.perf_counter() - started
    database.close()
    return len(rows) / spent


def _stopping() -> threading.Event:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, setting(stop))
    return stop


def _collector(config: CentralConfig) -> None:
    collect(config, _stopping(), lambda: None)


def _uplink(config: EdgeConfig) -> None:
    carry(ProcessContext(config, _stopping(), lambda: None))
