"""`countersight central account`: makes an account, gives it a new password, or disables it.

A password that we make is printed once and has to be changed at the first sign-in; one given on
standard input is its owner's. Each change leaves an access row of the command line.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from central import accounts, passwords
from central.access import COMMAND_LINE, write_access
from central.config import CentralConfig
from central.database import configured, require_file, require_head
from retention.records.clock import SystemClock, to_micros
from retention.records.errors import UsageError
from retention.records.ids import SystemIds
from retention.terms.problems import Refusal
from retention.terms.reasons import BY_CODE

Change = Literal["add", "reset", "disable"]
LONGEST_LINE = 4096
DONE: dict[Change, str] = {"add": "added", "reset": "given a new password", "disable": "disabled"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for. `role` counts for `add` only."""

    change: Change
    name: str
    role: str | None
    password_stdin: bool


def change_account(config: CentralConfig, asked: Asked) -> dict[str, object]:
    """Do it and tell what was done; `password` is set when we made one. Raises UsageError."""
    try:
        return _changed(config, asked)
    except Refusal as refusal:
        reason = BY_CODE[refusal.problem.code]
        detail = refusal.problem.detail or reason.do_en
        raise UsageError(f"account {asked.name}: {reason.en}. {detail}".rstrip(". ")) from refusal


def told(found: dict[str, object], *, as_json: bool) -> str:
    """Return what to print: one JSON object, or lines for a person."""
    if as_json:
        return json.dumps(found)
    lines = [f"account {found['account']} ({found['role']}): {found['done']}"]
    if found["password"] is not None:
        lines += [
            f"password: {found['password']}",
            "It is shown once. At the first sign-in it has to be changed.",
        ]
    return "\n".join(lines)


def _changed(config: CentralConfig, asked: Asked) -> dict[str, object]:
    name = accounts.clean_name(asked.name)
    if asked.change == "add" and asked.role is None:
        raise UsageError("--role: inspector or admin is needed for a new account")
    given = _from_stdin() if asked.password_stdin else None
    made = passwords.one_time() if given is None and asked.change != "disable" else None
    password = given or made
    stored = None if password is None else accounts.check_password(name, password)
    now = to_micros(SystemClock().now())
    with configured(config) as database:
        require_file(config.database_url)
        require_head(database)
        with database.write() as connection:
            _apply(connection, asked, name, stored, now, must_change=made is not None)
            role = accounts.account(connection, name).role
            subject = f"account {name} ({role})" if asked.change == "add" else f"account {name}"
            write_access(
                connection, SystemIds(), now, actor=COMMAND_LINE,
                action=f"account.{asked.change}", subject=subject,
            )  # fmt: skip
    return {"account": name, "role": role, "done": DONE[asked.change], "password": made}


def _apply(
    connection: Connection,
    asked: Asked,
    name: str,
    stored: str | None,
    now: int,
    *,
    must_change: bool,
) -> None:
    if stored is None:
        accounts.disable(connection, name, now)
    elif asked.change == "reset":
        accounts.set_password(connection, name, stored, now, must_change=must_change)
    else:
        accounts.add(
            connection, name=name, role=accounts.clean_role(asked.role or ""),
            password_hash=stored, now=now, by=COMMAND_LINE, must_change=must_change,
        )  # fmt: skip


def _from_stdin() -> str:
    """Return the first line of standard input. Raises UsageError when it is empty."""
    password = sys.stdin.readline(LONGEST_LINE).rstrip("\r\n")
    if not password:
        raise UsageError("--password-stdin: standard input is empty")
    return password
