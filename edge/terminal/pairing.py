"""Pairing a terminal: a short code made on the node, typed once at the counter.

A code has eight digits, is used once, lives ten minutes, and locks after five wrong tries. A
wrong try could have been meant for any waiting code, so it counts against all of them: guessing
has five tries in 10^8, however many terminals guess. Tokens are 256 random bits; only their
SHA-256 is stored, which also makes the comparison a look-up that leaks nothing by its time.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from pydantic import TypeAdapter, ValidationError

from retention.records.clock import Clock
from retention.records.errors import UsageError
from retention.records.fields import Code
from retention.records.payloads import TerminalPaired, TerminalRevoked
from retention.store.database import NodeStore
from retention.store.log import append
from retention.store.terminals import (
    count_wrong_code,
    insert_terminal,
    mark_revoked,
    replace_code,
    terminal_by_token,
    use_code,
)
from retention.terms.problems import Problem, Refusal

CODE_DIGITS = 8
CODE_LIVES = timedelta(minutes=10)
WRONG_TRIES = 5


@dataclass(frozen=True, slots=True)
class Paired:
    """A terminal that was just paired. The token is shown once and kept nowhere."""

    terminal: str
    counter: str
    token: str


def new_code(store: NodeStore, counter: str, clock: Clock) -> str:
    """Make the pairing code of a counter; earlier unused ones stop working.

    Raises UsageError for a counter name that records could not carry.
    """
    check_code(counter, "counter")
    code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
    with store.write() as connection:
        replace_code(connection, counter, digest(code), clock.now() + CODE_LIVES)
    return code


def pair(store: NodeStore, code: str, name: str) -> Paired:
    """Use a code up and make a terminal of it. Raises Refusal PAIRING_REFUSED."""
    token = secrets.token_urlsafe(32)
    terminal = store.ids.new()
    now = store.clock.now()
    with store.write() as connection:
        counter = use_code(connection, digest(code), now, WRONG_TRIES)
        if counter is None:
            count_wrong_code(connection, now, WRONG_TRIES)
        else:
            insert_terminal(connection, terminal, counter, name, digest(token), now)
            paired = TerminalPaired(terminal=terminal, counter=counter, name=name)
            append(store, connection, paired, counter=counter)
    if counter is None:
        raise Refusal(Problem(403, "PAIRING_REFUSED"))
    return Paired(terminal, counter, token)


def terminal_of(store: NodeStore, token: str) -> tuple[str, str] | None:
    """Return (terminal, counter) of a token that was not revoked."""
    with store.read() as connection:
        row = terminal_by_token(connection, digest(token))
    return None if row is None else (row.id, row.counter)


def revoke(store: NodeStore, terminal: str, reason: str) -> bool:
    """Stop a terminal's token from working; say whether there was one."""
    with store.write() as connection:
        if not mark_revoked(connection, terminal, store.clock.now()):
            return False
        append(store, connection, TerminalRevoked(terminal=terminal, reason=reason))
    return True


def digest(secret: str) -> str:
    """Return the SHA-256 under which a code or a token is looked up."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_code(value: str, what: str) -> None:
    """Refuse a name that is not a code. Raises UsageError."""
    try:
        TypeAdapter(Code).validate_python(value)
    except ValidationError as exc:
        raise UsageError(
            f"{what} {value[:80]!r}: allowed are 1 to 64 letters, digits and _.:/+-, "
            "beginning with a letter or a digit"
        ) from exc
