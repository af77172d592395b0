"""Footage over real sockets: sealed on request, sent and checked, although the collector dies."""

from __future__ import annotations

import hashlib
import random
import secrets
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zmq
from sqlalchemy import insert, select

from central import keeping
from central.challenges import Result, start
from central.config import FootageConfig
from central.footage_commands import issue
from central.keys import load_keys
from central.standing import HOLDS
from central.tables import CommandRow, Session, table_of
from edge.commands.process import run as run_commands
from edge.process import ProcessContext
from retention.records.canonical import canonical_bytes
from retention.records.clock import SystemClock, from_micros, to_micros, to_text
from retention.records.ids import SystemIds
from retention.records.keeping import Hold
from retention.records.merkle import chunk_root
from retention.records.payloads import SceneRole, SegmentSealed
from retention.store import holds
from retention.store.log import append
from tests.central.test_collector_process import Rig, until

CONTENT = random.Random(6).randbytes(3_000_000)
COMMANDS = table_of(CommandRow)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    simulated = made.edge.cameras[0].model_copy(update={"simulated": True})
    made.edge = made.edge.model_copy(update={"cameras": (simulated,)})
    yield made
    made.close()


def seal(rig: Rig, started_at: int, ended_at: int) -> str:
    segment = SystemIds().new()
    rig.edge.volumes(rig.store).open()
    (rig.edge.footage_root / f"{segment}.mp4").write_bytes(CONTENT)
    payload = SegmentSealed(
        segment=segment,
        camera="c",
        scene_role=SceneRole.PURCHASE,
        run=segment,
        ordinal=0,
        started_at=to_text(from_micros(started_at)),
        ended_at=to_text(from_micros(ended_at)),
        duration_ms=(ended_at - started_at) // 1000,
        bytes=len(CONTENT),
        codec="h264",
        file_sha256=hashlib.sha256(CONTENT).hexdigest(),
        chunk_root=chunk_root(CONTENT).hex(),
        recovered=False,
        truncated_bytes=0,
    )
    with rig.store.write() as connection:
        record = append(rig.store, connection, payload)
        connection.execute(
            "INSERT INTO segments (id, camera, scene_role, run, ordinal, started_at, ended_at,"
            " bytes, codec, file_sha256, chunk_root, path, state, sequence)"
            " VALUES (?, 'c', 'purchase', ?, 0, ?, ?, ?, 'h264', ?, ?, ?, 'sealed', ?)",
            (
                segment, segment, started_at, ended_at, len(CONTENT), payload.file_sha256,
                payload.chunk_root, f"{segment}.mp4", record.sequence,
            ),
        )  # fmt: skip
    return segment


def ask(rig: Rig, started_at: int, ended_at: int) -> None:
    now, sessions = to_micros(SystemClock().now()), table_of(Session)
    with rig.database.write() as connection:
        connection.execute(
            insert(sessions).values(
                agency="430100", pharmacy="P1", node="node-a", session=SystemIds().new(),
                opened_at=started_at, proxy=0, span_started_at=started_at, span_ended_at=ended_at,
            )
        )  # fmt: skip
        issue(
            connection, connection.execute(select(sessions)).one(), FootageConfig(),
            load_keys(rig.central).signer, command_id=SystemIds().new(), actor="admin",
            reason="case 12", cameras=(), now=now,
        )  # fmt: skip


def outcome(rig: Rig) -> tuple[str | None, str | None]:
    with rig.database.read() as connection:
        row = connection.execute(select(COMMANDS.c.outcome, COMMANDS.c.detail)).one()
        return row.outcome, row.detail


def test_footage_is_sealed_on_request_and_sent_although_the_collector_dies(
    rig: Rig, zmq_context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    rig.enrol()
    now = to_micros(SystemClock().now())
    stop = threading.Event()
    thread = threading.Thread(
        target=run_commands, args=(ProcessContext(rig.edge, stop, lambda: None),)
    )
    with rig.uplink(), zmq_context.socket(zmq.PULL) as recorder:
        recorder.bind(rig.edge.socket("recorder-c"))
        first = seal(rig, now - 20_000_000, now - 10_000_000)
        ask(rig, now - 20_000_000, now - 1_000_000)
        thread.start()
        try:
            assert recorder.poll(20_000)
            assert recorder.recv() == b"seal"
            rig.kill()
            second = seal(rig, now - 10_000_000, now)
            rig.start()
            until(lambda: outcome(rig)[0] is not None)
        finally:
            stop.set()
            thread.join()
    assert outcome(rig) == ("sent", None)
    folder = rig.central.footage_root / "node-a"
    assert {path.name for path in folder.iterdir()} == {f"{first}.mp4", f"{second}.mp4"}
    assert all(path.read_bytes() == CONTENT for path in folder.iterdir())


def test_challenge_and_hold_are_answered_although_the_collector_dies(rig: Rig) -> None:
    rig.enrol()
    now = to_micros(SystemClock().now())
    segments = [seal(rig, now - n * 1_000_000, now - (n - 1) * 1_000_000) for n in range(12, 0, -1)]
    gone = rig.edge.footage_root / f"{segments[4]}.mp4"
    gone.unlink()
    signer, ids = load_keys(rig.central).signer, SystemIds()
    stop = threading.Event()
    thread = threading.Thread(
        target=run_commands, args=(ProcessContext(rig.edge, stop, lambda: None),)
    )
    with rig.uplink():
        until(lambda: rig.tree_size() >= len(segments))
        with rig.database.write() as connection:
            audit = start(
                connection, "node-a", signer, ids, secrets.randbelow, count=300,
                lasts=timedelta(hours=1), actor="admin", reason="spot check", now=now,
            )  # fmt: skip
            connection.execute(
                insert(HOLDS).values(
                    agency="430100", pharmacy="P1", hold=audit, scope="pharmacy",
                    body=canonical_bytes(
                        Hold(
                            hold=audit, scope="pharmacy", session=None, person_ref=None,
                            started_at=None, ended_at=None, cameras=(),
                        ).model_dump(mode="json")
                    ), actor="admin", reason="case 12", placed_at=now,
                )
            )  # fmt: skip
        thread.start()
        try:
            until(lambda: answered(rig, audit, now).answered > 0)
            rig.kill()
            rig.append(50)  # records go on, whatever is being proven
            rig.start()
            until(lambda: answered(rig, audit, now).state == "done" and rig.held() >= 50)
            until(lambda: standing(rig) == [audit])
        finally:
            stop.set()
            thread.join()
    found = answered(rig, audit, now)
    assert (found.audit.owed, found.held, found.missing) == (12, 11, 1)
    (missing,) = (row for row in read_samples(rig, audit) if row.verdict == "missing")
    assert (missing.cause, missing.camera) == ("FILE_MISSING", "c")


def answered(rig: Rig, audit: str, now: int) -> Result:
    with rig.database.read() as connection:
        found = keeping.audit(connection, audit, now)
    assert found is not None
    return found


def read_samples(rig: Rig, audit: str) -> Sequence[Any]:
    with rig.database.read() as connection:
        return keeping.samples(connection, audit)


def standing(rig: Rig) -> list[str]:
    with rig.store.read() as connection:
        return [hold.hold for hold in holds.standing(connection)]
