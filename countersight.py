"""The front door: one command; each package adds its own subcommands, imported only when asked.

Exit codes: 0 done and as expected, 1 a check failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

from retention.records.errors import UsageError, explained_import

# subcommand: (module with `main(argv) -> int`, what it does)
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("edge.simulators.demo", "the main job on this machine, with simulated cameras"),
    "edge": ("edge.cli", "the pharmacy node: run, check, status, enrol, pair, inspector, hold …"),
    "central": ("central.cli", "the review service: run, migrate, check, account"),
    "identity": ("identity.cli", "faces: verify pictures, evaluate, policies, replay a receipt"),
    "models": ("models.cli", "the vision models: list, verify, install"),
    "retention": ("retention.cli", "what is kept: check, plan, rebuild, export, verify-…"),
}


# One that another package runs than its name says: `identity` reaches no database.
ELSEWHERE = {("identity", "replay"): "edge.replay_command"}


def main() -> int:
    """Run one subcommand and return its exit code."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(_usage())  # noqa: T201 - this is the command line
        return 0
    if name not in COMMANDS:
        print(f"countersight: unknown command {name!r}\n{_usage()}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        return _run(name, sys.argv[2:])
    except UsageError as exc:
        print(f"countersight {name}: {exc}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130


def _run(name: str, argv: list[str]) -> int:
    """Import the package of a subcommand and run it; imports may also come late, inside it."""
    module = COMMANDS[name][0]
    if argv and (name, argv[0]) in ELSEWHERE:
        module, argv = ELSEWHERE[name, argv[0]], argv[1:]
    try:
        run: Callable[[list[str]], int] = importlib.import_module(module).main
        return run(argv)
    except ImportError as exc:
        raise explained_import(exc) from exc


def _usage() -> str:
    lines = [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    return "usage: countersight COMMAND …\n\n" + "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
