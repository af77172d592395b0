"""One session: first the reason for opening it, then everything about it on one page.

A session id belongs to a node; where several nodes use one id, the person chooses. Every look at
the page is an access row with the reason that was given.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from central.pages import openings, replay_rows, session_facts
from central.pages.footage_progress import fragment_values, progress
from central.pages.kit import kit_of
from central.pages.openings import AnyRow
from central.pages.session_hold import holds_of
from central.pages.session_search import persons
from central.pages.signed_in import Me, SignedIn
from central.pages.steps import steps_in_words
from central.pages.verification import verifications_of
from central.web import queries
from central.web.state import State, WebState
from retention.pages.kit import language_of, query_path
from retention.terms.problems import Problem, Refusal

router = APIRouter(include_in_schema=False)
MAX_REASON = 200
REASONS: dict[str, tuple[str, str]] = {
    "sample": ("随机复审", "Random re-review"),
    "flag": ("规则告警", "A flag was raised"),
    "complaint": ("投诉举报", "A complaint"),
    "inspection": ("监督检查", "An inspection"),
    "other": ("其他理由", "Another reason"),
}
NodeName = Annotated[str, Query(max_length=200)]


@router.get("/sessions/{session}")
def session_page(
    request: Request, state: State, me: Me, session: str, node: NodeName = ""
) -> Response:
    """Show a session to somebody who opened it; ask others for their reason."""
    with state.database.write() as connection:
        rows = queries.session_rows(connection, session)
        if not rows:
            raise Refusal(Problem(404, "SESSION_UNKNOWN", session[:64]))
        if not node:
            return _choose(request, state, connection, me, rows)
        row = replay_rows.session_of(connection, node, session)
        opening = openings.opening_of(connection, me, node, session, state.now())
        if opening is None:
            openings.write_access(state, connection, me, row, "session.form", "")
            return _ask_reason(request, connection, me, row)
        openings.write_access(state, connection, me, row, "session.read", opening.reason)
        return _show(request, state, connection, me, row, opening)


@router.post("/sessions/{session}")
def open_session(
    request: Request,
    state: State,
    me: Me,
    session: str,
    node: NodeName = "",
    choice: Annotated[str, Form(max_length=20)] = "",
    text: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Open a session for a reason, then show it."""
    with state.database.write() as connection:
        row = replay_rows.session_of(connection, node, session)
        reason, problem = _reason(choice, text)
        if problem:
            given = {"choice": choice, "text": text, "problem": problem}
            return _ask_reason(request, connection, me, row, given)
        openings.open_session(state, connection, me, row, reason)
    return RedirectResponse(path_of(row), 303)


@router.post("/sessions/{session}/clear")
def show_clearly(
    state: State,
    me: Me,
    session: str,
    node: NodeName = "",
    show: Annotated[str, Form(max_length=20)] = "clear",
) -> Response:
    """Show the pictures clearly, or blurred again."""
    with state.database.write() as connection:
        row = replay_rows.session_of(connection, node, session)
        openings.show_clearly(state, connection, me, row, clear=show == "clear")
    return RedirectResponse(path_of(row), 303)


def path_of(row: AnyRow) -> str:
    """Return the full address of a session's page."""
    return query_path(f"/sessions/{row.session}", node=row.node)


def _reason(choice: str, text: str) -> tuple[str, str]:
    """Return the reason as the access log keeps it, or which field is wrong and how.

    It stands in that log in one line, and nothing in it may turn the line around.
    """
    text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    if choice not in REASONS:
        return "", "choice"
    if choice == "other" and not text:
        return "", "text"
    if len(text) > MAX_REASON - 10:
        return "", "long"
    said = REASONS[choice][0]
    if choice == "other":
        return text, ""
    return (f"{said}：{text}" if text else said), ""


def _choose(
    request: Request, state: WebState, connection: Connection, me: SignedIn, rows: list[AnyRow]
) -> Response:
    """Lead on to the only node that has the session, or let the person choose."""
    if len(rows) == 1:
        return RedirectResponse(path_of(rows[0]), 303)
    for row in rows:
        openings.write_access(state, connection, me, row, "session.form", "")
    return kit_of(request).page(
        request,
        "choose_node.html",
        status=300,
        me=me,
        active="sessions",
        rows=rows,
        path_of=path_of,
    )


def _ask_reason(
    request: Request,
    connection: Connection,
    me: SignedIn,
    row: AnyRow,
    given: dict[str, str] | None = None,
) -> Response:
    return kit_of(request).page(
        request,
        "opening.html",
        status=422 if given else 200,
        me=me,
        active="sessions",
        row=row,
        flags=_flags(connection, row),
        reasons=REASONS,
        minutes=openings.OPEN_MINUTES,
        max_text=MAX_REASON - 10,
        again=openings.had_opening(connection, me, row.node, row.session),
        given=given or {"choice": "", "text": "", "problem": ""},
    )


def _show(
    request: Request,
    state: WebState,
    connection: Connection,
    me: SignedIn,
    row: AnyRow,
    opening: AnyRow,
) -> Response:
    lang = language_of(request)
    told = replay_rows.steps_of(connection, row)
    replay = replay_rows.load(
        state, connection, row, opening, lang, verifications_of(request), told
    )
    return kit_of(request).page(
        request,
        "session.html",
        me=me,
        active="sessions",
        row=row,
        node=row.node,
        session=row.session,
        opening=opening,
        person=persons(connection, [row]).get((row.node, row.session), ""),
        flags=_flags(connection, row),
        holds=holds_of(connection, row),
        facts=session_facts.facts_of(told),
        steps=steps_in_words(told, lang),
        replay=replay.to_json(lang),
        replay_url=query_path(f"/sessions/{row.session}/replay.json", node=row.node),
        **fragment_values(row, progress(state, connection, row)),
        badges_url=query_path(f"/sessions/{row.session}/badges", node=row.node),
    )


def _flags(connection: Connection, row: AnyRow) -> list[Any]:
    """Return the flags of a session, those that were cleared too."""
    return queries.flags_of(connection, [row])[row.node, row.session]
