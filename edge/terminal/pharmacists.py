"""Pharmacists' own credentials, so that an attestation has a name that its owner alone can give.

Whoever is revoked vouches for nobody from that commit on: no attestation, no signing in, and no
prescription line through their presence. What happened before stays what it was, since nothing in
the log is taken back: a receipt that they gave, and an authorisation that the gate gave while they
were there, hold until they expire, minutes later, and name them. Central can tell from the log
which came first.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from edge.duty import PURPOSE, pharmacist_ref
from edge.terminal.pairing import check_code
from retention.records.signing import Signer
from retention.store import credentials, duty, people
from retention.store.credentials import Checked
from retention.store.database import NodeStore
from retention.terms.problems import Problem, Refusal
from retention.withdrawal import Withdrawn, withdraw


@dataclass(frozen=True, slots=True)
class Revoked:
    """What taking a credential away came to: `counter` is where a duty under way was ended, and
    `withdrawn` what became of the pharmacist's own consents and references, with the proof."""

    pharmacist: str
    counter: str | None
    withdrawn: tuple[Withdrawn, ...]


def add(store: NodeStore, pharmacist_id: str, secret: str) -> None:
    """Store a pharmacist's credential, or replace it, with a record. Raises UsageError."""
    check_code(pharmacist_id, "pharmacist")
    credentials.add(store, "pharmacists", pharmacist_id, secret)


def check(store: NodeStore, pharmacist_id: str, secret: str) -> Checked:
    """Check a credential. Raises Refusal PHARMACIST_REFUSED, the same for every cause."""
    checked = credentials.check(store, "pharmacists", pharmacist_id, secret)
    if checked is None:
        raise _refused()
    return checked


def require(connection: sqlite3.Connection, checked: Checked) -> None:
    """Ask once more, in the transaction of what is done. Raises Refusal PHARMACIST_REFUSED."""
    if not credentials.stands(connection, checked):
        raise _refused()


def _refused() -> Refusal:
    return Refusal(Problem(403, "PHARMACIST_REFUSED"))


def revoke(
    store: NodeStore, pharmacist_id: str, *, person_key: bytes, signer: Signer
) -> Revoked | None:
    """Take a pharmacist's credential away; None when nobody of that id stands.

    One transaction revokes, ends a duty under way and erases the pharmacist's own references, whose
    purpose is over; what comes after it folds the database's log and makes the proof. A crash
    between leaves nothing that could be compared. Raises StoreUnavailable.
    """
    person_ref = pharmacist_ref(person_key, pharmacist_id)
    erased: dict[str, tuple[str, ...]] = {}
    with store.write() as connection:
        if not credentials.revoke(store, connection, "pharmacists", pharmacist_id):
            return None
        row = duty.read(connection, pharmacist_id)
        if row is not None:
            duty.sign_out(store, connection, row, "revoked")
        while (consent := people.standing_consent(connection, person_ref, PURPOSE)) is not None:
            erased[consent.id] = people.withdraw_consent(store, connection, consent, counter=None)
    withdrawn = tuple(
        replace(withdraw(store, consent, signer, counter=None), references=references)
        for consent, references in erased.items()
    )
    return Revoked(pharmacist_id, None if row is None else row.counter, withdrawn)
