"""What an honest node does not send, written down once per node, code and subject."""

from __future__ import annotations

from typing import Protocol

import structlog
from sqlalchemy import Connection, insert, select

from central.tables import WireIncident, table_of

log = structlog.get_logger()
INCIDENTS = table_of(WireIncident)


class Tenanted(Protocol):
    """Anything that says whose it is."""

    @property
    def agency(self) -> str: ...
    @property
    def pharmacy(self) -> str: ...
    @property
    def node(self) -> str: ...


def note_incident(
    connection: Connection, node: Tenanted, code: str, subject: str, detail: str, now: int
) -> None:
    """Insert an incident unless the same one is there already."""
    subject = subject[:200]
    log.warning("wire_incident", node=node.node, code=code, subject=subject)
    known = connection.execute(
        select(INCIDENTS.c.code).where(
            INCIDENTS.c.node == node.node,
            INCIDENTS.c.code == code,
            INCIDENTS.c.subject == subject,
        )
    ).first()
    if known is None:
        connection.execute(
            insert(INCIDENTS).values(
                agency=node.agency, pharmacy=node.pharmacy, node=node.node,
                code=code, subject=subject, detail=detail, found_at=now,
            )
        )  # fmt: skip
