"""What central knows of how well pharmacies keep what they must: one number each, and the lists
behind it. Read by the pages and by the API.

The number is the share of the footage that was proven to be there, at least, at 95 %: that of the
node that proved least. It is UNKNOWN while a node has not proven anything, did not answer in
time, or proved it so long ago that it says nothing of today; unknown is never good.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, func, select

from central.challenges import AUDITS, SAMPLES, Result, results
from central.commands import COMMANDS
from central.standing import HOLDS, NODES, POLICIES, policy_subject
from central.tables import (
    NodeAlarm,
    NodeBreach,
    NodeClosure,
    NodeHold,
    NodeOpening,
    NodePolicy,
    table_of,
)
from retention.footage.closures import closed_spans
from retention.footage.coverage import Span
from retention.store.opening import Closure, Opening

ALARMS, BREACHES = table_of(NodeAlarm), table_of(NodeBreach)
CLOSURES, OPENINGS = table_of(NodeClosure), table_of(NodeOpening)
NODE_HOLDS, NODE_POLICIES = table_of(NodeHold), table_of(NodePolicy)
LATEST = 20
MOST_ROWS = 500
AnyRow = Row[*tuple[Any, ...]]
Standing = Literal["missing", "unknown", "aged", "running", "proven"]
Delivery = Literal["done", "waiting", "refused", "none"]
Whose = tuple[str, str]  # agency, pharmacy


@dataclass(frozen=True, slots=True)
class Kept:
    """One pharmacy: its nodes in use, each with its latest ended audit, and what is open."""

    agency: str
    pharmacy: str
    nodes: tuple[str, ...]
    audits: tuple[Result | None, ...]
    running: int
    holds: int
    alarms: int
    breaches: int

    @property
    def proven(self) -> float | None:
        """The share that is there at least; None while it is UNKNOWN."""
        bounds = [None if one is None or one.aged else one.lost_at_most for one in self.audits]
        known = [bound for bound in bounds if bound is not None]
        return 1 - max(known) if known and len(known) == len(bounds) else None

    @property
    def missing(self) -> int:
        return sum(one.missing for one in self.audits if one is not None)

    @property
    def standing(self) -> Standing:
        if self.missing:
            return "missing"
        if self.proven is None and self.running:
            return "running"
        if self.proven is None:
            aged = any(one is not None and one.aged for one in self.audits)
            return "aged" if aged else "unknown"
        return "proven"


def percent(share: float) -> str:
    """Return a loss as a percentage that is never too small: 0.009936 is 1.00 %."""
    return f"{min(10_000, ceil(share * 10_000 - 1e-9)) / 100:.2f} %"


def proven_percent(share: float) -> str:
    """Return a proven share as a percentage that is never too large."""
    return f"{100 - min(10_000, ceil((1 - share) * 10_000 - 1e-9)) / 100:.2f} %"


# -- pharmacies -----------------------------------------------------------------------------------


def pharmacies(connection: Connection, now: int, whose: Whose | None = None) -> list[Kept]:
    """Return every pharmacy with a node in use, worst first; or one."""
    columns = select(NODES.c.agency, NODES.c.pharmacy, NODES.c.node)
    query = _of(columns, NODES, whose).where(NODES.c.revoked_at.is_(None))
    used = connection.execute(query.order_by(NODES.c.node)).all()
    latest, running = _latest_audits(connection, whose, now)
    held = _counts(connection, _tally(HOLDS).where(HOLDS.c.released_at.is_(None)))
    alarmed = _counts(connection, _tally(ALARMS).where(ALARMS.c.cleared_at.is_(None)))
    broken = _counts(connection, _tally(BREACHES).where(BREACHES.c.stage != "averted"))
    nodes_of: dict[Whose, list[str]] = {}
    for row in used:
        nodes_of.setdefault((row.agency, row.pharmacy), []).append(row.node)
    found = [
        Kept(
            *key,
            nodes=tuple(mine),
            audits=tuple(latest.get(node) for node in mine),
            running=sum(node in running for node in mine),
            holds=held.get(key, 0),
            alarms=alarmed.get(key, 0),
            breaches=broken.get(key, 0),
        )
        for key, mine in nodes_of.items()
    ]
    return sorted(found, key=_rank)


def _rank(kept: Kept) -> tuple[int, int, float, str]:
    order: Sequence[Standing] = ("missing", "unknown", "aged", "running", "proven")
    urgent = 0 if kept.breaches or kept.alarms else 1
    return (order.index(kept.standing), urgent, kept.proven or 0.0, kept.pharmacy)


def _of(query: Select[Any], table: Any, whose: Whose | None) -> Select[Any]:
    if whose is None:
        return query
    return query.where(table.c.agency == whose[0], table.c.pharmacy == whose[1])


def _tally(table: Any) -> Select[Any]:
    keys = (table.c.agency, table.c.pharmacy)
    return select(*keys, func.count()).group_by(*keys)


def _counts(connection: Connection, query: Select[Any]) -> dict[Whose, int]:
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def _latest_audits(
    connection: Connection, whose: Whose | None, now: int
) -> tuple[dict[str, Result], set[str]]:
    """Return the latest ended audit of each node, and the nodes whose audit is under way."""
    place = (
        func.row_number()
        .over(partition_by=AUDITS.c.node, order_by=AUDITS.c.asked_at.desc())
        .label("place")
    )
    ranked = _of(select(AUDITS, place), AUDITS, whose).subquery()
    rows = connection.execute(select(ranked).where(ranked.c.place <= 2)).all()
    latest: dict[str, Result] = {}
    running: set[str] = set()
    for one in sorted(results(connection, rows, now), key=lambda one: -one.audit.asked_at):
        if one.state == "running":
            running.add(one.audit.node)
        else:
            latest.setdefault(one.audit.node, one)
    return latest, running


# -- lists of one pharmacy, or of all -------------------------------------------------------------


def audits(
    connection: Connection, now: int, whose: Whose | None = None, limit: int = LATEST
) -> list[Result]:
    """Return the latest audits, newest first."""
    query = _of(select(AUDITS), AUDITS, whose).order_by(AUDITS.c.asked_at.desc()).limit(limit)
    return results(connection, connection.execute(query).all(), now)


def audit(connection: Connection, audit_id: str, now: int) -> Result | None:
    """Return one audit."""
    row = connection.execute(select(AUDITS).where(AUDITS.c.audit == audit_id)).one_or_none()
    return None if row is None else results(connection, [row], now)[0]


def samples(
    connection: Connection, audit_id: str, verdicts: Iterable[str | None] | None = None
) -> Sequence[AnyRow]:
    """Return an audit's samples in order: all, or those of some verdicts (None: unanswered)."""
    query = select(SAMPLES).where(SAMPLES.c.audit == audit_id).order_by(SAMPLES.c.ordinal)
    if verdicts is not None:
        wanted = set(verdicts)
        condition = SAMPLES.c.verdict.in_([one for one in wanted if one is not None])
        query = query.where(
            condition | SAMPLES.c.verdict.is_(None) if None in wanted else condition
        )
    return connection.execute(query).all()


def alarms(connection: Connection, whose: Whose | None = None) -> Sequence[AnyRow]:
    """Return the alarms that are open, oldest first."""
    query = _of(select(ALARMS), ALARMS, whose).where(ALARMS.c.cleared_at.is_(None))
    return connection.execute(query.order_by(ALARMS.c.since).limit(MOST_ROWS)).all()


def breaches(connection: Connection, whose: Whose | None = None) -> Sequence[AnyRow]:
    """Return the breaches that were announced or recorded and not averted, newest first."""
    query = _of(select(BREACHES), BREACHES, whose).where(BREACHES.c.stage != "averted")
    return connection.execute(query.order_by(BREACHES.c.told_at.desc()).limit(MOST_ROWS)).all()


def closures(connection: Connection, whose: Whose, now: int) -> Sequence[AnyRow]:
    """Return the declared closures that are not over, soonest first."""
    query = _of(select(CLOSURES), CLOSURES, whose).where(
        CLOSURES.c.ended_at > now, CLOSURES.c.cancelled_at.is_(None)
    )
    return connection.execute(query.order_by(CLOSURES.c.started_at).limit(LATEST)).all()


def opening_hours(connection: Connection, whose: Whose, now: int) -> list[str] | None:
    """Return the weekly hours in force, Monday first; None when no node told any."""
    row = connection.execute(
        _of(select(OPENINGS), OPENINGS, whose)
        .where(OPENINGS.c.effective_from <= now)
        .order_by(OPENINGS.c.effective_from.desc())
        .limit(1)
    ).first()
    return None if row is None else [str(one) for one in json.loads(row.hours)]


def closed_of(connection: Connection, node: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return when a node's pharmacy was closed between two moments, as it declared beforehand."""
    openings = connection.execute(select(OPENINGS).where(OPENINGS.c.node == node)).all()
    declared = connection.execute(
        select(CLOSURES).where(
            CLOSURES.c.node == node, CLOSURES.c.started_at < end, CLOSURES.c.ended_at > start
        )
    ).all()
    found = closed_spans(
        [Opening(row.effective_from, tuple(json.loads(row.hours))) for row in openings],
        [
            Closure(
                row.closure, row.kind, row.started_at, row.ended_at, row.declared_at,
                row.cancelled_at,
            )
            for row in declared
        ],
        Span(start, end),
    )  # fmt: skip
    return [(span.start, span.end) for span in found]


# -- what stands, and where it arrived ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stands:
    """A hold or a policy, and how far it came at each node in use."""

    row: AnyRow
    nodes: tuple[tuple[str, Delivery, str], ...]

    @property
    def content(self) -> dict[str, Any]:
        """What it says: the hold or the policy as nodes get it."""
        found: dict[str, Any] = json.loads(self.row.body)
        return found

    @property
    def arrived(self) -> bool:
        return all(state in ("done", "none") for _, state, _ in self.nodes)


def holds(
    connection: Connection, whose: Whose | None = None, *, all_: bool = False
) -> list[Stands]:
    """Return holds, newest first: those that stand, or all."""
    query = _of(select(HOLDS), HOLDS, whose).order_by(HOLDS.c.placed_at.desc())
    if not all_:
        query = query.where(HOLDS.c.released_at.is_(None))
    rows = connection.execute(query.limit(MOST_ROWS)).all()
    return _delivered(
        connection,
        [(row, "hold" if row.released_at is None else "release", row.hold) for row in rows],
    )


def policies(connection: Connection, whose: Whose | None = None) -> list[Stands]:
    """Return what was decided, newest first."""
    query = _of(select(POLICIES), POLICIES, whose)
    query = query.order_by(POLICIES.c.decided_at.desc(), POLICIES.c.version.desc())
    rows = connection.execute(query.limit(MOST_ROWS)).all()
    return _delivered(
        connection, [(row, "policy", policy_subject(row.policy, row.version)) for row in rows]
    )


def local_holds(connection: Connection, whose: Whose) -> Sequence[AnyRow]:
    """Return the holds that inspectors placed at nodes in use and did not release."""
    query = _of(select(NODE_HOLDS), NODE_HOLDS, whose).where(
        NODE_HOLDS.c.authority == "inspector", NODE_HOLDS.c.released_at.is_(None)
    )
    return connection.execute(query.order_by(NODE_HOLDS.c.placed_at.desc()).limit(MOST_ROWS)).all()


def _delivered(connection: Connection, rows: list[tuple[AnyRow, str, str]]) -> list[Stands]:
    keys = {(row.agency, row.pharmacy) for row, _, _ in rows}
    nodes: dict[Whose, list[str]] = {
        key: list(
            connection.execute(
                _of(select(NODES.c.node), NODES, key)
                .where(NODES.c.revoked_at.is_(None))
                .order_by(NODES.c.node)
            ).scalars()
        )
        for key in keys
    }
    known = _commands_of(connection, [subject for _, _, subject in rows])
    return [
        Stands(
            row,
            tuple(
                (node, *_delivery(known.get((node, kind, subject)), kind))
                for node in nodes[row.agency, row.pharmacy]
            ),
        )
        for row, kind, subject in rows
    ]


def _commands_of(
    connection: Connection, subjects: Sequence[str]
) -> dict[tuple[str, str, str], AnyRow]:
    """Return the newest command of each node, kind and subject."""
    found: dict[tuple[str, str, str], AnyRow] = {}
    for at in range(0, len(subjects), MOST_ROWS):
        rows = connection.execute(
            select(COMMANDS)
            .where(COMMANDS.c.subject.in_(subjects[at : at + MOST_ROWS]))
            .order_by(COMMANDS.c.issued_at, COMMANDS.c.command)
        )
        for row in rows:
            if found.get(key := (row.node, row.kind, row.subject)) is None or (
                found[key].outcome != "done"
            ):
                found[key] = row
    return found


def _delivery(command: AnyRow | None, kind: str) -> tuple[Delivery, str]:
    if command is None:
        # A node that was never told of a hold needs no release; anything else comes at its hello.
        return ("none", "") if kind == "release" else ("waiting", "")
    if command.outcome is None:
        return ("waiting", "")
    if command.outcome == "done":
        return ("done", "")
    return ("refused", command.detail or command.outcome)
