"""`countersight retention check`: what to look at, how deep, and how it is told.

Read-only. Exit codes: 0 everything holds, 1 something does not (the first bad thing is named), 2
wrong usage.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from retention.check import Depth, Report, check

PURPOSE = "核查数据目录 / check the invariants of a node's data folder"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `check` to the commands."""
    command = commands.add_parser("check", help=PURPOSE, description=PURPOSE)
    command.add_argument("--data", type=Path, required=True, help="数据目录 / the data folder")
    command.add_argument(
        "--depth",
        choices=[depth.name.lower() for depth in Depth],
        default="sizes",
        help="核查深度 / how far to look",
    )
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    command.set_defaults(run=_run)


def _run(wanted: argparse.Namespace) -> int:
    report = check(wanted.data, Depth[wanted.depth.upper()])
    if wanted.json:
        print(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        print(_text(report))
    return 0 if report.ok else 1


def _text(report: Report) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in report.counts.items())
    return "\n".join(
        [
            *(f"BAD {bad.check}: {bad.subject}: {bad.detail}" for bad in report.bad),
            f"{'完好 / holds' if report.ok else '不符 / does not hold'}: {counts}",
            *(f"未核查 / not checked: {skipped}" for skipped in report.skipped),
        ]
    )
