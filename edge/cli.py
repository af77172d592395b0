"""`countersight edge run|check|status|enrol|pair|pharmacist --config FILE`.

Exit codes: 0 done and as expected, 1 a check failed, 2 wrong usage or configuration (one clear
line). With `--json` exactly one JSON object goes to standard output.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import zmq

from edge import status
from edge.checks import check_node
from edge.config import EdgeConfig, load_config
from edge.supervisor import run_node
from edge.terminal import pairing, pharmacists
from retention.footage.layout import FootageError
from retention.keyfiles import KeyDirectory
from retention.logs import configure
from retention.records.clock import SystemClock
from retention.records.errors import UsageError
from retention.store.database import StoreError

Command = Callable[[argparse.Namespace, EdgeConfig], int]


def main(argv: list[str]) -> int:
    """Run one `countersight edge` command and return its exit code."""
    try:
        wanted = _parser().parse_args(argv)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 2
    run: Command = wanted.run
    try:
        return run(wanted, load_config(wanted.config))
    except (UsageError, StoreError, FootageError, OSError) as exc:
        print(f"countersight edge {wanted.command}: {exc}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="countersight edge", description="药店节点 / the pharmacy node"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    table: tuple[tuple[str, str, Command], ...] = (
        ("run", "运行节点 / run the node", _run),
        ("check", "检查配置、密钥、模型与摄像头 / check what the node needs", _check),
        ("status", "摄像头、缺口与待传记录 / cameras, gaps and backlog", _status),
        ("enrol", "打印入网信息 / print the enrolment", _enrol),
        ("pair", "生成终端配对码 / make a terminal's pairing code", _pair),
        ("pharmacist", "登记药师凭证 / store a pharmacist's credential", _pharmacist),
    )
    for name, purpose, run in table:
        command = commands.add_parser(name, help=purpose, description=purpose)
        command.add_argument("--config", type=Path, required=True, help="the node's TOML file")
        command.add_argument("--json", action="store_true", help="one JSON object on stdout")
        command.set_defaults(run=run)
        if name == "pair":
            command.add_argument("--counter", required=True, help="柜台 / the counter's id")
        elif name == "pharmacist":
            command.add_argument("--id", required=True, help="药师编号 / the pharmacist's id")
    return parser


def _run(_: argparse.Namespace, config: EdgeConfig) -> int:
    configure("supervisor")
    return run_node(config)


def _check(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    found = check_node(config)
    lines = [f"{'ok ' if item.ok else 'BAD'} {item.what}: {item.detail}" for item in found.items]
    _print(wanted, found.to_json(), lines)
    return 0 if found.ok else 1


def _status(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    found = status.read(config)
    _print(wanted, found, status.lines(found))
    return 0


def _enrol(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    # The output is JSON with or without --json: it is posted to central as it is.
    print(json.dumps(enrolment(config)))
    return 0


def enrolment(config: EdgeConfig) -> dict[str, str]:
    """Return what central needs to know this node; makes the keys at first use."""
    keys = config.keys()
    return {
        "agency": config.node.agency,
        "pharmacy": config.node.pharmacy,
        "node": config.node.node,
        "curve_public_key": curve_public_key(keys),
        "signing_public_key": keys.signer().public_key.hex(),
    }


def curve_public_key(keys: KeyDirectory) -> str:
    """Return the public half of the node's CURVE key (Z85)."""
    _, fresh = zmq.curve_keypair()
    return zmq.curve_public(keys.text("curve", fresh.decode()).encode()).decode()


def _pair(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    store = config.open_store()
    try:
        code = pairing.new_code(store, wanted.counter, SystemClock())
    finally:
        store.close()
    _print(
        wanted,
        {"counter": wanted.counter, "code": code},
        [f"柜台 {wanted.counter} 的配对码 / pairing code of counter {wanted.counter}: {code}"],
    )
    return 0


def _pharmacist(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    if sys.stdin.isatty():
        secret = getpass.getpass("药师口令 / secret: ")
    else:
        secret = sys.stdin.readline().rstrip("\r\n")
    store = config.open_store()
    try:
        pharmacists.add(store, wanted.id, secret)
    finally:
        store.close()
    _print(wanted, {"pharmacist": wanted.id}, [f"已登记 / stored: {wanted.id}"])
    return 0


def _print(wanted: argparse.Namespace, found: Mapping[str, object], lines: list[str]) -> None:
    if wanted.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        print("\n".join(lines))
