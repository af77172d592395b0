"""What the node's commands share: a secret that is asked for, an answer that is told, and the
`add|revoke|list` of those who sign with their own name.

A secret is asked for at the terminal, or read from the first line of standard input; it is never
an argument.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from edge.config import EdgeConfig
from retention.pages.formats import absolute
from retention.records.clock import to_text
from retention.records.errors import UsageError
from retention.store import credentials
from retention.store.credentials import ONE_OF, Role

Deed = Callable[[argparse.Namespace, EdgeConfig], int]

_PROMPTS: dict[Role, str] = {
    "inspectors": "检查员口令 / inspector's secret: ",
    "pharmacists": "药师口令 / pharmacist's secret: ",
}


def ask_secret(role: Role) -> str:
    """Ask for the secret of one of a role, or read one line when nobody sits at a terminal."""
    if sys.stdin.isatty():
        return getpass.getpass(_PROMPTS[role])
    return sys.stdin.readline().rstrip("\r\n")


def tell(wanted: argparse.Namespace, found: dict[str, object], lines: list[str]) -> int:
    """Print the answer as JSON or as lines; returns the exit code 0."""
    text = json.dumps(found, ensure_ascii=False) if wanted.json else "\n".join(lines)
    sys.stdout.write(text + "\n")
    return 0


def add_deeds(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    role: Role,
    *,
    purpose: str,
    id_help: str,
    deeds: tuple[Deed, Deed, Deed],
) -> None:
    """Add the command of a role, with what adds, revokes and lists."""
    parser = commands.add_parser(ONE_OF[role], help=purpose, description=purpose)
    named = parser.add_subparsers(dest="deed", required=True)
    added = named.add_parser("add", help="登记或更换口令 / store a credential, or replace it")
    revoked = named.add_parser("revoke", help="撤销 / take the access away")
    listed = named.add_parser("list", help="列出 / all there ever were")
    for deed, run in zip((added, revoked, listed), deeds, strict=True):
        deed.add_argument("--config", type=Path, required=True, help="the node's TOML file")
        deed.add_argument("--json", action="store_true", help="one JSON object on stdout")
        if deed is not listed:
            deed.add_argument("--id", required=True, help=id_help)
        deed.set_defaults(run=run)


def tell_listed(wanted: argparse.Namespace, config: EdgeConfig, role: Role) -> int:
    """Print every credential of a role that was ever added; returns the exit code 0."""
    with closing(config.open_store()) as store, store.read() as connection:
        rows = credentials.listed(connection, role)
    found = [
        {
            ONE_OF[role]: row.id,
            "added_at": to_text(row.added_at),
            "revoked_at": None if row.revoked_at is None else to_text(row.revoked_at),
        }
        for row in rows
    ]
    lines = [
        f"{row.id}  {absolute(row.added_at)}"
        + ("" if row.revoked_at is None else f"  已撤销 / revoked {absolute(row.revoked_at)}")
        for row in rows
    ]
    return tell(wanted, {role: found}, lines or ["没有 / none"])


def nobody(role: Role, name: str) -> UsageError:
    """Return the refusal to revoke whom there is not, or who was revoked before."""
    return UsageError(f"{ONE_OF[role]} {name[:80]!r}: nobody here has this id")
