"""A check by digests that is broken off, goes on, and says how far it is."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from retention import cli
from retention.check import Depth, Options, check
from retention.checking import digests
from retention.checking import log as checking_log
from retention.checking.progress import Meter, Resume, ResumeRefused
from retention.footage.sink import Fingerprint, SegmentSink, fingerprint_of, seal
from retention.footage.volume import open_volume
from retention.records.merkle import Frontier
from retention.records.payloads import NodeStopped
from retention.store.database import NodeStore
from retention.store.log import append
from tests.retention.test_check import identity_of

SEGMENTS = 5


@pytest.fixture
def data(store: NodeStore, tmp_path: Path) -> Path:
    """A data folder with sealed files, whose content need not play."""
    data = tmp_path / "data"
    data.mkdir()
    root = tmp_path / "footage"
    open_volume(root, store)
    for number in range(SEGMENTS):
        sink = SegmentSink(root, identity_of(store))
        sink.write(b"\x00\x00\x00\x08ftyp" + b"\x00\x00\x13\x88free" + bytes([number]) * 4992)
        seal(store, root, sink.finish(store.clock.now()))
    return tmp_path


class Broken(KeyboardInterrupt):
    """The operator's Ctrl-C."""


def reading(monkeypatch: pytest.MonkeyPatch, most: int) -> list[Path]:
    """Break the reading off before file `most` + 1; return the files that were read."""
    read: list[Path] = []

    def counted(path: Path) -> Fingerprint:
        if len(read) == most:
            raise Broken
        read.append(path)
        return fingerprint_of(path)

    monkeypatch.setattr(digests, "fingerprint_of", counted)
    return read


def test_a_check_broken_off_goes_on_where_it_stood(data, monkeypatch, tmp_path):
    options = Options(resume=tmp_path / "state.json")
    spoilt = sorted(data.rglob("*.mp4"))[0]
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"x")
    first = reading(monkeypatch, 2)
    with pytest.raises(Broken):
        check(data, Depth.DIGESTS, options)
    second = reading(monkeypatch, SEGMENTS)
    report = check(data, Depth.DIGESTS, options)
    assert sorted(first + second) == sorted(data.rglob("*.mp4"))
    assert report.counts["files_hashed"] == SEGMENTS
    assert [bad.subject for bad in report.bad] == [str(spoilt.relative_to(data / "footage"))]


def test_a_finished_check_begins_anew(data, monkeypatch, tmp_path):
    options = Options(resume=tmp_path / "state.json")
    assert check(data, Depth.DIGESTS, options).ok
    again = reading(monkeypatch, SEGMENTS)
    assert check(data, Depth.DIGESTS, options).ok
    assert len(again) == SEGMENTS


@pytest.mark.parametrize("content", ["{", "{}", '{"format": 2}', "[]"])
def test_a_file_that_is_no_state_is_refused_and_left(data, tmp_path, content, capsys):
    state = tmp_path / "other" / "state.json"
    state.parent.mkdir()
    state.write_text(content)
    with pytest.raises(ResumeRefused):
        check(data, Depth.DIGESTS, Options(resume=state))
    assert state.read_text() == content


def test_the_state_of_another_database_is_refused(data, tmp_path, store):
    Resume(store.ids.new(), tmp_path / "state.json").save()
    with pytest.raises(ResumeRefused, match="of a check of database"):
        check(data, Depth.DIGESTS, Options(resume=tmp_path / "state.json"))


def test_the_state_is_never_kept_where_the_check_looks(data, capsys):
    asked = ["check", "--data", str(data), "--resume", str(data / "state.json")]
    assert cli.main(asked) == 2
    assert "only read" in capsys.readouterr().err
    assert not (data / "state.json").exists()


def ticking(step: float) -> Iterator[float]:
    now = 0.0
    while True:
        now += step
        yield now


def test_progress_tells_count_bytes_and_time_left(data):
    told, times = io.StringIO(), ticking(100.0)
    meter = Meter(told, lambda: next(times))
    assert check(data, Depth.DIGESTS, Options(meter=meter)).ok
    lines = told.getvalue().splitlines()
    assert lines[0].startswith("0/5")
    assert lines[-1].startswith("5/5")
    assert "left 0:" in lines[2]


def test_progress_is_on_standard_error_and_only_when_asked(data, capsys):
    assert cli.main(["check", "--data", str(data), "--depth", "digests", "--json"]) == 0
    assert capsys.readouterr().err == ""
    assert (
        cli.main(["check", "--data", str(data), "--depth", "digests", "--json", "--progress"]) == 0
    )
    out, err = capsys.readouterr()
    assert json.loads(out)["counts"]["files_hashed"] == SEGMENTS
    assert "5/5" in err


def test_a_file_disposed_of_while_it_is_read_is_no_fault(data, store, monkeypatch):
    """A live node: the row and the file go after the check listed them."""

    def gone(path: Path) -> Fingerprint:
        path.unlink()
        with store.write() as connection:
            connection.execute("UPDATE segments SET state = 'tombstoned'")
        raise FileNotFoundError(path)

    monkeypatch.setattr(digests, "fingerprint_of", gone)
    assert check(data, Depth.DIGESTS).ok


@pytest.mark.parametrize(
    "asked",
    [["--central-key", "00"], ["--central-key", "x" * 64], ["--volume", "main"], ["--volume", "="]],
)
def test_wrong_options_are_two(data, asked, capsys):
    assert cli.main(["check", "--data", str(data), *asked]) == 2
    assert asked[0] in capsys.readouterr().err


def test_a_segment_sealed_while_files_are_read_is_no_fault(data, store, monkeypatch):
    sealed = []

    def recording(path: Path) -> Fingerprint:
        if not sealed:
            sink = SegmentSink(data / "footage", identity_of(store))
            sink.write(b"\x00\x00\x00\x08ftyp" + b"\x00\x00\x13\x88free" + bytes(4992))
            sealed.append(seal(store, data / "footage", sink.finish(store.clock.now())))
        return fingerprint_of(path)

    monkeypatch.setattr(digests, "fingerprint_of", recording)
    report = check(data, Depth.DIGESTS)
    assert report.bad == []
    assert report.counts["segments"] == SEGMENTS
    assert report.counts["files_hashed"] == SEGMENTS + 1


def test_a_record_appended_while_rows_are_read_is_not_seen_in_part(data, store, monkeypatch):
    """The log, the frontier and the rows are of one moment."""
    real = checking_log.read_frontier

    def after_another(connection: sqlite3.Connection) -> tuple[Frontier, int]:
        with store.write() as writing:
            append(store, writing, NodeStopped(reason="meanwhile"))
        return real(connection)

    monkeypatch.setattr(checking_log, "read_frontier", after_another)
    assert check(data, Depth.ROWS).bad == []
