"""Signing in: a name and a password for a cookie's token, of which only the SHA-256 is kept.

(1) a try is counted before it is checked, so tries made at the same moment cannot pass the limit
(2) unknown, disabled, locked and wrong get one answer, after one check of the same length
(3) every sign-in has a new token: one that a browser brought along is never taken on
(4) a sign-in ends by itself: some hours after it began, or when nothing was asked for a while
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, func, insert, select, update

from central import passwords
from central.access import write_access
from central.accounts import ACCOUNTS, SIGN_INS, Role
from central.database import Database
from retention.records.ids import IdSource
from retention.terms.problems import Problem, Refusal

FAILURES = 5
MICROSECOND = timedelta(microseconds=1)
LOCKED_FOR = timedelta(minutes=15) // MICROSECOND
# A request is written down as activity at most this often, so that reading pages costs no fsync.
TOUCHED_EVERY = timedelta(seconds=30) // MICROSECOND


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a cookie belongs to. `must_change`: nothing else before a password of their own."""

    account: str
    role: Role
    sign_in: str
    must_change: bool
    last_seen_at: int


def digest(token: str) -> str:
    """Return what is kept of a cookie's token."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def sign_in(
    database: Database,
    ids: IdSource,
    now: Callable[[], int],
    *,
    name: str,
    password: str,
    lasts: timedelta,
    instead_of: str | None = None,
) -> str:
    """Return the token of a new sign-in; `instead_of` (a digest) ends. Raises Refusal
    SIGN_IN_REFUSED, the same for every cause."""
    name = name.strip().lower()
    check(database, ids, now, name=name, password=password)
    with database.write() as connection:
        if instead_of is not None:
            end(connection, instead_of, now())
        _tell(connection, ids, now(), name, "account.sign_in")
        return begin(connection, name, now(), lasts)


def check(
    database: Database, ids: IdSource, now: Callable[[], int], *, name: str, password: str
) -> None:
    """Check an account's password and forget its failures. Raises Refusal SIGN_IN_REFUSED, the
    same for every cause."""
    with database.write() as connection:  # (1)
        stored, locks = _take_a_try(connection, name, now())
    right = passwords.matches(stored, password)  # (2)
    if stored is None or not right:
        if locks:
            with database.write() as connection:
                _tell(connection, ids, now(), name, "account.locked")
        raise Refusal(Problem(403, "SIGN_IN_REFUSED"))
    newer = passwords.hashed(password) if passwords.outdated(stored) else stored
    with database.write() as connection:
        if not _settle(connection, name, stored, newer):
            raise Refusal(Problem(403, "SIGN_IN_REFUSED"))


def begin(connection: Connection, name: str, now: int, lasts: timedelta) -> str:
    """Return the token of a new sign-in of an account whose owner was checked."""
    token = secrets.token_urlsafe(32)  # (3)
    connection.execute(
        insert(SIGN_INS).values(
            token_sha256=digest(token),
            account=name,
            created_at=now,
            last_seen_at=now,
            expires_at=now + lasts // MICROSECOND,
        )
    )
    return token


def end(connection: Connection, sign_in: str, now: int) -> None:
    """End one sign-in, if it has not ended yet."""
    live = (SIGN_INS.c.token_sha256 == sign_in) & SIGN_INS.c.ended_at.is_(None)
    connection.execute(update(SIGN_INS).where(live).values(ended_at=now))


def person(connection: Connection, sign_in: str, now: int, idle: timedelta) -> Person | None:
    """Return whom a sign-in (its digest) belongs to, or None when it holds no longer."""
    row = connection.execute(
        select(SIGN_INS, ACCOUNTS.c.role, ACCOUNTS.c.must_change)
        .join(ACCOUNTS, ACCOUNTS.c.name == SIGN_INS.c.account)
        .where(
            SIGN_INS.c.token_sha256 == sign_in,
            SIGN_INS.c.ended_at.is_(None),
            ACCOUNTS.c.disabled_at.is_(None),
            SIGN_INS.c.expires_at > now,  # (4)
            SIGN_INS.c.last_seen_at > now - idle // MICROSECOND,
        )
    ).one_or_none()
    if row is None:
        return None
    return Person(row.account, row.role, sign_in, bool(row.must_change), row.last_seen_at)


def touch(connection: Connection, sign_in: str, now: int) -> None:
    """Write down that somebody asked for something just now."""
    live = (SIGN_INS.c.token_sha256 == sign_in) & SIGN_INS.c.ended_at.is_(None)
    connection.execute(
        update(SIGN_INS).where(live, SIGN_INS.c.last_seen_at < now).values(last_seen_at=now)
    )


def _take_a_try(connection: Connection, name: str, now: int) -> tuple[str | None, bool]:
    """Count a try. Returns the stored password, None when there is nothing to try, and whether
    this try locks the account unless it is right."""
    row = connection.execute(
        select(ACCOUNTS).where(ACCOUNTS.c.name == name, ACCOUNTS.c.disabled_at.is_(None))
    ).one_or_none()
    if row is None or (row.locked_until is not None and now < row.locked_until):
        # A write as long as the one below, which changes nothing: the answer must not come sooner.
        first = select(func.min(ACCOUNTS.c.name)).scalar_subquery()
        connection.execute(
            update(ACCOUNTS).where(ACCOUNTS.c.name == first).values(failures=ACCOUNTS.c.failures)
        )
        return None, False
    failures = 1 if row.locked_until is not None else row.failures + 1
    locks = failures >= FAILURES
    connection.execute(
        update(ACCOUNTS)
        .where(ACCOUNTS.c.name == name)
        .values(failures=failures, locked_until=now + LOCKED_FOR if locks else None)
    )
    return row.password_hash, locks


def _settle(connection: Connection, name: str, checked: str, newer: str) -> bool:
    """Forget the failures, and keep the password with today's parameters; False when the account
    was disabled or its password changed while it was checked."""
    found = connection.execute(
        update(ACCOUNTS)
        .where(
            ACCOUNTS.c.name == name,
            ACCOUNTS.c.disabled_at.is_(None),
            ACCOUNTS.c.password_hash == checked,
        )
        .values(failures=0, locked_until=None, password_hash=newer)
    )
    return found.rowcount == 1


def _tell(connection: Connection, ids: IdSource, now: int, name: str, action: str) -> None:
    write_access(connection, ids, now, actor=name, action=action, subject=f"account {name}")
