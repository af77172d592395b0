"""Rows of sealed probes: whose evidence it is, and the wrapped key that alone opens it.

The evidence of a decision lies sealed in a file (`retention.probe_files`); its key is only here. A
row is written in the transaction of its decision, and deleting it (`secure_delete`, and `fold_wal`
of `retention.store.people` after the commit) ends the evidence, whatever becomes of the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from retention.policy import HeldScope, Item, covers
from retention.records.clock import from_micros, to_micros
from retention.records.people import ProbesErased
from retention.store.database import NodeStore
from retention.store.log import append

MOST_IN_A_RECORD = 500
Cause = Literal["expired", "consent_withdrawn"]


@dataclass(frozen=True, slots=True)
class Probe:
    """One row. `wrapped` is the data key under the reference key `key_id`; `size` is the length of
    the sealed file in bytes."""

    receipt: str
    session: str
    person_ref: str
    made_at: datetime
    key_id: str
    nonce: bytes
    wrapped: bytes
    size: int


# Whoever withdrew a consent withdrew it for what was made until then; what an attempt that was
# under way wrote a moment later is theirs too, unless they consented again.
_WITHDRAWN = (
    "EXISTS (SELECT 1 FROM consents c WHERE c.person_ref = p.person_ref"
    " AND c.withdrawn_at IS NOT NULL AND (c.withdrawn_at >= p.made_at OR NOT EXISTS"
    " (SELECT 1 FROM consents s WHERE s.person_ref = p.person_ref AND s.withdrawn_at IS NULL)))"
)
_PROBE = (
    "SELECT p.receipt, p.session, p.person_ref, p.made_at, p.key_id, p.nonce, p.wrapped, p.bytes"
    " FROM probes p"
)


def insert(connection: sqlite3.Connection, probe: Probe) -> None:
    """Write a row in the caller's transaction, which also records the decision."""
    connection.execute(
        "INSERT INTO probes (receipt, session, person_ref, made_at, key_id, nonce, wrapped, bytes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (probe.receipt, probe.session, probe.person_ref, to_micros(probe.made_at), probe.key_id,
         probe.nonce, probe.wrapped, probe.size),
    )  # fmt: skip


def read(connection: sqlite3.Connection, receipt: str) -> Probe | None:
    """Return the row of a receipt; None when there never was one or it was erased."""
    row = connection.execute(f"{_PROBE} WHERE receipt = ?", (receipt,)).fetchone()
    return None if row is None else _probe(row)


def receipts(connection: sqlite3.Connection) -> frozenset[str]:
    """Return the receipts whose evidence is kept: what the files must be."""
    return frozenset(row[0] for row in connection.execute("SELECT receipt FROM probes"))


# -- erasing --------------------------------------------------------------------------------------


def any_due(connection: sqlite3.Connection, made_before: datetime) -> bool:
    """Tell whether anything is due, not asking for holds."""
    row = connection.execute(
        f"{_PROBE} WHERE p.made_at <= ? OR {_WITHDRAWN} LIMIT 1", (to_micros(made_before),)
    ).fetchone()
    return row is not None


def due(
    connection: sqlite3.Connection, made_before: datetime, holds: Sequence[HeldScope]
) -> dict[Cause, tuple[str, ...]]:
    """Return the receipts whose evidence must go now, by cause: consent was withdrawn, or it was
    made at or before a moment; not what a hold covers."""
    withdrawn = _free(connection.execute(f"{_PROBE} WHERE {_WITHDRAWN}"), holds)
    old = connection.execute(f"{_PROBE} WHERE p.made_at <= ?", (to_micros(made_before),))
    expired = _free(old, holds) - withdrawn
    found: dict[Cause, frozenset[str]] = {"consent_withdrawn": withdrawn, "expired": expired}
    return {cause: tuple(sorted(ids)) for cause, ids in found.items() if ids}


def _free(rows: sqlite3.Cursor, holds: Sequence[HeldScope]) -> frozenset[str]:
    found = (_probe(row) for row in rows)
    return frozenset(probe.receipt for probe in found if not is_held(probe, holds))


def of_person(connection: sqlite3.Connection, person_ref: str) -> list[Probe]:
    """Return the rows of one person."""
    rows = connection.execute(f"{_PROBE} WHERE person_ref = ? ORDER BY receipt", (person_ref,))
    return [_probe(row) for row in rows]


def is_held(probe: Probe, holds: Sequence[HeldScope]) -> bool:
    """Tell whether a standing hold covers the session (or person, or time) of this evidence."""
    item = Item(
        subject="archive",
        started_at=probe.made_at,
        ended_at=probe.made_at,
        session=probe.session,
        person_refs=frozenset({probe.person_ref}),
    )
    return any(covers(hold, item) for hold in holds)


def erase(
    store: NodeStore, connection: sqlite3.Connection, gone: Sequence[str], cause: Cause
) -> None:
    """Delete rows, overwriting them, and record it. The files are the caller's, after the commit.

    Call `fold_wal` after the transaction is committed.
    """
    connection.execute("PRAGMA secure_delete = ON")
    for first in range(0, len(gone), MOST_IN_A_RECORD):
        part = tuple(gone[first : first + MOST_IN_A_RECORD])
        connection.executemany("DELETE FROM probes WHERE receipt = ?", [(one,) for one in part])
        append(store, connection, ProbesErased(cause=cause, receipts=part))


# -- keys -----------------------------------------------------------------------------------------


def not_under(connection: sqlite3.Connection, key_id: str, after: str, most: int) -> list[Probe]:
    """Return rows whose key is wrapped by another key than this, in the order of receipts."""
    rows = connection.execute(
        f"{_PROBE} WHERE p.key_id != ? AND p.receipt > ? ORDER BY p.receipt LIMIT ?",
        (key_id, after, most),
    )
    return [_probe(row) for row in rows]


def rewrap(
    connection: sqlite3.Connection, receipt: str, key_id: str, nonce: bytes, wrapped: bytes
) -> None:
    """Replace the wrapped key of a row, overwriting it; the file stays as it is.

    Call `fold_wal` after the transaction is committed.
    """
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(
        "UPDATE probes SET key_id = ?, nonce = ?, wrapped = ? WHERE receipt = ?",
        (key_id, nonce, wrapped, receipt),
    )


def count_under(connection: sqlite3.Connection, key_id: str) -> int:
    """Return how many rows need a key."""
    (count,) = connection.execute(
        "SELECT count(*) FROM probes WHERE key_id = ?", (key_id,)
    ).fetchone()
    return int(count)


def _probe(row: sqlite3.Row) -> Probe:
    return Probe(
        row["receipt"], row["session"], row["person_ref"], from_micros(row["made_at"]),
        row["key_id"], row["nonce"], row["wrapped"], row["bytes"],
    )  # fmt: skip
