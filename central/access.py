"""Access rows: who did what, why and when (invariant 10).

Written in the transaction that reads or changes what they tell of, never later.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, insert

from central.tables import Access, table_of
from retention.records.ids import IdSource

ACCESS = table_of(Access)
# Actors that are no account: an account's name holds no space.
ADMIN_TOKEN = "admin token"  # noqa: S105 - a name
COMMAND_LINE = "command line"


def write_access(
    connection: Connection,
    ids: IdSource,
    now: int,
    *,
    actor: str,
    action: str,
    subject: str,
    reason: str = "",
    owner: Mapping[str, str | None] | None = None,
) -> None:
    """Add one row. `now` in microseconds; `owner` is the agency, pharmacy and node it is about."""
    tenant = {"agency": None, "pharmacy": None, "node": None, **(owner or {})}
    connection.execute(
        insert(ACCESS).values(
            id=ids.new(),
            at=now,
            actor=actor,
            action=action,
            subject=subject[:200],
            reason=reason or "not given",
            **tenant,
        )
    )
