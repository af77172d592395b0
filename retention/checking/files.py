"""Files on every volume against the index: present, of their size, and each one explained.

A live node seals and disposes while this reads: what looks lost is looked up once more on a fresh
view of the database before it is named. A volume that is not the node's, or not there, is named
once, and its footage is not called missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from retention.checking.report import Bad
from retention.checking.subject import Subject
from retention.footage.layout import VOLUME_FILE, on_volume
from retention.footage.sweep import Finding, findings, missing_folders
from retention.footage.volume import Condition, Owner, Volume, look_at
from retention.store import footage
from retention.store import volumes as rows
from retention.store.footage import SegmentRow

_STRAYS = {"UNEXPLAINED_FILE", "PART_UNUSABLE", "PART_LEFT", "UNREADABLE_FILE"}
"""A stray file with its incident row is explained; lost footage never is."""


def volumes(subject: Subject) -> Iterator[Bad]:
    """Check the name of every volume that was told or is known to hold footage."""
    told = _look(subject)
    for name in sorted(_owner(subject).with_footage - told.keys()):
        subject.report.skipped.append(f"volume {name}: where it lies was not told")
    for name, volume in told.items():
        if not volume.reachable and volume.condition is not Condition.FRESH:
            yield Bad("volume", on_volume(name, VOLUME_FILE), volume.detail)


def reachable(subject: Subject) -> dict[str, Path]:
    """Return the roots of the volumes that are there and this node's."""
    return {name: volume.root for name, volume in _look(subject).items() if volume.reachable}


def _look(subject: Subject) -> dict[str, Volume]:
    owner = _owner(subject)
    return {name: look_at(name, root, owner) for name, root in subject.roots.items()}


def _owner(subject: Subject) -> Owner:
    connection = subject.connection
    return Owner(
        subject.node, subject.database_id, rows.known(connection), rows.with_footage(connection)
    )


def files(subject: Subject) -> Iterator[Bad]:
    """Compare every file under each volume's root with the index."""
    explained = footage.incident_subjects(subject.connection)
    known = 0
    roots = reachable(subject)
    for name in sorted(subject.roots.keys() - roots.keys()):
        subject.report.skipped.append(f"files of volume {name}: not reachable")
    for name, root in roots.items():
        for one in _of_volume(subject, name, root):
            if one.subject in explained and one.incident in _STRAYS:
                known += 1
            else:
                yield Bad("files", one.subject, f"{one.incident}: {one.detail}")
    subject.report.counts["files_under_incident"] = known


def _of_volume(subject: Subject, name: str, root: Path) -> Iterator[Finding]:
    def read(folder: str) -> dict[str, SegmentRow]:
        return footage.segments_in_folder(subject.connection, folder, name)

    found = findings(root, read, subject.now.timestamp(), name)
    for one in chain(found, missing_folders(root, subject.connection, name)):
        path = one.subject.removeprefix(on_volume(name, ""))
        if one.incident != "FOOTAGE_MISSING" or still_owed(subject, path):
            yield one


def still_owed(subject: Subject, path: str) -> bool:
    """Tell whether the index knows a file now as one that must be there."""
    row = footage.segment_at(subject.connection, path)
    return row is not None and row.state == "sealed"
