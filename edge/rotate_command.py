"""`countersight edge rotate-key reference`: a new key for references and probes.

The node may run meanwhile. A rotation that was broken off goes on with the same command. Exit 0:
everything is under the new key; 1: something could not be moved, and its old key is kept.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edge.command_kit import tell
from edge.config import EdgeConfig
from retention.durable import FileLock

if TYPE_CHECKING:
    from edge.rotation import Rotated

LOCK = "rotate-key.lock"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `countersight edge`."""
    purpose = "更换加密密钥，节点可继续运行 / replace a key; the node may run meanwhile"
    command = commands.add_parser("rotate-key", help=purpose, description=purpose)
    command.add_argument("key", choices=["reference"], help="密钥 / which key")
    command.add_argument("--config", type=Path, required=True, help="the node's TOML file")
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    command.set_defaults(run=run)


def run(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    """Rotate. Raises UsageError (no key to rotate to, or a rotation is going on), StoreError."""
    from edge.rotation import rotate  # needs OpenCV, as all of identity: not for every command

    lock = FileLock(config.node.data / "run" / LOCK)
    try:
        with closing(config.open_store()) as store:
            done = rotate(store, config.reference_keys(), _tell_progress)
    finally:
        lock.release()
    tell(wanted, asdict(done) | {"complete": done.complete}, _lines(done))
    return 0 if done.complete else 1


def _tell_progress(done: Rotated) -> None:
    sys.stderr.write(f"参照 / references {done.references}, 留样 / probes {done.probes}\n")


def _lines(done: Rotated) -> list[str]:
    lines = [
        f"新密钥 / new key {done.key_id}: 参照 / references {done.references}, "
        f"留样 / probes {done.probes}"
    ]
    lines += [f"已销毁旧密钥 / old key destroyed: {key_id}" for key_id in done.removed]
    lines += [
        f"请移除旧密钥 / take the old key away where it was provided: {key_id}"
        for key_id in done.to_take_away
    ]
    lines += [f"仍在使用的旧密钥 / old key still needed: {key_id}" for key_id in done.kept]
    if done.damaged:
        lines.append(f"无法解开 / do not open under their own key: {done.damaged}")
    if done.key_missing:
        lines.append(f"密钥已丢失 / their key is not there: {done.key_missing}")
    return lines
