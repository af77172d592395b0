"""How many people a node holds face references of, and how their references stand.

People are counted, not references, for the duty to file begins at a number of people. Pharmacists
who have a reference count: they are people too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from retention.records.clock import from_micros, to_micros
from retention.records.people import SubjectsCounted
from retention.store.database import NodeStore
from retention.store.log import append

TOLD_EVERY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class FaceCounts:
    """What a node holds: people, their references, those of another embedding contract, those
    whose key is not there any more; the same of sealed probes."""

    subjects: int
    references: int
    outdated: int
    key_missing: int
    probes: int
    probes_key_missing: int


def face_counts(connection: sqlite3.Connection, key_ids: Collection[str]) -> FaceCounts:
    """Count what is held; `key_ids` are the reference keys that are there."""
    subjects, references = _subjects(connection)
    (outdated,) = connection.execute(
        "SELECT count(outdated_at) FROM reference_templates"
    ).fetchone()
    under = connection.execute("SELECT key_id, count(*) FROM reference_templates GROUP BY key_id")
    key_missing = _missing(under, key_ids)
    (probes,) = connection.execute("SELECT count(*) FROM probes").fetchone()
    wrapped = connection.execute("SELECT key_id, count(*) FROM probes GROUP BY key_id")
    return FaceCounts(
        subjects=subjects,
        references=references,
        outdated=int(outdated),
        key_missing=key_missing,
        probes=int(probes),
        probes_key_missing=_missing(wrapped, key_ids),
    )


def count_subjects(store: NodeStore, controller: str) -> bool:
    """Count the people who have a reference here and record it, when their number changed or was
    last told a day ago. Says whether it was recorded. Raises StoreUnavailable."""
    now = store.clock.now()
    with store.read() as connection:
        counted, _ = _subjects(connection)
        if _told(connection, counted, now):
            return False
    with store.write() as connection:
        subjects, references = _subjects(connection)
        connection.execute(
            "INSERT OR REPLACE INTO subject_counts VALUES (1, ?, ?, ?)",
            (subjects, references, to_micros(now)),
        )
        counts = SubjectsCounted(controller=controller, subjects=subjects, references=references)
        append(store, connection, counts)
    return True


def _told(connection: sqlite3.Connection, subjects: int, now: datetime) -> bool:
    """Tell whether this number was told within a day; one told in the future was not."""
    row = connection.execute("SELECT subjects, counted_at FROM subject_counts").fetchone()
    if row is None or row["subjects"] != subjects:
        return False
    counted_at = from_micros(row["counted_at"])
    return counted_at <= now < counted_at + TOLD_EVERY


def _subjects(connection: sqlite3.Connection) -> tuple[int, int]:
    subjects, references = connection.execute(
        "SELECT count(DISTINCT person_ref), count(*) FROM reference_templates"
    ).fetchone()
    return int(subjects), int(references)


def _missing(counted: sqlite3.Cursor, key_ids: Collection[str]) -> int:
    return sum(int(count) for key_id, count in counted if key_id not in key_ids)
