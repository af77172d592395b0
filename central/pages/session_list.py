"""The list of sessions: what needs a look first, the filters in the address.

Reading the list is an access row that says what was asked for.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from central.pages import session_search as search
from central.pages.kit import kit_of
from central.pages.session_search import Filters
from central.pages.signed_in import Me
from central.projections import FLAG_CODES
from central.web.state import State, record_access

router = APIRouter(include_in_schema=False)
Given = Annotated[str, Query(max_length=200)]
STATES = ("open", "closed")
DECISIONS = ("ACCEPT", "RETRY", "REFER", "none")


@router.get("/sessions")
def session_list(
    request: Request,
    state: State,
    me: Me,
    show: Given = "",
    code: Given = "",
    pharmacy: Given = "",
    node: Given = "",
    status: Annotated[str, Query(alias="state", max_length=200)] = "",
    decision: Given = "",
    day_from: Annotated[str, Query(alias="from", max_length=200)] = "",
    day_to: Annotated[str, Query(alias="to", max_length=200)] = "",
    text: Annotated[str, Query(alias="q", max_length=200)] = "",
    sort: Given = "",
    after: Given = "",
) -> Response:
    """Show sessions that need a look, or those that the filters ask for."""
    filters = Filters(
        show="all" if show == "all" else "flagged",
        code=code.strip(),
        pharmacy=pharmacy.strip(),
        node=node.strip(),
        state=status if status in STATES else "",
        decision=decision if decision in DECISIONS else "",
        day_from=day_from.strip(),
        day_to=day_to.strip(),
        text=text.strip(),
        sort="oldest" if sort == "oldest" else "flags" if sort == "flags" else "newest",
        after=after,
    )
    with state.database.write() as connection:
        found = search.find(connection, filters, state.now())
        subject = urlencode(filters.query(after=after)) or "flagged"
        record_access(state, connection, me.actor(), "sessions.list", f"sessions {subject}")
        empty = "" if found.lines else _why_empty(search.any_node(connection), filters)
        if empty == "flagged" and not search.any_session(connection):
            empty = "sessions"
    return kit_of(request).page(
        request,
        "sessions.html",
        me=me,
        active="sessions",
        filters=filters,
        found=found,
        empty=empty,
        bad_days=[day for day in (filters.day_from, filters.day_to) if _bad_day(day)],
        codes=FLAG_CODES,
        address=address,
    )


def address(filters: Filters, **changes: str) -> str:
    """Return the address of the list with other filters; it begins at its first page."""
    query = urlencode(filters.query(**changes))
    return f"/sessions?{query}" if query else "/sessions"


def _bad_day(text: str) -> bool:
    return bool(text) and search.day_start(text) is None


def _why_empty(any_node: bool, filters: Filters) -> str:
    """Return which emptiness this is: no node yet, filters that match nothing, nothing flagged."""
    if not any_node:
        return "nodes"
    if filters.narrowed:
        return "filters"
    return "sessions" if filters.show == "all" else "flagged"
