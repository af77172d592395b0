"""What a folder of files proves by itself: whose they are, in what order, and where footage lacks.

Each segment file carries its identity inside (`layout.SegmentIdentity`). Only names and small boxes
are read, a day at a time, so a year of files costs no memory. A file whose identity does not fit
its place, is not whole, or claims a place in its run that another file has, is `Unexplained`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from retention.footage.boxes import picture_size, scan
from retention.footage.layout import SEALED_SUFFIX, SegmentIdentity, is_day_folder
from retention.records.clock import to_micros
from retention.records.payloads import SceneRole
from retention.store.database import NodeIdentity

TOLERANCE_US = 1_000_000
"""The last picture of a segment lasts until the next begins; its file does not say how long."""


@dataclass(frozen=True, slots=True)
class FiledSegment:
    """A whole segment file. Times in microseconds since the epoch; `path` is relative to the
    volume's root; `size` is its picture's width and height, 0 if unreadable."""

    identity: SegmentIdentity
    volume: str
    path: str
    bytes: int
    started_at: int
    ended_at: int
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A file that proves nothing, and why."""

    volume: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hole:
    """No footage between two segments of one camera."""

    camera: str
    scene_role: SceneRole
    started_at: int
    ended_at: int
    missing_ordinals: int


def listing(
    roots: Mapping[str, Path], owner: NodeIdentity, beat: Callable[[], None] = lambda: None
) -> Iterator[FiledSegment | Unexplained]:
    """Yield the sealed files of every volume, by camera and time. `.part` files are their
    recorder's to recover, so they are not told here.

    Raises OSError when a folder cannot be listed.
    """
    last_ordinal: dict[str, int] = {}
    waiting: FiledSegment | None = None
    for folder in _day_folders(roots):
        found: list[FiledSegment] = []
        for volume, root in sorted(roots.items()):
            for file in _files(root / folder):
                beat()
                told = read_file(file, f"{folder}/{file.name}", volume, owner)
                if isinstance(told, Unexplained):
                    yield told
                else:
                    found.append(told)
        for one in sorted(found, key=_place):
            said = _contradiction(one, last_ordinal)
            if said is not None:
                yield said
                continue
            last_ordinal[one.identity.run] = one.identity.ordinal
            if waiting is not None:
                yield _joined(waiting, one)
            waiting = one
    if waiting is not None:
        yield waiting


def amount(roots: Mapping[str, Path]) -> tuple[int, int]:
    """Return how many sealed files the volumes have, and their bytes. Raises OSError."""
    files = [
        file.lstat().st_size
        for folder in _day_folders(roots)
        for root in roots.values()
        for file in _files(root / folder)
    ]
    return len(files), sum(files)


def holes(segments: Iterable[FiledSegment]) -> Iterator[Hole]:
    """Yield where footage lacks between segments of one camera, told from the files alone."""
    for before, after in pairwise(segments):
        identity = after.identity
        if before.identity.camera != identity.camera:
            continue
        missing = _ordinals_between(before, after)
        if missing or after.started_at - before.ended_at > TOLERANCE_US:
            start, end = sorted((before.ended_at, after.started_at))
            yield Hole(identity.camera, identity.scene_role, start, end, missing)


def read_file(
    file: Path, path: str, volume: str, owner: NodeIdentity
) -> FiledSegment | Unexplained:
    """Say what one file is."""

    def not_ours(reason: str) -> Unexplained:
        return Unexplained(volume, path, reason)

    try:
        if not stat.S_ISREG(os.lstat(file).st_mode):
            return not_ours("not a plain file")
        held, size = scan(file), picture_size(file)
    except OSError as exc:
        return not_ours(f"cannot be read: {exc.strerror}")
    identity = held.identity
    if identity is None:
        return not_ours("carries no identity")
    if (identity.agency, identity.pharmacy, identity.node) != (
        owner.agency, owner.pharmacy, owner.node,
    ):  # fmt: skip
        return not_ours(f"of node {identity.node}")
    if identity.path() != path:
        return not_ours(f"its identity belongs at {identity.path()}")
    if not held.whole_bytes or held.whole_bytes != held.file_bytes:
        return not_ours(f"{held.whole_bytes} of {held.file_bytes} bytes are whole fragments")
    start = to_micros(identity.start)
    end = start + held.duration_us
    return FiledSegment(identity, volume, path, held.file_bytes, start, end, size)


def _place(one: FiledSegment) -> tuple[int, str, int, str]:
    identity = one.identity
    return one.started_at, identity.run, identity.ordinal, one.volume


def _contradiction(one: FiledSegment, last_ordinal: dict[str, int]) -> Unexplained | None:
    """Say why a file cannot stand where it says: in time, a run's segments count upward."""
    before = last_ordinal.get(one.identity.run, -1)
    if one.identity.ordinal > before:
        return None
    reason = f"segment {one.identity.ordinal} of its run, after segment {before}"
    return Unexplained(one.volume, one.path, reason)


def _joined(one: FiledSegment, after: FiledSegment) -> FiledSegment:
    """Let a segment last until the next of its run begins, which is how it was recorded."""
    same = (one.identity.run, one.identity.ordinal + 1) == (
        after.identity.run, after.identity.ordinal,
    )  # fmt: skip
    if not same or abs(after.started_at - one.ended_at) > TOLERANCE_US:
        return one
    return replace(one, ended_at=after.started_at)


def _ordinals_between(before: FiledSegment, after: FiledSegment) -> int:
    """Return how many segments once were between two that follow each other here. A run begins
    at 0, so what is missing at its beginning is known too."""
    if before.identity.run == after.identity.run:
        return after.identity.ordinal - before.identity.ordinal - 1
    return after.identity.ordinal


def _day_folders(roots: Mapping[str, Path]) -> list[str]:
    """Return every CAMERA/YYYYMMDD that a volume has, by camera and day."""
    found = set()
    for root in roots.values():
        for camera in root.iterdir():
            if camera.is_dir() and os.access(camera, os.R_OK):
                found |= {f"{camera.name}/{day.name}" for day in camera.iterdir() if day.is_dir()}
    return sorted(name for name in found if is_day_folder(name))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.name.endswith(SEALED_SUFFIX))
