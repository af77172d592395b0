"""Pharmacists' own credentials, so that an attestation has a name that its owner alone can give.

Secrets are kept as scrypt. Five failures lock a credential for five minutes. A try is counted
before it is checked, so tries made at the same moment cannot pass the limit together.
"""

from __future__ import annotations

from edge.terminal.pairing import check_code
from retention.passphrase import FAILURES, after_try, hash_secret, matches
from retention.store.database import NodeStore
from retention.store.terminals import put_pharmacist, read_pharmacist, set_tries
from retention.terms.problems import Problem, Refusal

__all__ = ["FAILURES", "add", "check"]


def add(store: NodeStore, pharmacist_id: str, secret: str) -> None:
    """Store a pharmacist's credential, or replace it. Raises UsageError."""
    check_code(pharmacist_id, "pharmacist")
    stored = hash_secret(secret)
    with store.write() as connection:
        put_pharmacist(connection, pharmacist_id, stored, store.clock.now())


def check(store: NodeStore, pharmacist_id: str, secret: str) -> None:
    """Check a credential. Raises Refusal PHARMACIST_REFUSED, the same for every cause."""
    if not matches(_take_a_try(store, pharmacist_id), secret):
        raise Refusal(Problem(403, "PHARMACIST_REFUSED"))
    with store.write() as connection:
        set_tries(connection, pharmacist_id, 0, None)


def _take_a_try(store: NodeStore, pharmacist_id: str) -> str | None:
    """Count a try and return the stored secret, or None when there is nothing to try."""
    with store.write() as connection:
        row = read_pharmacist(connection, pharmacist_id)
        counted = after_try(row, store.clock.now())
        if row is None or counted is None:
            return None
        set_tries(connection, pharmacist_id, *counted)
    return row.secret_hash
