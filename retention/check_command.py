"""`countersight retention check`: what to look at, how deep, and how it is told.

Read-only. Exit codes: 0 everything holds, 1 something does not (the first bad thing is named), 2
wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from retention.check import Depth, Options, Report, check
from retention.checking.progress import Meter
from retention.nodefile import load_node_file
from retention.records.errors import UsageError

PURPOSE = "核查数据目录 / check the invariants of a node's data folder"
KEY_BYTES = 32


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `check` to the commands."""
    command = commands.add_parser("check", help=PURPOSE, description=PURPOSE)
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, help="数据目录 / the data folder")
    where.add_argument(
        "--config", type=Path, help="节点配置（含存储卷与中心密钥）/ the node's configuration: "
        "its volumes and central's key too",
    )  # fmt: skip
    command.add_argument(
        "--volume", action="append", default=[], metavar="NAME=DIR",
        help="存储卷所在目录，可重复 / where a volume lies; may be repeated",
    )  # fmt: skip
    command.add_argument(
        "--depth",
        choices=[depth.name.lower() for depth in Depth],
        default="sizes",
        help="核查深度 / how far to look",
    )
    command.add_argument(
        "--central-key", metavar="HEX",
        help="中心公钥，用于核对会签 / central's public key, to verify countersignatures",
    )  # fmt: skip
    command.add_argument(
        "--resume", type=Path, metavar="FILE",
        help="中断后从此继续（须在数据目录之外）/ go on where a check by digests was broken off",
    )  # fmt: skip
    command.add_argument(
        "--progress", action="store_true", help="显示进度 / say how far it is, on standard error"
    )
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    command.set_defaults(run=_run)


def _run(wanted: argparse.Namespace) -> int:
    data, options = _asked(wanted)
    try:
        report = check(data, Depth[wanted.depth.upper()], options)
    except KeyboardInterrupt:
        if options.resume is not None:
            print(f"已中断，可继续 / broken off, goes on with --resume {options.resume}",
                  file=sys.stderr)  # fmt: skip
        raise
    if wanted.json:
        print(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        print(_text(report))
    return 0 if report.ok else 1


def _asked(wanted: argparse.Namespace) -> tuple[Path, Options]:
    data: Path = wanted.data
    roots: dict[str, Path] = {}
    key: bytes | None = None
    if wanted.config is not None:
        node = load_node_file(wanted.config)
        data, roots, key = node.node.data, node.volume_roots, node.central_key
    if wanted.volume:
        roots = _volumes(wanted.volume)
    if wanted.central_key is not None:
        key = _key(wanted.central_key)
    shown = wanted.progress or sys.stderr.isatty()
    _outside(wanted.resume, [data, *roots.values()])
    return data, Options(
        roots=roots,
        central_key=key,
        resume=wanted.resume,
        meter=Meter(sys.stderr if shown else None),
    )


def _volumes(asked: list[str]) -> dict[str, Path]:
    found = {}
    for one in asked:
        name, mark, folder = one.partition("=")
        if not (name and mark and folder):
            raise UsageError(f"--volume {one}: NAME=DIR is wanted")
        found[name] = Path(folder)
    return found


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(f"--central-key: {2 * KEY_BYTES} hexadecimal digits are wanted")
    return key


def _outside(path: Path | None, folders: list[Path]) -> None:
    """The check writes nothing where it looks: a stray file there would be its own finding."""
    if path is None:
        return
    for folder in folders:
        if path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"--resume {path}: lies in {folder}, which is only read")


def _text(report: Report) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in report.counts.items())
    return "\n".join(
        [
            *(f"BAD {bad.check}: {bad.subject}: {bad.detail}" for bad in report.bad),
            f"{'完好 / holds' if report.ok else '不符 / does not hold'}: {counts}",
            *(f"未核查 / not checked: {skipped}" for skipped in report.skipped),
        ]
    )
