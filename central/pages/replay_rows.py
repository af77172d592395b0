"""What the database and the disk know about the time of one session, as the timeline takes it.

Also GET replay.json. The player's own words stand in replay.html.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, Row, and_, select

from central.collector.receiving import file_of
from central.footage_commands import span_of
from central.pages import openings, timeline
from central.pages.signed_in import Me
from central.pages.steps import contents, steps_in_words
from central.pages.timeline_values import (
    Asked,
    AskedState,
    Facts,
    GapFact,
    Replay,
    SegmentFact,
)
from central.pages.verification import Verifications, verifications_of
from central.tables import CommandRow, CommandSegment, Footage, Gap, Node, table_of
from central.web import queries, views
from central.web.state import State, WebState
from retention.pages.formats import absolute
from retention.pages.kit import Language, language_of
from retention.records.payloads import SessionCovered
from retention.terms.commands import FootageCommand, SignedCommand
from retention.terms.problems import Problem, Refusal

router = APIRouter(include_in_schema=False)
COMMANDS, LINKS, FOOTAGE = table_of(CommandRow), table_of(CommandSegment), table_of(Footage)
GAPS, NODES = table_of(Gap), table_of(Node)
AnyRow = Row[*tuple[Any, ...]]
SILENT_AFTER_US = 90 * 1_000_000
"""A connected node says something every few seconds; see edge/uplink."""
MAX_GAPS = 500
MAX_STEPS = 500


@router.get("/sessions/{session}/replay.json")
def replay_json(
    request: Request, state: State, me: Me, session: str, node: str = ""
) -> JSONResponse:
    """Tell the player what there is to play. Raises Refusal (404, 403)."""
    lang = language_of(request)
    with state.database.read() as connection:
        row = session_of(connection, node, session)
        opening = openings.require_opening(connection, me, node, session, state.now())
        found = load(state, connection, row, opening, lang, verifications_of(request))
    return JSONResponse(found.to_json(lang))


def session_of(connection: Connection, node: str, session: str) -> AnyRow:
    """Return the row of a session of a node. Raises Refusal (404 SESSION_UNKNOWN)."""
    rows = [row for row in queries.session_rows(connection, session) if row.node == node]
    if not rows:
        raise Refusal(Problem(404, "SESSION_UNKNOWN", f"{session[:64]} · {node[:64]}"))
    return rows[0]


def load(
    state: WebState,
    connection: Connection,
    row: AnyRow,
    opening: AnyRow,
    lang: Language,
    verifications: Verifications,
    steps: Sequence[views.StepView] | None = None,
) -> Replay:
    """Return the time of a session as it stands now; `steps` when they are read already."""
    if steps is None:
        steps = steps_of(connection, row)
    owed = span_of(row, state.config.footage, state.now())
    facts = Facts(
        node=row.node,
        session=row.session,
        owed=owed,
        cameras=_cameras(connection, row, steps),
        segments=[_segment(state, one, verifications) for one in segments_of(connection, row)],
        gaps=_gaps(connection, row.node, owed),
        asked=commands_of(connection, row, state.now()),
        steps=steps_in_words(steps, lang),
    )
    return timeline.replay_of(facts, lang, clear=opening.clear_at is not None)


def steps_of(connection: Connection, row: AnyRow) -> list[views.StepView]:
    """Return the steps of a session; a node that makes very many does not slow its inspector."""
    return queries.steps(connection, row, limit=MAX_STEPS)


def segments_of(connection: Connection, row: AnyRow) -> list[AnyRow]:
    """Return the footage rows that answer commands of this session, by camera and time."""
    joined = LINKS.join(
        FOOTAGE, and_(LINKS.c.node == FOOTAGE.c.node, LINKS.c.segment == FOOTAGE.c.segment)
    )
    mine = select(COMMANDS.c.command).where(
        COMMANDS.c.node == row.node, COMMANDS.c.session == row.session
    )
    found = connection.execute(
        select(FOOTAGE)
        .select_from(joined)
        .where(LINKS.c.command.in_(mine), FOOTAGE.c.node == row.node)
        .distinct()
        .order_by(FOOTAGE.c.camera, FOOTAGE.c.started_at, FOOTAGE.c.segment)
    )
    return list(found)


def commands_of(connection: Connection, row: AnyRow, now: int) -> list[Asked]:
    """Return what was asked of this session's footage, newest first."""
    last_seen = connection.execute(
        select(NODES.c.last_seen).where(NODES.c.node == row.node)
    ).scalar_one_or_none()
    found = connection.execute(
        select(COMMANDS)
        .where(COMMANDS.c.node == row.node, COMMANDS.c.session == row.session)
        .order_by(COMMANDS.c.issued_at.desc(), COMMANDS.c.command.desc())
    )
    return [_asked(one, last_seen, now) for one in found]


def asked_state(command: AnyRow, last_seen: int | None, now: int) -> AskedState:
    """Return how a command stands: concluded, expired, waiting, or waiting for a silent node."""
    if command.concluded_at is not None:
        outcome: AskedState = command.outcome
        return outcome
    if command.expires_at <= now:
        return "expired"
    return "silent" if last_seen is None or now - last_seen > SILENT_AFTER_US else "waiting"


def _asked(command: AnyRow, last_seen: int | None, now: int) -> Asked:
    asked = SignedCommand.model_validate_json(command.body).command
    if not isinstance(asked, FootageCommand):  # rows of a session are of no other kind
        raise TypeError(f"command {command.command} asks for no footage")
    return Asked(
        started_at=queries.micros(asked.started_at),
        ended_at=queries.micros(asked.ended_at),
        cameras=asked.cameras,
        state=asked_state(command, last_seen, now),
        detail=command.detail or "",
        since="–" if last_seen is None else absolute(last_seen),
        offered=command.segments_offered,
        command=command.command,
        at=command.issued_at,
        actor=command.actor,
    )


def _segment(state: WebState, row: AnyRow, verifications: Verifications) -> SegmentFact:
    return SegmentFact(
        segment=row.segment,
        camera=row.camera,
        role=row.scene_role,
        started_at=row.started_at,
        ended_at=row.ended_at,
        state=_segment_state(state, row, verifications),
        codec=json.loads(row.record)["payload"]["codec"],
    )


def _segment_state(state: WebState, row: AnyRow, verifications: Verifications) -> Any:
    if row.state == "rejected":
        return "broken"
    if row.state != "accepted":
        return "receiving"
    if not file_of(state.config.footage_root, row.node, row.segment).is_file():
        return "lost"
    return "broken" if verifications.is_known_broken(row) else "accepted"


def _gaps(connection: Connection, node: str, span: tuple[int, int]) -> list[GapFact]:
    """Return the gaps of a node that overlap a span or what may stand around it."""
    low, high = span[0] - timeline.MARGIN_US, span[1] + timeline.MARGIN_US
    found = connection.execute(
        select(GAPS)
        .where(
            GAPS.c.node == node,
            GAPS.c.started_at < high,
            GAPS.c.ended_at.is_(None) | (GAPS.c.ended_at > low),
        )
        .order_by(GAPS.c.started_at)
        .limit(MAX_GAPS)
    )
    return [
        GapFact(one.camera, one.scene_role, one.started_at, one.ended_at, one.cause)
        for one in found
    ]


def _cameras(
    connection: Connection, row: AnyRow, steps: Sequence[views.StepView]
) -> dict[str, str]:
    """Return the cameras that owe this session footage: as reckoned at its end, else all of the
    node's."""
    covered = contents(steps).get(SessionCovered)
    if isinstance(covered, SessionCovered):
        return {one.camera: one.scene_role for one in covered.scenes}
    status = connection.execute(
        select(NODES.c.status).where(NODES.c.node == row.node)
    ).scalar_one_or_none()
    known = [] if status is None else json.loads(status)["cameras"]
    return {one["camera"]: one["scene_role"] for one in known}
