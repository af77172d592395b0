"""Disposal of records that are owed no longer: their bytes go, their rows and leaves stay.

What counts as one item: the records of a session share one end, the latest event of its archive;
any other record ends by itself. Some stand for something that is still so (a segment that is
still held, a consent that was not withdrawn, an alarm that is open): they end when it does. A few
are the proof of what was promised or done, and stay for ever; there are hundreds of them, not
millions.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from retention.policy import Dispose, due_ranges
from retention.records.clock import ClockState, to_micros
from retention.records.keeping import RetentionSubject
from retention.records.kinds import KINDS, RetentionClass
from retention.standing import Standing, await_standing, item_of, judge_again
from retention.store import disposal as rows_of
from retention.store import people
from retention.store.database import NodeStore
from retention.store.disposal import KeptRecord
from retention.store.still import ended_at

MOST_AT_ONCE = 500
"""As many as one `records.disposed` may name."""
SESSIONS_AT_ONCE = 50
BEGINNING = -(2**63)
FOR_EVER = frozenset(
    {
        "records.disposed",
        "hold.placed",
        "hold.released",
        "retention.policy_adopted",
        "opening.adopted",
        "volume.adopted",
        "index.rebuilt",
    }
)
"""What explains the rest of the log: without them a missing record could be a removed one."""
_SUBJECTS: dict[RetentionClass, RetentionSubject] = {
    RetentionClass.ARCHIVE: "archive",
    RetentionClass.PURCHASE_EVIDENCE: "purchase_evidence",
    RetentionClass.FOOTAGE_INDEX: "footage_index",
    RetentionClass.PROCESSING: "processing",
    RetentionClass.OPERATIONS: "operations",
}
SUBJECT_OF: dict[str, RetentionSubject] = {kind.name: _SUBJECTS[kind.retention] for kind in KINDS}
ARCHIVED = frozenset(kind for kind, subject in SUBJECT_OF.items() if subject == "archive")
ORDER = (
    "session.opened",  # leads to the rest of its archive
    *(kind for kind in SUBJECT_OF if kind != "session.opened" and kind not in FOR_EVER),
)


@dataclass(slots=True)
class RecordsGone:
    """What went: how many records of each class; `more` says that the pass is not over."""

    records: Counter[str] = field(default_factory=Counter)
    more: bool = True

    @property
    def total(self) -> int:
        return self.records.total()


def dispose_records(
    store: NodeStore, limit: int, beat: Callable[[], None], *, central: bool = True
) -> RecordsGone:
    """Dispose of about `limit` records that are due, in one pass. Raises StoreUnavailable."""
    disposal, done = RecordDisposal(store, beat, central=central), RecordsGone()
    while done.more and done.total < limit:
        step = disposal.step(limit - done.total)
        done.records += step.records
        done.more = step.more
    return done


class RecordDisposal:
    """Goes through the log in passes, one kind after the other; call `step` until it says that no
    more is to be done, and again some hours later."""

    def __init__(self, store: NodeStore, beat: Callable[[], None], *, central: bool = True) -> None:
        """`central` says that this node has a central: then only what it acknowledged and
        countersigned may go."""
        self._store, self._beat, self._central = store, beat, central
        self._number, self._after = 0, BEGINNING
        self._emptied = False
        self.done = RecordsGone()

    def step(self, most: int) -> RecordsGone:
        """Look at about `most` records, whole sessions at a time. Raises StoreUnavailable."""
        self.done = RecordsGone()
        looked_at = 0
        while looked_at < most and self._number < len(ORDER):
            self._beat()
            looked_at += self._look(ORDER[self._number], most)
        self._emptied |= self.done.total > 0
        if self._number == len(ORDER):
            self._end_pass()
        return self.done

    def _end_pass(self) -> None:
        self.done.more = False
        self._number, self._after = 0, BEGINNING
        if self._emptied:
            people.fold_wal(self._store)  # so that no older page keeps what was overwritten
            self._emptied = False

    def _look(self, kind: str, most: int) -> int:
        """Look at some records of a kind and let those go that may; returns how many it saw."""
        standing = await_standing(self._store, self._beat, central=self._central)
        if standing.everything_is_held or standing.clock_state is not ClockState.STEADY:
            self._number = len(ORDER)
            return 0
        with self._store.read() as connection:
            found = _between(connection, standing, kind, self._after, most)
            due = [one for one in found if self._judge(connection, standing, one) is not None]
        if due:
            with self._store.write() as connection:
                self._let_go(connection, SUBJECT_OF[kind], due)
        if found:
            self._after = found[-1].occurred_at
        else:
            self._number, self._after = self._number + 1, BEGINNING
        return len(found)

    def _let_go(
        self, connection: sqlite3.Connection, subject: RetentionSubject, due: list[KeptRecord]
    ) -> None:
        """Judge once more, now that nothing can come in between, and empty what may go."""
        standing = judge_again(self._store, connection, central=self._central)
        if standing is None:
            return
        owed: dict[int, datetime] = {}
        for record in due:
            owed |= self._judge(connection, standing, record) or {}
        for first in range(0, len(owed), MOST_AT_ONCE):
            part = sorted(owed)[first : first + MOST_AT_ONCE]
            owed_until = max(owed[sequence] for sequence in part)
            rows_of.records_gone(self._store, connection, subject, tuple(part), owed_until)
        self.done.records[subject] += len(owed)

    def _judge(
        self, connection: sqlite3.Connection, standing: Standing, record: KeptRecord
    ) -> dict[int, datetime] | None:
        """Return the records that go with this one, and until when they were owed; None: kept."""
        records = [record]
        if record.kind in ARCHIVED and record.session is not None:
            of_session = rows_of.records_of_session(connection, record.session)
            records = [one for one in of_session if one.kind in ARCHIVED]
        ends = [ended_at(connection, one) for one in records]
        ended = [end for end in ends if end is not None]
        if not records or len(ended) < len(ends):
            return None
        item = item_of(
            self._store,
            connection,
            standing,
            SUBJECT_OF[record.kind],
            tuple((one.sequence, one.sent_sequence) for one in records),
            (min(one.occurred_at for one in records), max(ended)),
            session=record.session,
        )
        found = standing.decide(item)
        if not isinstance(found, Dispose):
            return None
        return {one.sequence: found.owed_until for one in records}


def _between(
    connection: sqlite3.Connection, standing: Standing, kind: str, after: int, most: int
) -> list[KeptRecord]:
    """Return the next records of a kind that may be due, some at a time."""
    most = min(most, SESSIONS_AT_ONCE if kind in ARCHIVED else MOST_AT_ONCE)
    for low, high in due_ranges(SUBJECT_OF[kind], standing.policies, standing.now):
        start = max(to_micros(low), after)
        found = rows_of.records_between(connection, kind, start, to_micros(high), most)
        if found:
            return found
    return []
