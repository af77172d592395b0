"""Opening hours and what happens outside them: hours adopted as configured, sales as findings.

Hours hold from their adoption on. A session that was opened inside a closed span is an incident,
once, and an alarm at its counter until the span is over; its footage is owed as that of any other.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import structlog

from edge.config import EdgeConfig
from retention.footage.coverage import Span
from retention.footage.summary import closed_of
from retention.records.clock import from_micros, to_micros, to_text
from retention.store import alarms, footage, opening
from retention.store.alarms import Alarm
from retention.store.database import NodeStore

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOKED_BACK_US = 35 * 86_400_000_000
MOST_AT_ONCE = 500
INCIDENT = "SALE_WHILE_CLOSED"

log = structlog.get_logger()


def hours_of(config: EdgeConfig) -> tuple[str, ...]:
    """Return the configured week, Monday first; a day that is not named is open."""
    named = {str(day): hours for day, hours in config.opening.hours.items()}
    return tuple(named.get(day, "open") for day in WEEK)


def adopt_hours(store: NodeStore, config: EdgeConfig) -> bool:
    """Record the configured hours if they are not those in force. Raises StoreUnavailable."""
    with store.write() as connection:
        adopted = opening.adopt(store, connection, hours_of(config))
    if adopted:
        log.info("opening_adopted", hours=hours_of(config))
    return adopted


@dataclass(frozen=True, slots=True)
class _Opened:
    row: int
    session: str
    counter: str
    opened_at: int


class ClosedSales:
    """Looks at every session once, in the order in which they were opened, MOST_AT_ONCE a time."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store
        self._seen: int | None = None

    def step(self) -> int:
        """Note the sales inside closed spans since the last look; returns how many are news.

        The first look goes back LOOKED_BACK_US, for a session that was opened while nobody
        looked. Raises StoreUnavailable.
        """
        now = to_micros(self._store.clock.now())
        with self._store.read() as connection:
            if self._seen is None:
                self._seen = self._before(connection, now - LOOKED_BACK_US)
            sessions = self._after(connection, self._seen)
            found = [one for one in sessions if self._was_closed(connection, one.opened_at)]
            over = self._over(connection, now)
        news = [one for one in found if self._note(one)]
        for counter in over:
            with self._store.write() as connection:
                alarms.clear_alarm(self._store, connection, Alarm.SALE_WHILE_CLOSED, counter)
        self._seen = max([self._seen, *(one.row for one in sessions)])
        return len(news)

    def _before(self, connection: sqlite3.Connection, moment: int) -> int:
        """Return the row before the first session that was opened after a moment."""
        (first, last) = connection.execute(
            "SELECT (SELECT min(rowid) FROM sessions WHERE opened_at > ?),"
            " (SELECT max(rowid) FROM sessions)",
            (moment,),
        ).fetchone()
        return first - 1 if first is not None else last or 0

    def _after(self, connection: sqlite3.Connection, seen: int) -> list[_Opened]:
        rows = connection.execute(
            "SELECT rowid, id, counter, opened_at FROM sessions"
            " WHERE rowid > ? ORDER BY rowid LIMIT ?",
            (seen, MOST_AT_ONCE),
        )
        return [_Opened(*row) for row in rows]

    def _was_closed(self, connection: sqlite3.Connection, moment: int) -> bool:
        return bool(closed_of(connection, Span(moment, moment + 1)))

    def _over(self, connection: sqlite3.Connection, now: int) -> list[str]:
        """Return the counters with an alarm when the pharmacy is open again."""
        counters = [
            row.subject
            for row in alarms.open_alarms(connection)
            if row.alarm == Alarm.SALE_WHILE_CLOSED
        ]
        return [] if counters and self._was_closed(connection, now) else counters

    def _note(self, one: _Opened) -> bool:
        at = to_text(from_micros(one.opened_at))
        detail = f"session opened at {at} at {one.counter} while closed"[:200]
        with self._store.write() as connection:
            news = footage.add_incident(self._store, connection, INCIDENT, one.session, detail)
            if news:
                alarms.raise_alarm(
                    self._store, connection, Alarm.SALE_WHILE_CLOSED, one.counter, detail,
                    one.opened_at,
                )  # fmt: skip
        if news:
            log.warning("sale_while_closed", session=one.session, counter=one.counter)
        return news
