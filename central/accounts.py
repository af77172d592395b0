"""Accounts of people at central: who may sign in, and as what.

Every function works in the caller's transaction; the caller writes the access row in the same one.
The last admin who may sign in stays an admin, so that nobody is locked out of central for good.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, insert, select, update

from central import passwords
from central.tables import Account, SignIn, table_of
from retention.terms.problems import Problem, Refusal

ACCOUNTS, SIGN_INS = table_of(Account), table_of(SignIn)
Role = Literal["inspector", "admin"]
ROLES: tuple[Role, ...] = ("inspector", "admin")
NAME = re.compile(r"[a-z0-9._-]{2,32}", re.ASCII)
AnyRow = Row[*tuple[Any, ...]]


def clean_name(name: str) -> str:
    """Return a name as it is kept. Raises Refusal NAME_REFUSED."""
    kept = name.strip().lower()
    if NAME.fullmatch(kept) is None:
        raise Refusal(Problem(422, "NAME_REFUSED"))
    return kept


def clean_role(role: str) -> Role:
    """Return a role that there is. Raises Refusal INVALID_REQUEST."""
    for known in ROLES:
        if role == known:
            return known
    raise Refusal(Problem(422, "INVALID_REQUEST", f"role: one of {', '.join(ROLES)}"))


def any_account(connection: Connection) -> bool:
    """Say whether somebody was ever given an account."""
    return connection.execute(select(ACCOUNTS.c.name).limit(1)).first() is not None


def account(connection: Connection, name: str) -> AnyRow:
    """Return the row of an account. Raises Refusal ACCOUNT_UNKNOWN."""
    row = connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.name == name)).one_or_none()
    if row is None:
        raise Refusal(Problem(404, "ACCOUNT_UNKNOWN"))
    return row


def all_accounts(connection: Connection) -> list[AnyRow]:
    """Return every account by name, each with `last_sign_in` (microseconds or None)."""
    last = (
        select(func.max(SIGN_INS.c.created_at))
        .where(SIGN_INS.c.account == ACCOUNTS.c.name)
        .scalar_subquery()
    )
    query = select(ACCOUNTS, last.label("last_sign_in")).order_by(ACCOUNTS.c.name)
    return list(connection.execute(query))


def add(
    connection: Connection,
    *,
    name: str,
    role: Role,
    password_hash: str,
    now: int,
    by: str,
    must_change: bool,
) -> None:
    """Add an account; `name` is clean, the password allowed. Raises Refusal NAME_TAKEN."""
    taken = select(ACCOUNTS.c.name).where(ACCOUNTS.c.name == name)
    if connection.execute(taken).first() is not None:
        raise Refusal(Problem(409, "NAME_TAKEN"))
    connection.execute(
        insert(ACCOUNTS).values(
            name=name,
            role=role,
            password_hash=password_hash,
            created_at=now,
            created_by=by,
            must_change=int(must_change),
            failures=0,
        )
    )


def set_role(connection: Connection, name: str, role: Role) -> None:
    """Make somebody inspector or admin. Raises Refusal ACCOUNT_UNKNOWN, LAST_ADMIN."""
    account(connection, name)
    if role != "admin":
        _keep_an_admin(connection, name)
    _change(connection, name, role=role)


def disable(connection: Connection, name: str, now: int) -> None:
    """Let somebody in no more, from now on. Raises Refusal ACCOUNT_UNKNOWN, LAST_ADMIN."""
    if account(connection, name).disabled_at is not None:
        return
    _keep_an_admin(connection, name)
    _change(connection, name, disabled_at=now)
    end_sign_ins(connection, name, now)


def enable(connection: Connection, name: str) -> None:
    """Let somebody in again who was disabled. Raises Refusal ACCOUNT_UNKNOWN."""
    account(connection, name)
    _change(connection, name, disabled_at=None, failures=0, locked_until=None)


def set_password(
    connection: Connection,
    name: str,
    password_hash: str,
    now: int,
    *,
    must_change: bool,
    stays: str | None = None,
) -> None:
    """Give a new password; every sign-in ends but the one that `stays`. Raises ACCOUNT_UNKNOWN."""
    account(connection, name)
    _change(
        connection,
        name,
        password_hash=password_hash,
        must_change=int(must_change),
        failures=0,
        locked_until=None,
    )
    end_sign_ins(connection, name, now, stays)


def end_sign_ins(connection: Connection, name: str, now: int, stays: str | None = None) -> None:
    """End an account's sign-ins, all but the one that `stays` (its SHA-256)."""
    theirs = (SIGN_INS.c.account == name) & SIGN_INS.c.ended_at.is_(None)
    if stays is not None:
        theirs &= SIGN_INS.c.token_sha256 != stays
    connection.execute(update(SIGN_INS).where(theirs).values(ended_at=now))


def check_password(name: str, password: str) -> str:
    """Return what is kept of a password that this account may have. Raises Refusal."""
    passwords.check_allowed(name, password)
    return passwords.hashed(password)


def _change(connection: Connection, name: str, **values: object) -> None:
    connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.name == name).values(**values))


def _keep_an_admin(connection: Connection, name: str) -> None:
    """Raise LAST_ADMIN when nobody but `name` could administer. Admins are locked as they are
    read, for databases on which two transactions run at once."""
    admins = (
        select(ACCOUNTS.c.name)
        .where(ACCOUNTS.c.role == "admin", ACCOUNTS.c.disabled_at.is_(None))
        .with_for_update()
    )
    if list(connection.execute(admins).scalars()) == [name]:
        raise Refusal(Problem(409, "LAST_ADMIN"))
