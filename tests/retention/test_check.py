from __future__ import annotations

import errno
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from retention import cli
from retention.check import Depth, check
from retention.checking import digests
from retention.footage.layout import SegmentIdentity
from retention.footage.sink import Fingerprint, Finished, SegmentSink, seal
from retention.footage.volume import open_volume
from retention.keyfiles import KeyDirectory
from retention.records.checkpoint import Checkpoint, SignedCheckpoint
from retention.records.clock import to_text
from retention.records.payloads import NodeStopped, SceneRole, SegmentSealed
from retention.records.signing import Context
from retention.store import footage
from retention.store.database import NodeStore
from retention.store.log import append, read_frontier


def identity_of(store: NodeStore) -> SegmentIdentity:
    node = store.identity
    return SegmentIdentity(
        agency=node.agency,
        pharmacy=node.pharmacy,
        node=node.node,
        camera="counter-1",
        scene_role=SceneRole.PURCHASE,
        run=store.ids.new(),
        ordinal=0,
        segment=store.ids.new(),
        started_at=to_text(store.clock.now()),
        codec="h264",
    )


def finished(store: NodeStore, root: Path) -> Finished:
    sink = SegmentSink(root, identity_of(store))
    sink.write(b"\x00\x00\x00\x08ftyp" + b"\x00\x00\x13\x88free" + bytes(4992))
    return sink.finish(store.clock.now())


@pytest.fixture
def data(store, tmp_path: Path) -> Path:
    """A data folder with a signed checkpoint and one sealed file (its content need not play)."""
    root, node = tmp_path / "footage", store.identity
    open_volume(root, store)
    seal(store, root, finished(store, root))
    signer = KeyDirectory(tmp_path / "keys").signer()
    with store.write() as connection:
        append(store, connection, NodeStopped(reason="asked"))
        frontier, sent = read_frontier(connection)
        checkpoint = Checkpoint(
            agency=node.agency,
            pharmacy=node.pharmacy,
            node=node.node,
            tree_size=frontier.size,
            root_hash=frontier.root().hex(),
            sent_count=sent,
            digest="sha-256",
            occurred_at=to_text(store.clock.now()),
        )
        signed = SignedCheckpoint(
            checkpoint=checkpoint, signature=signer.sign(Context.CHECKPOINT, checkpoint)
        )
        connection.execute(
            "INSERT INTO checkpoints VALUES (?, ?, 0, NULL)",
            (frontier.size, signed.model_dump_json().encode()),
        )
        append(store, connection, NodeStopped(reason="asked"))
    return tmp_path


def test_sound_folder_holds_at_every_depth(data):
    for depth in Depth:
        report = check(data, depth)
        assert report.bad == []
    assert report.counts["files_hashed"] == report.counts["checkpoints"] == 1


TAMPERING = {
    "rewritten record": (
        "UPDATE log SET bytes = CAST(replace(CAST(bytes AS TEXT), 'asked', 'other') AS BLOB)"
        " WHERE sequence = 2",
        "record 2",
    ),
    "record taken out": ("DELETE FROM log WHERE sequence = 2", "record 3"),
    "log cut short": ("DELETE FROM log WHERE sequence = 3", "frontier"),
    "row of another kind": ("UPDATE log SET kind = 'other' WHERE sequence = 2", "record 2"),
    "leaf swapped": ("UPDATE log SET leaf = zeroblob(32) WHERE sequence = 3", "record 3"),
    "sent number skipped": ("UPDATE log SET sent_sequence = 7 WHERE sequence = 3", "record 3"),
    "checkpoint of another size": ("UPDATE checkpoints SET tree_size = 1", "checkpoint 1"),
    "checkpoint unreadable": ("UPDATE checkpoints SET body = x'00'", "checkpoint 3"),
    "digest in the index": ("UPDATE segments SET file_sha256 = chunk_root", "counter-1/"),
    "index row gone": ("DELETE FROM segments", "0000"),
    "gap without a record": (
        "INSERT INTO gaps VALUES ('g', 'counter-1', 'purchase', 1, 2, 'unknown', 'footage')",
        "g",
    ),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_with_the_database_is_named(data, store, name):
    statement, subject = TAMPERING[name]
    with store.write() as connection:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute(statement)
    report = check(data, Depth.ROWS)
    assert not report.ok
    assert report.to_json()["first_bad"]["subject"].startswith(subject)


def test_checkpoint_of_another_key_is_named(data, store):
    with store.write() as connection:
        (body,) = connection.execute("SELECT body FROM checkpoints").fetchone()
        signed = json.loads(body)
        value = signed["signature"]["value"]
        signed["signature"]["value"] = ("B" if value[0] == "A" else "A") + value[1:]
        connection.execute("UPDATE checkpoints SET body = ?", (json.dumps(signed).encode(),))
    assert [bad.check for bad in check(data, Depth.ROWS).bad] == ["checkpoints"]


def test_checkpoint_of_another_log_is_named_even_without_the_key(data, store):
    (data / "keys" / "signing.key").unlink()
    with store.write() as connection:
        (body,) = connection.execute("SELECT body FROM checkpoints").fetchone()
        signed = json.loads(body)
        signed["checkpoint"]["root_hash"] = "0" * 64
        connection.execute("UPDATE checkpoints SET body = ?", (json.dumps(signed).encode(),))
    (bad,) = check(data, Depth.ROWS).bad
    assert bad.detail == "the log does not have this root"


def test_file_of_another_size_is_named(data):
    with next(data.rglob("*.mp4")).open("ab") as file:
        file.write(b"x")
    (bad,) = check(data, Depth.SIZES).bad
    assert bad.detail.startswith("FOOTAGE_CHANGED")


def test_flipped_byte_is_seen_by_digests_only(data):
    path = next(data.rglob("*.mp4"))
    content = bytearray(path.read_bytes())
    content[4000] ^= 1
    path.write_bytes(content)
    assert check(data, Depth.SIZES).ok
    (bad,) = check(data, Depth.DIGESTS).bad
    assert (bad.check, bad.subject) == ("digests", str(path.relative_to(data / "footage")))


def test_lost_file_stray_file_and_lost_volume_are_named(data):
    next(data.rglob("*.mp4")).unlink()
    (data / "footage" / "counter-1" / "stray").write_text("x")
    assert check(data, Depth.ROWS).ok
    said = [f"{bad.check} {bad.detail}" for bad in check(data, Depth.SIZES).bad]
    assert len(said) == 2
    assert any("FOOTAGE_MISSING" in line for line in said)
    assert any("UNEXPLAINED_FILE" in line or "day's folder" in line for line in said)
    (data / "footage" / "volume.json").unlink()
    report = check(data, Depth.SIZES)
    assert [bad.check for bad in report.bad] == ["volume"]
    assert "files of volume main: not reachable" in report.skipped


def test_unreadable_keys_are_skipped_and_said(data):
    (data / "keys" / "signing.key").chmod(0o644)
    report = check(data, Depth.ROWS)
    assert report.ok
    assert any("signatures" in line for line in report.skipped)


def test_command_line_prints_one_object_and_its_exit_code(data, capsys):
    assert cli.main(["check", "--data", str(data), "--depth", "digests", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    next(data.rglob("*.mp4")).unlink()
    assert cli.main(["check", "--data", str(data), "--json"]) == 1
    assert "FOOTAGE_MISSING" in json.loads(capsys.readouterr().out)["first_bad"]["detail"]
    assert cli.main(["check", "--data", str(data)]) == 1
    assert "BAD files" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["check"], ["check", "--data", "x", "--depth", "y"]])
def test_wrong_usage_is_two(arguments, capsys):
    assert cli.main(arguments) == 2


def test_folder_without_a_database_is_one_clear_line(tmp_path, capsys):
    assert cli.main(["check", "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_chunk_root_and_identity_are_read_again_from_the_file(data, store, monkeypatch):
    root = data / "footage"
    monkeypatch.setattr(Fingerprint, "chunk_root", lambda _: "0" * 64)
    wrong_root = seal(store, root, finished(store, root))
    monkeypatch.undo()
    other = finished(store, root)
    moved = replace(other, identity=identity_of(store))
    seal(store, root, moved)
    said = {bad.subject.split("/")[-1][:36]: bad.detail for bad in check(data, Depth.DIGESTS).bad}
    assert said.keys() == {wrong_root.segment, moved.identity.segment}
    assert said[wrong_root.segment] == "chunk root is not the one recorded"
    assert other.identity.segment in said[moved.identity.segment]


def test_record_of_another_node_is_named(data, store):
    mine, store.identity = store.identity, replace(store.identity, node="node-b")
    with store.write() as connection:
        append(store, connection, NodeStopped(reason="asked"))
    store.identity = mine
    (bad,) = check(data, Depth.ROWS).bad
    assert bad.detail == "a record of node node-b"


@pytest.mark.parametrize(
    ("starts", "ends", "said"),
    [([0, 5], [10, 15], "begins before segment 0 ends"), ([9], [5], "ends before it begins")],
)
def test_time_that_runs_backwards_in_a_run_is_named(data, store, starts, ends, said):
    first, began = identity_of(store), store.clock.now()
    for ordinal, (start, end) in enumerate(zip(starts, ends, strict=True)):
        times = [to_text(began + timedelta(seconds=at)) for at in (start, end)]
        sealed = SegmentSealed(
            segment=store.ids.new(), camera=first.camera, scene_role=first.scene_role,
            run=first.run, ordinal=ordinal, started_at=times[0], ended_at=times[1],
            duration_ms=0, bytes=1, codec="h264", file_sha256="0" * 64, chunk_root="0" * 64,
            recovered=False, truncated_bytes=0,
        )  # fmt: skip
        with store.write() as connection:
            footage.insert_segment(store, connection, sealed, f"counter-1/{sealed.segment}")
    (bad,) = check(data, Depth.ROWS).bad
    assert (bad.check, bad.detail) == ("runs", said)


def test_volume_and_version_of_another_node_are_named(data):
    path = data / "footage" / "volume.json"
    path.write_text(path.read_text().replace("node-a", "node-b"))
    (data / "VERSION").write_text('{"database_id": "other"}')
    assert [bad.check for bad in check(data, Depth.SIZES).bad] == ["version", "volume"]
    (data / "VERSION").write_text("{")
    assert [bad.check for bad in check(data, Depth.ROWS).bad] == ["version"]


def test_empty_or_damaged_database_is_one_clear_line(data, store, capsys):
    with store.write() as connection:
        connection.execute("DELETE FROM node")
    assert cli.main(["check", "--data", str(data)]) == 2
    (data / "other").mkdir()
    (data / "other" / "node.sqlite3").write_bytes(b"SQLite format 3\0" + bytes(5000))
    assert cli.main(["check", "--data", str(data / "other")]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_database_of_other_software_is_one_clear_line(data, store, capsys):
    with store.write() as connection:
        connection.execute("PRAGMA user_version = 99")
    assert cli.main(["check", "--data", str(data)]) == 2
    assert "schema version 99" in capsys.readouterr().err


def test_file_that_cannot_be_read_is_named(data, monkeypatch):
    def failing(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(digests, "fingerprint_of", failing)
    (bad,) = check(data, Depth.DIGESTS).bad
    assert bad.detail == "cannot be read: Input/output error"


def test_many_findings_end_the_check_and_it_says_so(data):
    for number in range(150):
        (data / "footage" / f"stray-{number}").write_text("x")
    report = check(data, Depth.SIZES)
    assert len(report.bad) == 100
    assert "what comes after 100 findings" in report.skipped
