"""Keeps the projections up to date with the records, a batch of one node at a time.

The rows and the node's `projected_sent` are one transaction, so a crash projects nothing twice.
A kind or version that this software does not know makes no row; `reproject` after an upgrade does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Row, Table, delete, insert, select, update

from central.config import CentralConfig
from central.database import Database, require_head
from central.errors import DatabaseUnavailable
from central.payloads import read_payload
from central.projection_rows import (
    KEPT_KEYS,
    AlarmView,
    BreachView,
    ClosureView,
    DayView,
    Fact,
    FlagView,
    GapView,
    HoldView,
    Kept,
    KeptView,
    Key,
    OpeningView,
    PolicyView,
    SessionView,
    SubjectsView,
    Views,
    row_of,
)
from central.projections import fold
from central.tables import (
    CoverageDay,
    Flag,
    Gap,
    Node,
    NodeAlarm,
    NodeBreach,
    NodeClosure,
    NodeHold,
    NodeOpening,
    NodePolicy,
    NodeSubjects,
    Session,
    Step,
    StoredRecord,
    table_of,
)

log = structlog.get_logger()
NODES, RECORDS = table_of(Node), table_of(StoredRecord)
SESSIONS, STEPS, FLAGS = table_of(Session), table_of(Step), table_of(Flag)
GAPS, COVERAGE_DAYS = table_of(Gap), table_of(CoverageDay)
KEPT_TABLES: dict[type[KeptView], Table] = {
    HoldView: table_of(NodeHold),
    PolicyView: table_of(NodePolicy),
    AlarmView: table_of(NodeAlarm),
    BreachView: table_of(NodeBreach),
    ClosureView: table_of(NodeClosure),
    OpeningView: table_of(NodeOpening),
    SubjectsView: table_of(NodeSubjects),
}
PROJECTIONS = (SESSIONS, STEPS, FLAGS, GAPS, COVERAGE_DAYS, *KEPT_TABLES.values())
View = TypeVar("View", SessionView, FlagView, GapView, DayView)
BATCH = 500
IDLE_SECONDS = 0.2
RETRY_SECONDS = 1.0


def run(config: CentralConfig, stop: threading.Event, ready: Callable[[], None]) -> None:
    """Project until `stop`. Raises DatabaseOutdated."""
    database = Database(config.database_url)
    require_head(database)
    ready()
    while not stop.is_set():
        try:
            done = project_some(database)
        except DatabaseUnavailable as exc:
            log.error("database_unavailable", reason=str(exc))
            stop.wait(RETRY_SECONDS)
            continue
        if done == 0:
            stop.wait(IDLE_SECONDS)
    database.close()


def project_some(database: Database) -> int:
    """Project up to one batch of every node that is behind; return how many records."""
    with database.read() as connection:
        behind = connection.execute(
            select(NODES.c.node).where(NODES.c.projected_sent < NODES.c.expected_sent)
        ).scalars().all()  # fmt: skip
    return sum(_project_node(database, node) for node in behind)


def project_all(database: Database) -> int:
    """Project until nothing is behind; return how many records."""
    total = 0
    while done := project_some(database):
        total += done
    return total


def reproject(database: Database) -> int:
    """Throw the projections away and make them again; return how many records."""
    with database.write() as connection:
        for table in PROJECTIONS:
            connection.execute(delete(table))
        connection.execute(update(NODES).values(projected_sent=0))
    return project_all(database)


def _project_node(database: Database, node: str) -> int:
    with database.write() as connection:
        start = connection.execute(
            select(NODES.c.projected_sent).where(NODES.c.node == node)
        ).scalar_one()
        rows = connection.execute(
            select(RECORDS)
            .where(RECORDS.c.node == node, RECORDS.c.sent_sequence >= start)
            .order_by(RECORDS.c.sent_sequence)
            .limit(BATCH)
        ).all()
        views = _views(connection, node)
        for row in rows:
            _fold(fact_of(row), views)
        _save(connection, node, views)
        connection.execute(
            update(NODES).where(NODES.c.node == node).values(projected_sent=start + len(rows))
        )
    return len(rows)


def _fold(fact: Fact, views: Views) -> None:
    """Fold one fact. What fits its kind and still cannot be taken, such as a moment that no
    calendar has, is flagged: one record must not stop the projections of every node."""
    try:
        fold(fact, views)
    except ValueError as exc:
        log.error("record_not_folded", node=fact.node, sequence=fact.sequence)
        problem = f"{fact.kind}: {exc}"[:500]
        fold(replace(fact, content=None, session=None, problem=problem), views)


def fact_of(row: Row[*tuple[Any, ...]]) -> Fact:
    """Return a stored record as the fold sees it."""
    value = json.loads(row.body)
    content, problem = read_payload(row.kind, row.version, value["payload"])
    return Fact(
        agency=row.agency,
        pharmacy=row.pharmacy,
        node=row.node,
        counter=value["counter"],
        sequence=row.sequence,
        kind=row.kind,
        occurred_at=row.occurred_at,
        content=content,
        session=getattr(content, "session", None),
        problem=problem,
    )


def _views(connection: Connection, node: str) -> Views:
    """Return views of a node that load what they touch."""

    def values_of(table: Table, view: type[Any], key: dict[str, Any]) -> dict[str, Any] | None:
        query = select(table).where(table.c.node == node)
        for column, value in key.items():
            query = query.where(table.c[column] == value)
        row = connection.execute(query).one_or_none()
        return None if row is None else {one.name: row._mapping[one.name] for one in fields(view)}

    def load(table: Table, view: type[View], **key: str) -> View | None:
        found = values_of(table, view, key)
        return None if found is None else view(**found)

    def load_kept(kind: type[Kept], key: Key) -> Kept | None:
        found = values_of(KEPT_TABLES[kind], kind, dict(zip(KEPT_KEYS[kind], key, strict=True)))
        return None if found is None else kind(**found)

    return Views(
        load_session=lambda session: load(SESSIONS, SessionView, session=session),
        load_flag=lambda code, subject: load(FLAGS, FlagView, code=code, subject=subject),
        load_gap=lambda gap: load(GAPS, GapView, gap=gap),
        load_day=lambda camera, day: load(COVERAGE_DAYS, DayView, camera=camera, day=day),
        load_kept=load_kept,
    )


def _save(connection: Connection, node: str, views: Views) -> None:
    for table, key, found in (
        (SESSIONS, ("session",), views.sessions),
        (FLAGS, ("code", "subject"), views.flags),
        (GAPS, ("gap",), views.gaps),
        (COVERAGE_DAYS, ("camera", "day"), views.days),
    ):
        _replace(connection, table, node, key, [row_of(view) for view in found.values()])
    for kind, table in KEPT_TABLES.items():
        rows = [row_of(view) for (of, _), view in views.kept.items() if of is kind]
        _replace(connection, table, node, KEPT_KEYS[kind], rows)
    steps = [
        {
            "agency": fact.agency, "pharmacy": fact.pharmacy, "node": fact.node,
            "sequence": fact.sequence, "session": fact.session, "kind": fact.kind,
            "occurred_at": fact.occurred_at,
        }
        for fact in views.steps
    ]  # fmt: skip
    if steps:
        connection.execute(insert(STEPS), steps)


def _replace(
    connection: Connection,
    table: Table,
    node: str,
    key: tuple[str, ...],
    rows: Sequence[dict[str, object]],
) -> None:
    for row in rows:
        connection.execute(
            delete(table).where(
                table.c.node == node, *(table.c[column] == row[column] for column in key)
            )
        )
    if rows:
        connection.execute(insert(table), list(rows))
