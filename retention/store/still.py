"""When what a record stands for came to its end; None while it is still so.

A kind that is not named here ends when it is recorded. What still stands is never disposed of: its
record is the proof of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from retention.records.clock import from_text, to_micros
from retention.store.disposal import KeptRecord, payload_of

Ends = Callable[[sqlite3.Connection, KeptRecord], int | None]


def ended_at(connection: sqlite3.Connection, record: KeptRecord) -> int | None:
    """Return when a record's subject ended (microseconds), at the earliest when it was recorded."""
    ends = _ENDS.get(record.kind)
    if ends is None:
        return record.occurred_at
    found = ends(connection, record)
    return None if found is None else max(found, record.occurred_at)


def _consent(connection: sqlite3.Connection, record: KeptRecord) -> int | None:
    """A consent that was not withdrawn stands, whether it is used or not."""
    return _column(
        connection,
        "SELECT withdrawn_at FROM consents WHERE id = ?",
        payload_of(connection, record.sequence)["consent"],
        record,
    )


def _terminal(connection: sqlite3.Connection, record: KeptRecord) -> int | None:
    return _column(
        connection,
        "SELECT revoked_at FROM terminals WHERE id = ?",
        payload_of(connection, record.sequence)["terminal"],
        record,
    )


def _gap(connection: sqlite3.Connection, record: KeptRecord) -> int | None:
    return _column(
        connection,
        "SELECT ended_at FROM gaps WHERE id = ?",
        payload_of(connection, record.sequence)["gap"],
        record,
    )


def _closure(connection: sqlite3.Connection, record: KeptRecord) -> int | None:
    return _column(
        connection,
        "SELECT ended_at FROM closures WHERE id = ?",
        payload_of(connection, record.sequence)["closure"],
        record,
    )


def _reference(connection: sqlite3.Connection, record: KeptRecord) -> int | None:
    """An enrolment ends with its reference; one that was erased early counts to its full time."""
    said = payload_of(connection, record.sequence)
    here = connection.execute(
        "SELECT 1 FROM reference_templates WHERE id = ?", (said["reference"],)
    ).fetchone()
    return None if here is not None else to_micros(from_text(str(said["expires_at"])))


def _alarm(connection: sqlite3.Connection, record: KeptRecord) -> int | None:
    said = payload_of(connection, record.sequence)
    is_open = connection.execute(
        "SELECT 1 FROM alarms WHERE alarm = ? AND subject = ?", (said["alarm"], said["subject"])
    ).fetchone()
    return None if is_open is not None else record.occurred_at


def _sealed(connection: sqlite3.Connection, record: KeptRecord) -> int | None:
    """The index record of footage outlives its footage, whatever a policy makes of either."""
    here = connection.execute(
        "SELECT 1 FROM segments WHERE sequence = ?", (record.sequence,)
    ).fetchone()
    return None if here is not None else record.occurred_at


def _disposed(connection: sqlite3.Connection, record: KeptRecord) -> int | None:
    """The record of a disposal stands while the one of the footage does: it answers for it."""
    sealed = payload_of(connection, record.sequence)["sequence"]
    here = connection.execute(
        "SELECT 1 FROM log WHERE sequence = ? AND disposed_by IS NULL", (sealed,)
    ).fetchone()
    return None if here is not None else record.occurred_at


def _summary(connection: sqlite3.Connection, record: KeptRecord) -> int | None:
    """The newest summary of a camera says where the next one begins."""
    camera = payload_of(connection, record.sequence)["camera"]
    later = connection.execute(
        "SELECT 1 FROM log WHERE kind = 'coverage.summarised' AND sequence > ?"
        " AND CASE WHEN disposed_by IS NULL"
        " THEN json_extract(CAST(bytes AS TEXT), '$.payload.camera') = ? ELSE 0 END LIMIT 1",
        (record.sequence, camera),
    ).fetchone()
    return None if later is None else record.occurred_at


def _column(
    connection: sqlite3.Connection, query: str, key: object, record: KeptRecord
) -> int | None:
    """Return the end that a row tells; the record's own time when there is no such row."""
    row = connection.execute(query, (str(key),)).fetchone()
    if row is None:
        return record.occurred_at
    return None if row[0] is None else int(row[0])


_ENDS: dict[str, Ends] = {
    "consent.given": _consent,
    "terminal.paired": _terminal,
    "gap.opened": _gap,
    "closure.declared": _closure,
    "reference.enrolled": _reference,
    "alarm.raised": _alarm,
    "segment.sealed": _sealed,
    "segment.disposed": _disposed,
    "coverage.summarised": _summary,
}
