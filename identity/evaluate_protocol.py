"""What to compare: LFW's pairs.txt, or a CSV file with the columns left, right and mated.

A line that cannot be understood, a picture that is not there or compared with itself, and a pair
that occurs twice (each would flatter the rates) are refused with file and line, before anything is
computed. Whose picture it is follows from the folder it lies in, unless a
non-mated pair within one folder shows that folders are no people; then pictures that are joined by
mated pairs are one person. Intervals need to know who occurs how often.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from identity.errors import ProtocolRefused
from identity.statistics import Ints

_HEADER = re.compile(r"^([0-9]{1,3}\s+)?[0-9]{1,6}$")
_ORDINAL = re.compile(r"^[0-9]{1,6}$")
_ENDINGS = (".jpg", ".png", ".jpeg")
_COLUMNS = ("left", "right", "mated")
_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_MOST_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Pair:
    """One comparison: pictures as paths below the images folder, and the line that names it."""

    left: str
    right: str
    mated: bool
    line: int


@dataclass(frozen=True, slots=True, eq=False)
class Protocol:
    """The comparisons of a file, their folds (None where it has none), and whose pictures."""

    source: str
    kind: str
    pairs: tuple[Pair, ...]
    folds: Ints | None
    person: dict[str, int]

    @property
    def pictures(self) -> tuple[str, ...]:
        """Return every picture once, in the order of first use."""
        return tuple(dict.fromkeys(name for pair in self.pairs for name in (pair.left, pair.right)))


def read_protocol(path: Path, images: Path) -> Protocol:
    """Read a protocol whose pictures lie below `images`. Raises ProtocolRefused with the line."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ProtocolRefused(str(path), 1, f"more than {_MOST_BYTES // 2**20} MiB")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise ProtocolRefused(str(path), 1, exc.strerror or "it cannot be read") from exc
    except UnicodeDecodeError as exc:
        raise ProtocolRefused(str(path), 1, "it is no text in UTF-8") from exc
    if not images.is_dir():
        raise ProtocolRefused(str(path), 1, f"--images {images} is no folder")
    lines = text.splitlines()
    is_lfw = bool(lines) and _HEADER.match(lines[0].strip()) is not None
    source, folds = str(path), None
    if is_lfw:
        pairs, folds = _lfw(lines, source, images)
    else:
        pairs = tuple(_csv(lines, source, images))
    for mated in (True, False):
        if all(pair.mated is not mated for pair in pairs):
            kind = "mated" if mated else "non-mated"
            raise ProtocolRefused(source, len(lines) or 1, f"there is no {kind} pair in the file")
    _refuse_repeated(pairs, source)
    return Protocol(source, "lfw" if is_lfw else "csv", pairs, folds, people_of(pairs))


def _refuse_repeated(pairs: Sequence[Pair], source: str) -> None:
    lines: dict[frozenset[str], int] = {}
    for pair in pairs:
        both = frozenset((pair.left, pair.right))
        if len(both) == 1:
            problem = f"{pair.left} is compared with itself"
            raise ProtocolRefused(source, pair.line, problem)
        first = lines.setdefault(both, pair.line)
        if first != pair.line:
            raise ProtocolRefused(source, pair.line, f"the same pair as in line {first}")


def _lfw(lines: Sequence[str], source: str, images: Path) -> tuple[tuple[Pair, ...], Ints | None]:
    numbers = [int(value) for value in lines[0].split()]
    count, each = (numbers[0], numbers[1]) if len(numbers) == 2 else (1, numbers[0])
    pairs = []
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            pairs.append(_lfw_pair(line, source, number, images))
    if len(pairs) != count * each * 2:
        problem = f"{len(pairs)} pairs, but the first line promises {count * each * 2}"
        raise ProtocolRefused(source, len(lines), problem)
    folds = np.arange(len(pairs), dtype=np.int64) // (2 * each) if count > 1 else None
    return tuple(pairs), folds


def _lfw_pair(line: str, source: str, number: int, images: Path) -> Pair:
    cells = line.split("\t") if "\t" in line else line.split()
    if len(cells) == 3:
        cells = [cells[0], cells[1], cells[0], cells[2]]
        mated = True
    elif len(cells) == 4:
        mated = False
    else:
        problem = f"{len(cells)} columns; NAME I J or NAME I OTHER J is expected"
        raise ProtocolRefused(source, number, problem)
    names = []
    for name, ordinal in ((cells[0], cells[1]), (cells[2], cells[3])):
        if not _ORDINAL.match(ordinal.strip()):
            raise ProtocolRefused(source, number, f"{ordinal!r} is no number of a picture")
        stem = f"{name.strip()}/{name.strip()}_{int(ordinal):04d}"
        found = next((stem + end for end in _ENDINGS if _is_file(images / (stem + end))), None)
        names.append(_inside(found or stem + _ENDINGS[0], source, number, images))
    return Pair(names[0], names[1], mated, number)


def _csv(lines: Sequence[str], source: str, images: Path) -> Iterator[Pair]:
    rows = csv.reader(lines, strict=True)
    try:
        header = [cell.strip().lower() for cell in next(rows, [])]
        if not set(_COLUMNS) <= set(header):
            problem = "neither LFW's first line nor the columns left,right,mated"
            raise ProtocolRefused(source, 1, problem)
        if len(set(header)) != len(header):
            raise ProtocolRefused(source, 1, "a column occurs twice")
        places = [header.index(column) for column in _COLUMNS]
        for row in rows:
            if row:
                yield _csv_pair(row, places, len(header), source, rows.line_num, images)
    except csv.Error as exc:
        raise ProtocolRefused(source, rows.line_num, str(exc)) from exc


def _csv_pair(
    row: Sequence[str], places: Sequence[int], width: int, source: str, number: int, images: Path
) -> Pair:
    if len(row) != width:
        raise ProtocolRefused(source, number, f"{len(row)} columns, the first line has {width}")
    left, right, said = (row[place].strip() for place in places)
    mated = _TRUTH.get(said.lower())
    if mated is None:
        raise ProtocolRefused(source, number, f"mated is {said!r}; 1 or 0 (true, false) is allowed")
    names = [_inside(name, source, number, images) for name in (left, right)]
    return Pair(names[0], names[1], mated, number)


def _inside(name: str, source: str, number: int, images: Path) -> str:
    place = PurePosixPath(name)
    if not name or "\0" in name or place.is_absolute() or ".." in place.parts:
        raise ProtocolRefused(source, number, f"{name!r} is no path below --images")
    if not _is_file(images / name):
        raise ProtocolRefused(source, number, f"there is no picture {name} in --images")
    return str(place)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # A name that no file can have, such as one of thousands of letters.
        return False


def people_of(pairs: Sequence[Pair]) -> dict[str, int]:
    """Return a number of the person for each picture."""
    folders = {name: str(PurePosixPath(name).parent) for p in pairs for name in (p.left, p.right)}
    by_folder = all((folders[p.left] == folders[p.right]) == p.mated for p in pairs)
    groups = folders if by_folder else _joined(pairs)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups.values()))}
    return {name: numbers[group] for name, group in groups.items()}


def _joined(pairs: Sequence[Pair]) -> dict[str, str]:
    """Return a representative per picture: pictures joined by mated pairs have the same one."""
    parent: dict[str, str] = {}

    def top(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for pair in pairs:
        left, right = top(pair.left), top(pair.right)
        if pair.mated:
            parent[right] = left
    return {name: top(name) for name in list(parent)}
