"""`countersight retention …`: one line a subcommand; each lives in its own module.

A subcommand's module has `add(commands)`, which adds its parser and sets `run=` to a function of
the parsed arguments that returns the exit code: 0 done and as expected, 1 a check failed, 2 wrong
usage or configuration.
"""

from __future__ import annotations

import argparse
import importlib
import sqlite3
import sys
from collections.abc import Callable

from retention.records.errors import UsageError
from retention.store.database import StoreError

SUBCOMMANDS = (
    "retention.check_command",
    "retention.plan_command",
    "retention.rebuild_command",
    "retention.export.export_command",
    "retention.erasure_command",
)


def main(argv: list[str]) -> int:
    """Run one `countersight retention` command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="countersight retention", description="留存核查 / what is kept, and proof of it"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for module in SUBCOMMANDS:
        importlib.import_module(module).add(commands)
    try:
        wanted = parser.parse_args(argv)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 2
    run: Callable[[argparse.Namespace], int] = wanted.run
    try:
        return run(wanted)
    except (StoreError, UsageError, OSError, sqlite3.Error) as exc:
        print(f"countersight retention {wanted.command}: {exc}", file=sys.stderr)
        return 2
