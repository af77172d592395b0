"""`countersight central run|migrate|check|account --config FILE [--json]`.

Exit codes: 0 done and as expected, 1 a check failed (the report says which), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from central.account_command import Asked, Change, change_account, told
from central.accounts import ROLES
from central.checks import check
from central.config import CentralConfig, load_config
from central.database import configured, migrate
from central.errors import CheckFailed, DatabaseOutdated, DatabaseUnavailable
from central.projector import reproject
from central.run import run
from retention.keyfiles import KeyRefused
from retention.logs import configure
from retention.records.errors import UsageError


def main(argv: list[str]) -> int:
    """Run one subcommand and return its exit code. Raises UsageError."""
    parser = argparse.ArgumentParser(prog="countersight central")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("run", "run collector, projector and web until stopped"),
        ("migrate", "bring the database to the schema of this software"),
        ("check", "check keys, schema, records and trees"),
        ("account", "make an account for the pages, or change one"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--config", type=Path, required=True)
        command.add_argument("--json", action="store_true", help="print one JSON object")
        if name == "migrate":
            command.add_argument(
                "--reproject", action="store_true", help="make the projections again"
            )
        if name == "account":
            _add_account_arguments(command)
    arguments = parser.parse_args(argv)
    configure("central")
    config = load_config(arguments.config)
    if arguments.command == "run":
        return run(config)
    if arguments.command == "migrate":
        return _migrate(config, again=arguments.reproject, as_json=arguments.json)
    if arguments.command == "account":
        return _account(config, arguments)
    return _check(config, as_json=arguments.json)


def _add_account_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--name", required=True, help="2 to 32 letters, digits or . _ -")
    command.add_argument("--role", choices=ROLES, help="for a new account")
    command.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    change = command.add_mutually_exclusive_group()
    change.add_argument("--reset", action="store_true", help="give a new password")
    change.add_argument("--disable", action="store_true", help="let them in no more")


def _account(config: CentralConfig, arguments: argparse.Namespace) -> int:
    change: Change = "reset" if arguments.reset else "disable" if arguments.disable else "add"
    if change != "add" and arguments.role is not None:
        raise UsageError("--role is for a new account; roles are changed in the pages")
    if change == "disable" and arguments.password_stdin:
        raise UsageError("--password-stdin does not go with --disable")
    asked = Asked(change, arguments.name, arguments.role, arguments.password_stdin)
    print(told(change_account(config, asked), as_json=arguments.json))
    return 0


def _migrate(config: CentralConfig, *, again: bool, as_json: bool) -> int:
    try:
        config.storage.data.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"storage.data {config.storage.data}: {exc.strerror}") from exc
    with configured(config) as database:
        found: dict[str, object] = {"revision": migrate(database)}
        if again:
            found["projected"] = reproject(database)
    print(json.dumps(found) if as_json else "\n".join(f"{k}: {v}" for k, v in found.items()))
    return 0


def _check(config: CentralConfig, *, as_json: bool) -> int:
    try:
        counts = check(config)
    except (CheckFailed, DatabaseUnavailable, DatabaseOutdated, KeyRefused) as exc:
        report: dict[str, object] = {"ok": False, "first_bad": str(exc)}
    else:
        report = {"ok": True, "first_bad": None, **counts}
    if as_json:
        print(json.dumps(report))
    elif report["ok"]:
        print(", ".join(f"{name} {count}" for name, count in counts.items()))
    else:
        print(f"first bad: {report['first_bad']}")
    return 0 if report["ok"] else 1
