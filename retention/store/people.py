"""Consents and sealed face references. The only place with their SQL.

A reference is read only while its consent stands. A withdrawal deletes the rows in the same
transaction that records it, with `secure_delete` on, so the freed pages are overwritten with
zeros in the database file once the write-ahead log is folded into it (`fold_wal`). What this does
not reach: older blocks of a copy-on-write or flash device, and backups. The rows are ciphertext.

A row is never changed but by a rotation of its key (`retention.store.rekeying`) and by the mark
that its embedding contract is not the node's any more (`mark_outdated`).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from retention.records.clock import from_micros, to_micros, to_text
from retention.records.payloads import ConsentGiven, ConsentWithdrawn, ReferenceErased
from retention.records.people import ConsentGiven2, ReferenceEnrolled2, ReferencesOutdated
from retention.store.database import NodeStore, StoreError, StoreUnavailable
from retention.store.log import append

FACE_VERIFICATION = "face_verification"
"""The purpose of a customer's consent; a pharmacist's is another."""
FOLD_SECONDS = 0.5


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
    notice_sha256: str | None = None


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
    portrait_at: datetime | None = None
    quality: Literal["good", "poor"] = "good"
    outdated_at: datetime | None = None


REFERENCE_ROW = (
    "SELECT r.id, r.person_ref, r.consent, r.contract_id, r.source, r.key_id, r.nonce, r.sealed,"
    " r.enrolled_at, r.expires_at, r.portrait_at, r.quality, r.outdated_at"
    " FROM reference_templates r"
)
_REFERENCE = (
    f"{REFERENCE_ROW} JOIN consents c ON c.id = r.consent"
    " WHERE r.person_ref = ? AND c.withdrawn_at IS NULL"
)


def give_consent(
    store: NodeStore, connection: sqlite3.Connection, given: ConsentGiven, *, counter: str
) -> None:
    """Store a consent and its record."""
    connection.execute(
        "INSERT INTO consents (id, person_ref, purpose, notice_version, given_at, notice_sha256)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (given.consent, given.person_ref, given.purpose, given.notice_version,
         to_micros(store.clock.now()),
         given.notice_sha256 if isinstance(given, ConsentGiven2) else None),
    )  # fmt: skip
    append(store, connection, given, counter=counter)


def read_consent(connection: sqlite3.Connection, consent: str) -> Consent | None:
    """Return a consent, standing or withdrawn."""
    row = connection.execute(
        "SELECT id, person_ref, purpose, notice_version, given_at, withdrawn_at, notice_sha256"
        " FROM consents WHERE id = ?",
        (consent,),
    ).fetchone()
    if row is None:
        return None
    withdrawn = row["withdrawn_at"]
    return Consent(
        row["id"], row["person_ref"], row["purpose"], row["notice_version"],
        from_micros(row["given_at"]), None if withdrawn is None else from_micros(withdrawn),
        row["notice_sha256"],
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
    store: NodeStore,
    connection: sqlite3.Connection,
    consent: Consent,
    *,
    counter: str | None,
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
) -> tuple[str, ...]:
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
    return tuple(row["id"] for row in rows)


def fold_wal(store: NodeStore) -> bool:
    """Fold the write-ahead log into the database and empty it; say whether all of it went.

    A reader that holds an old snapshot keeps its pages in the log; the custodian folds again. It
    waits for readers only briefly, because SQLite lets nobody write meanwhile.
    """
    try:
        connection = sqlite3.connect(store.path, timeout=FOLD_SECONDS, isolation_level=None)
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
        "INSERT INTO reference_templates (id, person_ref, consent, contract_id, source, key_id,"
        " nonce, sealed, enrolled_at, expires_at, portrait_at, quality)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (reference.id, reference.person_ref, reference.consent, reference.contract_id,
         reference.source, reference.key_id, reference.nonce, reference.sealed,
         to_micros(reference.enrolled_at), to_micros(reference.expires_at),
         None if reference.portrait_at is None else to_micros(reference.portrait_at),
         reference.quality),
    )  # fmt: skip
    portrait_at = reference.portrait_at
    enrolled = ReferenceEnrolled2(
        reference=reference.id,
        person_ref=reference.person_ref,
        consent=reference.consent,
        source=reference.source,
        contract_id=reference.contract_id,
        expires_at=to_text(reference.expires_at),
        portrait_at=None if portrait_at is None else to_text(portrait_at),
        quality=reference.quality,
    )
    append(store, connection, enrolled, counter=counter)


def latest_reference(
    connection: sqlite3.Connection, person_ref: str, now: datetime
) -> Reference | None:
    """Return the newest reference that may be compared now: unexpired, consent not withdrawn. One
    of another embedding contract only when there is none of ours (to tell why)."""
    row = connection.execute(
        f"{_REFERENCE} AND r.expires_at > ?"
        " ORDER BY r.outdated_at IS NOT NULL, r.enrolled_at DESC, r.id DESC",
        (person_ref, to_micros(now)),
    ).fetchone()
    return None if row is None else reference_of(row)


def newest_reference(connection: sqlite3.Connection, person_ref: str) -> Reference | None:
    """Return the newest reference under a standing consent, expired or not (to tell why)."""
    row = connection.execute(
        f"{_REFERENCE} ORDER BY r.enrolled_at DESC, r.id DESC", (person_ref,)
    ).fetchone()
    return None if row is None else reference_of(row)


def reference_by_id(connection: sqlite3.Connection, reference: str) -> Reference | None:
    """Return a reference that is still kept, whatever became of its consent: to check a decision
    of the past again, never to make one."""
    row = connection.execute(f"{REFERENCE_ROW} WHERE r.id = ?", (reference,)).fetchone()
    return None if row is None else reference_of(row)


# -- the embedding contract -----------------------------------------------------------------------


def mark_outdated(store: NodeStore, contract_id: str) -> int:
    """Mark the references that are not of the contract that now embeds, and record how many; those
    that are of it again are unmarked. Returns how many were newly marked. Raises
    StoreUnavailable."""
    with store.write() as connection:
        connection.execute(
            "UPDATE reference_templates SET outdated_at = NULL"
            " WHERE contract_id = ? AND outdated_at IS NOT NULL",
            (contract_id,),
        )
        marked = connection.execute(
            "UPDATE reference_templates SET outdated_at = ?"
            " WHERE contract_id != ? AND outdated_at IS NULL",
            (to_micros(store.clock.now()), contract_id),
        ).rowcount
        if marked:
            append(
                store, connection, ReferencesOutdated(contract_id=contract_id, references=marked)
            )
        return marked


def reference_of(row: sqlite3.Row) -> Reference:
    """Return the reference of a `REFERENCE_ROW`."""
    return Reference(
        row["id"], row["person_ref"], row["consent"], row["contract_id"], row["source"],
        row["key_id"], row["nonce"], row["sealed"],
        from_micros(row["enrolled_at"]), from_micros(row["expires_at"]),
        _moment(row["portrait_at"]), row["quality"], _moment(row["outdated_at"]),
    )  # fmt: skip


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
