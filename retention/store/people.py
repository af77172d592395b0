"""Consents and sealed face references. The only place with their SQL.

A reference is read only while its consent stands. A withdrawal deletes the rows in the same
transaction that records it, with `secure_delete` on, so the freed pages are overwritten with
zeros in the database file once the write-ahead log is folded into it (`fold_wal`). What this does
not reach: older blocks of a copy-on-write or flash device, and backups. The rows are ciphertext.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from retention.records.clock import from_micros, to_micros, to_text
from retention.records.payloads import (
    ConsentGiven,
    ConsentWithdrawn,
    ReferenceEnrolled,
    ReferenceErased,
)
from retention.store.database import BUSY_SECONDS, NodeStore, StoreError, StoreUnavailable
from retention.store.log import append


class ConsentMissing(StoreError):
    """There is no standing consent of this person; nothing may be enrolled or compared."""

    def __init__(self, consent: str) -> None:
        super().__init__(f"consent {consent} does not stand")
        self.consent = consent


@dataclass(frozen=True, slots=True)
class Consent:
    """One person's separate consent to one purpose."""

    id: str
    person_ref: str
    purpose: str
    notice_version: str
    given_at: datetime
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reference:
    """A sealed face reference: AES-256-GCM ciphertext, the id of its key, and its bounds."""

    id: str
    person_ref: str
    consent: str
    contract_id: str
    source: str
    key_id: str
    nonce: bytes
    sealed: bytes
    enrolled_at: datetime
    expires_at: datetime


_REFERENCE = (
    "SELECT r.id, r.person_ref, r.consent, r.contract_id, r.source, r.key_id, r.nonce, r.sealed,"
    " r.enrolled_at, r.expires_at FROM reference_templates r JOIN consents c ON c.id = r.consent"
    " WHERE r.person_ref = ? AND c.withdrawn_at IS NULL"
)


def give_consent(
    store: NodeStore, connection: sqlite3.Connection, given: ConsentGiven, *, counter: str
) -> None:
    """Store a consent and its record."""
    connection.execute(
        "INSERT INTO consents (id, person_ref, purpose, notice_version, given_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (given.consent, given.person_ref, given.purpose, given.notice_version,
         to_micros(store.clock.now())),
    )  # fmt: skip
    append(store, connection, given, counter=counter)


def read_consent(connection: sqlite3.Connection, consent: str) -> Consent | None:
    """Return a consent, standing or withdrawn."""
    row = connection.execute(
        "SELECT id, person_ref, purpose, notice_version, given_at, withdrawn_at FROM consents"
        " WHERE id = ?",
        (consent,),
    ).fetchone()
    if row is None:
        return None
    withdrawn = row["withdrawn_at"]
    return Consent(
        row["id"], row["person_ref"], row["purpose"], row["notice_version"],
        from_micros(row["given_at"]), None if withdrawn is None else from_micros(withdrawn),
    )  # fmt: skip


def standing_consent(
    connection: sqlite3.Connection, person_ref: str, purpose: str
) -> Consent | None:
    """Return the newest consent of a person to a purpose that was not withdrawn."""
    row = connection.execute(
        "SELECT id FROM consents WHERE person_ref = ? AND purpose = ? AND withdrawn_at IS NULL"
        " ORDER BY given_at DESC, id DESC LIMIT 1",
        (person_ref, purpose),
    ).fetchone()
    return None if row is None else read_consent(connection, row["id"])


def withdraw_consent(
    store: NodeStore, connection: sqlite3.Connection, consent: Consent, *, counter: str
) -> tuple[str, ...]:
    """Delete every reference under this consent and record it; return the ids deleted.

    Overwrites what it deletes. Call `fold_wal` after the transaction is committed.
    """
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(
        "UPDATE consents SET withdrawn_at = ? WHERE id = ?",
        (to_micros(store.clock.now()), consent.id),
    )
    rows = connection.execute(
        "DELETE FROM reference_templates WHERE consent = ? RETURNING id", (consent.id,)
    ).fetchall()
    erased = tuple(sorted(row["id"] for row in rows))
    for reference in erased:
        payload = ReferenceErased(
            reference=reference, person_ref=consent.person_ref, cause="consent_withdrawn"
        )
        append(store, connection, payload, counter=counter)
    withdrawn = ConsentWithdrawn(consent=consent.id, person_ref=consent.person_ref)
    append(store, connection, withdrawn, counter=counter)
    return erased


def any_expired(connection: sqlite3.Connection, now: datetime, made_before: datetime) -> bool:
    """Tell whether `erase_expired` would find anything."""
    row = connection.execute(
        "SELECT 1 FROM reference_templates WHERE expires_at <= ? OR enrolled_at <= ? LIMIT 1",
        (to_micros(now), to_micros(made_before)),
    ).fetchone()
    return row is not None


def erase_expired(
    store: NodeStore, connection: sqlite3.Connection, now: datetime, made_before: datetime
) -> int:
    """Delete the references that expired, or were enrolled before a moment, and record each.

    Overwrites what it deletes. Call `fold_wal` after the transaction is committed.
    """
    connection.execute("PRAGMA secure_delete = ON")
    rows = connection.execute(
        "DELETE FROM reference_templates WHERE expires_at <= ? OR enrolled_at <= ?"
        " RETURNING id, person_ref",
        (to_micros(now), to_micros(made_before)),
    ).fetchall()
    for row in sorted(rows, key=lambda row: str(row["id"])):
        payload = ReferenceErased(
            reference=row["id"], person_ref=row["person_ref"], cause="expired"
        )
        append(store, connection, payload)
    return len(rows)


def fold_wal(store: NodeStore) -> bool:
    """Fold the write-ahead log into the database and empty it; say whether all of it went.

    A reader that holds an old snapshot keeps its pages in the log; the next fold takes them.
    """
    try:
        connection = sqlite3.connect(store.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            connection.close()
    except sqlite3.OperationalError as exc:
        raise StoreUnavailable(f"{store.path}: {exc}") from exc
    return not busy


def insert_reference(
    store: NodeStore, connection: sqlite3.Connection, reference: Reference, *, counter: str
) -> None:
    """Store a sealed reference and its record in the caller's transaction.

    Raises ConsentMissing when the consent was withdrawn in the meantime, or is another person's.
    """
    consent = read_consent(connection, reference.consent)
    if (
        consent is None
        or consent.withdrawn_at is not None
        or consent.person_ref != reference.person_ref
    ):
        raise ConsentMissing(reference.consent)
    connection.execute(
        "INSERT INTO reference_templates (id, person_ref, consent, contract_id, source, key_id, nonce,"
        " sealed, enrolled_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (reference.id, reference.person_ref, reference.consent, reference.contract_id,
         reference.source, reference.key_id, reference.nonce, reference.sealed,
         to_micros(reference.enrolled_at), to_micros(reference.expires_at)),
    )  # fmt: skip
    enrolled = ReferenceEnrolled(
        reference=reference.id,
        person_ref=reference.person_ref,
        consent=reference.consent,
        source=reference.source,
        contract_id=reference.contract_id,
        expires_at=to_text(reference.expires_at),
    )
    append(store, connection, enrolled, counter=counter)


def latest_reference(
    connection: sqlite3.Connection, person_ref: str, now: datetime
) -> Reference | None:
    """Return the newest reference that may be compared now: unexpired, consent not withdrawn."""
    row = connection.execute(
        f"{_REFERENCE} AND r.expires_at > ? ORDER BY r.enrolled_at DESC, r.id DESC",
        (person_ref, to_micros(now)),
    ).fetchone()
    return None if row is None else _reference(row)


def newest_reference(connection: sqlite3.Connection, person_ref: str) -> Reference | None:
    """Return the newest reference under a standing consent, expired or not (to tell why)."""
    row = connection.execute(
        f"{_REFERENCE} ORDER BY r.enrolled_at DESC, r.id DESC", (person_ref,)
    ).fetchone()
    return None if row is None else _reference(row)


def _reference(row: sqlite3.Row) -> Reference:
    return Reference(
        row["id"], row["person_ref"], row["consent"], row["contract_id"], row["source"],
        row["key_id"], row["nonce"], row["sealed"],
        from_micros(row["enrolled_at"]), from_micros(row["expires_at"]),
    )  # fmt: skip
