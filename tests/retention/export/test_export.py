"""An export holds what it says, and what it cannot hold is named with its reason."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from retention.export import build, verify
from retention.export.archive import ExportRefused
from retention.export.selection import Span, span_of_session
from retention.records.clock import from_micros, to_micros, to_text
from retention.records.keeping import (
    Hold,
    HoldPlaced,
    HoldReleased,
    RecordsDisposed,
    SegmentDisposed,
)
from retention.records.payloads import SceneRole, SegmentSealed
from retention.store.database import StoreUnavailable
from retention.store.log import all_records, append
from tests.retention.export.conftest import DAY, ROLLS, Node
from tests.retention.export.forging import codes, examined, files_of, lines_of


def kinds_in(path: Path) -> list[str]:
    return [one["kind"] for one in lines_of(files_of(path)[verify.RECORDS])]


def notes_of(path: Path) -> dict[str, str]:
    return {one["code"]: one["subject"] for one in examined(path).notes}


def of_session(node: Node) -> Span:
    with node.store.read() as connection:
        now = to_micros(node.clock.now())
        start, end = span_of_session(connection, node.session, *ROLLS, now)
    return Span(node.session, start, end, (node.camera.name,))


def test_an_export_verifies_with_the_keys_as_the_agency_knows_them(node: Node) -> None:
    made = node.export()
    report = examined(
        made.out, node_key=node.signer.public_key, central_key=node.central.public_key
    )
    assert report.bad == []
    assert report.facts["segments"] == made.segments == 4
    assert report.facts["export"] == made.export
    assert report.facts["manifest_sha256"] == made.manifest_sha256
    # all but the access record, which central has not seen yet
    assert report.facts["records_countersigned"] == made.records - 1
    assert report.facts["segments_countersigned"] == 4
    assert (report.notes, report.exit_code) == ([], 0)


def test_the_files_are_the_sealed_ones_byte_for_byte(node: Node) -> None:
    files = files_of(node.export().out)
    for sealed in node.sealed:
        (name,) = (name for name in files if sealed.segment in name)
        assert verify.hashlib.sha256(files[name]).hexdigest() == sealed.file_sha256
        assert files[name] == (node.root / name.removeprefix("footage/")).read_bytes()


def test_the_unpacked_export_checks_itself_with_the_standard_library_alone(
    node: Node, tmp_path: Path
) -> None:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(node.export().out) as archive:
        archive.extractall(folder)
    command = [sys.executable, "-I", "-S", str(folder / "verify.py")]
    known = ["--node-key", node.signer.public_key.hex(),
             "--central-key", node.central.public_key.hex()]  # fmt: skip
    good = subprocess.run([*command, *known], capture_output=True, text=True, timeout=60)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "完好 / holds: 4 段录像" in good.stdout
    anybody = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert anybody.returncode == 3
    assert "weigh what is noted above first: 4 段录像" in anybody.stdout
    segment = next(folder.glob("footage/**/*.mp4"))
    segment.write_bytes(segment.read_bytes()[:-1])
    (folder / "added.txt").write_text("x")
    (folder / "link").symlink_to(folder / "README.txt")
    bad = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert bad.returncode == 1
    assert f"BAD FILE_CHANGED footage/{segment.relative_to(folder / 'footage')}" in bad.stdout
    assert "BAD FILE_ADDED added.txt" in bad.stdout
    assert "BAD NAME_REFUSED link" in bad.stdout
    nothing = subprocess.run([*command, str(tmp_path / "no.zip")], capture_output=True, timeout=60)
    assert nothing.returncode == 2


def test_who_took_it_is_recorded_before_and_what_left_after(node: Node) -> None:
    made = node.export()
    with node.store.read() as connection:
        last = [one.parse() for one in all_records(connection)][-2:]
    assert [one.kind for one in last] == ["access.recorded", "evidence.exported"]
    access, exported = (one.payload for one in last)
    assert (access["actor"], access["action"], access["reason"]) == (
        "inspector-1", "evidence.export", "案件 12",
    )  # fmt: skip
    assert exported["export"] == made.export
    assert exported["manifest_sha256"] == made.manifest_sha256
    assert (exported["segments"], exported["records"]) == (4, made.records)
    assert "access.recorded" in kinds_in(made.out)
    later = kinds_in(node.export(name="later.zip").out)
    assert later.count("access.recorded") == 2
    assert later.count("evidence.exported") == 1


def test_a_session_s_export_holds_its_steps_and_its_footage_only(node: Node) -> None:
    mine = node.session
    node.clock.advance(timedelta(hours=1))
    other = node.sell()
    node.session = mine
    made = node.export(of_session(node))
    records = lines_of(files_of(made.out)[verify.RECORDS])
    sessions = {one["payload"].get("session") for one in records}
    assert mine in sessions
    assert other not in sessions
    assert {"session.opened", "session.basket", "session.closed"} <= {r["kind"] for r in records}
    # opened after two segments of four seconds; two seconds of roll on either side
    assert made.segments == 1
    whole = {
        one["payload"].get("session")
        for one in lines_of(files_of(node.export(node.span(), name="all.zip").out)[verify.RECORDS])
    }
    assert {mine, other} <= whole


def hold(node: Node, **scope: object) -> str:
    values: dict[str, object] = {
        "hold": node.store.ids.new(), "session": None, "person_ref": None,
        "started_at": None, "ended_at": None, "cameras": (), **scope,
    }  # fmt: skip
    placed = Hold.model_validate(values)
    with node.store.write() as connection:
        append(
            node.store,
            connection,
            HoldPlaced(hold=placed, authority="inspector", author="i", reason="r"),
        )
        append(
            node.store,
            connection,
            HoldReleased(hold=placed.hold, authority="inspector", author="i", reason="r"),
        )
    return placed.hold


def test_holds_that_touch_the_export_are_in_it_with_their_release(node: Node) -> None:
    now, yesterday = to_text(node.clock.now()), to_text(node.clock.now() - DAY)
    long_ago = to_text(node.clock.now() - 9 * DAY)
    with node.store.read() as connection:
        opened = next(
            one.parse() for one in all_records(connection) if one.kind == "session.opened"
        )
    person = opened.payload["claim"]["person_ref"]
    touching = {
        hold(node, scope="pharmacy"),
        hold(node, scope="session", session=node.session),
        hold(node, scope="person", person_ref=person),
        hold(node, scope="span", started_at=yesterday, ended_at=now, cameras=(node.camera.name,)),
        hold(node, scope="span", started_at=yesterday, ended_at=None),
    }
    hold(node, scope="session", session=node.store.ids.new())
    hold(node, scope="person", person_ref="0" * 64)
    hold(node, scope="span", started_at=long_ago, ended_at=yesterday)
    hold(node, scope="span", started_at=yesterday, ended_at=now, cameras=("elsewhere",))
    records = lines_of(files_of(node.export(of_session(node)).out)[verify.RECORDS])
    placed = {r["payload"]["hold"]["hold"] for r in records if r["kind"] == "hold.placed"}
    released = {r["payload"]["hold"] for r in records if r["kind"] == "hold.released"}
    assert placed == released == touching


def test_a_gap_is_told_and_explains_its_hole(node: Node) -> None:
    made = node.export()
    assert {"gap.opened", "gap.closed"} <= set(kinds_in(made.out))
    assert "HOLE_UNEXPLAINED" not in notes_of(made.out)
    page = files_of(made.out)["index.html"].decode()
    assert "摄像头连接不上" in page
    assert "含人脸信息" in page


# -- what cannot be had ---------------------------------------------------------------------------


def test_footage_that_is_gone_is_named_and_fails_the_check(node: Node) -> None:
    path = next(node.root.glob("*/*/*.mp4"))
    path.unlink()
    made = node.export()
    assert made.segments == 3
    assert [path.stem in fault for fault in made.faults] == [True]
    report = examined(made.out)
    assert (codes(report), report.bad[0]["subject"]) == ({"SEGMENT_MISSING"}, path.stem)


def test_footage_that_was_changed_is_taken_and_named(node: Node) -> None:
    path = next(node.root.glob("*/*/*.mp4"))
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))
    made = node.export()
    assert made.segments == 4
    assert made.faults[0].startswith("SEGMENT_CHANGED")
    assert codes(examined(made.out)) == {"SEGMENT_CHANGED"}


def test_a_disk_that_is_not_there_is_said_and_is_no_loss(node: Node) -> None:
    os.rename(node.root, node.folder / "elsewhere")
    made = node.export()
    assert made.segments == 0
    assert {one.reason for one in made.absent} == {"SEGMENT_UNREACHABLE"}
    assert examined(made.out).ok


def test_disposal_takes_no_file_away_while_it_is_copied(node: Node) -> None:
    def dispose(what: str, done: int, _whole: int) -> None:
        if what == "footage" and done:
            for path in node.root.glob("*/*/*.mp4"):
                path.unlink()

    made = node.export(beat=dispose)
    assert (made.segments, made.faults) == (4, ())
    assert examined(made.out).ok


def test_footage_disposed_of_before_it_was_reached_is_no_loss(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "OPENED_AHEAD", 1)
    last = node.sealed[-1].segment

    def dispose(what: str, done: int, _whole: int) -> None:
        if what == "footage" and done:
            for path in node.root.glob(f"*/*/{last}.mp4"):
                with node.store.write() as connection:
                    connection.execute(
                        "UPDATE segments SET state = 'tombstoned' WHERE id = ?", (last,)
                    )
                path.unlink()

    made = node.export(beat=dispose)
    assert (made.segments, made.faults) == (3, ())
    assert [(one.subject, one.reason) for one in made.absent] == [(last, "SEGMENT_UNREACHABLE")]
    assert examined(made.out).ok


def test_lawful_disposals_are_named_and_proven(node: Node) -> None:
    """Rows as disposal leaves them: no segment row, both records; one record without its bytes."""
    gone, span = node.sealed[0], node.span()
    node.clock.advance(366 * DAY)
    dispose(node, gone)
    with node.store.write() as connection:
        basket = connection.execute(
            "SELECT sequence FROM log WHERE kind = 'session.basket'"
        ).fetchone()["sequence"]
        said = append(node.store, connection, RecordsDisposed(
            retention="archive", sequences=(basket,), owed_until=gone.ended_at
        ))  # fmt: skip
        connection.execute(
            "UPDATE log SET bytes = x'', disposed_by = ? WHERE sequence = ?",
            (said.sequence, basket),
        )
    made = node.export(span)
    assert {(one.reason, one.subject) for one in made.absent} == {
        ("SEGMENT_DISPOSED", gone.segment), ("RECORD_DISPOSED", str(basket)),
    }  # fmt: skip
    assert made.faults == ()
    report = examined(made.out)
    assert report.ok, report.bad
    assert "session.basket" not in kinds_in(made.out)


def dispose(node: Node, gone: SegmentSealed) -> None:
    """Rows and records as disposal leaves them, whether it was due or not."""
    with node.store.write() as connection:
        row = connection.execute(
            "DELETE FROM segments WHERE id = ? RETURNING sequence, path", (gone.segment,)
        ).fetchone()
        append(node.store, connection, SegmentDisposed(
            segment=gone.segment, sequence=row["sequence"], camera=gone.camera,
            scene_role=SceneRole.PURCHASE, started_at=gone.started_at, ended_at=gone.ended_at,
            bytes=gone.bytes, file_sha256=gone.file_sha256, owed_until=gone.ended_at,
        ))  # fmt: skip
    (node.root / row["path"]).unlink()


def test_a_disposal_before_its_time_fails_the_check(node: Node) -> None:
    """The node's own record of it proves that it happened, not that it was lawful."""
    span = node.span()
    node.clock.advance(365 * DAY)
    dispose(node, node.sealed[0])
    made = node.export(span)
    report = examined(made.out)
    assert (codes(report), report.bad[0]["subject"]) == (
        {"DISPOSED_EARLY"}, node.sealed[0].segment,
    )  # fmt: skip


def test_a_disposal_dated_ahead_is_judged_by_when_central_saw_it(node: Node) -> None:
    span, today = node.span(), node.clock.now()
    node.clock.advance(400 * DAY)
    dispose(node, node.sealed[0])
    node.countersign(today)
    assert codes(examined(node.export(span).out)) == {"DISPOSED_EARLY"}


def test_footage_that_central_heard_of_late_is_told(node: Node) -> None:
    """What is made up afterwards cannot have been countersigned at its time."""
    node.record(1)
    span = node.span()
    node.clock.advance(3 * DAY)
    node.countersign()
    made = node.export(span)
    (note,) = [one for one in examined(made.out).notes if one["code"] == "COUNTERSIGNED_LATE"]
    assert note["detail"].startswith("1 of 5 segments; ")
    assert note["detail"].endswith(": 72 h")


def test_footage_that_lacks_at_either_end_of_the_span_is_told(node: Node) -> None:
    span = node.span()
    wider = Span(None, span.started_at - 60_000_000, span.ended_at, (*span.cameras, "other"))
    node.clock.advance(DAY)
    made = node.export(replace(wider, ended_at=span.ended_at + 60_000_000))
    holes = [
        (one["subject"], one["detail"])
        for one in examined(made.out).notes
        if one["code"] == "HOLE_UNEXPLAINED"
    ]
    first, last = node.sealed[0].started_at, node.sealed[-1].ended_at
    start, end = (to_text(from_micros(at)) for at in (wider.started_at, span.ended_at + 60_000_000))
    assert holes == [
        ("counter-1", f"{start} – {first}"), ("counter-1", f"{last} – {end}"),
        ("other", f"{start} – {end}"),
    ]  # fmt: skip


def test_footage_that_is_still_open_is_named(node: Node) -> None:
    node.camera.open_segment(fragments=2)
    node.clock.advance(timedelta(seconds=4))
    made = node.export()
    (absent,) = made.absent
    assert (absent.reason, absent.subject) == ("NOT_SEALED_YET", node.camera.name)
    assert node.sealed[-1].ended_at in absent.detail
    assert notes_of(made.out)["NOT_SEALED_YET"] == node.camera.name


def test_without_central_an_export_says_what_it_rests_on(node: Node) -> None:
    made = node.export(with_central=False)
    report = examined(made.out)
    assert report.ok
    assert report.facts["records_countersigned"] == 0
    assert report.facts["segments_countersigned"] == 0
    assert "4 of 4 segments, 3 steps" in report.notes[-1]["detail"]
    assert report.exit_code == 3


def test_the_earliest_countersignatures_are_kept_and_their_number_is_bounded() -> None:
    assert build._first_covering([0, 1, 5, 9], [1, 3, 4, 6, 8]) == [1, 3, 6]
    thinned = build._thinned(list(range(1000)))
    assert len(thinned) == build.MOST_CHECKPOINTS
    assert (thinned[0], thinned[-1]) == (0, 999)


def test_a_year_of_other_records_does_not_crowd_out_when_central_saw_the_footage(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "MOST_CHECKPOINTS", 2)
    span = node.span()
    first = examined(node.export(span).out).facts["countersigned_at"]
    for number in range(5):
        node.clock.advance(DAY)
        node.countersign()
        later = examined(node.export(span, name=f"{number}.zip").out)
        assert later.facts["countersigned_at"] == first


# -- nothing by halves ----------------------------------------------------------------------------


def records_of(node: Node) -> list[str]:
    with node.store.read() as connection:
        return [one.kind for one in all_records(connection)]


def test_an_export_that_cannot_be_made_durable_is_none(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fsync, []

    def fail(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().name.endswith(".partial"):
            calls.append(descriptor)
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        node.export()
    assert calls
    assert sorted(path.name for path in node.folder.glob("out.zip*")) == []
    assert "evidence.exported" not in records_of(node)
    assert records_of(node)[-1] == "access.recorded"


def test_nothing_is_handed_out_that_is_not_recorded(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> str:
        raise StoreUnavailable("database is locked")

    monkeypatch.setattr(build, "_record", refuse)
    with pytest.raises(StoreUnavailable):
        node.export()
    assert list(node.folder.glob("out.zip*")) == []


def test_nothing_is_replaced(node: Node) -> None:
    made = node.export()
    before, records = made.out.read_bytes(), len(records_of(node))
    with pytest.raises(ExportRefused, match="exists already"):
        node.export()
    assert made.out.read_bytes() == before
    assert len(records_of(node)) == records


def test_a_log_that_does_not_fit_its_checkpoint_is_not_exported(node: Node) -> None:
    with node.store.write() as connection:
        connection.execute("UPDATE log SET leaf = zeroblob(32) WHERE sequence = 3")
    with pytest.raises(ExportRefused, match="retention check"):
        node.export()
    assert list(node.folder.glob("out.zip*")) == []


def test_too_much_for_one_export_is_refused_with_what_to_do(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retention.export.selection.MOST_SEGMENTS", 3)
    with pytest.raises(ExportRefused, match="shorter span"):
        node.export()
    assert list(node.folder.glob("out.zip*")) == []
