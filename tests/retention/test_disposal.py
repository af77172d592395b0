from __future__ import annotations

import os
import shutil
from datetime import timedelta

import pytest

from retention import disposal
from retention.check import Depth, Options, check
from retention.disposal import dispose_due
from retention.footage.sink import DirectorySyncFailed
from retention.policy import KeepReason
from retention.records.clock import EPOCH, from_micros, to_text
from retention.records.ids import SeededIds
from retention.records.keeping import HoldReleased
from retention.records.payloads import NodeStopped
from retention.store import footage, holds
from retention.store.database import NodeStore
from tests.conftest import IDENTITY
from tests.dying import die_at
from tests.retention.keeping_kit import DAY, Node, RealClock

FLOOR = 366 * DAY
HOUR = timedelta(hours=1)


def sound(node: Node, tmp_path) -> None:
    now = node.clock.now() + timedelta(minutes=1)
    assert check(tmp_path, Depth.DIGESTS, Options(now=now)).bad == []


def rows(node: Node) -> list[footage.SegmentRow]:
    with node.store.read() as connection:
        return list(footage.segments_in_log_order(connection))


# -- when ------------------------------------------------------------------------------------------


def test_a_day_before_its_floor_it_stays_and_a_day_after_it_is_gone_and_recorded(node, tmp_path):
    row = node.seal()
    node.advance(FLOOR - DAY)
    done = node.dispose()
    assert (done.segments, node.files()) == (0, [row.path])
    node.advance(2 * DAY)
    done = node.dispose()
    assert (done.segments, done.bytes, node.files(), node.segments()) == (1, row.bytes, [], [])
    (said,) = node.payloads("segment.disposed")
    assert (said["segment"], said["sequence"]) == (row.id, row.sequence)
    assert said["owed_until"] >= to_text(from_micros(row.ended_at) + FLOOR)
    (summary,) = node.payloads("footage.disposed")
    assert (summary["segments"], summary["bytes"]) == (1, row.bytes)
    sound(node, tmp_path)


def test_every_camera_gets_one_summary_a_pass(node, tmp_path):
    for camera in ("counter-1", "counter-2"):
        for _ in range(3):
            node.seal(camera)
            node.advance(timedelta(minutes=1))
    node.advance(FLOOR + DAY)
    assert node.dispose().segments == 6
    found = [(said["camera"], said["segments"]) for said in node.payloads("footage.disposed")]
    assert found == [("counter-1", 3), ("counter-2", 3)]
    assert node.dispose().segments == 0
    assert len(node.payloads("footage.disposed")) == 2
    sound(node, tmp_path)


def test_limit_ends_a_pass_and_the_next_goes_on_with_the_oldest(node):
    kept = []
    for _ in range(5):
        kept.append(node.seal().id)
        node.advance(timedelta(minutes=1))
    node.advance(FLOOR + DAY)
    first = node.dispose(limit=2)
    assert (first.segments, first.more, node.segments()) == (2, True, kept[2:])
    second = node.dispose(limit=3)
    assert (second.segments, node.segments()) == (3, [])
    assert not node.dispose().more


def test_empty_folders_go_and_others_stay(node):
    old, other = node.seal(), node.seal("counter-2")
    node.advance(2 * DAY)
    new = node.seal()
    folder = node.root / old.path.rpartition("/")[0]
    keepsake = node.root / other.path.rpartition("/")[0] / "keepsake.txt"
    keepsake.write_text("not ours to delete")
    node.advance(FLOOR - DAY)
    node.dispose()
    assert not folder.exists()
    assert keepsake.exists()
    assert node.files() == [new.path]


def test_longer_policy_reaches_what_is_held_and_a_shorter_one_only_what_comes(node):
    early = node.seal()
    node.advance(DAY)
    node.promise(3, version=1)
    node.advance(DAY)
    middle = node.seal()
    node.advance(DAY)
    node.promise(1, version=2)
    node.advance(DAY)
    late = node.seal()
    node.advance(FLOOR + DAY)
    node.dispose()
    assert node.segments() == [early.id, middle.id]
    assert late.path not in node.files()
    node.advance(FLOOR)
    assert node.dispose().segments == 0
    node.advance(FLOOR)
    node.dispose()
    assert node.segments() == []


# -- clocks ---------------------------------------------------------------------------------------


def test_wall_clock_a_year_ahead_deletes_nothing(node, machine):
    node.seal()
    machine.jump(2 * FLOOR)
    assert node.dispose().segments == 0
    machine.reboot(wall=machine.real + 2 * FLOOR)
    assert node.dispose().segments == 0


def test_footage_of_a_dead_battery_is_kept_its_year(node, machine):
    """It says 1970; it was recorded now."""
    node.advance(HOUR)
    machine.reboot(after=DAY, wall=EPOCH)
    node.tick()
    row = node.seal(at=EPOCH + DAY)
    made = machine.real
    machine.correct()
    machine.reboot()
    node.advance(HOUR)
    assert node.dispose().segments == 0
    node.advance(FLOOR - (machine.real - made) - DAY)
    assert (node.dispose().segments, node.files()) == (0, [row.path])
    node.advance(3 * DAY)
    assert node.dispose().segments == 1


def test_footage_that_was_dated_back_is_kept_from_when_it_was_sealed(node, machine):
    row = node.seal(at=machine.real - FLOOR + DAY)
    node.advance(FLOOR - DAY)
    assert (node.dispose().segments, node.files()) == (0, [row.path])


def test_nothing_goes_while_the_clock_is_in_doubt(node, machine):
    node.seal()
    node.advance(FLOOR + DAY)
    machine.jump(HOUR)
    done = node.dispose()
    assert (done.segments, done.kept) == (0, {KeepReason.CLOCK_NOT_TRUSTED: 1})
    machine.reboot()
    assert node.dispose().segments == 1


def test_nothing_goes_that_central_has_not_countersigned(node):
    node.central = True
    node.hear_central()
    node.seal()
    node.advance(FLOOR + DAY)
    assert node.dispose().segments == 0  # nothing but the anchor was ever agreed
    node.record(NodeStopped(reason="asked"))
    with node.store.write() as connection:
        connection.execute("UPDATE trusted_time SET passed_at = passed_at + 1")
    done = node.dispose()
    assert (done.segments, done.kept) == (0, {KeepReason.OWED_TO_CENTRAL: 1})
    node.hear_central()
    node.advance(FLOOR + DAY)
    assert node.dispose().segments == 1


# -- holds ----------------------------------------------------------------------------------------


def test_each_scope_of_hold_keeps_its_footage_and_no_other(node):
    session = node.serve("a" * 64)
    held = node.seal()
    node.advance(DAY)
    of_person = node.serve("b" * 64, purchaser="c" * 64)
    collected = node.seal()
    node.advance(DAY)
    spanned, other_camera = node.seal(), node.seal("counter-2")
    start = from_micros(spanned.started_at)
    node.advance(DAY)
    node.seal()
    placed = [
        node.hold("session", session=session),
        node.hold("person", person_ref="c" * 64),
        node.hold(
            "span",
            started_at=to_text(start),
            ended_at=to_text(start + HOUR),
            cameras=("counter-1",),
        ),
    ]
    node.advance(2 * FLOOR)
    node.dispose()
    assert node.files() == sorted([held.path, collected.path, spanned.path])
    assert other_camera.path not in node.files()
    assert of_person != session
    for hold, gone in zip(placed, (held, collected, spanned), strict=True):
        released = HoldReleased(hold=hold, authority="inspector", author="i", reason="over")
        with node.store.write() as connection:
            holds.release(node.store, connection, released)
        assert node.dispose().segments == 1
        assert gone.path not in node.files()


def test_hold_on_the_pharmacy_keeps_everything(node):
    node.seal()
    node.hold("pharmacy")
    node.advance(2 * FLOOR)
    assert (node.dispose().segments, len(node.files())) == (0, 1)


def test_hold_survives_a_restart(node, machine, tmp_path):
    node.seal()
    node.hold("pharmacy")
    node.store.close()
    node.store = NodeStore(tmp_path / "node.sqlite3", IDENTITY, machine, SeededIds(5))
    node.__post_init__()
    node.advance(2 * FLOOR)
    assert (node.dispose().segments, len(node.files())) == (0, 1)


def test_hold_on_a_session_that_this_database_does_not_know_keeps_its_day(node, machine):
    """A rebuilt index knows footage and no sessions; the id of a session says when it was."""
    session = f"{int(machine.real.timestamp() * 1000):012x}"
    session = f"{session[:8]}-{session[8:]}-7000-8000-000000000000"
    row = node.seal()
    node.advance(3 * DAY)
    other = node.seal()
    node.hold("session", session=session)
    node.advance(2 * FLOOR)
    node.dispose()
    assert (node.segments(), node.files()) == ([row.id], [row.path])
    assert other.path not in node.files()


def test_hold_that_is_placed_between_tombstone_and_unlink_wins(node, tmp_path, monkeypatch):
    row = node.seal()
    node.advance(FLOOR + DAY)
    remove = disposal._Pass._remove

    def held_meanwhile(self, marked):
        node.hold("pharmacy")
        remove(self, marked)

    monkeypatch.setattr(disposal._Pass, "_remove", held_meanwhile)
    assert node.dispose().segments == 0
    (found,) = rows(node)
    assert (found.id, found.state, node.files()) == (row.id, "sealed", [row.path])
    sound(node, tmp_path)


# -- files that are not what they should be -------------------------------------------------------


def grow(node: Node, row: footage.SegmentRow) -> None:
    with (node.root / row.path).open("ab") as file:
        file.write(b"x")


def swap(node: Node, row: footage.SegmentRow) -> None:
    other = node.seal("counter-2")
    (node.root / row.path).write_bytes((node.root / other.path).read_bytes())


def take_away(node: Node, row: footage.SegmentRow) -> None:
    (node.root / row.path).unlink()


def scrubbed(node: Node, row: footage.SegmentRow) -> None:
    with node.store.write() as connection:
        footage.add_incident(node.store, connection, "FOOTAGE_CHANGED", row.path, "digest")


@pytest.mark.parametrize(
    ("happens", "incident"),
    [
        (grow, "FOOTAGE_CHANGED"),
        (swap, "FOOTAGE_CHANGED"),
        (take_away, "FOOTAGE_MISSING"),
        (scrubbed, "FOOTAGE_CHANGED"),
    ],
)
def test_file_that_is_not_what_was_sealed_stays_until_somebody_looks(node, happens, incident):
    row = node.seal()
    happens(node, row)
    node.advance(FLOOR + DAY)
    node.dispose()
    assert (incident, row.path) in node.incidents()
    assert row.id in node.segments()
    before = len(node.kinds())
    node.dispose()
    assert (row.id in node.segments(), len(node.kinds())) == (True, before)
    assert not [said for said in node.payloads("segment.disposed") if said["segment"] == row.id]


def test_volume_that_is_not_there_is_left_alone(node):
    row = node.seal()
    node.advance(FLOOR + DAY)
    away = node.root.with_name("pulled-out")
    node.root.rename(away)
    done = node.dispose()
    assert (done.segments, done.unreachable, done.incidents) == (0, ("main",), 0)
    node.root.mkdir()  # an empty mount point
    assert node.dispose().unreachable == ("main",)
    assert node.segments() == [row.id]
    node.root.rmdir()
    away.rename(node.root)
    assert node.dispose().segments == 1


def test_file_that_cannot_be_removed_stays_with_its_row(node, monkeypatch):
    row = node.seal()
    node.advance(FLOOR + DAY)

    def refuse(path):
        raise PermissionError(1, "Operation not permitted", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        node.dispose()
    assert [one.state for one in rows(node)] == ["sealed"]
    assert node.incidents() == {("UNREADABLE_FILE", row.path)}
    assert node.dispose().segments == 1


def test_folder_that_cannot_be_made_durable_ends_the_process(node, tmp_path, monkeypatch):
    node.seal()
    node.advance(FLOOR + DAY)

    def fail(path):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(disposal, "fsync_directory", fail)
        with pytest.raises(DirectorySyncFailed):
            node.dispose()
    assert [one.state for one in rows(node)] == ["tombstoned"]
    assert node.payloads("segment.disposed") == []
    assert node.dispose().segments == 1
    sound(node, tmp_path)


@pytest.mark.parametrize("file_is_gone", [True, False])
def test_tombstone_on_what_is_owed_is_taken_back(node, file_is_gone):
    """Nobody's tombstone makes a deletion lawful: the floor is asked again."""
    row = node.seal()
    node.forge("UPDATE segments SET state = 'tombstoned'")
    if file_is_gone:
        take_away(node, row)
    assert node.dispose().segments == 0
    assert [one.state for one in rows(node)] == ["sealed"]
    assert node.incidents() == ({("FOOTAGE_MISSING", row.path)} if file_is_gone else set())
    assert len(node.files()) == (not file_is_gone)


def test_file_that_changed_after_its_tombstone_stays(node):
    row = node.seal()
    node.advance(FLOOR + DAY)
    node.forge("UPDATE segments SET state = 'tombstoned'")
    grow(node, row)
    assert (node.dispose().segments, node.files()) == (0, [row.path])
    assert node.incidents() == {("FOOTAGE_CHANGED", row.path)}


# -- crashes --------------------------------------------------------------------------------------

STEPS = ("unlink", "fsync", "rmdir", "open")


def test_killed_before_any_disk_call_it_leaves_footage_or_the_record_of_its_disposal(
    node, machine, tmp_path
):
    """A child is killed before its first disk call, one before its second, …; what is left is
    sound, and the next pass finishes it."""
    for _ in range(3):
        node.seal()
        node.advance(DAY)
    kept = node.seal()
    node.advance(FLOOR - DAY / 2)
    node.store.close()
    now, boot = machine.now(), machine.monotonic_ns()
    died, step = True, 0
    while died:
        step += 1
        data = tmp_path / f"crash-{step}"
        data.mkdir()
        shutil.copy(tmp_path / "node.sqlite3", data)
        shutil.copytree(tmp_path / "footage", data / "footage")

        def opened(seed, data=data) -> Node:
            clock = RealClock(now)
            clock._monotonic_ns = boot
            store = NodeStore(data / "node.sqlite3", IDENTITY, clock, SeededIds(seed))
            return Node(store, data / "footage", clock)

        def act(opened=opened) -> None:
            made = opened(1000)
            dispose_due(made.store, made.volumes, 10, lambda: None, central=False)

        died = die_at(step, STEPS, act)
        left = opened(2000)
        disposed = {said["segment"] for said in left.payloads("segment.disposed")}
        held = {row.id: row for row in rows(left)}
        assert disposed.isdisjoint(held)
        assert len(disposed) + len(held) == 4
        for row in held.values():
            assert row.state == "tombstoned" or (left.root / row.path).exists()
        sound(left, data)
        left.dispose()
        assert (left.segments(), left.files()) == ([kept.id], [kept.path])
        assert len(left.payloads("segment.disposed")) == 3
        assert sum(int(said["segments"]) for said in left.payloads("footage.disposed")) == 3
        sound(left, data)
        left.store.close()
    assert step > 8


def test_crash_between_unlink_and_record_is_finished_at_the_next_pass(node, tmp_path, monkeypatch):
    node.seal()
    node.advance(FLOOR + DAY)

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(disposal.rows_of, "footage_gone", crash)
        with pytest.raises(KeyboardInterrupt):
            node.dispose()
    assert node.files() == []
    assert [one.state for one in rows(node)] == ["tombstoned"]
    sound(node, tmp_path)
    assert node.dispose().segments == 1
    sound(node, tmp_path)


# -- how much it looks at --------------------------------------------------------------------------


def test_pass_looks_only_at_what_is_due_and_at_no_held_stretch(node):
    """What a policy or a hold keeps costs nothing, however much it is."""
    for _ in range(200):
        node.seal()
        node.advance(timedelta(minutes=1))
    start = node.clock.now() - 2 * HOUR
    node.hold("span", started_at=to_text(start - HOUR), ended_at=to_text(start + HOUR))
    before = node.dispose()
    assert before.kept.total() == 0
    node.advance(FLOOR + DAY)
    done = node.dispose()
    assert 0 < done.segments < 200
    assert done.kept.total() <= 2
