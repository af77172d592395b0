"""Suspected attacks by credential, and the credentials whose face method is locked.

The only place with their SQL. A suspicion is counted in the transaction that records the decision
it came from, so none is lost and none is counted twice. A lock ends only when a pharmacist attests
the person's document; time alone does not end it. The suspicions that a lock rests on are
forgotten with it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from retention.records.clock import to_micros
from retention.records.people import AttackSuspected, FaceLocked, FaceUnlocked
from retention.store.database import NodeStore
from retention.store.log import append


class SuspicionLimits(Protocol):
    """The part of an identity policy's transaction limits that locks a credential."""

    @property
    def suspicions(self) -> int: ...

    @property
    def suspicion_minutes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class FaceLock:
    """A locked credential; `since` in microseconds since the epoch, UTC."""

    person_ref: str
    since: int
    receipt: str


def suspect(
    store: NodeStore,
    connection: sqlite3.Connection,
    payload: AttackSuspected,
    limits: SuspicionLimits,
    *,
    counter: str | None = None,
) -> bool:
    """Record a suspected attack in the caller's transaction; return whether it locked the face
    method of that credential now."""
    append(store, connection, payload, counter=counter)
    now = store.clock.now()
    after = now - timedelta(minutes=limits.suspicion_minutes)
    person_ref = payload.subject_ref
    # What lies too far back counts no more; the records tell of it.
    connection.execute(
        "DELETE FROM face_suspicions WHERE at <= ? AND person_ref NOT IN"
        " (SELECT person_ref FROM face_locks)",
        (to_micros(after),),
    )
    connection.execute(
        "INSERT INTO face_suspicions (receipt, person_ref, at) VALUES (?, ?, ?)",
        (payload.receipt, person_ref, to_micros(now)),
    )
    # A clock that was moved back must not hide what was seen: later than now counts as well.
    (suspicions,) = connection.execute(
        "SELECT count(*) FROM face_suspicions WHERE person_ref = ? AND at > ?",
        (person_ref, to_micros(after)),
    ).fetchone()
    if suspicions < limits.suspicions or is_locked(connection, person_ref):
        return False
    connection.execute(
        "INSERT INTO face_locks (person_ref, since, receipt) VALUES (?, ?, ?)",
        (person_ref, to_micros(now), payload.receipt),
    )
    locked = FaceLocked(person_ref=person_ref, suspicions=suspicions, receipt=payload.receipt)
    append(store, connection, locked, counter=counter, session=payload.session)
    return True


def is_locked(connection: sqlite3.Connection, person_ref: str) -> bool:
    """Tell whether no face of this credential may be looked at."""
    found = connection.execute("SELECT 1 FROM face_locks WHERE person_ref = ?", (person_ref,))
    return found.fetchone() is not None


def unlock(
    store: NodeStore,
    connection: sqlite3.Connection,
    person_ref: str,
    attested_by: str,
    receipt: str,
    *,
    counter: str | None = None,
) -> bool:
    """End a lock in the caller's transaction, since a pharmacist attested the person's document
    (`receipt`); return False when there was none."""
    gone = connection.execute("DELETE FROM face_locks WHERE person_ref = ?", (person_ref,))
    if gone.rowcount == 0:
        return False
    connection.execute("DELETE FROM face_suspicions WHERE person_ref = ?", (person_ref,))
    unlocked = FaceUnlocked(person_ref=person_ref, attested_by=attested_by, receipt=receipt)
    append(store, connection, unlocked, counter=counter)
    return True


def locked(connection: sqlite3.Connection) -> list[FaceLock]:
    """Return the locked credentials, the longest first."""
    rows = connection.execute(
        "SELECT person_ref, since, receipt FROM face_locks ORDER BY since, person_ref"
    )
    return [FaceLock(*row) for row in rows]
