"""Do node and central agree? Read straight from both databases and from the node's folder.

Used after every crash and every end-to-end run: every record of a sent kind is at central exactly
once with the same leaf, central's tree is a prefix of the node's log, and `retention check` finds
every file explained and every digest right.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Counts:
    """Where the two sides stand."""

    node_sent: int
    node_size: int
    central_sent: int
    central_size: int

    @property
    def level(self) -> bool:
        """Return whether everything sent so far has arrived and is committed to."""
        return self.central_sent >= self.node_sent and self.central_size >= self.node_size


def _read(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    connection.row_factory = sqlite3.Row
    return connection


def counts(data: Path) -> Counts:
    """Return the present counts of both sides."""
    edge, central = _read(data / "edge/node.sqlite3"), _read(data / "central/central.sqlite3")
    try:
        own = edge.execute("SELECT size, sent_count FROM frontier").fetchone()
        theirs = central.execute("SELECT expected_sent, tree_size FROM nodes").fetchone()
        return Counts(own["sent_count"], own["size"], theirs["expected_sent"], theirs["tree_size"])
    finally:
        edge.close()
        central.close()


def disagreements(data: Path) -> list[str]:
    """Return every way in which the two sides differ; an empty list is agreement."""
    edge, central = _read(data / "edge/node.sqlite3"), _read(data / "central/central.sqlite3")
    try:
        reached = counts(data).central_sent
        own = {
            row["sent_sequence"]: (row["sequence"], row["leaf"])
            for row in edge.execute(
                "SELECT sent_sequence, sequence, leaf FROM log WHERE sent_sequence < ?", (reached,)
            )
        }
        theirs = {}
        found = []
        for row in central.execute("SELECT sent_sequence, sequence, leaf FROM records"):
            if row["sent_sequence"] in theirs:
                found.append(f"sent_sequence {row['sent_sequence']} is at central twice")
            theirs[row["sent_sequence"]] = (row["sequence"], row["leaf"])
        found += [f"sent_sequence {n} never arrived" for n in sorted(own.keys() - theirs.keys())]
        found += [
            f"sent_sequence {n} differs" for n in sorted(own) if theirs.get(n, own[n]) != own[n]
        ]
        return found
    finally:
        edge.close()
        central.close()


def check_folder(data: Path) -> dict[str, object]:
    """Run `countersight retention check` on the node's folder; return its JSON."""
    answer = subprocess.run(
        [
            sys.executable, "-P", "-m", "countersight", "retention", "check",
            "--data", str(data / "edge"), "--depth", "digests", "--json",
        ],
        capture_output=True,
        timeout=120,
    )  # fmt: skip
    if answer.returncode not in (0, 1):
        raise AssertionError(answer.stderr.decode(errors="replace"))
    found: dict[str, object] = json.loads(answer.stdout)
    return found | {"exit_code": answer.returncode}
