"""Values that pass between the collector's parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from central.tables import Node, table_of
from retention.records.errors import RecordsError
from retention.records.merkle import Frontier

NODES = table_of(Node)


class MessageRefused(RecordsError):
    """A message that is answered with `refused`; the connection stays."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail[:200]


class AttackSeen(MessageRefused):
    """A refusal that is also an incident: an honest node does not send this."""

    def __init__(self, code: str, subject: str, detail: str) -> None:
        super().__init__(code, detail)
        self.subject = subject[:200]


@dataclass(frozen=True, slots=True)
class NodeState:
    """One row of `nodes`, read under the write lock or for a quick look."""

    agency: str
    pharmacy: str
    node: str
    signing_key: bytes
    revoked: bool
    expected_sent: int
    last_sequence: int
    tree_size: int
    tree_sent: int
    frontier: Frontier
    status: str | None


_COLUMNS = select(
    NODES.c.agency, NODES.c.pharmacy, NODES.c.node, NODES.c.signing_key, NODES.c.revoked_at,
    NODES.c.expected_sent, NODES.c.last_sequence, NODES.c.tree_size, NODES.c.tree_sent,
    NODES.c.frontier, NODES.c.status,
)  # fmt: skip


def node_by_key(connection: Connection, curve_key: str, *, lock: bool = False) -> NodeState | None:
    """Return the node that a CURVE key was enrolled for."""
    query = _COLUMNS.where(NODES.c.curve_key == curve_key)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _state(row)


def _state(row: Row[*tuple[Any, ...]]) -> NodeState:
    found = row._mapping
    return NodeState(
        agency=found["agency"],
        pharmacy=found["pharmacy"],
        node=found["node"],
        signing_key=bytes.fromhex(found["signing_key"]),
        revoked=found["revoked_at"] is not None,
        expected_sent=found["expected_sent"],
        last_sequence=found["last_sequence"],
        tree_size=found["tree_size"],
        tree_sent=found["tree_sent"],
        frontier=Frontier.from_bytes(found["tree_size"], found["frontier"]),
        status=found["status"],
    )
