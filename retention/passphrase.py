"""People's own secrets at a node, kept as scrypt, and how a try is counted.

A try is counted before it is checked, so tries made at the same moment cannot pass the limit
together. Somebody unknown is checked against a secret of nobody, so it takes as long.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from retention.records.errors import UsageError

FAILURES = 5
LOCKED_FOR = timedelta(minutes=5)
SHORTEST_SECRET = 6
LONGEST_SECRET = 128
_N, _R, _P = 2**14, 8, 1  # 16 MiB and some 50 ms a try
_NOBODY = ""


@dataclass(frozen=True, slots=True)
class Credential:
    """A stored secret: how often it failed since it was last right, until when it is locked."""

    id: str
    secret_hash: str
    failed_tries: int
    locked_until: datetime | None


def hash_secret(secret: str) -> str:
    """Return what is stored of a secret. Raises UsageError."""
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        raise UsageError(
            f"the secret has {len(secret)} characters; allowed are "
            f"{SHORTEST_SECRET} to {LONGEST_SECRET}"
        )
    return _hash(secret)


def after_try(row: Credential | None, now: datetime) -> tuple[int, datetime | None] | None:
    """Return what to store before a try is checked; None when there is nothing to try."""
    if row is None or (row.locked_until is not None and now < row.locked_until):
        return None
    tries = 1 if row.locked_until is not None else row.failed_tries + 1
    return tries, now + LOCKED_FOR if tries >= FAILURES else None


def matches(stored: str | None, secret: str) -> bool:
    """Tell whether a secret is the stored one; False for None, after as long."""
    _, n, r, p, salt, raw = (stored or _nobody()).split("$")
    found = hashlib.scrypt(
        secret.encode(), salt=base64.b64decode(salt), n=int(n), r=int(r), p=int(p)
    )
    return hmac.compare_digest(found, base64.b64decode(raw)) and stored is not None


def _hash(secret: str) -> str:
    salt = secrets.token_bytes(16)
    raw = hashlib.scrypt(secret.encode(), salt=salt, n=_N, r=_R, p=_P)
    parts = (base64.b64encode(value).decode() for value in (salt, raw))
    return f"scrypt${_N}${_R}${_P}$" + "$".join(parts)


def _nobody() -> str:
    global _NOBODY
    _NOBODY = _NOBODY or _hash(secrets.token_urlsafe(16))
    return _NOBODY
