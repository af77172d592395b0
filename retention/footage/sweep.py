"""Explained disk (invariant 1): compare every file under the footage root with the index.

Only reports; it never moves or deletes. Files are listed before rows are read, so what looks
wrong because a recorder sealed in between is looked at once more before it is named.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from retention.footage.layout import (
    PART_SUFFIX,
    SEALED_SUFFIX,
    UNUSABLE_SUFFIX,
    VOLUME_FILE,
    FootageError,
    is_day_folder,
    on_volume,
    shown,
)
from retention.footage.volume import LOST_AND_FOUND
from retention.store import footage
from retention.store.database import NodeStore
from retention.store.footage import MAIN_VOLUME

SETTLING_SECONDS = 60.0
"""A sealed file this young may be on its way into the index."""
LIVE_SECONDS = 900.0
"""A recorder adds to an open `.part` with every GOP, and tries again every few seconds if it
cannot: one that nobody wrote to for so long belongs to no live run."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that no rule explains. `subject` is a path relative to the footage root, after
    the volume's name on any volume but `main`."""

    incident: str
    subject: str
    detail: str


def findings(
    root: Path,
    read: Callable[[str], dict[str, footage.SegmentRow]],
    now: float,
    volume: str = MAIN_VOLUME,
) -> Iterator[Finding]:
    """Yield what is wrong, folder by folder. `now` is in seconds since the epoch; `read` returns
    the segments indexed under `camera/day` of the volume. A missing root yields nothing: see
    volume.py."""
    for one in _walk(root, read, now):
        yield Finding(one.incident, shown(on_volume(volume, one.subject)), one.detail)


def _walk(
    root: Path, read: Callable[[str], dict[str, footage.SegmentRow]], now: float
) -> Iterator[Finding]:
    if not root.is_dir():
        return
    for entry in sorted(root.iterdir()):
        if entry.name == LOST_AND_FOUND and not os.access(entry, os.R_OK):
            continue  # Root's own; nothing of ours can have come there but through fsck.
        if entry.is_dir():
            try:
                folders = sorted(entry.iterdir())
            except OSError as exc:
                yield Finding("UNREADABLE_FILE", entry.name, str(exc.strerror))
                continue
            for folder in folders:
                yield from _folder(folder, f"{entry.name}/{folder.name}", read, now)
        elif not entry.name.startswith(VOLUME_FILE):
            yield Finding("UNEXPLAINED_FILE", entry.name, "no rule of the footage store makes this")


def missing_folders(
    root: Path, connection: sqlite3.Connection, volume: str = MAIN_VOLUME
) -> Iterator[Finding]:
    """Yield segments whose whole day folder is gone, which a walk over the disk cannot see."""
    for folder in footage.folders(connection):
        try:
            if (root / folder).is_dir():
                continue
        except OSError:
            continue  # Unreadable, which the walk has said; not gone.
        rows = footage.segments_in_folder(connection, folder, volume)
        lost = sorted(path for path, row in rows.items() if row.state == "sealed")
        if lost:
            detail = f"{len(lost)} segments and their folder are gone"
            yield Finding("FOOTAGE_MISSING", on_volume(volume, lost[0]), detail)


def _folder(
    folder: Path, name: str, read: Callable[[str], dict[str, footage.SegmentRow]], now: float
) -> Iterator[Finding]:
    if not folder.is_dir():
        yield Finding("UNEXPLAINED_FILE", name, "a file where a day's folder belongs")
        return
    try:
        files = sorted(folder.iterdir(), key=lambda file: file.name)
    except OSError as exc:
        yield Finding("UNREADABLE_FILE", name, str(exc.strerror))
        return
    rows = read(name) if is_day_folder(name) else {}
    for file in files:
        found = _file(file, f"{name}/{file.name}", rows, now)
        if found is not None:
            yield found
    listed = {f"{name}/{file.name}" for file in files}
    for path in sorted(rows.keys() - listed):
        if rows[path].state == "sealed" and not (folder / Path(path).name).exists():
            yield Finding("FOOTAGE_MISSING", path, f"segment {rows[path].id} has no file")


def _file(file: Path, path: str, rows: dict[str, footage.SegmentRow], now: float) -> Finding | None:
    try:
        facts = os.stat(file) if path in rows else os.lstat(file)
    except FileNotFoundError:
        return None  # Renamed since it was listed: an open segment was sealed.
    if path in rows:
        if facts.st_size == rows[path].bytes:
            return None
        detail = f"{facts.st_size} bytes, sealed with {rows[path].bytes}"
        return Finding("FOOTAGE_CHANGED", path, detail)
    if not stat.S_ISREG(facts.st_mode):
        return Finding("UNEXPLAINED_FILE", path, "not a plain file")
    if path.endswith(UNUSABLE_SUFFIX):
        return Finding("PART_UNUSABLE", path, f"{facts.st_size} bytes without a whole fragment")
    if path.endswith(PART_SUFFIX):
        if abs(now - facts.st_mtime) < LIVE_SECONDS:
            return None  # Open, or waiting for its recorder to start again.
        return Finding("PART_LEFT", path, "no run writes to it and no recorder took it up")
    if path.endswith(SEALED_SUFFIX) and abs(now - facts.st_ctime) < SETTLING_SECONDS:
        return None
    return Finding("UNEXPLAINED_FILE", path, "no row in the index and no rule makes it")


def sweep(store: NodeStore, root: Path, beat: Callable[[], None], volume: str = MAIN_VOLUME) -> int:
    """Look at a whole volume and write an incident for each new finding; returns how many.

    Raises FootageError, and says nothing, when the disk went while it was looked at.
    """
    disk = _disk(root)

    def read(folder: str) -> dict[str, footage.SegmentRow]:
        beat()
        with store.read() as connection:
            return footage.segments_in_folder(connection, folder, volume)

    found = list(findings(root, read, store.clock.now().timestamp(), volume))
    with store.read() as connection:
        found += missing_folders(root, connection, volume)
    if _disk(root) != disk:
        raise FootageError(f"{root}: the disk changed while it was looked at")
    new = 0
    for one in found:
        beat()
        with store.write() as connection:
            new += footage.add_incident(store, connection, one.incident, one.subject, one.detail)
    return new


def _disk(root: Path) -> tuple[int, int] | None:
    """Return what is another when another disk, or none, is mounted there."""
    try:
        facts = os.stat(root / VOLUME_FILE)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
