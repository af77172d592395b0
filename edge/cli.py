"""`countersight edge run|check|status|enrol|pair|unpair|… --config FILE`.

Exit codes: 0 done and as expected, 1 a check failed, 2 wrong usage or configuration (one clear
line). With `--json` exactly one JSON object goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import zmq

from edge import (
    closure_command,
    hold_command,
    inspector_command,
    pharmacist_command,
    rotate_command,
    shutdown_command,
    status,
    view_command,
)
from edge.checks import check_node
from edge.config import EdgeConfig, load_config
from edge.supervisor import run_node
from edge.terminal import pairing
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
        config = load_config(wanted.config)
        if wanted.command != "status":  # which only reads
            _make_data_folder(config, wanted.config)
        return run(wanted, config)
    except (UsageError, StoreError, FootageError, OSError, sqlite3.Error) as exc:
        print(f"countersight edge {wanted.command}: {exc}", file=sys.stderr)
        return 2


def _make_data_folder(config: EdgeConfig, file: Path) -> None:
    """Make it for this user and group only, for the database tells of people. Raises UsageError
    that names file and key."""
    try:
        config.node.data.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as exc:
        raise UsageError(f"{file}: node.data {config.node.data}: {exc.strerror}") from exc


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
        ("unpair", "撤销终端 / take a terminal's access away", _unpair),
    )
    for name, purpose, run in table:
        command = commands.add_parser(name, help=purpose, description=purpose)
        command.add_argument("--config", type=Path, required=True, help="the node's TOML file")
        command.add_argument("--json", action="store_true", help="one JSON object on stdout")
        command.set_defaults(run=run)
        if name == "pair":
            command.add_argument("--counter", required=True, help="柜台 / the counter's id")
        elif name == "unpair":
            command.add_argument("--terminal", required=True, help="终端 / the terminal's id")
    for module in (
        closure_command,
        hold_command,
        inspector_command,
        pharmacist_command,
        rotate_command,
        shutdown_command,
        view_command,
    ):
        module.add(commands)
    return parser


def _run(_: argparse.Namespace, config: EdgeConfig) -> int:
    configure("supervisor")
    return run_node(config)


def _check(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    found = check_node(config)
    _print(wanted, found.to_json(), found.lines())
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
    with closing(config.open_store()) as store:
        code = pairing.new_code(store, wanted.counter, SystemClock())
    from edge.terminal.qr import pairing_console, pairing_link

    link = pairing_link(config, code)
    found = {"counter": wanted.counter, "code": code, "link": link}
    lines = [
        f"柜台 {wanted.counter} 的配对码 / pairing code of counter {wanted.counter}: {code}",
        f"十分钟内在终端打开或扫码 / open or scan it at the terminal within ten minutes: {link}",
        pairing_console(link),
    ]
    if config.terminal.lan_host is not None:
        from edge.terminal.process import tls_folder  # the web server: not for every command
        from edge.terminal.tls import ensure_certificate

        made = ensure_certificate(tls_folder(config), config.terminal.lan_host)
        found["certificate_sha256"] = made.fingerprint
        lines.append(f"证书指纹 / certificate SHA-256: {made.fingerprint}")
    _print(wanted, found, lines)
    return 0


def _unpair(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    with closing(config.open_store()) as store:
        if not pairing.revoke(store, wanted.terminal, "edge unpair"):
            raise UsageError(f"terminal {wanted.terminal[:80]!r}: no paired terminal has this id")
    _print(wanted, {"terminal": wanted.terminal}, [f"已撤销 / revoked: {wanted.terminal}"])
    return 0


def _print(wanted: argparse.Namespace, found: Mapping[str, object], lines: list[str]) -> None:
    if wanted.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        print("\n".join(lines))
