"""What every node of a pharmacy owes as long as it stands: holds, releases, policies.

These are not told once: a command that expired, or that a node could not carry out, is issued again
until the node says that it is done. So a hold arrives some day, also at a node that replaces
another. What an inspector placed or adopted on a node that was revoked since is taken over here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, Table, and_, insert, select, update

from central.commands import COMMANDS, store
from central.incidents import Tenanted
from central.tables import HoldRow, Node, NodeHold, NodePolicy, PolicyRow, table_of
from retention.records.canonical import canonical_bytes
from retention.records.clock import from_micros, from_text, to_micros, to_text
from retention.records.ids import IdSource
from retention.records.keeping import Hold, RetentionPolicy
from retention.records.signing import Signer
from retention.terms.commands import AnyCommand, HoldCommand, PolicyCommand, ReleaseCommand

NODES, HOLDS, POLICIES = table_of(Node), table_of(HoldRow), table_of(PolicyRow)
NODE_HOLDS, NODE_POLICIES = table_of(NodeHold), table_of(NodePolicy)
STANDS = timedelta(days=7)
"""How long one command stands; then it is issued again."""
AGAIN_US = 3_600_000_000
"""A node that could not carry it out is asked again after an hour, then after twice as long each
time, at most after a week: what it never can do would fill the table with commands otherwise."""
AnyRow = Row[*tuple[Any, ...]]
Kind = Literal["hold", "release", "policy"]


@dataclass(frozen=True, slots=True)
class Due:
    """One thing that a node is to be told."""

    kind: Kind
    subject: str
    row: AnyRow


def policy_subject(policy: str, version: int) -> str:
    """Return how commands name a version of a policy."""
    return f"{policy}@{version}"


def issue_due(
    connection: Connection, node: Tenanted, signer: Signer, ids: IdSource, now: int
) -> int:
    """Issue the commands that a node still owes an answer to; return how many."""
    standing = _standing(connection, node)
    if not standing:
        return 0
    known = _known(connection, node.node, [due.subject for due in standing])
    recorded = _recorded_holds(connection, node.node)
    due = [one for one in standing if _is_due(one, known, recorded, now)]
    for one in due:
        command = _command(one, node.node, ids.new(), now)
        store(connection, node, command, signer, subject=one.subject)
    return len(due)


def issue_to_pharmacy(
    connection: Connection, agency: str, pharmacy: str, signer: Signer, ids: IdSource, now: int
) -> int:
    """Issue what is due to every node of a pharmacy; return how many nodes there are."""
    rows = nodes_of(connection, agency, pharmacy)
    for row in rows:
        issue_due(connection, row, signer, ids, now)
    return len(rows)


def nodes_of(connection: Connection, agency: str, pharmacy: str) -> Sequence[AnyRow]:
    """Return the nodes of a pharmacy that are in use."""
    return connection.execute(
        select(NODES)
        .where(
            NODES.c.agency == agency, NODES.c.pharmacy == pharmacy, NODES.c.revoked_at.is_(None)
        )
        .order_by(NODES.c.node)
    ).all()  # fmt: skip


def withdraw(connection: Connection, hold: str, now: int) -> None:
    """End the commands of a hold that no node took up yet; it is released."""
    connection.execute(
        update(COMMANDS)
        .where(
            COMMANDS.c.subject == hold, COMMANDS.c.kind == "hold", COMMANDS.c.concluded_at.is_(None)
        )
        .values(outcome="withdrawn", concluded_at=now)
    )


def _standing(connection: Connection, node: Tenanted) -> list[Due]:
    """Return everything that stands for a node's pharmacy, oldest first."""
    holds = connection.execute(_of(HOLDS, node).order_by(HOLDS.c.placed_at, HOLDS.c.hold))
    policies = connection.execute(
        _of(POLICIES, node).order_by(POLICIES.c.decided_at, POLICIES.c.policy, POLICIES.c.version)
    )
    return [
        *(Due("hold" if row.released_at is None else "release", row.hold, row) for row in holds),
        *(Due("policy", policy_subject(row.policy, row.version), row) for row in policies),
    ]


def _of(table: Table, node: Tenanted) -> Any:
    return select(table).where(
        and_(table.c.agency == node.agency, table.c.pharmacy == node.pharmacy)
    )


def _known(
    connection: Connection, node: str, subjects: Sequence[str]
) -> dict[tuple[str, str], list[AnyRow]]:
    """Return the commands that the node was given before, by kind and subject."""
    found: dict[tuple[str, str], list[AnyRow]] = {}
    for at in range(0, len(subjects), 500):
        rows = connection.execute(
            select(
                COMMANDS.c.kind, COMMANDS.c.subject, COMMANDS.c.outcome, COMMANDS.c.concluded_at,
                COMMANDS.c.expires_at,
            ).where(COMMANDS.c.node == node, COMMANDS.c.subject.in_(subjects[at : at + 500]))
        )  # fmt: skip
        for row in rows:
            found.setdefault((row.kind, row.subject), []).append(row)
    return found


def _recorded_holds(connection: Connection, node: str) -> set[str]:
    """Return the holds that the node's own records say it took up."""
    query = select(NODE_HOLDS.c.hold).where(NODE_HOLDS.c.node == node)
    return set(connection.execute(query).scalars())


def _is_due(
    due: Due, known: dict[tuple[str, str], list[AnyRow]], recorded: set[str], now: int
) -> bool:
    if due.kind == "release" and not known.get(("hold", due.subject)):
        return False  # this node was never told of the hold
    given = known.get((due.kind, due.subject), [])
    failed = sum(row.concluded_at is not None and row.outcome != "done" for row in given)
    rests = min(AGAIN_US << min(max(failed - 1, 0), 10), STANDS // timedelta(microseconds=1))
    if due.kind == "hold" and due.subject not in recorded:
        # "Done" without the record that goes with it: its projection may lag, but not for ever.
        given = [row for row in given if row.outcome != "done" or row.concluded_at > now - AGAIN_US]
    return not any(_suffices(row, now, rests) for row in given)


def _suffices(row: AnyRow, now: int, rests: int) -> bool:
    """Tell whether a command makes another one needless now."""
    if row.outcome == "done":
        return True
    if row.concluded_at is not None:
        return bool(row.concluded_at > now - rests)
    return bool(row.expires_at > now)


def _command(due: Due, node: str, command: str, now: int) -> AnyCommand:
    row = due.row
    stands = {
        "command": command,
        "node": node,
        "issued_at": to_text(from_micros(now)),
        "expires_at": to_text(from_micros(now) + STANDS),
    }
    if due.kind == "policy":
        policy = RetentionPolicy.model_validate_json(row.body)
        return PolicyCommand(policy=policy, actor=row.actor, reason=row.reason, **stands)
    if due.kind == "hold":
        hold = Hold.model_validate_json(row.body)
        return HoldCommand(hold=hold, actor=row.actor, reason=row.reason, **stands)
    return ReleaseCommand(hold=row.hold, actor=row.released_by, reason=row.release_reason, **stands)


# -- replaced nodes -------------------------------------------------------------------------------


def take_over(connection: Connection, agency: str, pharmacy: str) -> None:
    """Make what inspectors placed on revoked nodes of a pharmacy stand for its other nodes."""
    gone = connection.execute(
        select(NODES.c.node).where(
            NODES.c.agency == agency, NODES.c.pharmacy == pharmacy, NODES.c.revoked_at.is_not(None)
        )
    ).scalars().all()  # fmt: skip
    if not gone:
        return
    _take_holds(connection, agency, pharmacy, gone)
    _take_policies(connection, agency, pharmacy, gone)


def _take_holds(connection: Connection, agency: str, pharmacy: str, gone: Sequence[str]) -> None:
    rows = connection.execute(
        select(NODE_HOLDS).where(
            NODE_HOLDS.c.node.in_(gone),
            NODE_HOLDS.c.authority == "inspector",
            NODE_HOLDS.c.released_at.is_(None),
            NODE_HOLDS.c.hold.not_in(select(HOLDS.c.hold)),
        )
    )
    for row in {row.hold: row for row in rows}.values():
        hold = Hold.model_validate_json(row.body)
        connection.execute(
            insert(HOLDS).values(
                agency=agency, pharmacy=pharmacy, hold=hold.hold, scope=hold.scope,
                body=canonical_bytes(hold.model_dump(mode="json")), actor=row.author,
                reason=row.reason, placed_at=row.placed_at, taken_from=row.node,
            )
        )  # fmt: skip


def _take_policies(connection: Connection, agency: str, pharmacy: str, gone: Sequence[str]) -> None:
    rows = connection.execute(
        select(NODE_POLICIES).where(
            NODE_POLICIES.c.node.in_(gone), NODE_POLICIES.c.authority == "inspector"
        )
    ).all()
    held = connection.execute(
        select(POLICIES.c.policy, POLICIES.c.version).where(
            POLICIES.c.agency == agency, POLICIES.c.pharmacy == pharmacy
        )
    )
    known = {(row.policy, row.version) for row in held}
    for row in rows:
        policy = RetentionPolicy.model_validate_json(row.body)
        if (policy.policy, policy.version) in known:
            continue
        known.add((policy.policy, policy.version))
        connection.execute(
            insert(POLICIES).values(
                agency=agency, pharmacy=pharmacy, policy=policy.policy, version=policy.version,
                effective_from=to_micros(from_text(policy.effective_from)),
                body=canonical_bytes(policy.model_dump(mode="json")), actor=row.author,
                reason=row.reason, decided_at=row.adopted_at, taken_from=row.node,
            )
        )  # fmt: skip
