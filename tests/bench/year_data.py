"""A node with a year of segments, built fast: rows, records and files as the recorder leaves them.

Written many at a time, past the store's own functions; that they are right is what the check then
finds. Files are names of a few sparse ones: names, sizes and folders are real, bytes are not.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from retention.footage.layout import SegmentIdentity
from retention.footage.sink import SegmentSink
from retention.footage.volumes import Volumes
from retention.records.canonical import canonical_bytes
from retention.records.clock import SystemClock, from_micros, to_micros, to_text
from retention.records.ids import SystemIds
from retention.records.merkle import leaf_hash
from retention.records.payloads import RunStarted, SceneRole
from retention.store.database import NodeIdentity, NodeStore
from retention.store.footage import insert_run
from retention.store.log import read_frontier
from tests.bench.clip import minute

CAMERAS, HOURS_A_DAY, AT_ONCE, BYTES, MOST_LINKS = 3, 14, 20_000, 8_000_000, 60_000
MINUTE_US = 60_000_000
MINUTES_A_DAY = 60 * HOURS_A_DAY
INDEXED = (
    "id", "camera", "run", "ordinal", "started_at", "ended_at", "bytes", "file_sha256",
    "chunk_root", "path",
)  # fmt: skip
Row = tuple[object, ...]


class Year:
    """The node; `build` fills it up to now."""

    def __init__(self, data: Path) -> None:
        self.root = data / "footage"
        self.identity = NodeIdentity("430100", "P43010000001", "node-a")
        self.store = NodeStore(data / "node.sqlite3", self.identity, SystemClock(), SystemIds())
        Volumes(self.store, {"main": self.root}, ("main",)).open()
        self.runs = [self.store.ids.new() for _ in range(CAMERAS)]
        self._begin_us = 0
        self._times: tuple[str, str, str] | None = None
        self._folders: set[str] = set()
        self._links, self._source = 0, ""
        self._record = self._template()

    def build(self, segments: int) -> None:
        days = -(-segments // (CAMERAS * MINUTES_A_DAY))
        self._begin_us = to_micros(self.store.clock.now() - timedelta(days=days))
        with self.store.write() as connection:
            for camera, run in enumerate(self.runs):
                started = RunStarted(
                    run=run, camera=f"camera-{camera}", scene_role=SceneRole.PURCHASE,
                    codec="h264", width=1920, height=1080,
                    started_at=to_text(from_micros(self._begin_us)),
                )  # fmt: skip
                insert_run(self.store, connection, started)
        for first in range(0, segments, AT_ONCE):
            self._write(range(first, min(first + AT_ONCE, segments)))

    def leave_open(self, camera: str) -> int:
        """Write a minute as a recorder does and leave it torn, as a power cut would."""
        identity = SegmentIdentity(
            agency=self.identity.agency, pharmacy=self.identity.pharmacy, node=self.identity.node,
            camera=camera, scene_role=SceneRole.PURCHASE, run=self.store.ids.new(), ordinal=0,
            segment=self.store.ids.new(), started_at=to_text(self.store.clock.now()), codec="h264",
        )  # fmt: skip
        sink = SegmentSink(self.root, identity)
        sink.write(minute()[:-1000])
        sink.sync()
        return sink.tell()

    def _write(self, numbers: range) -> None:
        log: list[Row] = []
        index: list[Row] = []
        with self.store.write() as connection:
            frontier, _ = read_frontier(connection)
            for number in numbers:
                row = self._row(number, frontier.size)
                raw = (self._record % row).encode()
                leaf = leaf_hash(raw)
                self._make_file(row)
                log.append((frontier.size, row["log_id"], row["ended_at"], raw, leaf))
                index.append((*(row[key] for key in INDEXED), frontier.size))
                frontier = frontier.append(leaf)
            connection.executemany(
                "INSERT INTO log (sequence, id, kind, version, occurred_at, bytes, leaf)"
                " VALUES (?, ?, 'segment.sealed', 1, ?, ?, ?)",
                log,
            )
            connection.executemany(
                f"INSERT INTO segments ({', '.join(INDEXED)}, scene_role, codec, state, sequence)"  # noqa: S608
                f" VALUES ({', '.join('?' * len(INDEXED))}, 'purchase', 'h264', 'sealed', ?)",
                index,
            )
            connection.execute(
                "UPDATE frontier SET size = ?, hashes = ?", (frontier.size, frontier.to_bytes())
            )

    def _template(self) -> str:
        """Return the canonical form of a record with a place for each value that differs."""
        sealed = {
            "segment": "%(segment)s", "camera": "%(camera)s", "scene_role": "purchase",
            "run": "%(run)s", "ordinal": "@%(ordinal)d@", "started_at": "%(started)s",
            "ended_at": "%(ended)s", "duration_ms": 60_000, "bytes": BYTES, "codec": "h264",
            "file_sha256": "%(file_sha256)s", "chunk_root": "%(chunk_root)s",
            "recovered": False, "truncated_bytes": 0,
        }  # fmt: skip
        record = {
            "id": "%(log_id)s", "agency": self.identity.agency, "pharmacy": self.identity.pharmacy,
            "node": self.identity.node, "counter": None, "sequence": "@%(sequence)d@",
            "sent_sequence": None, "kind": "segment.sealed", "version": 1, "digest": "sha-256",
            "occurred_at": "%(ended)s", "monotonic_ns": "1", "boot_id": self.store.clock.boot_id(),
            "clock_state": "steady", "salt": "%(salt)s", "payload": sealed,
        }  # fmt: skip
        return canonical_bytes(record).decode().replace('"@', "").replace('@"', "")

    def _row(self, number: int, sequence: int) -> dict[str, object]:
        ordinal, camera = divmod(number, CAMERAS)
        day, minute_of_day = divmod(ordinal, MINUTES_A_DAY)
        start_us = self._begin_us + day * 86_400_000_000 + minute_of_day * MINUTE_US
        if camera == 0 or not self._times:
            start, end = from_micros(start_us), from_micros(start_us + MINUTE_US)
            self._times = (to_text(start), to_text(end), f"{start:%Y%m%d}")
        started, ended, folder = self._times
        segment = f"00000000-0000-7000-8000-{number:012x}"
        return {
            "id": segment, "segment": segment, "camera": f"camera-{camera}",
            "run": self.runs[camera], "ordinal": ordinal, "started_at": start_us,
            "ended_at": start_us + MINUTE_US, "bytes": BYTES, "file_sha256": f"{number:064x}",
            "chunk_root": f"{number:064x}", "path": f"camera-{camera}/{folder}/{segment}.mp4",
            "started": started, "ended": ended, "sequence": sequence,
            "log_id": f"00000000-0000-7000-9000-{number:012x}", "salt": f"{number:032x}",
        }  # fmt: skip

    def _make_file(self, row: dict[str, object]) -> None:
        path = f"{self.root}/{row['path']}"
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            os.makedirs(folder, exist_ok=True)
            self._folders.add(folder)
        if self._links % MOST_LINKS == 0:
            self._source = f"{self.root}/../sparse-{self._links}"
            with open(self._source, "xb") as file:
                os.ftruncate(file.fileno(), BYTES)
        os.link(self._source, path)
        self._links += 1
