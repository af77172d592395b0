"""Enrolling and revoking nodes. Enrolling a node again with the same keys changes nothing."""

from __future__ import annotations

from sqlalchemy import Connection, insert, or_, select, update

from central import standing
from central.tables import Node, table_of
from central.web.views import Enrolment
from retention.terms.problems import Problem, Refusal

NODES = table_of(Node)


class EnrolmentConflict(Refusal):
    """A node or a key is enrolled otherwise. `why` is `key` (its key belongs to `node`), `facts`
    (`node` has other facts or keys) or `revoked`."""

    def __init__(self, why: str, node: str, detail: str) -> None:
        super().__init__(Problem(409, "INVALID_REQUEST", detail))
        self.why, self.node = why, node


def enrol(connection: Connection, asked: Enrolment, now: int) -> bool:
    """Enrol a node; tell whether it is new.

    Raises EnrolmentConflict (409) when the node or its key is enrolled otherwise. A revoked node
    stays revoked: its keys may be in other hands, so it comes back under a new node id.
    """
    known = connection.execute(
        select(NODES).where(
            or_(NODES.c.node == asked.node, NODES.c.curve_key == asked.curve_public_key)
        )
    ).all()
    if not known:
        connection.execute(
            insert(NODES).values(
                agency=asked.agency, pharmacy=asked.pharmacy, node=asked.node,
                curve_key=asked.curve_public_key, signing_key=asked.signing_public_key,
                enrolled_at=now, expected_sent=0, last_sequence=-1, tree_size=0, tree_sent=0,
                frontier=b"", projected_sent=0,
            )
        )  # fmt: skip
        standing.take_over(connection, asked.agency, asked.pharmacy)
        return True
    row = known[0]
    same = (row.agency, row.pharmacy, row.node, row.curve_key, row.signing_key) == (
        asked.agency, asked.pharmacy, asked.node, asked.curve_public_key, asked.signing_public_key,
    )  # fmt: skip
    if len(known) > 1 or not same:
        of_node = [row for row in known if row.node == asked.node]
        found = (of_node or known)[0]
        why = "facts" if of_node else "key"
        detail = f"node {found.node} is enrolled with other facts or keys"
        raise EnrolmentConflict(why, found.node, detail)
    if row.revoked_at is not None:
        raise EnrolmentConflict("revoked", row.node, f"node {row.node} was revoked")
    return False


def revoke(connection: Connection, node: str, now: int) -> None:
    """Revoke a node; from now on nothing of it is taken in. Raises Refusal (404)."""
    found = connection.execute(select(NODES).where(NODES.c.node == node)).one_or_none()
    if found is None:
        raise Refusal(Problem(404, "NODE_UNKNOWN", f"no node {node}"))
    if found.revoked_at is None:
        connection.execute(update(NODES).where(NODES.c.node == node).values(revoked_at=now))
        # Whatever an inspector placed on it stands for the node that replaces it.
        standing.take_over(connection, found.agency, found.pharmacy)
