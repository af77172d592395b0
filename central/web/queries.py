"""Questions to the database, answered as views. No endpoint writes SQL of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, select

from central.payloads import read_payload
from central.tables import (
    Access,
    CheckpointRow,
    CommandRow,
    CommandSegment,
    Flag,
    Footage,
    Node,
    Session,
    Step,
    StoredRecord,
    WireIncident,
    table_of,
)
from central.web import views
from retention.records.clock import from_micros, from_text, to_micros, to_text

NODES, RECORDS, SESSIONS = table_of(Node), table_of(StoredRecord), table_of(Session)
STEPS, FLAGS, ACCESS = table_of(Step), table_of(Flag), table_of(Access)
COMMANDS, LINKS, FOOTAGE = table_of(CommandRow), table_of(CommandSegment), table_of(Footage)
CHECKPOINTS, INCIDENTS = table_of(CheckpointRow), table_of(WireIncident)
AnyRow = Row[*tuple[Any, ...]]


def moment(micros: int) -> str:
    return to_text(from_micros(micros))


def maybe(micros: int | None) -> str | None:
    return None if micros is None else moment(micros)


def micros(text: str) -> int:
    return to_micros(from_text(text))


def nodes(connection: Connection, node: str | None = None) -> list[views.NodeView]:
    """Return all nodes, or one."""
    checkpoints = select(func.count()).where(CHECKPOINTS.c.node == NODES.c.node).scalar_subquery()
    incidents = select(func.count()).where(INCIDENTS.c.node == NODES.c.node).scalar_subquery()
    query = select(NODES, checkpoints.label("checkpoints"), incidents.label("incidents")).order_by(
        NODES.c.node
    )
    if node is not None:
        query = query.where(NODES.c.node == node)
    return [
        views.NodeView(
            agency=row.agency,
            pharmacy=row.pharmacy,
            node=row.node,
            curve_public_key=row.curve_key,
            signing_public_key=row.signing_key,
            enrolled_at=moment(row.enrolled_at),
            revoked_at=maybe(row.revoked_at),
            last_seen=maybe(row.last_seen),
            records=row.expected_sent,
            projected=row.projected_sent,
            tree_size=row.tree_size,
            checkpoints=row.checkpoints,
            incidents=row.incidents,
            status=None if row.status is None else json.loads(row.status),
        )
        for row in connection.execute(query)
    ]


def records(
    connection: Connection, node: str, after: int, kind: str | None, limit: int
) -> views.RecordList:
    """Return records of a node with sent_sequence greater than `after`."""
    query = select(RECORDS).where(RECORDS.c.node == node, RECORDS.c.sent_sequence > after)
    if kind is not None:
        query = query.where(RECORDS.c.kind == kind)
    rows = connection.execute(query.order_by(RECORDS.c.sent_sequence).limit(limit)).all()
    return views.RecordList(
        records=[_record(row) for row in rows],
        next_after=rows[-1].sent_sequence if len(rows) == limit else None,
    )


def _record(row: AnyRow) -> views.RecordView:
    record = json.loads(row.body)
    _, problem = read_payload(row.kind, row.version, record["payload"])
    return views.RecordView(
        node=row.node,
        sequence=row.sequence,
        sent_sequence=row.sent_sequence,
        kind=row.kind,
        version=row.version,
        occurred_at=moment(row.occurred_at),
        leaf=row.leaf.hex(),
        problem=problem,
        record=record,
    )


def sessions(
    connection: Connection,
    *,
    flagged: bool | None,
    pharmacy: str | None,
    after: str | None,
    limit: int,
) -> views.SessionList:
    """Return sessions by id (UUIDv7: by time), after the id of the page before."""
    query = select(SESSIONS)
    if after is not None:
        query = query.where(SESSIONS.c.session > after)
    if pharmacy is not None:
        query = query.where(SESSIONS.c.pharmacy == pharmacy)
    if flagged is not None:
        has_flag = exists().where(
            FLAGS.c.node == SESSIONS.c.node,
            FLAGS.c.session == SESSIONS.c.session,
            FLAGS.c.cleared_at.is_(None),
        )
        query = query.where(has_flag if flagged else ~has_flag)
    rows = connection.execute(query.order_by(SESSIONS.c.session).limit(limit)).all()
    return views.SessionList(
        sessions=_summaries(connection, rows),
        next_after=rows[-1].session if len(rows) == limit else None,
    )


def session_rows(connection: Connection, session: str, node: str | None = None) -> list[AnyRow]:
    """Return the rows of a session id, of one node or of all: two nodes may use the same id."""
    query = select(SESSIONS).where(SESSIONS.c.session == session).order_by(SESSIONS.c.node)
    if node is not None:
        query = query.where(SESSIONS.c.node == node)
    return list(connection.execute(query))


def steps(connection: Connection, row: AnyRow, limit: int | None = None) -> list[views.StepView]:
    """Return the records of a session in order, with their payloads as they were sent."""
    joined = and_(STEPS.c.node == RECORDS.c.node, STEPS.c.sequence == RECORDS.c.sequence)
    found = connection.execute(
        select(RECORDS)
        .select_from(STEPS.join(RECORDS, joined))
        .where(STEPS.c.node == row.node, STEPS.c.session == row.session)
        .order_by(RECORDS.c.sequence)
        .limit(limit)
    )
    return [
        views.StepView(
            sequence=record.sequence,
            kind=record.kind,
            version=record.version,
            occurred_at=moment(record.occurred_at),
            payload=json.loads(record.body)["payload"],
        )
        for record in found
    ]


def session_in_full(connection: Connection, row: AnyRow) -> views.SessionView:
    """Return steps with payloads, receipt, authorisation, settlement, coverage and footage."""
    told = steps(connection, row)
    last = {step.kind: step.payload for step in told}
    return views.SessionView(
        summary=_summaries(connection, [row])[0],
        steps=told,
        receipt=last.get("identity.decided"),
        authorisation=last.get("session.authorised"),
        settlement=last.get("settlement.concluded"),
        coverage=last.get("session.covered"),
        footage=footage(connection, row.node, row.session),
    )


def footage(connection: Connection, node: str, session: str) -> views.FootageView:
    """Return what was asked of a session's footage and what came of it."""
    commands = connection.execute(
        select(COMMANDS)
        .where(COMMANDS.c.node == node, COMMANDS.c.session == session)
        .order_by(COMMANDS.c.issued_at)
    ).all()
    segments = _segments(connection, [row.command for row in commands])
    return views.FootageView(
        session=session,
        commands=[
            views.CommandView(
                command=row.command,
                issued_at=moment(row.issued_at),
                expires_at=moment(row.expires_at),
                actor=row.actor,
                reason=row.reason,
                outcome=row.outcome,
                detail=row.detail,
                segments_offered=row.segments_offered,
                segments=segments[row.command],
            )
            for row in commands
        ],
    )


def access(connection: Connection, after: str | None, limit: int) -> views.AccessList:
    """Return access rows by id (UUIDv7: by time)."""
    query = select(ACCESS)
    if after is not None:
        query = query.where(ACCESS.c.id > after)
    rows = connection.execute(query.order_by(ACCESS.c.id).limit(limit)).all()
    return views.AccessList(
        access=[
            views.AccessView(
                id=row.id, at=moment(row.at), actor=row.actor, action=row.action,
                subject=row.subject, reason=row.reason, node=row.node,
            )
            for row in rows
        ],
        next_after=rows[-1].id if len(rows) == limit else None,
    )  # fmt: skip


def flags_of(
    connection: Connection, rows: Sequence[AnyRow]
) -> dict[tuple[str, str], list[views.FlagEntry]]:
    """Return the flags of some sessions by (node, session), raised and cleared, in one question."""
    found: dict[tuple[str, str], list[views.FlagEntry]] = {
        (row.node, row.session): [] for row in rows
    }
    query = (
        select(FLAGS)
        .where(FLAGS.c.session.in_([row.session for row in rows]))
        .order_by(FLAGS.c.sequence, FLAGS.c.code)
    )
    for flag in connection.execute(query):
        if (flag.node, flag.session) in found:
            found[flag.node, flag.session].append(
                views.FlagEntry(
                    code=flag.code,
                    subject=flag.subject,
                    sequence=flag.sequence,
                    raised_at=moment(flag.raised_at),
                    cleared_at=maybe(flag.cleared_at),
                )
            )
    return found


_AS_STORED = (
    "session", "agency", "pharmacy", "node", "counter", "outcome", "decision", "decision_method",
    "gate", "settlement", "setl_id", "owed_ms", "covered_ms",
)  # fmt: skip


def _summaries(connection: Connection, rows: Sequence[AnyRow]) -> list[views.SessionSummary]:
    flags = flags_of(connection, rows)
    return [
        views.SessionSummary(
            **{name: row._mapping[name] for name in _AS_STORED},
            opened_at=moment(row.opened_at),
            closed_at=maybe(row.closed_at),
            decision_reasons=row.decision_reasons.split(",") if row.decision_reasons else [],
            proxy=bool(row.proxy),
            flags=flags[row.node, row.session],
        )
        for row in rows
    ]


def _segments(
    connection: Connection, commands: Sequence[str]
) -> dict[str, list[views.SegmentView]]:
    """Return the segments that answer each command, in the node's order, in one question."""
    joined = and_(LINKS.c.node == FOOTAGE.c.node, LINKS.c.segment == FOOTAGE.c.segment)
    rows = connection.execute(
        select(FOOTAGE, LINKS.c.command)
        .select_from(LINKS.join(FOOTAGE, joined))
        .where(LINKS.c.command.in_(commands))
        .order_by(LINKS.c.ordinal)
    )
    found: dict[str, list[views.SegmentView]] = {command: [] for command in commands}
    for row in rows:
        found[row.command].append(_segment(row))
    return found


def _segment(row: AnyRow) -> views.SegmentView:
    return views.SegmentView(
        segment=row.segment,
        camera=row.camera,
        scene_role=row.scene_role,
        started_at=moment(row.started_at),
        ended_at=moment(row.ended_at),
        bytes=row.size_bytes,
        file_sha256=row.file_sha256,
        chunk_root=row.chunk_root,
        sequence=row.sequence,
        tree_size=row.tree_size,
        state=row.state,
        verified=row.state == "accepted",
        reason=row.reason,
        path=row.path,
    )
