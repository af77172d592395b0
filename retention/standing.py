"""What stands at one moment: policies, holds, trusted time, and how far central has come.

Read inside the transaction that acts on it, so that nothing can come in between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from retention.policy import AdoptedPolicy, Disposition, HeldScope, Item, decide
from retention.records.clock import ClockState, from_micros
from retention.records.keeping import RetentionSubject
from retention.store import holds, policies, trusted, uplink
from retention.store.database import NodeStore


@dataclass(frozen=True, slots=True)
class Standing:
    """`now` is the latest moment that is surely past, and never ahead of the wall clock. `covered`
    and `acked` are how much of the log central has countersigned and acknowledged; None when this
    node has no central."""

    policies: tuple[AdoptedPolicy, ...]
    holds: tuple[HeldScope, ...]
    now: datetime
    clock_state: ClockState
    covered: int | None
    acked: int | None

    def decide(self, item: Item) -> Disposition:
        return decide(item, self.policies, self.holds, self.now, self.clock_state)

    def owed_to_central(self, sequence: int, sent_sequence: int | None = None) -> bool:
        """Tell whether central has yet to see a record: to acknowledge it, and its place."""
        if self.covered is None or self.acked is None:
            return False
        unacknowledged = sent_sequence is not None and sent_sequence >= self.acked
        return unacknowledged or sequence >= self.covered

    @property
    def everything_is_held(self) -> bool:
        return any(hold.everything for hold in self.holds)


def read_standing(
    store: NodeStore, connection: sqlite3.Connection, *, central: bool
) -> Standing | None:
    """Return what stands now; None while the sessions of a held person are still being looked for
    (`holds.read_on`): nothing may go until they are known."""
    found = holds.resolve(connection)
    if found is None:
        return None
    wall = store.clock.now()
    return Standing(
        policies=tuple(policies.adopted(connection)),
        holds=tuple(found),
        now=min(wall, trusted.passed(connection, store.clock)),
        clock_state=trusted.clock_state(
            connection, store.clock, trusted.newest_seen_at(connection)
        ),
        covered=_covered(connection) if central else None,
        acked=uplink.acked_sent(connection) if central else None,
    )


def await_standing(store: NodeStore, beat: Callable[[], None], *, central: bool) -> Standing:
    """Return what stands now, after looking for the sessions of every held person."""
    while True:
        with store.read() as connection:
            standing = read_standing(store, connection, central=central)
        if standing is not None:
            return standing
        beat()
        with store.write() as connection:
            holds.read_on(connection)


def judge_again(
    store: NodeStore, connection: sqlite3.Connection, *, central: bool
) -> Standing | None:
    """Return what stands in the transaction that is about to act; None when a person was put under
    a hold since and there is much to look through: then nothing may go now."""
    holds.read_on(connection)  # what was recorded since, our own records too
    return read_standing(store, connection, central=central)


def item_of(
    store: NodeStore,
    connection: sqlite3.Connection,
    standing: Standing,
    subject: RetentionSubject,
    sequences: tuple[tuple[int, int | None], ...],
    span: tuple[int, int],
    *,
    camera: str | None = None,
    session: str | None = None,
    person_refs: frozenset[str] = frozenset(),
) -> Item:
    """Return an item as the policy sees it. `sequences` are the places (and places among the sent)
    of its records, `span` what they say of its time, in microseconds: the last place bounds it."""
    last = max(sequence for sequence, _ in sequences)
    started_at, ended_at = (from_micros(moment) for moment in span)
    earliest_at, latest_at = trusted.lived(connection, store.clock, last, started_at, ended_at)
    return Item(
        subject=subject,
        started_at=started_at,
        ended_at=ended_at,
        earliest_at=earliest_at,
        latest_at=latest_at,
        camera=camera,
        session=session,
        person_refs=person_refs,
        owed_to_central=any(standing.owed_to_central(*places) for places in sequences),
    )


def _covered(connection: sqlite3.Connection) -> int:
    (size,) = connection.execute(
        "SELECT coalesce(max(tree_size), 0) FROM checkpoints WHERE countersigned IS NOT NULL"
    ).fetchone()
    return int(size)
