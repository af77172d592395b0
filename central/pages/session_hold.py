"""Holding a session from its page: an inspector who opened it may keep it from disposal.

A hold on a person keeps every session of that insured person at the pharmacy, whoever collected.
Releasing is an admin's matter (`retention_pages`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from central import holds, keeping
from central.holds import Asked
from central.keeping import Stands
from central.pages import openings, replay_rows
from central.pages.openings import AnyRow
from central.pages.session_facts import facts_of
from central.pages.signed_in import Me
from central.web.state import State
from retention.pages.kit import query_path
from retention.terms.problems import Problem, Refusal

router = APIRouter(include_in_schema=False)
OWN = ("session", "person")


@router.post("/sessions/{session}/hold")
def hold_session(
    state: State,
    me: Me,
    session: str,
    node: Annotated[str, Query(max_length=200)] = "",
    scope: Annotated[str, Form(max_length=20)] = "session",
) -> Response:
    """Hold a session, or every session of its person, for the reason it was opened for."""
    with state.database.write() as connection:
        row = replay_rows.session_of(connection, node, session)
        opening = openings.require_opening(connection, me, node, session, state.now())
        person = person_of(connection, row)
        if scope not in OWN or (scope == "person" and person is None):
            raise Refusal(Problem(422, "HOLD_REFUSED"))
        if not any(one.content["scope"] == scope for one in holds_of(connection, row)):
            asked = Asked(
                row.agency, row.pharmacy, "session" if scope == "session" else "person",
                opening.reason, session=session if scope == "session" else None,
                person_ref=person if scope == "person" else None,
            )  # fmt: skip
            holds.place(state, connection, asked, me.account)
            openings.write_access(state, connection, me, row, "hold.place", opening.reason)
    return RedirectResponse(query_path(f"/sessions/{row.session}", node=row.node), 303)


def holds_of(connection: Connection, row: AnyRow) -> list[Stands]:
    """Return the standing holds of a session and of its person, newest first."""
    whose = (row.agency, row.pharmacy)
    standing = [one for one in keeping.holds(connection, whose) if one.content["scope"] in OWN]
    person = person_of(connection, row) if standing else None
    return [
        one
        for one in standing
        if one.content["session"] == row.session
        or (person is not None and one.content["person_ref"] == person)
    ]


def person_of(connection: Connection, row: AnyRow) -> str | None:
    """Return who a session is of, as its node tells persons apart; None if it was not opened."""
    opened = facts_of(replay_rows.steps_of(connection, row)).opened
    return None if opened is None else opened.claim.person_ref
