"""`countersight identity`: one module per subcommand; each says what it prints and returns.

Exit codes: 0 done and as expected, 1 a check failed, 2 wrong usage or configuration. Nothing of
OpenCV or onnxruntime loads before a subcommand runs, so `--help` works without them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from identity import evaluate_command, policy_command, verify_command


def main(argv: list[str]) -> int:
    """Run one `countersight identity` command and return its exit code."""
    try:
        wanted = _parser().parse_args(argv)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 2
    run: Callable[[argparse.Namespace], int] = wanted.run
    return run(wanted)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="countersight identity",
        description="人脸比对与评估 / comparing faces, and how well that works",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (verify_command, evaluate_command, policy_command):
        command.add_to(commands)
    return parser
