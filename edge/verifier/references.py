"""Sealed references between the node's database and the verifier: opened to compare, made to keep.

A reference is opened only for an attempt of its own person and is never kept open. One that does
not open (another key, changed bytes, moved to another person's row) is as good as none.
"""

from __future__ import annotations

import sqlite3

import structlog

from edge.verifier.protocol import Enrolled, EnrolmentRefused
from identity.errors import ReferenceUnreadable
from identity.references import Reference, ReferenceTerms, SealedReference, open_sealed, seal
from retention.keyfiles import KeyDirectory
from retention.records.clock import to_text
from retention.records.ids import ConsentId, ReferenceId
from retention.store import people
from retention.store.database import NodeStore

log = structlog.get_logger()


class ReferenceKeeper:
    """The references of one node. Used by one thread."""

    def __init__(self, store: NodeStore, keys: KeyDirectory) -> None:
        self._store = store
        self._key, self._key_id = keys.secret("reference"), keys.secret_id("reference")

    def standing_row(
        self, connection: sqlite3.Connection, person_ref: str
    ) -> people.Reference | None:
        """Return the person's newest reference under a standing consent; an expired one only when
        there is no other, so that the answer can say so."""
        usable = people.latest_reference(connection, person_ref, self._store.clock.now())
        return usable or people.newest_reference(connection, person_ref)

    def opened(self, row: people.Reference) -> Reference | None:
        """Return the reference of a row, None when it does not open."""
        terms = ReferenceTerms(
            reference_id=ReferenceId(row.id),
            person_ref=row.person_ref,
            contract_id=row.contract_id,
            source=row.source,
            consent_id=ConsentId(row.consent),
            expires_at=row.expires_at,
        )
        sealed = SealedReference(terms, row.key_id, row.nonce, row.sealed)
        try:
            return open_sealed(sealed, self._key)
        except ReferenceUnreadable:
            log.error("reference_unreadable", reference=row.id, key_id=row.key_id)
            return None

    def keep(self, made: Reference, counter: str) -> Enrolled | EnrolmentRefused:
        """Seal and store a reference. Raises StoreUnavailable."""
        sealed = seal(made, self._key, self._key_id)
        terms = sealed.terms
        row = people.Reference(
            id=terms.reference_id,
            person_ref=terms.person_ref,
            consent=terms.consent_id,
            contract_id=terms.contract_id,
            source=terms.source,
            key_id=sealed.key_id,
            nonce=sealed.nonce,
            sealed=sealed.ciphertext,
            enrolled_at=self._store.clock.now(),
            expires_at=terms.expires_at,
        )
        try:
            with self._store.write() as connection:
                people.insert_reference(self._store, connection, row, counter=counter)
        except people.ConsentMissing:
            return EnrolmentRefused(code="NO_CONSENT", detail="no standing consent of this person")
        return Enrolled(reference=terms.reference_id, expires_at=to_text(terms.expires_at))
