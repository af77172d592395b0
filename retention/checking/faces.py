"""Face material: nothing is kept past its end, and every sealed probe has its row and its file.

A file without a row is what a crash left: without its key it opens nowhere and the custodian sweeps
it, so it is counted and not called bad. What a hold covers may stay; while what a hold on a person
covers is not all known here, nothing is called late.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from retention import probe_files
from retention.checking.report import Bad
from retention.checking.subject import Subject
from retention.policy import ceiling_days
from retention.records.clock import from_micros, to_micros
from retention.store import holds, policies, probes

LATE = timedelta(days=1)
"""A node erases every minute that it runs; one that was off for a night is not yet to blame."""


def kept_too_long(subject: Subject) -> Iterator[Bad]:
    """Name references and probes whose end came more than a day ago."""
    connection, adopted = subject.connection, policies.adopted(subject.connection)
    now = subject.now - LATE
    made_before = now - timedelta(days=ceiling_days("face_reference", adopted, subject.now))
    for name, expires_at in connection.execute(
        "SELECT id, expires_at FROM reference_templates WHERE expires_at <= ? OR enrolled_at <= ?"
        " ORDER BY id",
        (to_micros(now), to_micros(made_before)),
    ):
        yield Bad("references", name, f"is kept past its end, {from_micros(expires_at)}")
    standing = holds.resolve(connection)
    if standing is None:
        subject.report.skipped.append("ends of probes: a hold on a person is still being looked up")
        return
    made_before = now - timedelta(days=ceiling_days("probe_crop", adopted, subject.now))
    due = probes.due(connection, made_before, standing)
    for receipt in due.get("expired", ()):
        yield Bad("probes", receipt, "is kept past its end")
    for receipt in due.get("consent_withdrawn", ()):
        if _withdrawn_at(subject, receipt) <= to_micros(now):
            yield Bad("probes", receipt, "is kept though consent was withdrawn")


def _withdrawn_at(subject: Subject, receipt: str) -> int:
    (latest,) = subject.connection.execute(
        "SELECT max(c.withdrawn_at) FROM consents c JOIN probes p ON p.person_ref = c.person_ref"
        " WHERE p.receipt = ?",
        (receipt,),
    ).fetchone()
    return int(latest)


def files(subject: Subject) -> Iterator[Bad]:
    """Compare DATA/probes with the rows, on a fresh look at what changed meanwhile."""
    connection, folder = subject.connection, probe_files.folder_of(subject.data)
    known = dict(_rows(subject))
    names = probe_files.names_in(folder)
    for receipt in sorted(known):
        try:
            size = (folder / receipt).stat().st_size
        except FileNotFoundError:
            if probes.read(connection, receipt) is not None:  # else it was erased just now
                yield Bad("probes", receipt, "its file is gone")
            continue
        if size != known[receipt]:
            yield Bad("probes", receipt, f"its file has {size} bytes, {known[receipt]} were sealed")
    subject.report.counts["probes"] = len(known)
    subject.report.counts["probe_files_left"] = len(names - known.keys())


def _rows(subject: Subject) -> list[tuple[str, int]]:
    return [
        (row[0], row[1]) for row in subject.connection.execute("SELECT receipt, bytes FROM probes")
    ]
