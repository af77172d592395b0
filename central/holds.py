"""Holds that central places: from now on nothing that they cover is disposed of, at any node of the
pharmacy, until somebody releases them. The commands that tell the nodes are in `standing`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, select, update

from central import standing
from central.standing import HOLDS
from central.web.state import WebState
from retention.records.canonical import canonical_bytes
from retention.records.clock import from_micros, to_text
from retention.records.keeping import Hold
from retention.terms.problems import Problem, Refusal

AnyRow = Row[*tuple[Any, ...]]
Scope = Literal["session", "person", "pharmacy", "span"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be held. Times are microseconds; no cameras means all."""

    agency: str
    pharmacy: str
    scope: Scope
    reason: str
    session: str | None = None
    person_ref: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    cameras: tuple[str, ...] = ()


def place(state: WebState, connection: Connection, asked: Asked, actor: str) -> str:
    """Place a hold and tell every node of the pharmacy; return its id.

    Raises Refusal: 422 HOLD_REFUSED, REASON_NEEDED; 404 PHARMACY_UNKNOWN.
    """
    _check(asked)
    now = state.now()
    hold = Hold(
        hold=state.ids.new(),
        scope=asked.scope,
        session=asked.session,
        person_ref=asked.person_ref,
        started_at=None if asked.started_at is None else to_text(from_micros(asked.started_at)),
        ended_at=None if asked.ended_at is None else to_text(from_micros(asked.ended_at)),
        cameras=asked.cameras,
    )
    connection.execute(
        insert(HOLDS).values(
            agency=asked.agency, pharmacy=asked.pharmacy, hold=hold.hold, scope=hold.scope,
            body=canonical_bytes(hold.model_dump(mode="json")), actor=actor, reason=asked.reason,
            placed_at=now,
        )
    )  # fmt: skip
    _tell(state, connection, asked.agency, asked.pharmacy, now)
    return hold.hold


def _check(asked: Asked) -> None:
    need_reason(asked.reason)
    times = (asked.started_at, asked.ended_at)
    fits = {
        "session": asked.session is not None,
        "person": asked.person_ref is not None,
        "span": None not in times and (asked.started_at or 0) < (asked.ended_at or 0),
        "pharmacy": True,
    }
    given = {
        "session": asked.session,
        "person": asked.person_ref,
        "span": asked.started_at or asked.ended_at or asked.cameras,
    }
    foreign = [scope for scope, value in given.items() if value and scope != asked.scope]
    if not fits[asked.scope] or foreign:
        raise Refusal(Problem(422, "HOLD_REFUSED"))


def need_reason(reason: str) -> None:
    """Raises Refusal (422 REASON_NEEDED) without a reason that a log can carry."""
    if not reason.strip() or len(reason) > 200 or not reason.isprintable():
        raise Refusal(Problem(422, "REASON_NEEDED"))


def release(state: WebState, connection: Connection, hold: str, actor: str, reason: str) -> AnyRow:
    """Release a hold at every node; a second time changes nothing. Return its row.

    Raises Refusal: 404 HOLD_UNKNOWN, 422 REASON_NEEDED.
    """
    need_reason(reason)
    row = hold_row(connection, hold)
    if row.released_at is None:
        now = state.now()
        connection.execute(
            update(HOLDS)
            .where(HOLDS.c.hold == hold)
            .values(released_at=now, released_by=actor, release_reason=reason)
        )
        standing.withdraw(connection, hold, now)
        _tell(state, connection, row.agency, row.pharmacy, now, must=False)
    return row


def hold_row(connection: Connection, hold: str) -> AnyRow:
    """Return a hold's row. Raises Refusal (404 HOLD_UNKNOWN)."""
    row = connection.execute(select(HOLDS).where(HOLDS.c.hold == hold)).one_or_none()
    if row is None:
        raise Refusal(Problem(404, "HOLD_UNKNOWN", hold[:64]))
    return row


def _tell(
    state: WebState,
    connection: Connection,
    agency: str,
    pharmacy: str,
    now: int,
    *,
    must: bool = True,
) -> None:
    told = standing.issue_to_pharmacy(
        connection, agency, pharmacy, state.keys.signer, state.ids, now
    )
    if must and not told:
        raise Refusal(Problem(404, "PHARMACY_UNKNOWN", pharmacy))
