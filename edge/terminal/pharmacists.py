"""Pharmacists' own credentials, so that an attestation has a name that its owner alone can give.

Secrets are kept as scrypt. Five failures lock a credential for five minutes. A try is counted
before it is checked, so tries made at the same moment cannot pass the limit together.
"""

from __future__ import annotations

from edge.terminal.pairing import check_code
from retention.passphrase import FAILURES, hash_secret, matches
from retention.store import credentials
from retention.store.database import NodeStore
from retention.terms.problems import Problem, Refusal

__all__ = ["FAILURES", "add", "check"]


def add(store: NodeStore, pharmacist_id: str, secret: str) -> None:
    """Store a pharmacist's credential, or replace it. Raises UsageError."""
    check_code(pharmacist_id, "pharmacist")
    stored = hash_secret(secret)
    with store.write() as connection:
        credentials.put(connection, "pharmacists", pharmacist_id, stored, store.clock.now())


def check(store: NodeStore, pharmacist_id: str, secret: str) -> None:
    """Check a credential. Raises Refusal PHARMACIST_REFUSED, the same for every cause."""
    if not matches(credentials.take_a_try(store, "pharmacists", pharmacist_id), secret):
        raise Refusal(Problem(403, "PHARMACIST_REFUSED"))
    credentials.forget_tries(store, "pharmacists", pharmacist_id)
