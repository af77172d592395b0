"""Pharmacists' own credentials, so that an attestation has a name that its owner alone can give.

Secrets are kept as scrypt. Five failures lock a credential for five minutes. A try is counted
before it is checked, so tries made at the same moment cannot pass the limit together.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import timedelta

from edge.terminal.pairing import check_code
from retention.records.errors import UsageError
from retention.store.database import NodeStore
from retention.store.terminals import put_pharmacist, read_pharmacist, set_tries
from retention.terms.problems import Problem, Refusal

FAILURES = 5
LOCKED_FOR = timedelta(minutes=5)
SHORTEST_SECRET = 6
LONGEST_SECRET = 128
_N, _R, _P = 2**14, 8, 1  # 16 MiB and some 50 ms a try
# What an unknown pharmacist's try is checked against, so that it takes as long as a known one's.
_NOBODY = ""


def add(store: NodeStore, pharmacist_id: str, secret: str) -> None:
    """Store a pharmacist's credential, or replace it. Raises UsageError."""
    check_code(pharmacist_id, "pharmacist")
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        raise UsageError(
            f"the secret has {len(secret)} characters; allowed are "
            f"{SHORTEST_SECRET} to {LONGEST_SECRET}"
        )
    stored = _hash(secret, secrets.token_bytes(16))
    with store.write() as connection:
        put_pharmacist(connection, pharmacist_id, stored, store.clock.now())


def check(store: NodeStore, pharmacist_id: str, secret: str) -> None:
    """Check a credential. Raises Refusal PHARMACIST_REFUSED, the same for every cause."""
    stored = _take_a_try(store, pharmacist_id)
    right = _matches(stored or _nobody(), secret)
    if stored is None or not right:
        raise Refusal(Problem(403, "PHARMACIST_REFUSED"))
    with store.write() as connection:
        set_tries(connection, pharmacist_id, 0, None)


def _take_a_try(store: NodeStore, pharmacist_id: str) -> str | None:
    """Count a try and return the stored secret, or None when there is nothing to try."""
    now = store.clock.now()
    with store.write() as connection:
        row = read_pharmacist(connection, pharmacist_id)
        if row is None or (row.locked_until is not None and now < row.locked_until):
            return None
        tries = 1 if row.locked_until is not None else row.failed_tries + 1
        locked_until = now + LOCKED_FOR if tries >= FAILURES else None
        set_tries(connection, pharmacist_id, tries, locked_until)
    return row.secret_hash


def _hash(secret: str, salt: bytes) -> str:
    raw = hashlib.scrypt(secret.encode(), salt=salt, n=_N, r=_R, p=_P)
    parts = (base64.b64encode(value).decode() for value in (salt, raw))
    return f"scrypt${_N}${_R}${_P}$" + "$".join(parts)


def _matches(stored: str, secret: str) -> bool:
    _, n, r, p, salt, raw = stored.split("$")
    found = hashlib.scrypt(
        secret.encode(), salt=base64.b64decode(salt), n=int(n), r=int(r), p=int(p)
    )
    return hmac.compare_digest(found, base64.b64decode(raw))


def _nobody() -> str:
    global _NOBODY
    _NOBODY = _NOBODY or _hash(secrets.token_urlsafe(16), secrets.token_bytes(16))
    return _NOBODY
