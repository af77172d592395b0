"""A protocol is read whole, or refused with the file and the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from identity.errors import ProtocolRefused
from identity.evaluate_protocol import Pair, people_of, read_protocol


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for name in ("Ann", "Bob", "Cid"):
        (folder / name).mkdir(parents=True)
        for number in (1, 2):
            ending = "png" if (name, number) == ("Cid", 2) else "jpg"
            (folder / name / f"{name}_{number:04d}.{ending}").write_bytes(b"a picture, unread here")
    return folder


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "protocol"
    path.write_text(text, encoding="utf-8")
    return path


CSV, PAIR = "left,right,mated\n", "Ann/Ann_0001.jpg,Ann/Ann_0002.jpg"
FOLDS = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t2\nCid\t1\t2\nBob\t1\tCid\t2\n"


def test_pairs_of_lfw_are_read_with_their_folds(tmp_path: Path, images: Path) -> None:
    read = read_protocol(written(tmp_path, FOLDS), images)
    assert read.kind == "lfw"
    assert read.pairs[0] == Pair("Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", mated=True, line=2)
    assert read.pairs[3] == Pair("Bob/Bob_0001.jpg", "Cid/Cid_0002.png", mated=False, line=5)
    assert read.folds is not None
    assert read.folds.tolist() == [0, 0, 1, 1]
    assert len(read.pictures) == 6
    assert read.person["Ann/Ann_0001.jpg"] == read.person["Ann/Ann_0002.jpg"]
    assert len(set(read.person.values())) == 3


def test_a_first_line_with_one_number_means_no_folds(tmp_path: Path, images: Path) -> None:
    read = read_protocol(written(tmp_path, "1\nAnn 1 2\nAnn 1 Bob 2\n"), images)
    assert read.folds is None
    assert [pair.mated for pair in read.pairs] == [True, False]


def test_columns_of_a_csv_may_come_in_any_order(tmp_path: Path, images: Path) -> None:
    text = 'mated,left,note,right\r\n1,Ann/Ann_0001.jpg,"a, b",Ann/Ann_0002.jpg\r\n'
    text += "\r\nFALSE,Ann/Ann_0001.jpg,,Bob/Bob_0001.jpg\r\n"
    read = read_protocol(written(tmp_path, "\ufeff" + text), images)
    assert read.kind == "csv"
    assert [(pair.mated, pair.line) for pair in read.pairs] == [(True, 2), (False, 4)]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (FOLDS.replace("Cid\t1\t2", "Cid\t1"), 4, "2 columns; NAME I J"),
        (FOLDS.replace("Cid\t1\t2", "Cid\t1\tx"), 4, "'x' is no number"),
        (FOLDS.replace("Cid\t1\t2", "Cid\t1\t7"), 4, "no picture Cid/Cid_0007.jpg in --images"),
        (FOLDS.replace("Cid\t1\t2", "../a\t1\t2"), 4, "no path below --images"),
        (FOLDS[: FOLDS.index("Bob\t1")], 4, "3 pairs, but the first line promises 4"),
        ("left,right\n", 1, "neither LFW's first line nor the columns"),
        ("", 1, "neither LFW's first line nor the columns"),
        ("left,right,mated\nAnn/Ann_0001.jpg\n", 2, "1 columns, the first line has 3"),
        ("left,right,mated\nAnn/Ann_0001.jpg,/etc/passwd,1\n", 2, "no path below --images"),
        ("left,right,mated\nAnn/Ann_0001.jpg,,1\n", 2, "no path below --images"),
        ("left,right,mated\nAnn/Ann_0001.jpg,Bob/no.jpg,0\n", 2, "no picture Bob/no.jpg"),
        ("left,right,mated\nAnn/Ann_0001.jpg,Ann/Ann_0002.jpg,maybe\n", 2, "mated is 'maybe'"),
        ("left,right,mated\nAnn/Ann_0001.jpg,Ann/Ann_0002.jpg,1\n", 2, "no non-mated pair"),
        ("left,right,mated\n", 1, "no mated pair"),
        (FOLDS.replace("Cid\t1\t2", "Cid\t1\t" + "9" * 5000), 4, "is no number"),
        (FOLDS.replace("Cid\t1\t2", "C" * 5000 + "\t1\t2"), 4, "there is no picture CCC"),
        (FOLDS.replace("Cid\t1\t2", "Cid\t1\t1"), 4, "compared with itself"),
        (FOLDS.replace("Cid\t1\t2", "Ann\t2\t1"), 4, "the same pair as in line 2"),
        (f"{CSV}{PAIR},1\n{PAIR},0\n", 3, "the same pair as in line 2"),
        ("left,right,mated,left\n", 1, "a column occurs twice"),
        ('left,right,mated\n"Ann/Ann_0001.jpg,Ann,1\n', 2, "unexpected end of data"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, images: Path, text: str, line: int, problem: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ProtocolRefused) as caught:
        read_protocol(path, images)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert problem in str(caught.value)


def test_what_is_no_text_or_not_there_is_refused(tmp_path: Path, images: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProtocolRefused, match="no text"):
        read_protocol(tmp_path / "bytes", images)
    with pytest.raises(ProtocolRefused, match="No such file"):
        read_protocol(tmp_path / "absent", images)
    with pytest.raises(ProtocolRefused, match="is no folder"):
        read_protocol(written(tmp_path, FOLDS), tmp_path / "nowhere")


def test_pictures_in_one_folder_are_people_by_their_mated_pairs() -> None:
    pairs = [
        Pair("all/1.jpg", "all/2.jpg", mated=True, line=2),
        Pair("all/2.jpg", "all/3.jpg", mated=True, line=3),
        Pair("all/1.jpg", "all/4.jpg", mated=False, line=4),
    ]
    person = people_of(pairs)
    assert person["all/1.jpg"] == person["all/2.jpg"] == person["all/3.jpg"] != person["all/4.jpg"]
