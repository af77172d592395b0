"""Only the pinned photographs are used, and their absence names the remedy."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from hardware.errors import PeopleMissing
from hardware.simulated_people import (
    ARCHIVE_SHA256,
    PICTURES,
    REQUIREMENTS,
    People,
    PeopleUnavailable,
    fetch_people,
    load_people,
    main,
)


def test_missing_photographs_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(PeopleMissing, match=r"python -P -m hardware\.simulated_people"):
        load_people(tmp_path)


def test_a_changed_photograph_is_not_used(people: People, tmp_path: Path) -> None:
    for picture in PICTURES:
        shutil.copy(people.folder / picture.file_name, tmp_path)
    assert load_people(tmp_path).folder == tmp_path
    with (tmp_path / PICTURES[0].file_name).open("ab") as file:
        file.write(b"!")
    with pytest.raises(PeopleMissing, match="not the pinned picture"):
        load_people(tmp_path)


def test_faces_are_where_the_table_says(people: People) -> None:
    for picture in PICTURES:
        height, width = people.pixels(picture.person, picture.number).shape[:2]
        x, y, w, h = picture.face_box
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
        assert all(x < px < x + w and y < py < y + h for px, py in picture.landmarks)
        assert picture.crown_y < picture.landmarks[0][1]


def test_one_person_has_several_photographs_and_another_one() -> None:
    assert sum(picture.person == "person-a" for picture in PICTURES) >= 3
    assert any(picture.person == "person-b" for picture in PICTURES)
    assert len({picture.sha256 for picture in PICTURES}) == len(PICTURES)


def test_fetching_again_is_quick_and_needs_no_archive(
    people: People, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_people(people.folder, archive=Path("/nowhere")) == people
    assert main(["--into", str(people.folder)]) == 0
    assert "already there" in capsys.readouterr().out


def test_another_archive_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forged = tmp_path / "face_recognition-1.3.0.tar.gz"
    with tarfile.open(forged, "w:gz") as tar:
        member = tarfile.TarInfo("face_recognition-1.3.0/tests/test_images/obama.jpg")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"fake"))
    with pytest.raises(PeopleUnavailable, match="SHA-256"):
        fetch_people(tmp_path / "people", archive=forged)
    assert main(["--into", str(tmp_path / "people"), "--from", str(forged)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_requirement_pins_the_archive() -> None:
    assert REQUIREMENTS.read_text().strip() == (
        f"face_recognition==1.3.0 --hash=sha256:{ARCHIVE_SHA256}"
    )
