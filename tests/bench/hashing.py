"""How fast footage is read again: our fingerprint (SHA-256 and chunk root) beside plain SHA-256.

One file in the page cache, in turns, the best of each: what is compared is the work, not the disk.
`sha256sum` (coreutils) is what an auditor has; `openssl dgst`, where there is one, is what the
processor can do at one hash a byte, and ours computes two.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from retention.footage.sink import fingerprint_of

MEBIBYTES, TURNS = 256, 5


def measure() -> Iterator[dict[str, object]]:
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(MEBIBYTES):
            file.write(os.urandom(1 << 20))
        file.flush()
        path = Path(file.name)
        sides: dict[str, Callable[[], object]] = {"": lambda: fingerprint_of(path)}
        for name, command in (
            ("sha256sum", ["sha256sum"]),
            ("openssl", ["openssl", "dgst", "-sha256"]),
        ):
            if shutil.which(command[0]):
                sides[name] = _child([*command, str(path)])
        turns = [{name: _timed(run) for name, run in sides.items()} for _ in range(TURNS)]
    wall, cpu = (
        {name: min(turn[name][which] for turn in turns) for name in sides} for which in (0, 1)
    )
    line: dict[str, object] = {
        "bench": "hashing",
        "peer": "sha256sum; openssl dgst -sha256",
        "mebibytes": MEBIBYTES,
        "mebibytes_per_second": round(MEBIBYTES / wall[""]),
    }
    for name in sides.keys() - {""}:
        line[f"{name}_mebibytes_per_second"] = round(MEBIBYTES / wall[name])
        line[f"{name}_ratio"] = round(wall[name] / wall[""], 2)
        line[f"{name}_cpu_ratio"] = round(cpu[name] / cpu[""], 2)
    yield {**line, "aim": "sha256sum_ratio >= 0.8"}


def _child(command: list[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, capture_output=True)


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds, of this process and of the children it waited for."""
    wall, before = time.perf_counter(), _spent()
    run()
    return time.perf_counter() - wall, _spent() - before


def _spent() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
