"""Finding sessions: what the address asks for, as questions to the database. No HTML here.

A page costs a fixed number of questions however many rows it has; pages go on by key, never by
counting, so the hundredth page is as quick as the first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, time, timedelta
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    exists,
    func,
    literal,
    select,
    tuple_,
)

from central.pages.replay_rows import asked_state
from central.pages.timeline_values import AskedState
from central.payloads import read_payload
from central.tables import CommandRow, Flag, Node, Session, Step, StoredRecord, table_of
from central.web import queries, views
from retention.pages.formats import SHANGHAI
from retention.records.clock import to_micros
from retention.records.payloads import SessionOpened

SESSIONS, FLAGS, STEPS = table_of(Session), table_of(Flag), table_of(Step)
RECORDS, COMMANDS, NODES = table_of(StoredRecord), table_of(CommandRow), table_of(Node)
AnyRow = Row[*tuple[Any, ...]]
Sort = Literal["newest", "oldest", "flags"]
PAGE_ROWS = 50
Key = tuple[str, str]  # node, session


@dataclass(frozen=True, slots=True)
class Filters:
    """What the address asks for, as it stands there; empty means any. `after` is the key of the
    page before: sort value, opened_at, node, session."""

    show: Literal["flagged", "all"] = "flagged"
    code: str = ""
    pharmacy: str = ""
    node: str = ""
    state: str = ""
    decision: str = ""
    day_from: str = field(default="", metadata={"name": "from"})
    day_to: str = field(default="", metadata={"name": "to"})
    text: str = field(default="", metadata={"name": "q"})
    sort: Sort = "newest"
    after: str = ""

    def query(self, **changes: str) -> dict[str, str]:
        """Return what differs from the plain list, by its name in the address, with changes."""
        values = {
            one.metadata.get("name", one.name): getattr(self, one.name) for one in fields(self)
        }
        plain = {"show": "flagged", "sort": "newest"}
        values = {**values, "after": "", **changes}
        return {name: text for name, text in values.items() if text != plain.get(name, "")}

    @property
    def narrowed(self) -> bool:
        """Say whether more was asked than flagged or all."""
        return bool(set(self.query()) - {"show", "sort"})


@dataclass(frozen=True, slots=True)
class Line:
    """One session of the list."""

    row: AnyRow
    flags: tuple[str, ...]
    person: str
    footage: AskedState | None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of the list. `counts`: sessions by flag under the same filters but the flag's."""

    lines: tuple[Line, ...]
    total: int
    counts: tuple[tuple[str, int], ...]
    after: str


def day_start(text: str) -> int | None:
    """Return when a day begins in Asia/Shanghai, microseconds; None if it is no day."""
    try:
        day = date.fromisoformat(text)
        return to_micros(datetime.combine(day, time(), SHANGHAI))
    except (ValueError, OverflowError):
        return None


def find(connection: Connection, filters: Filters, now: int) -> Found:
    """Return one page of sessions."""
    wanted = _conditions(filters)
    rows, after = _page(connection, filters, wanted)
    total = connection.execute(select(func.count()).select_from(SESSIONS).where(*wanted))
    return Found(
        lines=_lines(connection, rows, now),
        total=total.scalar_one(),
        counts=_counts(connection, filters),
        after=after,
    )


def any_node(connection: Connection) -> bool:
    return connection.execute(select(NODES.c.node).limit(1)).first() is not None


def any_session(connection: Connection) -> bool:
    return connection.execute(select(SESSIONS.c.node).limit(1)).first() is not None


def _conditions(filters: Filters, *, by_flag: bool = True) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if by_flag and (filters.code or filters.show == "flagged"):
        flag = [FLAGS.c.code == filters.code] if filters.code else []
        found.append(exists().where(*_open_flags_of_session(), *flag))
    if filters.pharmacy:
        found.append(SESSIONS.c.pharmacy.startswith(filters.pharmacy, autoescape=True))
    if filters.node:
        found.append(SESSIONS.c.node == filters.node)
    if filters.state:
        is_open = SESSIONS.c.closed_at.is_(None)
        found.append(is_open if filters.state == "open" else ~is_open)
    if filters.decision:
        none = filters.decision == "none"
        found.append(SESSIONS.c.decision == (None if none else filters.decision))
    if (begin := day_start(filters.day_from)) is not None:
        found.append(SESSIONS.c.opened_at >= begin)
    if (end := day_start(filters.day_to)) is not None:
        found.append(SESSIONS.c.opened_at < end + timedelta(days=1) // timedelta(microseconds=1))
    if filters.text:
        found.append(SESSIONS.c.session.contains(filters.text.lower(), autoescape=True))
    return found


def _open_flags_of_session() -> tuple[ColumnElement[bool], ...]:
    return (
        FLAGS.c.node == SESSIONS.c.node,
        FLAGS.c.session == SESSIONS.c.session,
        FLAGS.c.cleared_at.is_(None),
    )


def _page(
    connection: Connection, filters: Filters, wanted: Sequence[ColumnElement[bool]]
) -> tuple[list[AnyRow], str]:
    """Return the rows of a page and the key of the next one, empty at the end."""
    query: Select[Any] = select(SESSIONS, _weight(filters).label("weight")).where(*wanted)
    place: list[ColumnElement[Any]] = [SESSIONS.c.opened_at, SESSIONS.c.node, SESSIONS.c.session]
    if filters.sort == "flags":  # otherwise the index on opened_at serves
        place.insert(0, _weight(filters))
    oldest = filters.sort == "oldest"
    if (key := _key(filters.after)) is not None:
        here = tuple_(*key[-len(place) :])
        query = query.where(tuple_(*place) > here if oldest else tuple_(*place) < here)
    query = query.order_by(*(one if oldest else one.desc() for one in place))
    rows = connection.execute(query.limit(PAGE_ROWS + 1)).all()
    shown = list(rows[:PAGE_ROWS])
    more = len(rows) > PAGE_ROWS
    return shown, _key_text(shown[-1]) if more else ""


def _weight(filters: Filters) -> ColumnElement[Any]:
    """Return how many flags a session has, when that is what is sorted by; otherwise nothing."""
    if filters.sort != "flags":
        return literal(0)
    count = select(func.count()).where(*_open_flags_of_session())
    return count.correlate(SESSIONS).scalar_subquery()


def _key_text(row: AnyRow) -> str:
    return f"{row.weight}~{row.opened_at}~{row.node}~{row.session}"


def _key(text: str) -> tuple[int, int, str, str] | None:
    """Read a key; anything that is none begins at the start."""
    parts = text.split("~")
    if len(parts) != 4 or not all(part.removeprefix("-").isdecimal() for part in parts[:2]):
        return None
    weight, opened_at = int(parts[0][:19]), int(parts[1][:19])
    return min(weight, 2**31), max(-(2**62), min(opened_at, 2**62)), parts[2], parts[3]


def _counts(connection: Connection, filters: Filters) -> tuple[tuple[str, int], ...]:
    """Return sessions by flag; a session has a flag of a code once (projections.Views)."""
    query = select(FLAGS.c.code, func.count()).where(
        FLAGS.c.cleared_at.is_(None), FLAGS.c.session.is_not(None)
    )
    if wanted := _conditions(filters, by_flag=False):
        same = and_(FLAGS.c.node == SESSIONS.c.node, FLAGS.c.session == SESSIONS.c.session)
        query = query.select_from(FLAGS.join(SESSIONS, same)).where(*wanted)
    rows = connection.execute(query.group_by(FLAGS.c.code))
    counts = [(code, number) for code, number in rows]
    return tuple(sorted(counts, key=lambda item: (-item[1], item[0])))


def _lines(connection: Connection, rows: Sequence[AnyRow], now: int) -> tuple[Line, ...]:
    flags = queries.flags_of(connection, rows)
    people = persons(connection, rows)
    footage = _footage(connection, rows, now)
    return tuple(
        Line(row, _codes(flags[row.node, row.session]), people.get(key, ""), footage.get(key))
        for row in rows
        for key in [(row.node, row.session)]
    )


def _codes(flags: Sequence[views.FlagEntry]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(flag.code for flag in flags if flag.cleared_at is None))


def persons(connection: Connection, rows: Sequence[AnyRow]) -> dict[Key, str]:
    """Return the masked names that the claims of sessions carry."""
    joined = and_(STEPS.c.node == RECORDS.c.node, STEPS.c.sequence == RECORDS.c.sequence)
    found = connection.execute(
        select(STEPS.c.node, STEPS.c.session, RECORDS.c.version, RECORDS.c.body)
        .select_from(STEPS.join(RECORDS, joined))
        .where(STEPS.c.session.in_([row.session for row in rows]), STEPS.c.kind == "session.opened")
        .limit(10 * PAGE_ROWS)  # an honest node opens a session once
    )
    names: dict[Key, str] = {}
    for node, session, version, body in found:
        content, _ = read_payload("session.opened", version, json.loads(body)["payload"])
        if isinstance(content, SessionOpened):
            names[node, session] = content.claim.display_name
    return names


def _footage(connection: Connection, rows: Sequence[AnyRow], now: int) -> dict[Key, AskedState]:
    """Return how the newest command of each session stands."""
    found = connection.execute(
        select(COMMANDS, NODES.c.last_seen)
        .select_from(COMMANDS.join(NODES, NODES.c.node == COMMANDS.c.node))
        .where(COMMANDS.c.session.in_([row.session for row in rows]))
        .order_by(COMMANDS.c.issued_at, COMMANDS.c.command)
    )
    return {(row.node, row.session): asked_state(row, row.last_seen, now) for row in found}
