"""Runs the named benches, or all of them: `python -P -m tests.bench [NAME…]`."""

from __future__ import annotations

import importlib
import json
import os
import sys

BENCHES = ("recorder", "decision", "transfer", "pages", "replay")


def main() -> int:
    os.environ["COUNTERSIGHT_SIMULATION"] = "1"
    for name in sys.argv[1:] or BENCHES:
        if name not in BENCHES:
            print(f"bench: no {name!r}; there are {', '.join(BENCHES)}", file=sys.stderr)
            return 2
        for line in importlib.import_module(f"tests.bench.{name}").measure():
            print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
