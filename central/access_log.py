"""Reading the access log: filtered, newest first, a page or all of it.

Pages go by id (UUIDv7: by time), so a page stays what it was while rows are added on top.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from central.access import ACCESS
from central.database import Database
from retention.pages.formats import SHANGHAI
from retention.records.clock import to_micros

PAGE = 100
CHUNK = 1000
COUNTED = 10_000
AnyRow = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; None is everything. `first` and `last` are days in Asia/Shanghai."""

    who: str | None = None
    action: str | None = None
    node: str | None = None
    subject: str | None = None
    first: date | None = None
    last: date | None = None

    def told(self) -> str:
        """Return the filters as one line, for the row that tells of the look."""
        parts = (
            ("who", self.who), ("action", self.action), ("node", self.node),
            ("subject", self.subject), ("from", self.first), ("to", self.last),
        )  # fmt: skip
        return " ".join(f"{name}={value}" for name, value in parts if value) or "everything"


def page(connection: Connection, wanted: Wanted, before: str | None, limit: int) -> list[AnyRow]:
    """Return rows with an id before `before`, newest first."""
    query = select(ACCESS).where(*_conditions(wanted))
    if before is not None:
        query = query.where(ACCESS.c.id < before)
    return list(connection.execute(query.order_by(ACCESS.c.id.desc()).limit(limit)))


def count(connection: Connection, wanted: Wanted) -> int:
    """Return how many rows are looked for; COUNTED + 1 stands for more than COUNTED."""
    found = select(ACCESS.c.id).where(*_conditions(wanted)).limit(COUNTED + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(found)).scalar_one())


def everything(database: Database, wanted: Wanted) -> Iterator[AnyRow]:
    """Yield all rows looked for, newest first; between chunks the database is free."""
    before: str | None = None
    while True:
        with database.read() as connection:
            rows = page(connection, wanted, before, CHUNK)
        yield from rows
        if len(rows) < CHUNK:
            return
        before = rows[-1].id


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, value in (
        (ACCESS.c.actor, wanted.who),
        (ACCESS.c.action, wanted.action),
        (ACCESS.c.node, wanted.node),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.subject is not None:
        found.append(ACCESS.c.subject.icontains(wanted.subject, autoescape=True))
    if wanted.first is not None:
        found.append(ACCESS.c.at >= _midnight(wanted.first))
    if wanted.last is not None:
        found.append(ACCESS.c.at < _midnight(wanted.last + timedelta(days=1)))
    return found


def _midnight(day: date) -> int:
    return to_micros(datetime.combine(day, time.min, SHANGHAI))
