"""`countersight retention check`: the invariants against a node's data folder, read-only.

    rows      the log (sequence, leaves, root, canonical form), checkpoints and countersignatures,
              segments, disposals, and every row that the records make
    sizes     rows, and every file on every volume explained, present and of its size; the same
              of sealed probes
    digests   sizes, and every file's SHA-256, chunk root and identity read again
Findings come in this order, so the first one named is the deepest cause that was found. Rows are
read on one view of the database; files on fresh ones, for a live node seals and disposes meanwhile.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from retention.checking import faces
from retention.checking.checkpoints import checkpoints
from retention.checking.digests import digests
from retention.checking.files import files, volumes
from retention.checking.log import LogWalk, Observer
from retention.checking.progress import Meter, Resume
from retention.checking.projections import PROJECTIONS, ProjectionObserver
from retention.checking.promises import Promises
from retention.checking.report import MOST_FINDINGS, Bad, Depth, Report
from retention.checking.segments import SegmentIndex, runs
from retention.checking.subject import Subject, owner_of
from retention.store.database import open_read_only
from retention.store.footage import MAIN_VOLUME

__all__ = ["Bad", "Depth", "Options", "Report", "check"]


@dataclass(frozen=True, slots=True)
class Options:
    """What the asker brings: `roots` of volumes by name (DATA/footage is `main` unless said),
    central's public key, and for long checks a meter and a file to go on from."""

    roots: dict[str, Path] = field(default_factory=dict)
    central_key: bytes | None = None
    resume: Path | None = None
    meter: Meter | None = None
    now: datetime | None = None


def check(data: Path, depth: Depth, options: Options | None = None) -> Report:
    """Check a data folder. Raises StoreUnavailable when there is no database to read, and
    ResumeRefused. What is interrupted leaves the resume file where it stood."""
    wanted = options or Options()
    connection = open_read_only(data / "node.sqlite3")
    try:
        report = Report(depth)
        try:
            owner, database_id = owner_of(connection, data)
            subject = Subject(
                data=data,
                roots=wanted.roots or {MAIN_VOLUME: data / "footage"},
                connection=connection,
                report=report,
                owner=owner,
                database_id=database_id,
                now=wanted.now or datetime.now(UTC),
                central_key=wanted.central_key,
            )
            resume = Resume(database_id, wanted.resume)
            meter = wanted.meter or Meter()
            report.bad += islice(_run(subject, meter, resume), MOST_FINDINGS)
            if len(report.bad) == MOST_FINDINGS:
                report.skipped.append(f"what comes after {MOST_FINDINGS} findings")
        except sqlite3.DatabaseError as exc:
            report.bad.append(Bad("database", "node.sqlite3", str(exc)))
        return report
    finally:
        connection.close()


def _run(subject: Subject, meter: Meter, resume: Resume) -> Iterator[Bad]:
    yield from _rows(subject)
    if subject.report.depth >= Depth.SIZES:
        yield from volumes(subject)
        yield from files(subject)
        yield from faces.files(subject)
    if subject.report.depth >= Depth.DIGESTS:
        try:
            yield from digests(subject, meter, resume)
        finally:
            resume.save()


def _rows(subject: Subject) -> Iterator[Bad]:
    connection = subject.connection
    connection.execute("BEGIN")
    try:
        yield from _database(connection)
        yield from _version(subject)
        index = SegmentIndex(connection)
        observers: list[Observer] = [
            index,
            *(ProjectionObserver(connection, projection) for projection in PROJECTIONS),
            Promises(subject),
        ]
        walk = LogWalk(subject, observers)
        yield from walk.run()
        yield from checkpoints(subject, walk.roots)
        for observer in observers:
            yield from observer.found()
        yield from runs(connection)
        yield from _open_gaps(subject)
        yield from faces.kept_too_long(subject)
        subject.report.counts |= {
            "segments": index.rows,
            "disposed": index.disposed,
            "tombstoned": index.tombstoned,
        }
    finally:
        connection.rollback()


def _database(connection: sqlite3.Connection) -> Iterator[Bad]:
    for (found,) in connection.execute("PRAGMA quick_check(1)"):
        if found != "ok":
            yield Bad("database", "node.sqlite3", str(found).splitlines()[0])


def _version(subject: Subject) -> Iterator[Bad]:
    path = subject.data / "VERSION"
    if not path.exists():
        subject.report.skipped.append("version: no VERSION file, the node never ran")
        return
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("database_id") != subject.database_id:
        yield Bad("version", "VERSION", "does not name this database")


def _open_gaps(subject: Subject) -> Iterator[Bad]:
    connection = subject.connection
    (count, closed) = connection.execute("SELECT count(*), count(ended_at) FROM gaps").fetchone()
    for camera, layer, opened in connection.execute(
        "SELECT camera, layer, count(*) FROM gaps WHERE ended_at IS NULL GROUP BY camera, layer"
        " HAVING count(*) > 1"
    ):
        yield Bad("gaps", camera, f"{opened} gaps ({layer}) are open at once")
    for row in connection.execute("SELECT id FROM gaps WHERE ended_at < started_at"):
        yield Bad("gaps", row[0], "ends before it begins")
    subject.report.counts |= {"gaps": count, "gaps_open": count - closed}
