"""Opening a session for a reason: who may see its facts and its pictures, and until when.

(1) an opening belongs to one sign-in, one node and one session
(2) it ends after OPEN_MINUTES, or with the sign-in
(3) without one nothing of a session is shown but what the list shows
A second click of the same form finds the opening of the first; every other look is an access row.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from central.pages.signed_in import SignedIn
from central.tables import Opening, table_of
from central.web.state import WebState, record_access
from retention.terms.problems import Problem, Refusal

OPENINGS = table_of(Opening)
OPEN_MINUTES = 60
OPEN_FOR = timedelta(minutes=OPEN_MINUTES) // timedelta(microseconds=1)
AnyRow = Row[*tuple[Any, ...]]


def opening_of(
    connection: Connection, me: SignedIn, node: str, session: str, now: int
) -> AnyRow | None:
    """Return the opening that lets this sign-in see this session now, if there is one."""
    return connection.execute(
        _mine(me, node, session).where(OPENINGS.c.expires_at > now)
    ).first()  # fmt: skip


def had_opening(connection: Connection, me: SignedIn, node: str, session: str) -> bool:
    """Say whether this sign-in had the session open before."""
    return connection.execute(_mine(me, node, session)).first() is not None


def require_opening(
    connection: Connection, me: SignedIn, node: str, session: str, now: int
) -> AnyRow:
    """Return the opening. Raises Refusal (403 NOT_OPENED) without one."""
    found = opening_of(connection, me, node, session, now)
    if found is None:
        raise not_opened(session)
    return found


def not_opened(session: str) -> Refusal:
    """Return the refusal of whoever has no opening of a session."""
    return Refusal(Problem(403, "NOT_OPENED", f"session {session}"))


def open_session(
    state: WebState, connection: Connection, me: SignedIn, session: AnyRow, reason: str
) -> None:
    """Open a session for a reason, unless it is open already; both leave their access row."""
    now = state.now()
    if opening_of(connection, me, session.node, session.session, now) is None:
        connection.execute(
            insert(OPENINGS).values(
                agency=session.agency, pharmacy=session.pharmacy, node=session.node,
                id=state.ids.new(), sign_in=me.sign_in, account=me.account,
                session=session.session, reason=reason, opened_at=now, expires_at=now + OPEN_FOR,
            )
        )  # fmt: skip
        write_access(state, connection, me, session, "session.open", reason)


def show_clearly(
    state: WebState, connection: Connection, me: SignedIn, session: AnyRow, *, clear: bool
) -> None:
    """Show the pictures clearly from now on, or blurred again. Raises Refusal (403)."""
    now = state.now()
    opening = require_opening(connection, me, session.node, session.session, now)
    connection.execute(
        update(OPENINGS)
        .where(OPENINGS.c.id == opening.id)
        .values(clear_at=now if clear else None)
    )  # fmt: skip
    action = "footage.clear" if clear else "footage.blur"
    write_access(state, connection, me, session, action, opening.reason)


def write_access(
    state: WebState,
    connection: Connection,
    me: SignedIn,
    session: AnyRow,
    action: str,
    reason: str,
) -> None:
    """Write down that something of a session was looked at or asked for."""
    owner = {"agency": session.agency, "pharmacy": session.pharmacy, "node": session.node}
    subject = f"session {session.session}"
    record_access(state, connection, me.actor(reason), action, subject, owner)


def _mine(me: SignedIn, node: str, session: str) -> Any:
    return (
        select(OPENINGS)
        .where(
            OPENINGS.c.sign_in == me.sign_in,
            OPENINGS.c.node == node,
            OPENINGS.c.session == session,
        )
        .order_by(OPENINGS.c.opened_at.desc())
        .limit(1)
    )
