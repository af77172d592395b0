"""The archive has one form, which other programs read and every other form is refused."""

from __future__ import annotations

import os
import random
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from retention.export import verify
from retention.export.archive import ArchiveWriter, ExportRefused
from retention.export.verify import Archive, Refused, Report
from tests.retention.export.conftest import Node
from tests.retention.export.forging import archive_of, codes, examined, files_of, subjects

SEED = 20261122


@pytest.fixture
def small(tmp_path: Path) -> Path:
    files = {"a.txt": b"one", "footage/b/20260102/c.mp4": bytes(300), "d": b""}
    return archive_of(tmp_path / "small.zip", files)


def refusal(raw: bytes, path: Path) -> tuple[str, str]:
    """Return code and subject of the first thing that is refused about bytes."""
    path.write_bytes(raw)
    report = Report()
    try:
        Archive(str(path), report).close()
    except Refused as refused:
        report.blame(refused)
    return (report.bad[0]["code"], report.bad[0]["subject"]) if report.bad else ("", "")


def test_other_programs_read_the_archive(small: Path) -> None:
    with zipfile.ZipFile(small) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.txt", "footage/b/20260102/c.mp4", "d"]
        assert archive.read("a.txt") == b"one"
    assert stat.S_IMODE(small.stat().st_mode) == 0o600


def test_files_beyond_four_gibibytes_have_room(tmp_path: Path) -> None:
    """Sparse, so that it takes no room: only headers and directory are written."""
    path, at, directory = tmp_path / "large.zip", 0, b""
    names = {"footage/a.mp4": 5 << 30, "footage/b.mp4": 1 << 20, "c": verify.WIDE}
    with path.open("wb") as file:
        for name, size in names.items():
            file.seek(at)
            file.write(verify.local_header(name, size, 7))
            directory += verify.central_header(name, size, 7, at)
            at = file.tell() + size
        file.seek(at)
        file.write(directory + verify.end_records(len(names), at, len(directory)))
    with zipfile.ZipFile(path) as archive:
        assert {one.filename: one.file_size for one in archive.infolist()} == names
    report = Report()
    found = Archive(str(path), report)
    assert {name: found.size(name) for name in found.names} == names
    assert report.bad == []
    found.close()


def test_more_entries_than_the_short_directory_counts(tmp_path: Path) -> None:
    directory = b"".join(verify.central_header(f"f{n}", 0, 0, 0) for n in range(70_000))
    tail = verify.end_records(70_000, 0, len(directory))
    path = tmp_path / "many.zip"
    path.write_bytes(directory + tail)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 70_000
    assert refusal(directory + tail, path) == ("ARCHIVE_BROKEN", "end")


def test_every_byte_of_headers_and_directory_is_checked(small: Path, tmp_path: Path) -> None:
    raw, random_ = small.read_bytes(), random.Random(SEED)
    with zipfile.ZipFile(small) as archive:
        contents = set()
        for one in archive.infolist():
            start = one.header_offset + 30 + len(one.filename)
            contents |= set(range(start, start + one.file_size))
    other = tmp_path / "other.zip"
    for at in sorted(set(range(len(raw))) - contents):
        flipped = bytearray(raw)
        flipped[at] ^= 1 << random_.randrange(8)
        assert refusal(bytes(flipped), other) != ("", ""), f"byte {at}"


def test_an_archive_that_is_cut_off_anywhere_is_refused(small: Path, tmp_path: Path) -> None:
    raw = small.read_bytes()
    for length in range(len(raw)):
        assert refusal(raw[:length], tmp_path / "cut.zip")[0] == "ARCHIVE_BROKEN"


@pytest.mark.parametrize("where", ["before", "behind", "between"])
def test_nothing_hides_beside_the_entries(small: Path, tmp_path: Path, where: str) -> None:
    raw = small.read_bytes()
    entries = raw.index(b"PK\x01\x02")
    hidden = {
        "before": b"hidden" + raw,
        "behind": raw + b"hidden",
        "between": raw[:entries] + b"hidden" + raw[entries:-22]
        + verify.end_records(3, entries + 6, len(raw) - entries - 22),
    }  # fmt: skip
    assert refusal(hidden[where], tmp_path / "other.zip")[0] == "ARCHIVE_BROKEN"


@pytest.mark.parametrize(
    "name", ["../a", "/a", "a/../b", "C:/a", "a\\b", ".hidden", "a//b", "x" * 201, "a/..b", "é"]
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"x")
    assert refusal(path.read_bytes(), path)[0] == "NAME_REFUSED"


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    content = verify.local_header("a", 1, zlib.crc32(b"x")) + b"x"
    lines = b"".join(
        verify.central_header("a", 1, zlib.crc32(b"x"), at) for at in (0, len(content))
    )
    raw = 2 * content + lines + verify.end_records(2, 2 * len(content), len(lines))
    assert refusal(raw, tmp_path / "twice.zip") == ("NAME_TWICE", "a")


def test_a_zip_bomb_is_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(50_000_000))
    assert refusal(path.read_bytes(), path) == ("ARCHIVE_BROKEN", "a")
    # entries that lie over each other make much of little without compression
    content = verify.local_header("a", 9, 0) + bytes(9)
    lines = b"".join(verify.central_header(name, 9, 0, 0) for name in ("a", "b"))
    raw = content + lines + verify.end_records(2, len(content), len(lines))
    assert refusal(raw, path) == ("ARCHIVE_BROKEN", "b")


def test_any_bytes_are_an_answer_not_a_failure(tmp_path: Path) -> None:
    random_ = random.Random(SEED)
    for number in range(300):
        raw = random_.randbytes(random_.randrange(200))
        if number % 2:
            fields = [random_.choice([0, 1, 0xFFFF, random_.randrange(1 << 16)]) for _ in range(2)]
            wide = [random_.choice([0, verify.WIDE, random_.randrange(1 << 32)]) for _ in range(2)]
            raw += struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, *fields, *wide, 0)
        path = tmp_path / "noise.zip"
        path.write_bytes(raw)
        assert codes(examined(path)) <= {"ARCHIVE_BROKEN", "NAME_REFUSED", "FILE_REMOVED"}
        assert not examined(path).ok


def test_a_failed_export_leaves_nothing_and_replaces_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out.zip"

    def fail() -> None:
        with ArchiveWriter(target) as archive:
            archive.add("a", b"one")
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert os.listdir(tmp_path) == []
    target.write_bytes(b"older")
    with pytest.raises(ExportRefused, match="exists already"):
        ArchiveWriter(target)
    assert target.read_bytes() == b"older"


def test_an_export_beside_one_that_did_not_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.zip.partial").write_bytes(b"left")
    with pytest.raises(ExportRefused, match="did not end"):
        ArchiveWriter(tmp_path / "out.zip")
    assert (tmp_path / "out.zip.partial").read_bytes() == b"left"


def test_an_entry_that_fails_is_taken_out_again(tmp_path: Path) -> None:
    def fail(archive: ArchiveWriter) -> None:
        with archive.entry("b") as entry:
            entry.write(b"half")
            raise OSError("source")

    with ArchiveWriter(tmp_path / "out.zip") as archive:
        archive.add("a", b"one")
        with pytest.raises(OSError, match="source"):
            fail(archive)
        archive.add("c", b"three")
        archive.finish()
        archive.publish()
    assert files_of(tmp_path / "out.zip") == {"a": b"one", "c": b"three"}


def test_one_flipped_bit_in_any_file_is_found_and_named(node: Node, tmp_path: Path) -> None:
    made, random_ = node.export(), random.Random(SEED)
    raw = made.out.read_bytes()
    with zipfile.ZipFile(made.out) as archive:
        entries = archive.infolist()
    for one in entries:
        start = one.header_offset + 30 + len(one.filename)
        for at in {0, one.file_size - 1, random_.randrange(one.file_size)}:
            flipped = bytearray(raw)
            flipped[start + at] ^= 1 << random_.randrange(8)
            other = tmp_path / "flipped.zip"
            other.write_bytes(bytes(flipped))
            report = examined(other)
            # A changed manifest no longer has its signature: the two are named as one.
            named = {verify.SIGNATURE} if one.filename == verify.MANIFEST else {one.filename}
            assert subjects(report) == named, f"{one.filename} byte {at}: {report.bad}"
