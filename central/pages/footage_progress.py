"""How asking a node for the footage of a session stands, as values for footage.html."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select

from central.footage_commands import span_of
from central.pages import replay_rows
from central.pages.openings import AnyRow
from central.pages.timeline_values import Asked
from central.tables import CommandSegment, Footage, Node, table_of
from central.web.state import WebState
from retention.pages.kit import query_path

LINKS, FOOTAGE, NODES = table_of(CommandSegment), table_of(Footage), table_of(Node)


@dataclass(frozen=True, slots=True)
class Progress:
    """How asking for footage stands. `asked` is None when nobody asked; `held` of `offered`
    segments are at central; `short` when the session lasted longer than what was asked for."""

    asked: Asked | None
    offered: int | None
    held: int
    short: bool
    revoked: bool

    @property
    def moving(self) -> bool:
        """Say whether something may still come by itself."""
        return self.asked is not None and self.asked.state in ("waiting", "silent")

    @property
    def may_ask(self) -> bool:
        return (
            not self.revoked
            and not self.moving
            and (self.asked is None or self.asked.state != "sent" or self.short)
        )


def progress(state: WebState, connection: Connection, row: AnyRow) -> Progress:
    """Return how asking for a session's footage stands now."""
    now = state.now()
    asked = replay_rows.commands_of(connection, row, now)
    newest = asked[0] if asked else None
    owed = span_of(row, state.config.footage, now)
    ended = row.span_ended_at is not None or row.closed_at is not None
    revoked = select(NODES.c.revoked_at).where(NODES.c.node == row.node)
    held = (
        select(func.count())
        .select_from(LINKS.join(FOOTAGE, and_(*_same_segment())))
        .where(
            LINKS.c.command == ("" if newest is None else newest.command),
            FOOTAGE.c.state == "accepted",
        )
    )
    return Progress(
        asked=newest,
        offered=None if newest is None else newest.offered,
        held=connection.execute(held).scalar_one(),
        short=newest is not None and ended and newest.ended_at < owed[1],
        revoked=connection.execute(revoked).scalar_one_or_none() is not None,
    )


def _same_segment() -> tuple[ColumnElement[bool], ...]:
    return LINKS.c.node == FOOTAGE.c.node, LINKS.c.segment == FOOTAGE.c.segment


def fragment_values(row: AnyRow, found: Progress, *, came: bool = False) -> dict[str, Any]:
    """Return what footage.html needs beside the page's own values."""
    address = query_path(f"/sessions/{row.session}/footage", node=row.node)
    return {"progress": found, "came": came, "footage_url": address}
