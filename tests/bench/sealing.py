"""How long a segment takes to be sealed: from its last byte to row and record, all durable.

The peer does what any durable rename must: fsync, rename, fsync of the folder, with no row and no
record. Both take turns, so both see the same disk.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from retention.durable import fsync_directory, make_directory_durably
from retention.footage.layout import SegmentIdentity
from retention.footage.sink import SegmentSink, seal
from retention.records.clock import SystemClock, to_text
from retention.records.ids import SystemIds
from retention.records.payloads import SceneRole
from retention.store.database import NodeIdentity, NodeStore

SEGMENTS, GOPS, GOP_BYTES = 300, 4, 512 * 1024


def measure() -> Iterator[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = NodeStore(
            root / "node.sqlite3", NodeIdentity("a", "p", "n"), SystemClock(), SystemIds()
        )
        run, ours, peer = store.ids.new(), [], []
        for ordinal in range(SEGMENTS):
            ours.append(_sealed(store, root / "footage", run, ordinal))
            peer.append(_renamed(root / "peer", ordinal))
        store.close()
    yield {
        "bench": "sealing",
        "peer": "fsync, rename, fsync of the folder",
        "segments": SEGMENTS,
        "bytes_each": GOPS * GOP_BYTES,
        **_percentiles("", ours),
        **_percentiles("peer_", peer),
        "ratio_p50": round(_at(ours, 0.5) / _at(peer, 0.5), 2),
    }


def _sealed(store: NodeStore, root: Path, run: str, ordinal: int) -> float:
    now = store.clock.now()
    identity = SegmentIdentity(
        agency="a", pharmacy="p", node="n", camera="camera", scene_role=SceneRole.PURCHASE, run=run,
        ordinal=ordinal, segment=store.ids.new(), started_at=to_text(now), codec="h264",
    )  # fmt: skip
    sink = SegmentSink(root, identity)
    sink.write((16).to_bytes(4, "big") + b"ftypisom" + bytes(4))
    for _ in range(GOPS):
        sink.write(os.urandom(GOP_BYTES))
        sink.sync()
    started = time.perf_counter()
    seal(store, root, sink.finish(now + timedelta(seconds=60)))
    return time.perf_counter() - started


def _renamed(folder: Path, ordinal: int) -> float:
    make_directory_durably(folder)
    part = folder / f"{ordinal}.part"
    with part.open("wb", buffering=0) as file:
        for _ in range(GOPS):
            file.write(os.urandom(GOP_BYTES))
            os.fdatasync(file.fileno())
        started = time.perf_counter()
        os.fsync(file.fileno())
    os.rename(part, part.with_suffix(".mp4"))
    fsync_directory(folder)
    return time.perf_counter() - started


def _percentiles(prefix: str, seconds: list[float]) -> dict[str, object]:
    return {
        f"{prefix}p50_ms": round(1000 * _at(seconds, 0.5), 1),
        f"{prefix}p95_ms": round(1000 * _at(seconds, 0.95), 1),
    }


def _at(seconds: list[float], share: float) -> float:
    return sorted(seconds)[int(share * len(seconds))]
