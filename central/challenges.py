"""Challenging a node: which leaves are drawn, what is asked, and what came of it.

Drawn are leaves that the node committed to and did not send: the records of segments. Central knows
which they are from the tree it holds itself, and draws each with the same chance, at random that
nobody can foresee. An audit is done when every sample was judged in time; with one answer missing
it is UNKNOWN for good, whatever comes later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, select

from central.commands import COMMANDS, store
from central.loss_bound import loss_bound
from central.tables import Audit, AuditSample, Node, StoredRecord, table_of
from retention.records.clock import from_micros, to_micros, to_text
from retention.records.ids import IdSource
from retention.records.signing import Signer
from retention.terms.commands import MOST_SAMPLES, ChallengeCommand, Sample
from retention.terms.problems import Problem, Refusal

NODES, RECORDS = table_of(Node), table_of(StoredRecord)
AUDITS, SAMPLES = table_of(Audit), table_of(AuditSample)
DEFAULT_SAMPLES = 300
DEFAULT_SECONDS = 3600
AT_ONCE = 500
PROVES_US = timedelta(days=35) // timedelta(microseconds=1)
"""An audit proves for so long: a month, and some days to ask again."""
AnyRow = Row[*tuple[Any, ...]]
Below = Callable[[int], int]
State = Literal["running", "done", "unknown"]


# -- drawing --------------------------------------------------------------------------------------


def draw(connection: Connection, node: AnyRow, count: int, below: Below) -> list[Sample]:
    """Draw committed leaves of a node's acknowledged tree, and a chunk of each.

    `below(n)` returns a number under n at random. No leaf is drawn twice; a small tree is drawn
    whole.
    """
    owed = node.tree_size - node.tree_sent
    ranks = _distinct(owed, min(count, owed), below)
    leaves = _leaves_of(connection, node.node, node.tree_sent, ranks)
    return [Sample(leaf=leaf, chunk=below(2**32)) for leaf in leaves]


def _distinct(owed: int, count: int, below: Below) -> list[int]:
    """Draw `count` of the numbers under `owed`, each set of them as likely (Floyd)."""
    chosen: set[int] = set()
    for top in range(owed - count, owed):
        rank = below(top + 1)
        chosen.add(top if rank in chosen else rank)
    return sorted(chosen)


def _leaves_of(connection: Connection, node: str, tree_sent: int, ranks: list[int]) -> list[int]:
    """Return which leaf the r-th committed one is, for each rank.

    Before the sent record j (at leaf s) stand s - j committed leaves, so the r-th committed leaf is
    r + j for the first j with s - j > r. All ranks are searched for together, halving the range.
    """
    low, high = dict.fromkeys(ranks, 0), dict.fromkeys(ranks, tree_sent)
    while middles := {
        rank: (low[rank] + high[rank]) // 2 for rank in ranks if low[rank] < high[rank]
    }:
        places = _places_of(connection, node, set(middles.values()))
        for rank, middle in middles.items():
            if places[middle] - middle > rank:
                high[rank] = middle
            else:
                low[rank] = middle + 1
    return [rank + low[rank] for rank in ranks]


def _places_of(connection: Connection, node: str, wanted: Iterable[int]) -> dict[int, int]:
    """Return the leaf of each sent record, by its sent_sequence."""
    numbers = sorted(wanted)
    found: dict[int, int] = {}
    for at in range(0, len(numbers), AT_ONCE):
        rows = connection.execute(
            select(RECORDS.c.sent_sequence, RECORDS.c.sequence).where(
                RECORDS.c.node == node, RECORDS.c.sent_sequence.in_(numbers[at : at + AT_ONCE])
            )
        )
        found.update((row.sent_sequence, row.sequence) for row in rows)
    return found


# -- asking ---------------------------------------------------------------------------------------


def start(
    connection: Connection,
    node_id: str,
    signer: Signer,
    ids: IdSource,
    below: Below,
    *,
    count: int,
    lasts: timedelta,
    actor: str,
    reason: str,
    now: int,
) -> str:
    """Draw, sign and store a challenge; return the audit's id.

    Raises Refusal: 404 NODE_UNKNOWN, 409 NOTHING_TO_PROVE (no footage was committed yet),
    409 AUDIT_UNDER_WAY.
    """
    node = connection.execute(select(NODES).where(NODES.c.node == node_id)).one_or_none()
    if node is None or node.revoked_at is not None:
        raise Refusal(Problem(404, "NODE_UNKNOWN", f"no node {node_id[:64]}"))
    if under_way(connection, node_id, now) is not None:
        raise Refusal(Problem(409, "AUDIT_UNDER_WAY", f"node {node_id}"))
    samples = draw(connection, node, min(count, MOST_SAMPLES), below)
    if not samples:
        raise Refusal(Problem(409, "NOTHING_TO_PROVE", f"node {node_id}"))
    audit, command_id = ids.new(), ids.new()
    expires_at = from_micros(now) + lasts
    command = ChallengeCommand(
        command=command_id,
        node=node_id,
        challenge=audit,
        tree_size=node.tree_size,
        samples=tuple(samples),
        actor=actor,
        reason=reason,
        issued_at=to_text(from_micros(now)),
        expires_at=to_text(expires_at),
    )
    store(connection, node, command, signer, subject=audit)
    whose = {"agency": node.agency, "pharmacy": node.pharmacy, "node": node_id, "audit": audit}
    connection.execute(
        insert(AUDITS).values(
            **whose, command=command_id, tree_size=node.tree_size,
            owed=node.tree_size - node.tree_sent, samples=len(samples), actor=actor, reason=reason,
            asked_at=now, expires_at=to_micros(expires_at),
        )
    )  # fmt: skip
    connection.execute(
        insert(SAMPLES),
        [
            {**whose, "ordinal": ordinal, "leaf": sample.leaf, "chunk": sample.chunk}
            for ordinal, sample in enumerate(samples)
        ],
    )
    return audit


def under_way(connection: Connection, node: str, now: int) -> str | None:
    """Return the audit of a node that still waits for answers."""
    rows = connection.execute(
        select(AUDITS).where(AUDITS.c.node == node, AUDITS.c.expires_at > now)
    ).all()
    found = results(connection, rows, now)
    return next((one.audit.audit for one in found if one.state == "running"), None)


# -- what came of it ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """An audit and how it stands at `now`; `ended` is how it was ended with samples unanswered."""

    audit: AnyRow
    state: State
    ended: str | None
    now: int

    @property
    def held(self) -> int:
        """Samples that were shown with a chunk of their footage."""
        return int(self.audit.held)

    @property
    def records(self) -> int:
        """Samples that are committed records of no file."""
        return int(self.audit.records)

    @property
    def disposed(self) -> int:
        """Samples that are lawfully gone."""
        return int(self.audit.disposed)

    @property
    def missing(self) -> int:
        """Samples that were not shown, or were shown wrong."""
        return int(self.audit.missing)

    @property
    def aged(self) -> bool:
        """Tell whether it says nothing of today any more."""
        return bool(self.now - self.audit.asked_at > PROVES_US)

    @property
    def answered(self) -> int:
        return self.held + self.records + self.disposed + self.missing

    @property
    def trials(self) -> int:
        """The samples that stand for footage that must be here."""
        return self.held + self.missing

    @property
    def lost_at_most(self) -> float | None:
        """The share of the footage owed that is lost at most, at 95 %; None while unknown."""
        if self.state != "done" or self.trials == 0:
            return None
        return loss_bound(self.missing, self.trials)


def results(connection: Connection, audits: Iterable[AnyRow], now: int) -> list[Result]:
    """Say how audits stand, in the order given."""
    found = [Result(audit, "done", None, now) for audit in audits]
    open_ = [one.audit.command for one in found if one.answered < one.audit.samples]
    ended: dict[str, str | None] = {}
    for at in range(0, len(open_), AT_ONCE):
        rows = connection.execute(
            select(COMMANDS.c.command, COMMANDS.c.outcome, COMMANDS.c.detail).where(
                COMMANDS.c.command.in_(open_[at : at + AT_ONCE]), COMMANDS.c.outcome.is_not(None)
            )
        )
        ended.update((row.command, row.detail or row.outcome) for row in rows)
    return [
        one if one.answered == one.audit.samples else _open(one, ended.get(one.audit.command), now)
        for one in found
    ]


def _open(result: Result, ended: str | None, now: int) -> Result:
    """Once ended or late, never compliant: what was not shown in time is not proven."""
    over = ended is not None or result.audit.expires_at <= now
    return replace(result, state="unknown" if over else "running", ended=ended)
