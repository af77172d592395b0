"""Runs the named benches, or all of them: `python -P -m tests.bench [NAME…]` and the flags below.

Each prints one JSON object a line. Figures are of this machine, at this moment: quote ratios.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys

from tests.bench.sizes import SIZES

BENCHES = (
    "recorder", "sealing", "hashing", "log", "year", "challenge", "decision", "transfer", "pages",
    "replay", "verifier_start", "runtimes",
)  # fmt: skip


def main() -> int:
    os.environ["COUNTERSIGHT_SIMULATION"] = "1"
    parser = argparse.ArgumentParser(prog="python -P -m tests.bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--streams", type=_counts, default=SIZES.streams)
    parser.add_argument("--segments", type=int, default=SIZES.segments)
    wanted = parser.parse_args()
    SIZES.streams, SIZES.segments = wanted.streams, wanted.segments
    for name in wanted.names or BENCHES:
        if name not in BENCHES:
            print(f"bench: no {name!r}; there are {', '.join(BENCHES)}", file=sys.stderr)
            return 2
        for line in importlib.import_module(f"tests.bench.{name}").measure():
            print(json.dumps(line), flush=True)
    return 0


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
