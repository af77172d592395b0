"""`countersight retention plan --config FILE [--json] [--plot FILE.svg]`.

Read-only; the node may run. Exit codes: 0 every floor will be met, 1 one will not (the plan says
when and what to change), 2 wrong usage or configuration.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from pathlib import Path

from retention.nodefile import load_node_file
from retention.plan import gather, is_too_old, lines, to_json
from retention.plan_picture import picture
from retention.records.clock import SystemClock
from retention.records.errors import UsageError

PURPOSE = (
    "存储规划：需多少、已存多久、何时不足 / storage needed, days held, first date a floor is missed"
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `plan` to the commands."""
    command = commands.add_parser("plan", help=PURPOSE, description=PURPOSE)
    command.add_argument("--config", type=Path, required=True,
                         help="节点配置 / the node's configuration")  # fmt: skip
    command.add_argument("--plot", type=Path, metavar="FILE.svg",
                         help="另存曲线图 / also write the picture")  # fmt: skip
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    command.set_defaults(run=_run)


def _run(wanted: argparse.Namespace) -> int:
    plot: Path | None = wanted.plot
    if plot is not None and plot.suffix.lower() != ".svg":
        raise UsageError(f"--plot {plot}: the picture is SVG; name it FILE.svg")
    node = load_node_file(wanted.config)
    try:
        plan = gather(node, SystemClock().now())
    except sqlite3.OperationalError as exc:
        if is_too_old(exc):
            raise UsageError(f"{node.database}: of an older version; start the node once") from exc
        raise
    if plot is not None:
        plot.write_text(picture(plan), encoding="utf-8")
    if wanted.json:
        print(json.dumps(to_json(plan), ensure_ascii=False))
    else:
        print("\n".join(lines(plan)))
        if plot is not None:
            print(f"曲线图 / picture: {plot}", file=sys.stderr)
    return 0 if plan.meets_floor else 1
