"""Sessions, their footage, and who looked. Every reading is written down."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection, Row

from central.footage_commands import issue
from central.web import queries, views
from central.web.problems import responses
from central.web.state import Actor, Admin, State, WebState, record_access
from retention.records.fields import Code, Id
from retention.terms.problems import Problem, Refusal

router = APIRouter(prefix="/v1", tags=["sessions"], responses=responses())
UNKNOWN = responses({404: "SESSION_UNKNOWN", 409: "SESSION_AMBIGUOUS"})
NodeQuery = Annotated[Code | None, Query(description="needed when several nodes have this id")]
SessionPath = Annotated[Id, Path(examples=["01900000-0000-7000-8000-000000000001"])]


@router.get("/sessions")
def list_sessions(
    state: State,
    actor: Admin,
    flagged: bool | None = None,
    pharmacy: Code | None = None,
    after: Annotated[Id | None, Query()] = None,
    limit: views.Page = 100,
) -> views.SessionList:
    """List sessions, oldest first."""
    with state.database.write() as connection:
        found = queries.sessions(
            connection, flagged=flagged, pharmacy=pharmacy, after=after, limit=limit
        )
        record_access(state, connection, actor, "sessions.list", f"after {after or 'the start'}")
    return found


@router.get("/sessions/{session}", responses=UNKNOWN)
def read_session(
    state: State, actor: Admin, session: SessionPath, node: NodeQuery = None
) -> views.SessionView:
    """Read one session in full: steps, receipt, settlement, coverage, footage."""
    with state.database.write() as connection:
        row = _opened(state, connection, actor, session, node, "session.read")
        return queries.session_in_full(connection, row)


@router.post("/sessions/{session}/footage", status_code=202, responses=UNKNOWN)
def ask_for_footage(
    state: State,
    actor: Admin,
    session: SessionPath,
    asked: views.FootageRequest,
    node: NodeQuery = None,
) -> views.FootageView:
    """Ask the node for the session's footage; the answer tells how far each command is."""
    with state.database.write() as connection:
        row = _opened(state, connection, actor, session, node, "footage.ask", asked.reason)
        issue(
            connection,
            row,
            state.config.footage,
            state.keys.signer,
            command_id=state.ids.new(),
            actor=actor.name,
            reason=asked.reason,
            cameras=asked.cameras,
            now=state.now(),
        )
        return queries.footage(connection, row.node, session)


@router.get("/sessions/{session}/footage", responses=UNKNOWN)
def read_footage(
    state: State, actor: Admin, session: SessionPath, node: NodeQuery = None
) -> views.FootageView:
    """Show each command and each segment: digest, proof, verified or why not."""
    with state.database.write() as connection:
        row = _opened(state, connection, actor, session, node, "footage.read")
        return queries.footage(connection, row.node, session)


@router.get("/access")
def list_access(
    state: State,
    actor: Admin,
    after: Annotated[Id | None, Query()] = None,
    limit: views.Page = 100,
) -> views.AccessList:
    """List who did what, why and when, oldest first; this reading is the last row of the list."""
    with state.database.write() as connection:
        record_access(state, connection, actor, "access.read", f"after {after or 'the start'}")
        return queries.access(connection, after, limit)


def _opened(
    state: WebState,
    connection: Connection,
    actor: Actor,
    session: str,
    node: str | None,
    action: str,
    reason: str | None = None,
) -> Row[*tuple[Any, ...]]:
    """Find a session and write down that it was looked at. Raises Refusal (404; 409 when several
    nodes have it and none is named: a node cannot put its session in another's place)."""
    rows = queries.session_rows(connection, session, node)
    if not rows:
        raise Refusal(Problem(404, "SESSION_UNKNOWN", f"no session {session}"))
    if len(rows) > 1:
        nodes = [row.node for row in rows]
        detail = f"name the node: ?node={' or '.join(nodes)}"[:500]
        raise Refusal(Problem(409, "SESSION_AMBIGUOUS", detail, {"nodes": nodes}))
    (row,) = rows
    owner = {"agency": row.agency, "pharmacy": row.pharmacy, "node": row.node}
    record_access(state, connection, actor, action, f"session {session}", owner, reason)
    return row
