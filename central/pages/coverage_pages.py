"""The admin's pages of coverage: the calendar of all cameras, and one day of one camera.

The numbers are sums of what nodes told (`coverage_days`); proof of holding is another matter.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import Connection, func, select

from central.days import bounds_of, day_of, days_between, parse_day
from central.keeping import closed_of
from central.pages import heatmap
from central.pages.coverage_rows import camera_rows, drawn, spans_of_day
from central.pages.heatmap import CameraRow, Total
from central.pages.kit import kit_of
from central.pages.nodes_pages import unknown_node
from central.pages.signed_in import AdminMe, SignedIn
from central.tables import CoverageDay, Flag, Gap, Node, Session, table_of
from central.web.state import State, record_access
from retention.pages.kit import language_of, query_path

router = APIRouter(include_in_schema=False)
NODES, DAYS, GAPS = table_of(Node), table_of(CoverageDay), table_of(Gap)
SESSIONS, FLAGS = table_of(Session), table_of(Flag)
SPANS = (30, 60, 180, 366)
MOST_CELLS = 12_000  # as many as a browser draws without a pause
WORST = 20
MOST_SESSIONS = 200


@dataclass(frozen=True, slots=True)
class Line:
    """All cameras on one day."""

    day: str
    total: Total


@router.get("/coverage")
def coverage_page(
    request: Request,
    state: State,
    me: AdminMe,
    days: Annotated[str, Query(max_length=8)] = "",
    end: Annotated[str, Query(max_length=40)] = "",
    pharmacy: Annotated[str, Query(max_length=64)] = "",
    show: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """Show the sentence, the calendar, the daily share and the worst cameras."""
    now, span = state.now(), int(days) if days in {str(one) for one in SPANS} else 60
    today = day_of(now)
    try:
        last = parse_day(end or today)
    except ValueError:
        return _no_day(request, me, end)
    last = min(last, parse_day(today))
    window = days_between(last - timedelta(days=span - 1), last)
    text = pharmacy.strip()
    with state.database.write() as connection:
        subject = f"coverage {window[0]} to {window[-1]} {text}".strip()
        record_access(state, connection, me.actor(), "coverage.read", subject)
    # Told first, then read: nobody who writes waits until twelve thousand days are added up.
    with state.database.read() as connection:
        rows = camera_rows(connection, window, now, text)
    wanted = [row for row in rows if _fits(row.total, show)]
    shown = wanted[: MOST_CELLS // span]
    lang = language_of(request)
    page = kit_of(request).page(
        request, "coverage.html", me=me, active="coverage",
        total=heatmap.total_of(cell for row in rows for cell in row.cells),
        cameras=len(rows), silent=sum(_is_silent(row) for row in rows), wanted=len(wanted),
        drawn=len(shown), body=heatmap.table_body(shown, lang), window=window, today=today,
        lines=lines_of(rows, window), worst=worst_of(rows), span=span, spans=SPANS,
        pharmacy=text, show=show, query_path=query_path,
        length=lambda ms: heatmap.length(ms, lang),
        earlier=(last - timedelta(days=span)).isoformat(),
        later=(last + timedelta(days=span)).isoformat() if window[-1] < today else None,
    )  # fmt: skip
    return compressed(request, page)


def _fits(total: Total, show: str) -> bool:
    if show == "missing":
        return total.missing_days > 0
    return total.unknown_days > 0 if show == "unknown" else True


def _is_silent(row: CameraRow) -> bool:
    """Tell whether nothing is known of a camera at the end of the calendar."""
    last = row.cells[-1]
    return last is not None and last.unknown_ms > 0


def lines_of(rows: list[CameraRow], window: list[str]) -> list[Line]:
    """Return the daily sums of all cameras; days on which nothing was owed are left out."""
    found = [
        Line(day, heatmap.total_of(row.cells[number] for row in rows))
        for number, day in enumerate(window)
    ]
    return [line for line in found if line.total.days]


def worst_of(rows: list[CameraRow]) -> list[tuple[CameraRow, Total]]:
    """Return the cameras of which most is missing or unknown."""
    bad = [(row, row.total) for row in rows if row.total.covered_ms < row.total.expected_ms]
    bad.sort(key=lambda one: (one[1].covered_ms / one[1].expected_ms, one[0].node, one[0].camera))
    return bad[:WORST]


def compressed(request: Request, page: HTMLResponse) -> Response:
    """Compress a long page; its many links are nearly the same."""
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return page
    page.body = gzip.compress(bytes(page.body), 5, mtime=0)
    page.headers["Content-Encoding"] = "gzip"
    page.headers["Content-Length"] = str(len(page.body))
    page.headers["Vary"] += ", Accept-Encoding"
    return page


def _no_day(request: Request, me: SignedIn, named: str) -> Response:
    return kit_of(request).page(
        request, "fleet_problem.html", status=422, me=me, active="coverage", about="day",
        named=named,
    )  # fmt: skip


@router.get("/coverage/day")
def day_page(
    request: Request,
    state: State,
    me: AdminMe,
    node: Annotated[str, Query(max_length=64)] = "",
    camera: Annotated[str, Query(max_length=64)] = "",
    day: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Show one day of one camera: its hours, its gaps, the sessions of that day."""
    now = state.now()
    try:
        parsed = parse_day(day)
    except ValueError:
        return _no_day(request, me, day)
    with state.database.write() as connection:
        row = connection.execute(select(NODES).where(NODES.c.node == node)).one_or_none()
        found = None if row is None else _facts_of_day(connection, row, camera, day, now)
        if row is not None and found is not None:
            owner = {"agency": row.agency, "pharmacy": row.pharmacy, "node": node}
            subject = f"coverage of {node} {camera} on {day}"
            record_access(state, connection, me.actor(), "coverage.read", subject, owner)
    if row is None:
        return unknown_node(request, me, node)
    if found is None:
        return kit_of(request).page(
            request, "fleet_problem.html", status=404, me=me, active="coverage", about="camera",
            named=camera,
        )  # fmt: skip
    lang = language_of(request)
    return kit_of(request).page(
        request, "coverage_day.html", me=me, active="coverage", row=row, camera=camera, day=day,
        before=(parsed - timedelta(days=1)).isoformat(), now=now,
        after=(parsed + timedelta(days=1)).isoformat() if day < day_of(now) else None,
        query_path=query_path, length=lambda ms: heatmap.length(ms, lang), **found,
    )  # fmt: skip


def _facts_of_day(
    connection: Connection, node: Any, camera: str, day: str, now: int
) -> dict[str, Any] | None:
    """Return what is known of a camera's day; None when nothing is known of the camera at all."""
    mine = (DAYS.c.node == node.node, DAYS.c.camera == camera)
    first = connection.execute(
        select(DAYS.c.day, DAYS.c.scene_role).where(*mine).order_by(DAYS.c.day).limit(1)
    ).one_or_none()
    start, end = bounds_of(day)
    gaps = connection.execute(
        select(GAPS)
        .where(
            GAPS.c.node == node.node,
            GAPS.c.camera == camera,
            GAPS.c.started_at < end,
            func.coalesce(GAPS.c.ended_at, end) > start,
        )
        .order_by(GAPS.c.started_at)
    ).all()
    if first is None and not gaps:
        return None
    told = connection.execute(select(DAYS).where(*mine, DAYS.c.day == day)).one_or_none()
    first_day = first.day if first is not None else day
    closed = closed_of(connection, node.node, start, end)
    spans = spans_of_day(day, told, gaps, first_day, now, node.revoked_at, closed)
    counts = (
        select(func.count())
        .where(
            FLAGS.c.node == SESSIONS.c.node,
            FLAGS.c.session == SESSIONS.c.session,
            FLAGS.c.cleared_at.is_(None),
        )
        .scalar_subquery()
    )
    sessions = connection.execute(
        select(SESSIONS, counts.label("flags"))
        .where(
            SESSIONS.c.pharmacy == node.pharmacy,
            SESSIONS.c.node == node.node,
            SESSIONS.c.opened_at >= start,
            SESSIONS.c.opened_at < end,
        )
        .order_by(SESSIONS.c.opened_at)
        .limit(MOST_SESSIONS + 1)
    ).all()
    return {
        "cell": heatmap.cell_of(day, told, first_day, now, node.revoked_at),
        "told": told,
        "closed": bool(told and told.told_ms and not told.owed_ms),
        "scene_role": first.scene_role if first is not None else gaps[0].scene_role,
        "first_day": first_day,
        "gaps": gaps,
        "spans": spans,
        "bars": list(drawn(spans.spans, start)),
        "sessions": sessions[:MOST_SESSIONS],
        "more_sessions": len(sessions) > MOST_SESSIONS,
        "start": start,
        "end": end,
    }
