"""A folder of files alone proves their order, and where footage lacks."""

from __future__ import annotations

import random
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from retention.footage.inventory import FiledSegment, Unexplained, holes, listing
from retention.records.clock import from_text, to_micros
from retention.store import footage

LENGTH = timedelta(seconds=4)
LAST_OF_ITS_RUN = 3
"""Of the segment after the last file of a run nothing is left but the time."""


@pytest.fixture
def recorded(camera, clock):
    """Six segments without a hole, over the end of a UTC day, in two runs."""
    clock.jump(from_text("2026-03-01T23:59:50.000000Z") - clock.now())
    made = []
    for number in range(6):
        if number == 4:
            camera.run = ""  # a new run
        made.append(camera.record())
        clock.advance(LENGTH)
    return made


def told(root: Path, store, **more: Path) -> tuple[list[FiledSegment], list[Unexplained]]:
    found = list(listing({"main": root, **more}, store.identity))
    return (
        [one for one in found if isinstance(one, FiledSegment)],
        [one for one in found if isinstance(one, Unexplained)],
    )


def test_files_alone_tell_what_the_index_told(recorded, store, root):
    found, unexplained = told(root, store)
    with store.read() as connection:
        rows = sorted(footage.all_segments(connection), key=lambda row: row.started_at)
    assert unexplained == []
    assert list(holes(found)) == []
    for one, row in zip(found, rows, strict=True):
        identity = one.identity
        assert (identity.segment, identity.run, identity.ordinal) == (row.id, row.run, row.ordinal)
        assert (one.path, one.bytes, one.started_at) == (row.path, row.bytes, row.started_at)
        assert one.ended_at == row.ended_at
        assert one.size == (160, 120)


@pytest.mark.parametrize("lost", range(1, 5))
def test_a_missing_file_is_a_hole_with_its_span(recorded, store, root, lost):
    gone = recorded[lost]
    next(root.rglob(f"{gone.segment}.mp4")).unlink()
    (hole,) = holes(told(root, store)[0])
    assert hole.missing_ordinals == (0 if lost == LAST_OF_ITS_RUN else 1)
    assert hole.started_at == to_micros(from_text(gone.started_at))
    assert hole.ended_at == to_micros(from_text(gone.ended_at))


def test_files_on_several_volumes_are_one_order(recorded, store, root, tmp_path):
    other = tmp_path / "other"
    for file in random.Random(1).sample(sorted(root.rglob("*.mp4")), 3):
        target = other / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    found, unexplained = told(root, store, second=other)
    assert unexplained == []
    assert [one.identity.segment for one in found] == [one.segment for one in recorded]
    assert {one.volume for one in found} == {"main", "second"}


def test_what_proves_nothing_is_named_with_its_reason(recorded, store, root, tmp_path):
    files = sorted(root.rglob("*.mp4"), key=lambda file: file.name)
    cut, copied, moved, foreign, plain = files[0], files[1], files[2], files[3], files[4]
    cut.write_bytes(cut.read_bytes()[:-1])
    shutil.copy(copied, copied.with_name("copy.mp4"))
    moved.rename(moved.with_name("0" * 36 + ".mp4"))
    foreign.write_bytes(foreign.read_bytes().replace(b'"node":"node-a"', b'"node":"node-b"'))
    plain.write_bytes(b"no boxes at all")
    reasons = [one.reason for one in told(root, store)[1]]
    assert sum("bytes are whole fragments" in reason for reason in reasons) == 1
    assert sum("its identity belongs at" in reason for reason in reasons) == 2
    assert sum(reason == "of node node-b" for reason in reasons) == 1
    assert sum(reason == "carries no identity" for reason in reasons) == 1


def test_a_place_in_a_run_is_taken_once_and_times_go_with_it(recorded, store, root):
    first, second = (next(root.rglob(f"{one.segment}.mp4")) for one in recorded[:2])
    second.write_bytes(second.read_bytes().replace(b'"ordinal":1', b'"ordinal":0'))
    (said,) = told(root, store)[1]
    assert said.path == str(second.relative_to(root))
    assert "segment 0 of its run, after segment 0" in said.reason
    assert first.exists()


def test_a_second_camera_has_its_own_order(camera, store, root, clip, clock, recorded):
    from tests.retention.footage.conftest import Camera

    clock.advance(timedelta(hours=1))
    Camera(store, root, clip, name="counter-2").record()
    found, _ = told(root, store)
    assert len(found) == 7
    assert list(holes(found)) == []
