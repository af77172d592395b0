"""Every file read again: SHA-256, chunk root, and the identity that it carries inside.

Segments come in log order, a few rows at a time, so a check that was broken off goes on where it
stood and a live node is never kept from tidying its database.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from retention.checking.files import reachable, still_owed
from retention.checking.progress import Meter, Resume
from retention.checking.report import Bad
from retention.checking.subject import Subject
from retention.footage.boxes import scan
from retention.footage.sink import fingerprint_of
from retention.records.clock import from_micros, to_text
from retention.store import footage
from retention.store.footage import SegmentRow

ROWS_AT_ONCE = 500


def digests(subject: Subject, meter: Meter, resume: Resume) -> Iterator[Bad]:
    """Read every reachable sealed file from where `resume` stands."""
    roots = reachable(subject)
    yield from resume.bad
    segments, size = footage.held_after(subject.connection, resume.after)
    meter.begin(segments, size)
    while rows := footage.segments_after(subject.connection, resume.after, ROWS_AT_ONCE):
        for row in rows:
            meter.step(row.bytes)
            if row.state == "sealed" and row.volume in roots:
                found = list(_segment(subject, row, roots[row.volume] / row.path))
                resume.note(row.sequence, found)
                yield from found
            else:
                resume.pass_by(row.sequence)
    resume.finish()
    meter.end()
    subject.report.counts["files_hashed"] = resume.hashed


def _segment(subject: Subject, row: SegmentRow, path: Path) -> Iterator[Bad]:
    try:
        fingerprint = fingerprint_of(path)
        identity = scan(path).identity
    except FileNotFoundError:
        return  # Named with the files, or disposed of meanwhile.
    except OSError as exc:
        if still_owed(subject, row.path):
            yield Bad("digests", row.path, f"cannot be read: {exc.strerror}")
        return
    if fingerprint.file_sha256() != row.file_sha256:
        yield Bad("digests", row.path, "SHA-256 is not the one recorded")
        return
    if fingerprint.chunk_root() != row.chunk_root:
        yield Bad("digests", row.path, "chunk root is not the one recorded")
        return
    said = identity and (
        identity.segment, identity.run, identity.ordinal, identity.camera,
        identity.scene_role.value, identity.started_at,
        (identity.agency, identity.pharmacy, identity.node),
    )  # fmt: skip
    known = (
        row.id, row.run, row.ordinal, row.camera,
        row.scene_role, to_text(from_micros(row.started_at)), subject.owner,
    )  # fmt: skip
    if said != known:
        yield Bad("digests", row.path, f"the identity inside says {said}")
