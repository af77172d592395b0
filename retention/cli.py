"""`countersight retention check --data DIR [--depth rows|sizes|digests] [--json]`.

Read-only. Exit codes: 0 everything holds, 1 something does not (the first bad thing is named), 2
wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from pathlib import Path

from retention.check import Depth, check
from retention.store.database import StoreError


def main(argv: list[str]) -> int:
    """Run one `countersight retention` command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="countersight retention", description="留存核查 / what is kept, and proof of it"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    purpose = "核查数据目录 / check the invariants of a node's data folder"
    command = commands.add_parser("check", help=purpose, description=purpose)
    command.add_argument("--data", type=Path, required=True, help="数据目录 / the data folder")
    command.add_argument(
        "--depth",
        choices=[depth.name.lower() for depth in Depth],
        default="sizes",
        help="核查深度 / how far to look",
    )
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    try:
        wanted = parser.parse_args(argv)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 2
    return _check(wanted.data, Depth[wanted.depth.upper()], as_json=wanted.json)


def _check(data: Path, depth: Depth, *, as_json: bool) -> int:
    try:
        report = check(data, depth)
    except (StoreError, OSError, sqlite3.Error) as exc:
        print(f"countersight retention check: {exc}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        for bad in report.bad:
            print(f"BAD {bad.check}: {bad.subject}: {bad.detail}")
        counts = ", ".join(f"{name} {count}" for name, count in report.counts.items())
        print(f"{'完好 / holds' if report.ok else '不符 / does not hold'}: {counts}")
        for skipped in report.skipped:
            print(f"未核查 / not checked: {skipped}")
    return 0 if report.ok else 1
