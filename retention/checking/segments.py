"""The index of footage against the log: rows and records are read side by side in log order.

A `segment.sealed` record has its row, or a `segment.disposed` record and a row of `disposals` that
point to each other. Nothing is held in memory but findings, so a year of segments costs no more
than a day.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from retention.checking.log import Emptied
from retention.checking.report import MOST_FINDINGS, Bad
from retention.records.clock import ClockState, from_text, to_micros
from retention.records.envelope import Record
from retention.records.fields import Frozen
from retention.records.keeping import SegmentDisposed
from retention.records.payloads import SegmentSealed
from retention.store import footage
from retention.store.footage import SegmentRow

TIME_TOLERANCE_US = 1000
LATEST = timedelta(hours=2)
"""A segment may last an hour, and a database that is away holds its sealing up."""


class SegmentIndex:
    """Sees the log's segments and takes the index's rows along."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._rows = footage.segments_in_log_order(connection)
        self._next = next(self._rows, None)
        self._found: list[Bad] = []
        self.rows = self.disposed = self.tombstoned = self._emptied = 0

    def see(self, record: Record, content: Frozen | None) -> None:
        if isinstance(content, SegmentSealed):
            row = self._row_of(record.sequence)
            if row is not None:
                self._compare(row, content)
                self._came_in_time(row, record, content)
            elif not self._is_disposed(record.sequence):
                self._bad(content.segment, f"record {record.sequence} names it, the index does not")
        elif isinstance(content, SegmentDisposed):
            self._see_disposed(record, content)

    def see_emptied(self, emptied: Emptied) -> None:
        self._emptied += emptied.kind == "segment.disposed"
        if emptied.kind != "segment.sealed":
            return
        row = self._row_of(emptied.sequence)
        if row is not None:
            self._bad(row.path, f"record {emptied.sequence} was disposed of before its footage")

    def found(self) -> Iterator[Bad]:
        while self._next is not None:
            self._take_without_record()
        (kept,) = self._connection.execute("SELECT count(*) FROM disposals").fetchone()
        if not self.disposed <= kept <= self.disposed + self._emptied:
            self._bad("disposals", f"{kept} rows, {self.disposed} segment.disposed records")
        yield from self._found

    def _row_of(self, sequence: int) -> SegmentRow | None:
        """Return the row of a record; rows before it have none."""
        while self._next is not None and self._next.sequence < sequence:
            self._take_without_record()
        row = self._next
        if row is None or row.sequence != sequence:
            return None
        self._advance()
        return row

    def _take_without_record(self) -> None:
        if self._next is not None:
            sequence = self._next.sequence
            self._bad(self._next.path, f"record {sequence} is not its segment.sealed")
            self._advance()

    def _advance(self) -> None:
        if self._next is not None:
            self.rows += 1
            self.tombstoned += self._next.state == "tombstoned"
        self._next = next(self._rows, None)

    def _compare(self, row: SegmentRow, said: SegmentSealed) -> None:
        pairs = {
            "segment": (said.segment, row.id),
            "camera": (said.camera, row.camera),
            "scene_role": (said.scene_role.value, row.scene_role),
            "run": (said.run, row.run),
            "ordinal": (said.ordinal, row.ordinal),
            "started_at": (to_micros(from_text(said.started_at)), row.started_at),
            "ended_at": (to_micros(from_text(said.ended_at)), row.ended_at),
            "bytes": (said.bytes, row.bytes),
            "codec": (said.codec, row.codec),
            "file_sha256": (said.file_sha256, row.file_sha256),
            "chunk_root": (said.chunk_root, row.chunk_root),
        }
        for name, (recorded, indexed) in pairs.items():
            if recorded != indexed:
                detail = f"{name}: index {indexed}, record {row.sequence} says {recorded}"
                self._bad(row.path, detail)

    def _came_in_time(self, row: SegmentRow, record: Record, said: SegmentSealed) -> None:
        """A segment is sealed when it ends. One that comes much later was recovered, or made up;
        after a jump of the clock the two times say nothing about each other."""
        late = from_text(record.occurred_at) - from_text(said.ended_at)
        if late > LATEST and not said.recovered and record.clock_state is ClockState.STEADY:
            self._bad(row.path, f"record {record.sequence} seals it {late} after it ended")

    def _is_disposed(self, sequence: int) -> bool:
        return (
            self._connection.execute(
                "SELECT 1 FROM disposals WHERE sequence = ?", (sequence,)
            ).fetchone()
            is not None
        )

    def _see_disposed(self, record: Record, content: SegmentDisposed) -> None:
        self.disposed += 1
        kept = self._connection.execute(
            "SELECT disposed_sequence, segment FROM disposals WHERE sequence = ?",
            (content.sequence,),
        ).fetchone()
        if kept is None or tuple(kept) != (record.sequence, content.segment):
            self._bad(content.segment, f"record {record.sequence} disposed of it, no row says so")
        sealed = self._connection.execute(
            "SELECT json_extract(CAST(bytes AS TEXT), '$.payload.segment'),"
            " json_extract(CAST(bytes AS TEXT), '$.payload.file_sha256'),"
            " json_extract(CAST(bytes AS TEXT), '$.payload.ended_at')"
            " FROM log WHERE sequence = ? AND kind = 'segment.sealed' AND sequence < ?"
            " AND json_valid(CAST(bytes AS TEXT))",
            (content.sequence, record.sequence),
        ).fetchone()
        said = (content.segment, content.file_sha256, content.ended_at)
        if sealed is not None and tuple(sealed) != said:
            self._bad(content.segment, f"record {record.sequence} disposes of another segment")
        elif sealed is None and not self._is_emptied(content.sequence):
            self._bad(content.segment, f"record {record.sequence} disposes of what was not sealed")

    def _is_emptied(self, sequence: int) -> bool:
        return (
            self._connection.execute(
                "SELECT 1 FROM log WHERE sequence = ? AND kind = 'segment.sealed'"
                " AND length(bytes) = 0",
                (sequence,),
            ).fetchone()
            is not None
        )

    def _bad(self, subject: str, detail: str) -> None:
        if len(self._found) < MOST_FINDINGS:
            self._found.append(Bad("segments", subject, detail))


def runs(connection: sqlite3.Connection) -> Iterator[Bad]:
    """Yield segments whose times do not follow the order of their run, by an index alone."""
    ordered = connection.execute(
        "SELECT run, ordinal, started_at, ended_at, path FROM segments ORDER BY run, ordinal"
    )
    for before, after in pairwise(ordered):
        early = after["started_at"] < before["ended_at"] - TIME_TOLERANCE_US
        if early and before["run"] == after["run"]:
            yield Bad("runs", after["path"], f"begins before segment {before['ordinal']} ends")
    for path in connection.execute("SELECT path FROM segments WHERE ended_at < started_at"):
        yield Bad("runs", path[0], "ends before it begins")
