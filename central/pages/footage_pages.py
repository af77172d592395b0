"""Footage of a session: asking its node for it, how that goes, and whether what came still holds.

One command is under way per session: a second click finds the first. What htmx fetches again and
again is no new look, so only the first look at the badges and each asking is an access row. When
the opening ends, the parts of a page that is still open end with it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from central.footage_commands import issue, under_way
from central.pages import openings, replay_rows
from central.pages.footage_progress import Progress, fragment_values, progress
from central.pages.kit import kit_of
from central.pages.openings import AnyRow
from central.pages.session_page import path_of
from central.pages.signed_in import Me
from central.pages.verification import Verdict, Verifications, evidence_of, verifications_of
from central.tables import CommandSegment, Footage, Node, table_of
from central.web.state import State, WebState
from retention.pages.kit import query_path

router = APIRouter(include_in_schema=False)
LINKS, FOOTAGE, NODES = table_of(CommandSegment), table_of(Footage), table_of(Node)
NodeName = Annotated[str, Query(max_length=200)]
FIRST_LOOK_SECONDS = 0.3


@router.get("/sessions/{session}/footage")
def footage(
    request: Request, state: State, me: Me, session: str, node: NodeName = "", was: str = ""
) -> Response:
    """Show how asking stands; tells the page when what was on its way is complete."""
    with state.database.read() as connection:
        row = replay_rows.session_of(connection, node, session)
        if openings.opening_of(connection, me, node, session, state.now()) is None:
            return _over(request, row, "footage")
        found = progress(state, connection, row)
    return _fragment(request, row, me, found, changed=bool(was) and not found.moving)


@router.post("/sessions/{session}/footage")
def ask_for_footage(
    request: Request, state: State, me: Me, session: str, node: NodeName = ""
) -> Response:
    """Ask the node for the session's footage, unless that is under way already."""
    with state.database.write() as connection:
        row = replay_rows.session_of(connection, node, session)
        opening = openings.opening_of(connection, me, node, session, state.now())
        if opening is None:
            return _over(request, row, "footage")
        found = progress(state, connection, row)
        if found.may_ask and under_way(connection, node, session, state.now()) is None:
            issue(
                connection,
                row,
                state.config.footage,
                state.keys.signer,
                command_id=state.ids.new(),
                actor=me.account,
                reason=opening.reason,
                cameras=(),
                now=state.now(),
            )
            openings.write_access(state, connection, me, row, "footage.ask", opening.reason)
            found = progress(state, connection, row)
    if "hx-request" in request.headers:
        return _fragment(request, row, me, found, changed=True)
    return RedirectResponse(path_of(row), 303)


@router.get("/sessions/{session}/badges")
def badges(
    request: Request, state: State, me: Me, session: str, node: NodeName = "", polled: str = ""
) -> Response:
    """Check every segment again and show what was found."""
    known = verifications_of(request)
    row, segments = _segments(state, me, node, session, known, written=not polled)
    if segments is None:
        return _over(request, row, "badges")
    return _badges(request, row, me, segments, known, told=polled == "footage")


@router.post("/sessions/{session}/badges")
def check_again(
    request: Request, state: State, me: Me, session: str, node: NodeName = ""
) -> Response:
    """Forget what was found before and read every file once more."""
    known = verifications_of(request)
    row, segments = _segments(state, me, node, session, known, written=True, again=True)
    if segments is None:
        return _over(request, row, "badges")
    if "hx-request" in request.headers:
        return _badges(request, row, me, segments, known)
    return RedirectResponse(path_of(row), 303)


def _segments(
    state: WebState,
    me: Me,
    node: str,
    session: str,
    known: Verifications,
    *,
    written: bool,
    again: bool = False,
) -> tuple[AnyRow, list[AnyRow] | None]:
    """Return the session and its concluded segments, and begin to look at them; None instead of
    them when it is not open."""
    database = state.database
    with database.write() if written else database.read() as connection:
        row = replay_rows.session_of(connection, node, session)
        opening = openings.opening_of(connection, me, node, session, state.now())
        if opening is None:
            return row, None
        if written:
            openings.write_access(state, connection, me, row, "footage.verify", opening.reason)
        segments = [
            one
            for one in replay_rows.segments_of(connection, row)
            if one.state in ("accepted", "rejected")
        ]
        evidence = evidence_of(connection, node, segments)
    if again:
        known.forget(segments)
    known.begin((node, session), evidence, FIRST_LOOK_SECONDS)
    return row, segments


def _badges(
    request: Request,
    row: AnyRow,
    me: Me,
    segments: list[AnyRow],
    known: Verifications,
    *,
    told: bool = False,
) -> Response:
    """Answer with the badges. A player that does not know yet what is broken is told to look again;
    `told` when it is the player's own news that brought us here."""
    verdicts: list[tuple[AnyRow, Verdict | None]] = [(one, known.verdict(one)) for one in segments]
    looked_at = [(one, verdict) for one, verdict in verdicts if verdict is not None]
    broken = [(one, verdict) for one, verdict in looked_at if not verdict.holds]
    finished = len(looked_at) == len(segments)
    return kit_of(request).page(
        request,
        "badges.html",
        headers={"HX-Trigger": "footage-complete"} if broken and finished and not told else None,
        me=me,
        row=row,
        verdicts=verdicts,
        done=len(looked_at),
        broken=broken,
        badges_url=query_path(f"/sessions/{row.session}/badges", node=row.node),
    )


def _fragment(
    request: Request, row: AnyRow, me: Me, found: Progress, *, changed: bool = False
) -> Response:
    """Answer with how asking stands; `changed` lets the player draw its timeline anew."""
    return kit_of(request).page(
        request,
        "footage.html",
        headers={"HX-Trigger": "footage-complete"} if changed else None,
        row=row,
        me=me,
        **fragment_values(row, found, came=changed and not found.moving),
    )


def _over(request: Request, row: AnyRow, part: str) -> Response:
    """Answer when the session is not open, or no longer: htmx gets words in the part's place, which
    ask no more. Raises Refusal (403 NOT_OPENED) for anybody else."""
    if "hx-request" not in request.headers:
        raise openings.not_opened(row.session)
    return kit_of(request).page(
        request, "opening_over.html", status=403, part=part, path=path_of(row)
    )
