"""Passwords: what is allowed, and how they are kept (argon2id).

Few checks run at once, so that a flood of tries can take neither the memory nor the other pages'
threads: whoever comes when the queue is full is told to come again.
"""

from __future__ import annotations

import secrets
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import Parameters, PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

from retention.terms.problems import Problem, Refusal

SHORTEST, LONGEST = 10, 128
# 32 MiB and three passes: 65 to 77 ms a check on the two-core machine this was written on.
MEASURED = Parameters(
    type=Type.ID, version=ARGON2_VERSION, salt_len=16, hash_len=32,
    time_cost=3, memory_cost=32 * 1024, parallelism=1,
)  # fmt: skip
HASHER = PasswordHasher.from_parameters(MEASURED)
AT_ONCE, QUEUE = 2, 12
_WAITING = threading.BoundedSemaphore(QUEUE)
_CHECKING = threading.BoundedSemaphore(AT_ONCE)
# Of the passwords that people choose most often, those that are long enough to be let in.
COMMONEST = frozenset(
    {
        "0123456789", "1234567890", "12345678910", "123456789a", "123456789q", "1234567890a",
        "a123456789", "aa123456789", "a1234567890", "abc1234567", "abcd123456", "abcdefghij",
        "0987654321", "9876543210", "1q2w3e4r5t", "1qaz2wsx3edc", "1qazxsw23edc", "q1w2e3r4t5",
        "qazwsxedcrfv", "qwertyuiop", "qwerty1234", "qwerty12345", "qwerty123456", "asdfghjkl;",
        "asdfghjkl1", "zxcvbnm123", "password12", "password123", "password1234", "password12345",
        "passw0rd123", "p@ssw0rd123", "p@ssword123", "admin12345", "admin123456", "administrator",
        "admin@1234", "administrator1", "welcome123", "welcome1234", "iloveyou12", "iloveyou123",
        "letmein123", "changeme123", "woaini1314", "woaini5201314", "woaini520520", "5201314520",
        "1314520520", "5201314521", "countersight", "countersight1",
    }
)  # fmt: skip
# Read aloud without doubt: no 0 and o, no 1, i and l.
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def normal(password: str) -> str:
    """Return a password in the one form that keyboards of every kind lead to (NFC)."""
    return unicodedata.normalize("NFC", password)


def check_allowed(name: str, password: str) -> None:
    """See that an account may have a password. Raises Refusal 422 with what is wrong."""
    chosen = normal(password)
    try:
        chosen.encode()
    except UnicodeEncodeError as exc:
        raise Refusal(Problem(422, "PASSWORD_UNREADABLE")) from exc
    if len(chosen) < SHORTEST:
        raise Refusal(Problem(422, "PASSWORD_SHORT"))
    if len(chosen) > LONGEST:
        raise Refusal(Problem(422, "PASSWORD_LONG"))
    folded = chosen.casefold()
    if folded in COMMONEST or folded == name.casefold() or len(set(folded)) == 1:
        raise Refusal(Problem(422, "PASSWORD_COMMON"))


def hashed(password: str) -> str:
    """Return what is kept of a password. Raises Refusal 503 when too many are at it."""
    with _turn():
        return HASHER.hash(normal(password))


def matches(stored: str | None, password: str) -> bool:
    """Check a password, or nobody's, which takes as long. Raises Refusal 503."""
    with _turn():
        try:
            HASHER.verify(stored or _nobody(), normal(password).encode(errors="replace"))
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


def outdated(stored: str) -> bool:
    """Say whether a password was kept with other parameters than today's."""
    return HASHER.check_needs_rehash(stored)


def one_time() -> str:
    """Return a password to hand over once: 79 bits in four groups."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))
    return "-".join(groups)


@contextmanager
def _turn() -> Iterator[None]:
    if not _WAITING.acquire(blocking=False):
        raise Refusal(Problem(503, "UNAVAILABLE"))
    try:
        with _CHECKING:
            yield
    finally:
        _WAITING.release()


@cache
def _nobody() -> str:
    return HASHER.hash(secrets.token_urlsafe(16))
