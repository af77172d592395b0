"""`countersight retention rebuild`: a lost index made again from the files.

Exit codes: 0 made and checked, 1 made but the check found something, 2 refused.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from retention.check import Depth, Options, check
from retention.checking.progress import Meter
from retention.footage.inventory import amount
from retention.nodefile import load_node_file
from retention.rebuild import rebuild
from retention.records.clock import SystemClock
from retention.records.errors import UsageError
from retention.records.ids import SystemIds

PURPOSE = "由录像文件重建索引 / make a lost index again from the files alone"
LONGEST = 200


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `rebuild` to the commands."""
    command = commands.add_parser("rebuild", help=PURPOSE, description=PURPOSE)
    command.add_argument("--config", type=Path, required=True, help="节点配置 / the node's file")
    command.add_argument("--author", required=True, help="操作人 / who asks for it")
    command.add_argument("--reason", required=True, help="原因 / why")
    command.set_defaults(run=_run)


def _run(wanted: argparse.Namespace) -> int:
    for name in ("author", "reason"):
        if not 0 < len(getattr(wanted, name).strip()) <= LONGEST:
            raise UsageError(f"--{name}: 1 to {LONGEST} characters are wanted")
    node = load_node_file(wanted.config)
    meter = Meter(sys.stderr)
    roots = {name: root for name, root in node.volume_roots.items() if root.is_dir()}
    meter.begin(*amount(roots))
    made_again = rebuild(node, SystemClock(), SystemIds(), wanted.author, wanted.reason, meter.step)
    meter.end()
    made = made_again.indexed
    print(
        f"已重建 / made again: {made.segments} 段 / segments, {made.bytes} 字节 / bytes,"
        f" {made.gaps} 处缺口 / gaps, {made.unexplained} 个不明文件 / unexplained files"
    )
    for name in made_again.aside:
        print(f"原件保留为 / kept aside as: {name}")
    print("会话、同意、保全与策略不在文件中，未能恢复；中心将发现日志不再衔接，须人工处理。")
    print("原有保全不明，现保全全部内容，直至检查员解除：countersight edge hold list / release")
    print("Sessions, consents, holds and policies are not in the files and are gone; central will")
    print("find that the log does not continue the one it holds: a person must decide. As nobody")
    print("knows what was held, everything is, until an inspector releases it.")
    report = check(node.node.data, Depth.SIZES, Options(roots=node.volume_roots))
    for bad in report.bad:
        print(f"BAD {bad.check}: {bad.subject}: {bad.detail}")
    return 0 if report.ok else 1
