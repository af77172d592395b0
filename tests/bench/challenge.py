"""A challenge of 300 samples over a year of footage: bytes on the wire, and the time of both sides.

The node's log holds a record for each segment of the year, all of one file of a minute at 4 Mb/s
that lies in the page cache; so reading from a disk is not part of the time. No network either: what
the node sends is given to central's core. Nothing of this kind exists to compare with, so the peer
is sending the same segments whole, which is what proves as much without a tree.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from central.database import Database
from edge.commands.challenge import ChallengeJob
from retention.records.clock import to_micros, to_text
from retention.records.envelope import Record
from retention.records.ids import SeededIds
from retention.records.merkle import Frontier, chunk_root, leaf_hash
from retention.records.payloads import SceneRole, SegmentSealed
from retention.terms import wire
from tests.bench.sizes import SIZES
from tests.central.auditkit import CAMERA, AuditRig
from tests.central.wirekit import TestCentral

SAMPLES = 300
SEGMENT_BYTES = 30_000_000
MARK, PLACE = "01900000-0000-7000-8000-00000000bbbb", 9_007_199_254_740_990


def measure() -> Iterator[dict[str, object]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = Database(f"sqlite:///{folder / 'central.sqlite3'}")
        central = TestCentral(folder, database=database)
        central.enrol()
        rig = AuditRig(folder, segments=0, central=central)
        rig.node.append(5)
        _fill(rig, SIZES.segments)
        rig.settle()
        yield _challenge(rig)
        rig.close()


def _fill(rig: AuditRig, segments: int) -> None:
    """Write a year of rows: one record is made in earnest, the others are it with other ids."""
    content = random.Random(1).randbytes(SEGMENT_BYTES)
    file = rig.root / "minute.mp4"
    file.write_bytes(content)
    object.__setattr__(rig.tools, "locate", lambda placed: file)
    store, ids, now = rig.node.store, SeededIds(9), rig.node.clock.now()
    sealed = SegmentSealed(
        segment=MARK, camera=CAMERA, scene_role=SceneRole.PURCHASE, run=MARK, ordinal=0,
        started_at=to_text(now - timedelta(minutes=1)), ended_at=to_text(now),
        duration_ms=60_000, bytes=SEGMENT_BYTES, codec="h264",
        file_sha256=hashlib.sha256(content).hexdigest(), chunk_root=chunk_root(content).hex(),
        recovered=False, truncated_bytes=0,
    )  # fmt: skip
    mould = Record(
        id=MARK, agency=store.identity.agency, pharmacy=store.identity.pharmacy,
        node=store.identity.node, counter=None, sequence=PLACE, sent_sequence=None,
        kind="segment.sealed", version=1, digest="sha-256", occurred_at=to_text(now),
        monotonic_ns="1", boot_id=MARK, clock_state=store.clock.state(), salt="0" * 32,
        payload=sealed.model_dump(mode="json"),
    ).to_bytes()  # fmt: skip
    at = to_micros(now)
    with store.write() as connection:
        size, sent, hashes = connection.execute(
            "SELECT size, sent_count, hashes FROM frontier"
        ).fetchone()
        frontier = Frontier.from_bytes(size, hashes)
        for first in range(size, size + segments, 10_000):
            log, rows = [], []
            for sequence in range(first, min(first + 10_000, size + segments)):
                own = ids.new()
                raw = mould.replace(MARK.encode(), own.encode()).replace(
                    str(PLACE).encode(), str(sequence).encode()
                )
                leaf = leaf_hash(raw)
                frontier = frontier.append(leaf)
                log.append((sequence, own, at, raw, leaf))
                rows.append((own, CAMERA, own, at, at, SEGMENT_BYTES, sealed.file_sha256,
                             sealed.chunk_root, own, sequence))  # fmt: skip
            connection.executemany(
                "INSERT INTO log (sequence, id, kind, version, occurred_at, bytes, leaf)"
                " VALUES (?, ?, 'segment.sealed', 1, ?, ?, ?)",
                log,
            )
            connection.executemany(
                "INSERT INTO segments (id, camera, scene_role, run, ordinal, started_at, ended_at,"
                " bytes, codec, file_sha256, chunk_root, path, state, sequence)"
                " VALUES (?, ?, 'purchase', ?, 0, ?, ?, ?, 'h264', ?, ?, ?, 'sealed', ?)",
                rows,
            )
        connection.execute(
            "UPDATE frontier SET size = ?, sent_count = ?, hashes = ?",
            (frontier.size, sent, frontier.to_bytes()),
        )


def _challenge(rig: AuditRig) -> dict[str, object]:
    started = time.perf_counter()
    audit, command = rig.ask(SAMPLES)
    drawn = time.perf_counter() - started
    job = ChallengeJob(rig.tools, command)
    node = central = 0.0
    sent = answered = 0
    longest = 0.0
    while job.conclusion is None:
        before = time.perf_counter()
        frames_out = job.step(before)
        stepped = time.perf_counter() - before
        node, longest = node + stepped, max(longest, stepped)
        for frames in frames_out:
            sent += sum(map(len, frames))
            before = time.perf_counter()
            answers = rig.central.handle(frames)
            central += time.perf_counter() - before
            for answer in answers:
                answered += sum(map(len, answer))
                header = wire.decode(answer, wire.TO_NODE).header
                assert isinstance(header, wire.ProofAck), header
                job.receive(header, time.perf_counter())
    found = rig.result(audit)
    assert (found.state, found.held) == ("done", SAMPLES), found
    return {
        "bench": "challenge",
        "peer": "the same segments sent whole",
        "segments": found.audit.owed,
        "samples": SAMPLES,
        "bytes_sent": sent,
        "bytes_answered": answered,
        "draw_seconds": round(drawn, 3),
        "node_seconds": round(node, 2),
        "node_longest_step_seconds": round(longest, 2),
        "central_seconds": round(central, 2),
        "lost_at_most": round(found.lost_at_most or 1.0, 5),
        "peer_bytes": SAMPLES * SEGMENT_BYTES,
        "ratio": round(sent / (SAMPLES * SEGMENT_BYTES), 5),
    }
