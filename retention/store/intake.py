"""The SQL of intake: how much each camera took on each day (UTC, of the segment's start).

Written in the transaction that seals a segment, so it is right after any crash and stays when the
segments themselves are long disposed of.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from retention.records.clock import from_micros

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class DayIntake:
    """One camera, one day: bytes of files, milliseconds of footage."""

    camera: str
    day: date
    bytes: int
    covered_ms: int


def add(
    connection: sqlite3.Connection, camera: str, started_at: int, ended_at: int, size: int
) -> None:
    """Count one sealed segment."""
    connection.execute(
        "INSERT INTO intake VALUES (?, ?, ?, ?) ON CONFLICT (camera, day) DO UPDATE SET"
        " bytes = bytes + excluded.bytes, covered_ms = covered_ms + excluded.covered_ms",
        (
            camera,
            f"{from_micros(started_at):%Y-%m-%d}",
            size,
            max(0, ended_at - started_at) // 1000,
        ),
    )


def by_day(connection: sqlite3.Connection) -> list[DayIntake]:
    """Return all of it in order of days; a year of four cameras is 1,464 rows."""
    rows = connection.execute(
        "SELECT camera, day, bytes, covered_ms FROM intake ORDER BY day, camera"
    )
    return [DayIntake(row[0], date.fromisoformat(row[1]), row[2], row[3]) for row in rows]


def held_on(connection: sqlite3.Connection, volumes: Collection[str]) -> dict[date, int]:
    """Return the bytes that lie on these volumes, by day. Reads every row of theirs."""
    found: dict[date, int] = {}
    for volume in volumes:
        rows = connection.execute(
            "SELECT started_at / ?1 AS day, sum(bytes) FROM segments WHERE volume = ?2"
            " GROUP BY day",
            (DAY_US, volume),
        )
        for day, size in rows:
            on = from_micros(day * DAY_US).date()
            found[on] = found.get(on, 0) + size
    return found
