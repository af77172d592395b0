"""The background reading of every segment: what it finds, how much it reads, where it goes on."""

from __future__ import annotations

import errno
import os
import shutil
from datetime import timedelta

import pytest

from retention import scrub as scrub_module
from retention.footage.sweep import sweep
from retention.footage.volume import open_volume
from retention.footage.volumes import Volumes
from retention.scrub import Scrub
from retention.store import scrubs
from retention.store.alarms import Alarm, open_alarms, raise_alarm
from retention.store.log import all_records

RATE = 10_000_000


@pytest.fixture
def volumes(store, root):
    open_volume(root, store)
    return Volumes(store, {"main": root}, ("main",))


@pytest.fixture
def scrub(store, volumes):
    made = Scrub(store, volumes, RATE)
    yield made
    made.close()


@pytest.fixture
def films(camera, volumes, root):
    """Three sealed segments, oldest first."""
    found = []
    for _ in range(3):
        sealed = camera.record()
        camera.store.clock.advance(timedelta(seconds=4))
        found.append(next(root.rglob(f"{sealed.segment}.mp4")))
    return found


def run(scrub: Scrub, clock, seconds: int = 30) -> int:
    """Let half-second steps go by."""
    done = 0
    for _ in range(2 * seconds):
        clock.advance(timedelta(seconds=0.5))
        done += scrub.step()
    return done


def said(store, kind: str) -> list[dict[str, object]]:
    with store.read() as connection:
        return [one.parse().payload for one in all_records(connection) if one.kind == kind]


def incidents(store) -> set[tuple[str, str]]:
    with store.read() as connection:
        rows = connection.execute("SELECT incident, subject FROM incidents")
        return {(row[0], row[1]) for row in rows}


def alarms(store) -> list[tuple[str, str]]:
    with store.read() as connection:
        return [(one.alarm, one.subject) for one in open_alarms(connection)]


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_round_reads_every_byte_once_and_says_so(scrub, store, clock, films):
    total = sum(path.stat().st_size for path in films)
    assert run(scrub, clock) == total
    (record,) = said(store, "footage.scrubbed")
    assert (record["segments"], record["bytes"], record["broken"]) == (3, total, 0)
    assert incidents(store) == set()
    assert run(scrub, clock) == 0  # the next round begins a day after this one


def test_next_round_begins_a_day_later(scrub, store, clock, films):
    run(scrub, clock)
    clock.advance(timedelta(days=1))
    run(scrub, clock)
    assert len(said(store, "footage.scrubbed")) == 2


@pytest.mark.parametrize(
    ("harm", "incident"),
    [
        (flip, "FOOTAGE_CHANGED"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "FOOTAGE_CHANGED"),
        (lambda path: path.unlink(), "FOOTAGE_MISSING"),
    ],
    ids=["flipped bit", "cut", "gone"],
)
def test_harmed_file_is_an_incident_an_alarm_and_a_count(
    scrub, store, clock, films, root, harm, incident
):
    harm(films[1])
    run(scrub, clock)
    assert incidents(store) == {(incident, str(films[1].relative_to(root)))}
    assert alarms(store) == [("SCRUB_BROKEN", "main")]
    (record,) = said(store, "footage.scrubbed")
    assert (record["segments"], record["broken"]) == (3, 1)


def test_alarm_ends_with_the_first_round_that_finds_nothing_broken(scrub, store, clock, films):
    whole = films[1].read_bytes()
    flip(films[1])
    run(scrub, clock)
    clock.advance(timedelta(days=1))
    run(scrub, clock)
    assert alarms(store) == [("SCRUB_BROKEN", "main")]
    films[1].write_bytes(whole)
    clock.advance(timedelta(days=1))
    run(scrub, clock)
    assert alarms(store) == []


def test_bad_sector_is_said_and_the_rest_is_read(scrub, store, clock, films, monkeypatch):
    bad, real = films[0].stat().st_ino, os.read

    def read(descriptor: int, size: int) -> bytes:
        if os.fstat(descriptor).st_ino == bad:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, size)

    monkeypatch.setattr(os, "read", read)
    run(scrub, clock)
    assert {incident for incident, _ in incidents(store)} == {"UNREADABLE_FILE"}
    assert said(store, "footage.scrubbed")[0]["segments"] == 3


def test_no_more_is_read_than_the_budget_allows(store, volumes, clock, films, monkeypatch):
    monkeypatch.setattr(scrub_module, "LEAST_READ_BYTES", 1000)
    slow = Scrub(store, volumes, 1000)
    assert run(slow, clock, seconds=20) <= 20 * 1000
    total = sum(path.stat().st_size for path in films)
    before = run(slow, clock, seconds=60)
    assert 59_000 <= before <= 61_000 < total
    clock.advance(timedelta(hours=1))  # what was not used is not saved up
    assert slow.step() <= 3000
    slow.close()


def test_nothing_is_read_when_switched_off(store, volumes, clock, films):
    assert run(Scrub(store, volumes, 0), clock) == 0


def test_it_goes_on_after_a_restart_where_it_was(store, volumes, clock, films, monkeypatch):
    monkeypatch.setattr(scrub_module, "SAVED_SECONDS", 0)
    monkeypatch.setattr(scrub_module, "LEAST_READ_BYTES", 1000)
    size = films[0].stat().st_size
    first = Scrub(store, volumes, 4000)
    read = 0
    while read <= size:  # the first is done, the second begun
        clock.advance(timedelta(seconds=0.5))
        read += first.step()
    first.close()
    with store.read() as connection:
        stands = scrubs.current(connection)
    assert stands is not None
    assert stands.segments == 1
    again = Scrub(store, volumes, RATE)
    assert run(again, clock) == sum(path.stat().st_size for path in films[1:])
    assert said(store, "footage.scrubbed")[0]["segments"] == 3
    again.close()


def test_segment_that_is_disposed_of_meanwhile_is_no_incident(scrub, store, clock, films):
    with store.write() as connection:
        connection.execute("UPDATE segments SET state = 'tombstoned' WHERE path LIKE ?",
                           (f"%{films[0].name}",))  # fmt: skip
    films[0].unlink()
    run(scrub, clock)
    assert incidents(store) == set()
    assert said(store, "footage.scrubbed")[0]["segments"] == 2


def test_disposal_between_opening_and_judging_is_no_incident(
    store, volumes, clock, films, monkeypatch
):
    monkeypatch.setattr(scrub_module, "LEAST_READ_BYTES", 1000)
    slow = Scrub(store, volumes, 20_000)
    clock.advance(timedelta(seconds=1))
    assert slow.step() > 0  # the first file is open
    flip(films[0])
    with store.write() as connection:
        connection.execute("DELETE FROM segments WHERE path LIKE ?", (f"%{films[0].name}",))
    films[0].unlink()
    run(slow, clock, seconds=600)
    assert incidents(store) == set()
    slow.close()


def test_disk_out_of_reach_is_passed_over_in_silence(scrub, store, clock, films, root):
    root.rename(root.with_name("in-the-drawer"))
    root.mkdir()
    assert run(scrub, clock) == 0
    assert incidents(store) == set()
    assert said(store, "footage.scrubbed") == []


def test_segments_sealed_during_a_round_wait_for_the_next(
    store, volumes, clock, films, camera, monkeypatch
):
    monkeypatch.setattr(scrub_module, "LEAST_READ_BYTES", 1000)
    slow = Scrub(store, volumes, 20_000)
    clock.advance(timedelta(seconds=1))
    slow.step()
    camera.record()
    run(slow, clock, seconds=600)
    assert [one["segments"] for one in said(store, "footage.scrubbed")] == [3]
    slow.close()


def test_node_without_footage_says_nothing(scrub, store, clock):
    run(scrub, clock)
    assert said(store, "footage.scrubbed") == []


def test_alarm_of_a_disk_that_is_away_is_not_over(store, camera, clock, tmp_path):
    roots = {"main": tmp_path / "footage", "b": tmp_path / "b"}
    roots["b"].mkdir()
    volumes = Volumes(store, roots, ("main",))
    volumes.open()
    camera.record()
    with store.write() as connection:
        raise_alarm(store, connection, Alarm.SCRUB_BROKEN, "b", "broken", 0)
    roots["b"].rename(tmp_path / "in-the-drawer")
    scrub = Scrub(store, volumes, RATE)
    run(scrub, clock)
    assert len(said(store, "footage.scrubbed")) == 1
    assert alarms(store) == [("SCRUB_BROKEN", "b")]
    (tmp_path / "in-the-drawer").rename(roots["b"])
    clock.advance(timedelta(days=1))
    run(scrub, clock)
    assert alarms(store) == []
    scrub.close()


def test_disk_pulled_out_as_a_file_is_opened_is_no_lost_footage(
    scrub, store, clock, films, root, monkeypatch
):
    real = os.open

    def pull(path, flags: int, *rest: int, **named: int) -> int:
        if path == films[0]:
            root.rename(root.with_name("in-the-drawer"))
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", pull)
    run(scrub, clock)
    assert incidents(store) == set()


def test_folder_that_is_gone_is_one_incident_as_in_the_sweep(scrub, store, clock, films, root):
    shutil.rmtree(films[0].parent)
    run(scrub, clock)
    first = min(str(path.relative_to(root)) for path in films)
    assert incidents(store) == {("FOOTAGE_MISSING", first)}
    assert said(store, "footage.scrubbed")[0]["broken"] == 3
    assert sweep(store, root, lambda: None) == 0


def test_many_lost_files_take_of_the_budget_and_let_the_process_beat(
    store, volumes, clock, films, monkeypatch
):
    for path in films:
        path.unlink()
    slow = Scrub(store, volumes, 100_000)
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1

    clock.advance(timedelta(seconds=1))
    slow.step(beat)
    assert (len(incidents(store)), beats) == (1, 1)
    run(slow, clock)
    assert len(incidents(store)) == 3
    slow.close()
