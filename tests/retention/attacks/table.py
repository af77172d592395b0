"""The attacks: what is done to the disk, and who must find it first.

`depth` is the shallowest depth at which `countersight retention check` (with central's key) names
it; `central` what central writes down when the node next talks to it. None: not seen there. `first`
is the beginning of the first bad thing. `scrub` is the incident that the node itself writes when it
has read all of its footage again, `challenge` why central does not hold the footage proven.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from datetime import timedelta

from retention.check import Depth
from retention.footage.layout import SegmentIdentity
from retention.footage.sink import Finished, SegmentSink, fingerprint_of, seal
from retention.records.canonical import canonical_bytes
from retention.records.clock import from_micros, to_text
from retention.records.keeping import SegmentDisposed
from retention.records.payloads import SceneRole
from retention.store.log import append
from tests.retention.attacks.world import (
    Attack,
    Pristine,
    World,
    changed,
    put_back,
    records,
    stop,
)

VICTIM = 5
"""The segment attacked: on the second day, under no hold."""
CUT = 4
"""Records that are cut off the end of the log."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table."""

    name: str
    attack: Attack
    depth: Depth | None
    first: str
    central: str | None
    scrub: str | None = None
    challenge: str | None = None


# -- the log --------------------------------------------------------------------------------------


def rewrite_bytes(world: World, _: Pristine) -> None:
    with world.sql() as connection:
        connection.execute(
            "UPDATE log SET bytes = CAST(replace(CAST(bytes AS TEXT), 'camera_unreachable',"
            " 'recorder_stopped') AS BLOB) WHERE kind = 'gap.closed'"
        )


def rewrite_and_sign(world: World, _: Pristine) -> None:
    with world.sql() as connection:
        log = records(connection)
        position = next(n for n, one in enumerate(log) if one.kind == "gap.closed")
        log[position] = changed(log[position], cause="recorder_stopped")
        put_back(connection, log)
        connection.execute("UPDATE gaps SET cause = 'recorder_stopped'")


def take_record_out(world: World, _: Pristine) -> None:
    with world.sql() as connection:
        log = [one for one in records(connection) if not one.kind.startswith("gap.")]
        put_back(connection, log)
        connection.execute("DELETE FROM gaps")


def cut_log(world: World, _: Pristine) -> None:
    """The newest segments and their records go; the checkpoints stay."""
    with world.sql() as connection:
        kept = connection.execute("SELECT tree_size, body, countersigned, made_at FROM checkpoints")
        checkpoints = [tuple(row) for row in kept]
        log = records(connection)
        put_back(connection, log[:-CUT])
        for size, body, countersigned, made_at in checkpoints:
            connection.execute(
                "INSERT INTO checkpoints VALUES (?, ?, ?, ?)", (size, body, made_at, countersigned)
            )
        connection.execute("DELETE FROM segments WHERE sequence < 0")
    _unlink_strangers(world)


def cut_log_and_checkpoints(world: World, _: Pristine) -> None:
    with world.sql() as connection:
        put_back(connection, records(connection)[:-CUT])
        connection.execute("DELETE FROM segments WHERE sequence < 0")
    _unlink_strangers(world)


def _unlink_strangers(world: World) -> None:
    with world.sql() as connection:
        known = {row["path"] for row in connection.execute("SELECT path FROM segments")}
    for file in world.root.rglob("*.mp4"):
        if str(file.relative_to(world.root)) not in known:
            file.unlink()


def roll_back(world: World, pristine: Pristine) -> None:
    """Yesterday's database in place of today's; the files stay."""
    for name in ("node.sqlite3", "node.sqlite3-wal", "node.sqlite3-shm"):
        (world.data / name).unlink(missing_ok=True)
        if (pristine.yesterday / name).exists():
            shutil.copy(pristine.yesterday / name, world.data / name)


def roll_back_all(world: World, pristine: Pristine) -> None:
    """The whole disk as it was yesterday."""
    shutil.rmtree(world.data)
    shutil.copytree(pristine.yesterday, world.data)


def fork(world: World, pristine: Pristine) -> None:
    """Yesterday's disk, and another day on top of it."""
    roll_back_all(world, pristine)
    for number in range(30):
        stop(world, f"another-day-{number}")


def edit_countersignature(world: World, _: Pristine) -> None:
    """Central is made to have seen the newest checkpoint a year later."""
    with world.sql() as connection:
        size, raw = connection.execute(
            "SELECT tree_size, countersigned FROM checkpoints ORDER BY tree_size DESC LIMIT 1"
        ).fetchone()
        signed = json.loads(raw)
        signed["countersignature"]["seen_at"] = "2027-06-01T00:00:00.000000Z"
        connection.execute(
            "UPDATE checkpoints SET countersigned = ? WHERE tree_size = ?",
            (canonical_bytes(signed), size),
        )


def empty_record(world: World, _: Pristine) -> None:
    """A record made to look as if it had been disposed of."""
    with world.sql() as connection:
        connection.execute("UPDATE log SET bytes = x'', disposed_by = 1 WHERE kind = 'gap.closed'")


# -- footage --------------------------------------------------------------------------------------


def edit_file(world: World, _: Pristine) -> None:
    path = world.path(VICTIM)
    raw = bytearray(path.read_bytes())
    raw[-10] ^= 1
    path.write_bytes(raw)


def lengthen_file(world: World, _: Pristine) -> None:
    with world.path(VICTIM).open("ab") as file:
        file.write(b"\x00\x00\x00\x08free")


def swap_files(world: World, _: Pristine) -> None:
    one, other = world.path(VICTIM), world.path(VICTIM + 1)
    kept = one.with_suffix(".kept")
    one.rename(kept)
    other.rename(one)
    kept.rename(other)


def edit_file_and_row(world: World, pristine: Pristine) -> None:
    edit_file(world, pristine)
    print_of = fingerprint_of(world.path(VICTIM))
    with world.sql() as connection:
        connection.execute(
            "UPDATE segments SET file_sha256 = ?, chunk_root = ? WHERE id = ?",
            (print_of.file_sha256(), print_of.chunk_root(), world.segments[VICTIM].id),
        )


def edit_file_row_and_record(world: World, pristine: Pristine) -> None:
    edit_file_and_row(world, pristine)
    print_of = fingerprint_of(world.path(VICTIM))
    with world.sql() as connection:
        log = records(connection)
        position = world.segments[VICTIM].sequence
        log[position] = changed(
            log[position], file_sha256=print_of.file_sha256(), chunk_root=print_of.chunk_root()
        )
        put_back(connection, log)


def forge_identity(world: World, _: Pristine) -> None:
    """The identity inside the file says another minute."""
    path, row = world.path(VICTIM), world.segments[VICTIM]
    old = to_text(from_micros(row.started_at)).encode()
    new = to_text(from_micros(row.started_at + 60_000_000)).encode()
    path.write_bytes(path.read_bytes().replace(old, new))


def delete_file(world: World, _: Pristine) -> None:
    world.path(VICTIM).unlink()


def delete_row(world: World, _: Pristine) -> None:
    with world.sql() as connection:
        connection.execute("DELETE FROM segments WHERE id = ?", (world.segments[VICTIM].id,))


def delete_file_and_row(world: World, pristine: Pristine) -> None:
    delete_file(world, pristine)
    delete_row(world, pristine)


def delete_file_row_and_record(world: World, pristine: Pristine) -> None:
    delete_file_and_row(world, pristine)
    with world.sql() as connection:
        log = records(connection)
        put_back(
            connection, [one for n, one in enumerate(log) if n != world.segments[VICTIM].sequence]
        )


def forge_disposal(world: World, pristine: Pristine) -> None:
    """A footage deletion that looks lawful: record, row and all, by the node's own code."""
    row = world.segments[VICTIM]
    delete_file(world, pristine)
    with world.node() as node, node.store.write() as connection:
        gone = SegmentDisposed(
            segment=row.id, sequence=row.sequence, camera=row.camera,
            scene_role=SceneRole(row.scene_role), started_at=to_text(from_micros(row.started_at)),
            ended_at=to_text(from_micros(row.ended_at)), bytes=row.bytes,
            file_sha256=row.file_sha256, owed_until=to_text(world.clock.now() - timedelta(days=1)),
        )  # fmt: skip
        record = append(node.store, connection, gone)
        connection.execute(
            "INSERT INTO disposals VALUES (?, ?, ?, 0)", (row.sequence, record.sequence, row.id)
        )
        connection.execute("DELETE FROM segments WHERE id = ?", (row.id,))


def forge_disposal_row(world: World, pristine: Pristine) -> None:
    """Only the rows say that it was disposed of."""
    row = world.segments[VICTIM]
    delete_file_and_row(world, pristine)
    with world.sql() as connection:
        connection.execute("INSERT INTO disposals VALUES (?, ?, ?, 0)", (row.sequence, 1, row.id))


def tombstone(world: World, _: Pristine) -> None:
    """Leave the deleting to the node."""
    with world.sql() as connection:
        connection.execute(
            "UPDATE segments SET state = 'tombstoned' WHERE id = ?", (world.segments[VICTIM].id,)
        )


def back_date(world: World, _: Pristine) -> None:
    """A segment made today for an hour of yesterday, with file, identity, row and record."""
    like = world.segments[0]
    raw = world.path(0).read_bytes()
    with world.node() as node:
        identity = SegmentIdentity(
            agency=node.identity.agency, pharmacy=node.identity.pharmacy, node=node.identity.node,
            camera=like.camera, scene_role=SceneRole(like.scene_role), run=node.ids.new(),
            ordinal=0, segment=node.ids.new(), codec=like.codec,
            started_at=to_text(from_micros(like.ended_at) + timedelta(hours=3)),
        )  # fmt: skip
        sink = SegmentSink(world.root, identity)
        sink.write(raw)
        done = sink.finish(identity.start + timedelta(seconds=4))
        seal(node.store, world.root, Finished(identity, done.part, done.fingerprint, done.ended_at))


def slip_in(world: World, _: Pristine) -> None:
    """A well-made file of ours without a row, for the next recovery to adopt."""
    like = world.segments[VICTIM]
    with world.node() as node:
        identity = SegmentIdentity(
            agency=node.identity.agency, pharmacy=node.identity.pharmacy, node="node-b",
            camera=like.camera, scene_role=SceneRole(like.scene_role), run=node.ids.new(),
            ordinal=0, segment=node.ids.new(), codec=like.codec,
            started_at=to_text(from_micros(like.ended_at) + timedelta(hours=1)),
        )  # fmt: skip
    sink = SegmentSink(world.root, identity)
    sink.write(world.path(VICTIM).read_bytes())
    done = sink.finish(identity.start)
    os.rename(done.part, world.root / identity.path())
    settled = world.clock.now().timestamp() - 3600
    os.utime(world.root / identity.path(), (settled, settled))


# -- what keeps it --------------------------------------------------------------------------------


def delete_hold(world: World, _: Pristine) -> None:
    with world.sql() as connection:
        connection.execute("DELETE FROM holds")


def release_hold(world: World, _: Pristine) -> None:
    with world.sql() as connection:
        connection.execute("UPDATE holds SET released_at = 1")


def edit_policy(world: World, _: Pristine) -> None:
    with world.sql() as connection:
        raw = connection.execute("SELECT body FROM policies").fetchone()[0]
        connection.execute(
            "UPDATE policies SET body = ?", (raw.replace(b'"years":2', b'"years":0'),)
        )


def edit_gap(world: World, _: Pristine) -> None:
    with world.sql() as connection:
        connection.execute("UPDATE gaps SET started_at = ended_at")


def move_trusted_time(world: World, _: Pristine) -> None:
    ahead = timedelta(days=4000) // timedelta(microseconds=1)
    with world.sql() as connection:
        connection.execute("UPDATE trusted_time SET passed_at = passed_at + ?", (ahead,))


def move_volume(world: World, _: Pristine) -> None:
    path = world.root / "volume.json"
    path.write_text(path.read_text().replace("node-a", "node-b"))


def new_rows_for_old(world: World, _: Pristine) -> None:
    """The index moves a segment an hour, so that a session finds other footage."""
    with world.sql() as connection:
        connection.execute(
            "UPDATE segments SET started_at = started_at + 3600000000,"
            " ended_at = ended_at + 3600000000 WHERE id = ?",
            (world.segments[VICTIM].id,),
        )


ROWS, SIZES, DIGESTS = Depth.ROWS, Depth.SIZES, Depth.DIGESTS
CASES: tuple[Case, ...] = (
    Case("a record rewritten", rewrite_bytes, ROWS, "log: record {gap}", None),
    Case("a record rewritten, the log signed again with the stolen key", rewrite_and_sign,
         None, "", "FORK leaf {gap}"),
    Case("records taken out, the log signed again", take_record_out,
         None, "", "FORK leaf {opened}; TRUNCATED record {shorter}"),
    Case("the log cut short", cut_log, ROWS, "checkpoints: checkpoint {size}",
         "FORK record {after_cut}; TRUNCATED record {cut}"),
    Case("the log cut short, its checkpoints too", cut_log_and_checkpoints, None, "",
         "FORK record {after_cut}; TRUNCATED record {cut}"),
    Case("yesterday's database", roll_back, SIZES, "files: counter-1/",
         "FORK record {after_yesterday}; TRUNCATED record {yesterday}"),
    Case("yesterday's disk", roll_back_all, None, "",
         "FORK record {after_yesterday}; TRUNCATED record {yesterday}"),
    Case("yesterday's disk, and another day on it (fork)", fork, None, "",
         "FORK record {after_yesterday}"),
    Case("a countersignature edited", edit_countersignature, ROWS,
         "checkpoints: checkpoint {size}", None),
    Case("a record emptied as if disposed of", empty_record, ROWS, "log: record {gap}", None),
    Case("a file edited", edit_file, DIGESTS, "digests: {path}", None,
         "FOOTAGE_CHANGED", "FILE_CHANGED"),
    Case("a file made longer", lengthen_file, SIZES, "files: {path}", None,
         "FOOTAGE_CHANGED", "FILE_CHANGED"),
    Case("two files exchanged", swap_files, DIGESTS, "digests: {path}", None,
         "FOOTAGE_CHANGED", "FILE_CHANGED"),
    Case("a file edited, its index row too", edit_file_and_row, ROWS, "segments: {path}", None,
         None, "CHUNK_REJECTED"),
    Case("a file edited, row and record too, signed again", edit_file_row_and_record,
         None, "", "FORK leaf {sealed}"),
    Case("the identity inside a file forged", forge_identity, DIGESTS, "digests: {path}", None,
         "FOOTAGE_CHANGED", "FILE_CHANGED"),
    Case("a file deleted", delete_file, SIZES, "files: {path}", None,
         "FOOTAGE_MISSING", "FILE_MISSING"),
    Case("an index row deleted", delete_row, ROWS, "segments: {segment}", None,
         None, "ROW_MISSING"),
    Case("a file and its row deleted", delete_file_and_row, ROWS, "segments: {segment}", None,
         None, "ROW_MISSING"),
    Case("a file, its row and its record deleted, signed again", delete_file_row_and_record,
         None, "", "FORK record {after_sealed}"),
    Case("a disposal forged, record and all", forge_disposal, ROWS, "promises: {segment}", None,
         None, "DISPOSED_EARLY"),
    Case("a disposal forged in the rows only", forge_disposal_row,
         ROWS, "segments: disposals", None, None, "DISPOSAL_MISPLACED"),
    Case("a tombstone set", tombstone, ROWS, "promises: {path}", None),
    Case("an index row moved in time", new_rows_for_old, ROWS, "segments: {path}", None),
    Case("a segment back-dated, file, row and record", back_date,
         ROWS, "segments: counter-1/", None),
    Case("a file of another node slipped in", slip_in, SIZES, "files: counter-1/", None),
    Case("a hold deleted", delete_hold, ROWS, "holds: ", None),
    Case("a hold released in its row", release_hold, ROWS, "holds: ", None),
    Case("a policy edited", edit_policy, ROWS, "policies: hunan 1", None),
    Case("a gap edited away", edit_gap, ROWS, "gaps: ", None),
    Case("trusted time set ahead", move_trusted_time, ROWS, "promises: trusted time", None),
    Case("a disk of another node put in place", move_volume, SIZES, "volume: volume.json", None),
)  # fmt: skip

WORDS = {
    "path": "its path", "segment": "its id", "gap": "N", "opened": "N", "sealed": "N", "size": "N",
    "shorter": "N", "cut": "N", "yesterday": "N", "after_cut": "N", "after_yesterday": "N",
    "after_sealed": "N",
}  # fmt: skip


def rendered() -> str:
    """Return the table as docs/design/attacks.md shows it."""
    lines = [
        "| attack | `retention check` | first bad thing | next checkpoint | challenge | scrub |",
        "|---|---|---|---|---|---|",
    ]
    for case in CASES:
        depth = "–" if case.depth is None else f"`{case.depth.name.lower()}`"
        shown = [
            f"`{said.format(**WORDS).strip()}`" if said else "–"
            for said in (case.first, case.central, case.challenge, case.scrub)
        ]
        lines.append(f"| {case.name} | {depth} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(rendered(), end="")
