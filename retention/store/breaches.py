"""The SQL of breaches: floors that cannot be met, announced before, averted, or recorded.

A row is the latest word on one breach; every word is a `retention.breach` record. `subject` finds
the row again: `room` for the forecast, the volume, the gap, the file of an incident.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast, get_args

from retention.records.clock import from_micros, to_micros, to_text
from retention.records.keeping import RetentionBreach
from retention.store.database import NodeStore
from retention.store.log import append

Cause = Literal["disk_full", "footage_missing", "footage_changed", "volume_missing"]
Stage = Literal["announced", "recorded", "averted"]


@dataclass(frozen=True, slots=True)
class BreachRow:
    """The latest word on a breach. `ended_at` is None while it lasts or nobody can tell."""

    id: str
    stage: Stage
    camera: str | None
    cause: Cause
    subject: str
    started_at: datetime
    ended_at: datetime | None


def say(
    store: NodeStore, connection: sqlite3.Connection, said: BreachRow, detail: str
) -> BreachRow:
    """Write a breach, or the next word on it, with its record."""
    if said.cause not in get_args(Cause) or said.stage not in get_args(Stage):
        raise ValueError(f"{said.stage} {said.cause} is no breach")
    ended_at = None if said.ended_at is None else to_micros(said.ended_at)
    connection.execute(
        "INSERT INTO breaches VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE"
        " SET stage = ?2, started_at = ?6, ended_at = ?7",
        (said.id, said.stage, said.camera, said.cause, said.subject,
         to_micros(said.started_at), ended_at),
    )  # fmt: skip
    append(
        store,
        connection,
        RetentionBreach(
            breach=said.id,
            stage=said.stage,
            camera=said.camera,
            started_at=to_text(said.started_at),
            ended_at=None if said.ended_at is None else to_text(said.ended_at),
            cause=said.cause,
            detail=detail[:200],
        ),
    )
    return said


def announced(connection: sqlite3.Connection, cause: Cause, subject: str) -> BreachRow | None:
    """Return the breach about a subject that is announced and neither averted nor recorded."""
    return _latest(connection, cause, subject, "announced")


def recorded(connection: sqlite3.Connection, cause: Cause, subject: str) -> BreachRow | None:
    """Return the breach about a subject that happened."""
    return _latest(connection, cause, subject, "recorded")


def all_breaches(connection: sqlite3.Connection) -> list[BreachRow]:
    """Return every breach, oldest span first."""
    rows = connection.execute(
        "SELECT id, stage, camera, cause, subject, started_at, ended_at FROM breaches"
        " ORDER BY started_at, id"
    )
    return [_row(row) for row in rows]


@dataclass(frozen=True, slots=True)
class FullGap:
    """A gap because the disk was full, of which no breach tells yet, or not its end."""

    gap: str
    camera: str
    started_at: datetime
    ended_at: datetime | None


def untold_gaps(connection: sqlite3.Connection) -> list[FullGap]:
    """Return the gaps of full disks that no breach tells of as they are now."""
    rows = connection.execute(
        "SELECT gaps.id, gaps.camera, gaps.started_at, gaps.ended_at FROM gaps LEFT JOIN breaches"
        " ON breaches.subject = gaps.id AND breaches.cause = 'disk_full'"
        " WHERE gaps.cause = 'disk_full'"
        " AND (breaches.id IS NULL OR (breaches.ended_at IS NULL AND gaps.ended_at IS NOT NULL))"
        " ORDER BY gaps.started_at"
    )
    return [
        FullGap(
            row[0], row[1], from_micros(row[2]), None if row[3] is None else from_micros(row[3])
        )
        for row in rows
    ]


def untold_incidents(
    connection: sqlite3.Connection, after: int = 0, limit: int = 100
) -> list[tuple[int, Cause, str]]:
    """Return incidents of footage that is lost, changed or cannot be read, of which no breach
    tells, in the order they were found: number, cause, file. `after` is a number."""
    rows = connection.execute(
        "SELECT rowid, CASE incident WHEN 'FOOTAGE_CHANGED' THEN 'footage_changed'"
        " ELSE 'footage_missing' END AS cause, subject FROM incidents WHERE rowid > ?"
        " AND incident IN"
        " ('FOOTAGE_MISSING', 'FOOTAGE_CHANGED', 'UNREADABLE_FILE') AND NOT EXISTS (SELECT 1 FROM"
        " breaches WHERE breaches.subject = incidents.subject AND breaches.cause ="
        " CASE incident WHEN 'FOOTAGE_CHANGED' THEN 'footage_changed' ELSE 'footage_missing' END)"
        " ORDER BY rowid LIMIT ?",
        (after, limit),
    )
    return [(row[0], cast(Cause, row[1]), row[2]) for row in rows]


def _latest(
    connection: sqlite3.Connection, cause: Cause, subject: str, stage: Stage
) -> BreachRow | None:
    row = connection.execute(
        "SELECT id, stage, camera, cause, subject, started_at, ended_at FROM breaches"
        " WHERE cause = ? AND subject = ? AND stage = ? ORDER BY rowid DESC LIMIT 1",
        (cause, subject, stage),
    ).fetchone()
    return None if row is None else _row(row)


def _row(row: sqlite3.Row) -> BreachRow:
    return BreachRow(
        row["id"], row["stage"], row["camera"], row["cause"], row["subject"],
        from_micros(row["started_at"]),
        None if row["ended_at"] is None else from_micros(row["ended_at"]),
    )  # fmt: skip
