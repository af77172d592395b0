"""The SQL of alarms: what a person must see to, open until it is over.

A row is an alarm that is open now; its history is in the log. Raising what is open and clearing
what is not are no deeds: nothing is written. Every function that writes takes the connection of
the caller's transaction and appends the record of the fact in it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum

from retention.records.clock import from_micros, to_text
from retention.records.keeping import AlarmCleared, AlarmRaised
from retention.store.database import NodeStore
from retention.store.log import append

MOST_SUBJECT, MOST_DETAIL = 64, 200


class Alarm(StrEnum):
    """Every alarm that a node can raise; `retention.terms.words.ALARMS` names each."""

    CAMERA_SILENT = "CAMERA_SILENT"
    SEGMENT_INVALID = "SEGMENT_INVALID"
    VIEW_UNUSABLE = "VIEW_UNUSABLE"
    VIEW_UNWATCHED = "VIEW_UNWATCHED"
    DISK_WARN = "DISK_WARN"
    DISK_ALARM = "DISK_ALARM"
    DISK_FULL = "DISK_FULL"
    FLOOR_AT_RISK = "FLOOR_AT_RISK"
    VOLUME_MISSING = "VOLUME_MISSING"
    CLOCK_JUMPED = "CLOCK_JUMPED"
    SCRUB_BROKEN = "SCRUB_BROKEN"
    SALE_WHILE_CLOSED = "SALE_WHILE_CLOSED"
    FACE_METHOD_OFF = "FACE_METHOD_OFF"


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """An open alarm; `since` in microseconds since the epoch, UTC."""

    alarm: str
    subject: str
    since: int
    detail: str


def raise_alarm(
    store: NodeStore,
    connection: sqlite3.Connection,
    alarm: str,
    subject: str,
    detail: str,
    since: int,
) -> bool:
    """Open an alarm about a subject, once; returns False when it is open already.

    `subject` (a camera, a volume, a session) is cut to its last 64 characters and `detail` to its
    first 200. Raises ValueError for an alarm that is not in the table.
    """
    alarm, subject = Alarm(alarm).value, subject[-MOST_SUBJECT:]
    if _open(connection, alarm, subject) is not None:
        return False
    detail = detail[:MOST_DETAIL]
    connection.execute("INSERT INTO alarms VALUES (?, ?, ?, ?)", (alarm, subject, since, detail))
    raised = AlarmRaised(
        alarm=alarm, subject=subject, detail=detail, since=to_text(from_micros(since))
    )
    append(store, connection, raised)
    return True


def clear_alarm(store: NodeStore, connection: sqlite3.Connection, alarm: str, subject: str) -> bool:
    """Close an alarm; returns False when it is not open."""
    alarm, subject = Alarm(alarm).value, subject[-MOST_SUBJECT:]
    found = _open(connection, alarm, subject)
    if found is None:
        return False
    connection.execute("DELETE FROM alarms WHERE alarm = ? AND subject = ?", (alarm, subject))
    cleared = AlarmCleared(alarm=alarm, subject=subject, since=to_text(from_micros(found.since)))
    append(store, connection, cleared)
    return True


def open_alarms(connection: sqlite3.Connection) -> list[AlarmRow]:
    """Return the alarms that are open now, the longest first."""
    rows = connection.execute(
        "SELECT alarm, subject, since, detail FROM alarms ORDER BY since, alarm, subject"
    )
    return [AlarmRow(*row) for row in rows]


def is_open(connection: sqlite3.Connection, alarm: str, subject: str) -> bool:
    """Tell whether an alarm about a subject is open."""
    return _open(connection, Alarm(alarm).value, subject[-MOST_SUBJECT:]) is not None


def _open(connection: sqlite3.Connection, alarm: str, subject: str) -> AlarmRow | None:
    row = connection.execute(
        "SELECT alarm, subject, since, detail FROM alarms WHERE alarm = ? AND subject = ?",
        (alarm, subject),
    ).fetchone()
    return None if row is None else AlarmRow(*row)
