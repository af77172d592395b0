"""The log, once from its first record to its last: sequence, leaves, roots, canonical form.

A disposed record has no bytes: its leaf stands for it, and the `records.disposed` record that
`disposed_by` points to must name it. Observers see each record that can be read, in order, so the
log is parsed once however many things are compared with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from retention.checking.report import Bad
from retention.checking.subject import Subject
from retention.records.envelope import Record, parse_envelope
from retention.records.errors import RecordsError
from retention.records.fields import Frozen
from retention.records.keeping import RecordsDisposed
from retention.records.kinds import BY_NAME, Delivery
from retention.records.merkle import Frontier, leaf_hash
from retention.store.log import read_frontier


@dataclass(frozen=True, slots=True)
class Emptied:
    """A disposed record: what is left of it."""

    sequence: int
    kind: str
    occurred_at: int
    disposed_by: int


class Observer(Protocol):
    """Looks on while the log is read; says what it found when the reading is over."""

    def see(self, record: Record, content: Frozen | None) -> None:
        """Take one record, in the order of the log."""
        ...

    def see_emptied(self, emptied: Emptied) -> None:
        """Take what is left of a disposed record."""
        ...

    def found(self) -> Iterator[Bad]:
        """Yield what does not fit."""
        ...


@dataclass(frozen=True, slots=True)
class _Row:
    sequence: int
    sent_sequence: int | None
    kind: str
    occurred_at: int
    raw: bytes
    leaf: bytes
    disposed_by: int | None


class LogWalk:
    """One pass; afterwards `roots` holds (root, sent count) at the size of each checkpoint."""

    def __init__(self, subject: Subject, observers: Sequence[Observer]) -> None:
        self._subject, self._observers = subject, observers
        self.roots: dict[int, tuple[str, int]] = {}
        self._named = lru_cache(maxsize=64)(self._names)

    def run(self) -> Iterator[Bad]:
        connection = self._subject.connection
        wanted = {row[0] for row in connection.execute("SELECT tree_size FROM checkpoints")}
        frontier, sent, emptied = Frontier(), 0, 0
        for found in connection.execute(
            "SELECT sequence, sent_sequence, kind, occurred_at, bytes, leaf, disposed_by FROM log"
            " ORDER BY sequence"
        ):
            row = _Row(*found)
            yield from self._row(row, frontier.size, sent)
            frontier = frontier.append(row.leaf)
            sent += row.sent_sequence is not None
            emptied += not row.raw
            if frontier.size in wanted:
                self.roots[frontier.size] = (frontier.root().hex(), sent)
        yield from self._frontier(frontier, sent)
        counts = {"records": frontier.size, "sent": sent, "records_disposed": emptied}
        self._subject.report.counts |= counts

    def _frontier(self, frontier: Frontier, sent: int) -> Iterator[Bad]:
        kept, kept_sent = read_frontier(self._subject.connection)
        if (kept, kept_sent) != (frontier, sent):
            yield Bad(
                "log",
                "frontier",
                f"kept for {kept.size} records ({kept_sent} sent), the log has {frontier.size} "
                f"({sent} sent) or another root",
            )

    def _row(self, row: _Row, sequence: int, sent: int) -> Iterator[Bad]:
        subject = f"record {row.sequence}"
        if row.sequence != sequence:
            yield Bad("log", subject, f"record {sequence} is missing")
            return
        if row.sent_sequence not in (None, sent):
            yield Bad("log", subject, f"sent_sequence {row.sent_sequence}, expected {sent}")
        if not row.raw:
            yield from self._emptied(row, subject)
            return
        if row.disposed_by is not None:
            yield Bad("log", subject, f"disposed of by {row.disposed_by}, but its bytes are here")
        if leaf_hash(row.raw) != row.leaf:
            yield Bad("log", subject, "the leaf is not the hash of the bytes")
        yield from self._record(row, subject)

    def _record(self, row: _Row, subject: str) -> Iterator[Bad]:
        try:
            record = parse_envelope(row.raw)
            content = record.content()
        except RecordsError as exc:
            yield Bad("log", subject, str(exc))
            return
        said = (record.sequence, record.sent_sequence, record.kind)
        if said != (row.sequence, row.sent_sequence, row.kind):
            yield Bad("log", subject, f"the row says {row.kind}, the record says {said}")
        if (record.agency, record.pharmacy, record.node) != self._subject.owner:
            yield Bad("log", subject, f"a record of node {record.node}")
        kind = BY_NAME.get((record.kind, record.version))
        sent = record.sent_sequence is not None
        if kind is not None and sent != (kind.delivery is Delivery.SENT):
            yield Bad(
                "log", subject, f"{record.kind}: kept from central, or sent, against its kind"
            )
        for observer in self._observers:
            observer.see(record, content)

    def _emptied(self, row: _Row, subject: str) -> Iterator[Bad]:
        if row.disposed_by is None or row.sequence not in self._named(row.disposed_by):
            yield Bad("log", subject, "has no bytes, and no records.disposed names it")
            return
        emptied = Emptied(row.sequence, row.kind, row.occurred_at, row.disposed_by)
        for observer in self._observers:
            observer.see_emptied(emptied)

    def _names(self, sequence: int) -> frozenset[int]:
        """Return the records that the `records.disposed` at a sequence names."""
        found = self._subject.connection.execute(
            "SELECT bytes FROM log WHERE sequence = ? AND kind = 'records.disposed'", (sequence,)
        ).fetchone()
        try:
            content = parse_envelope(found[0]).content() if found else None
        except RecordsError:
            content = None  # The walk names it when it comes there.
        return frozenset(content.sequences) if isinstance(content, RecordsDisposed) else frozenset()
