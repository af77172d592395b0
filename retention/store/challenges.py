"""What the node's tables say of one leaf of the log, for central's challenges. Reads only."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeafRow:
    """A row of the log; `raw` is empty once the record at `disposed_by` names it as disposed."""

    kind: str
    raw: bytes
    disposed_by: int | None


def leaf_row(connection: sqlite3.Connection, sequence: int) -> LeafRow | None:
    """Return the log's row at a sequence."""
    row = connection.execute(
        "SELECT kind, bytes, disposed_by FROM log WHERE sequence = ?", (sequence,)
    ).fetchone()
    return None if row is None else LeafRow(*row)


def disposal_of(connection: sqlite3.Connection, sequence: int) -> int | None:
    """Return where the `segment.disposed` of the segment sealed at `sequence` stands."""
    row = connection.execute(
        "SELECT disposed_sequence FROM disposals WHERE sequence = ?", (sequence,)
    ).fetchone()
    return None if row is None else int(row[0])


def disposals_of(connection: sqlite3.Connection, sequence: int) -> list[int]:
    """Return where the records stand that explain what is gone of a leaf, if anything is."""
    row = leaf_row(connection, sequence)
    found = (disposal_of(connection, sequence), None if row is None else row.disposed_by)
    return [one for one in found if one is not None]
