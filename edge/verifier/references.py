"""Between the rows of references and the references that faces are compared with.

A key is asked for at each use, never kept: a rotation may be going on beside us. A reference whose
key is not there any more, or that does not open, is like none at all, and the log says which key.
"""

from __future__ import annotations

from datetime import datetime

import structlog

from identity.errors import ReferenceUnreadable
from identity.references import Reference, ReferenceTerms, SealedReference, open_sealed, seal
from retention.keysources import ReferenceKeys
from retention.records.ids import ConsentId, ReferenceId
from retention.store import people
from retention.store.database import NodeStore

log = structlog.get_logger()


def sealed_of(row: people.Reference) -> SealedReference:
    """Return the sealed reference of a row, its terms as the row tells them."""
    terms = ReferenceTerms(
        reference_id=ReferenceId(row.id),
        person_ref=row.person_ref,
        contract_id=row.contract_id,
        source=row.source,
        consent_id=ConsentId(row.consent),
        expires_at=row.expires_at,
        portrait_at=row.portrait_at,
        quality=row.quality,
    )
    return SealedReference(terms, row.key_id, row.nonce, row.sealed)


def row_of(made: Reference, keys: ReferenceKeys, enrolled_at: datetime) -> people.Reference:
    """Seal a new reference by the newest key. Call it inside the write transaction that inserts
    the row: no key is removed meanwhile. Raises KeyRefused."""
    key, terms = keys.newest(), made.terms
    sealed = seal(made, key.secret, key.key_id)
    return people.Reference(
        id=terms.reference_id,
        person_ref=terms.person_ref,
        consent=terms.consent_id,
        contract_id=terms.contract_id,
        source=terms.source,
        key_id=sealed.key_id,
        nonce=sealed.nonce,
        sealed=sealed.ciphertext,
        enrolled_at=enrolled_at,
        expires_at=terms.expires_at,
        portrait_at=terms.portrait_at,
        quality=terms.quality,
    )


def open_reference(row: people.Reference, keys: ReferenceKeys) -> Reference:
    """Open the reference of a row. Raises ReferenceUnreadable, KeyRefused."""
    key = keys.by_id(row.key_id)
    if key is None:
        raise ReferenceUnreadable(row.id, f"its key {row.key_id} is not there")
    return open_sealed(sealed_of(row), key.secret)


def find_reference(store: NodeStore, keys: ReferenceKeys, person_ref: str) -> Reference | None:
    """Return a person's newest reference under a standing consent, opened; expired only when there
    is no other, so that the refusal can say so. None, and a line in the log that names the key,
    when it does not open: whoever it is of is then verified in another way.

    A rotation may seal it again and remove its key between row and key, so it is looked for again
    until it does not open twice under the same key. Raises StoreUnavailable, KeyRefused.
    """
    tried = None
    while (row := _newest(store, person_ref)) is not None:
        try:
            return open_reference(row, keys)
        except ReferenceUnreadable as exc:
            if row.key_id == tried:
                log.error("reference_unreadable", reference=row.id, key_id=tried, reason=exc.reason)
                return None
            tried = row.key_id
    return None


def _newest(store: NodeStore, person_ref: str) -> people.Reference | None:
    with store.read() as connection:
        usable = people.latest_reference(connection, person_ref, store.clock.now())
        return usable or people.newest_reference(connection, person_ref)
