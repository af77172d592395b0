"""What a year of segments costs: the check, proofs, boot recovery after a stop and after a crash.

`--segments N` says how many; 920,000 is a year of three cameras, fourteen hours a day, a minute
each. There is no peer: no recorder that we know checks what it holds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from retention.check import Depth, check
from retention.footage.recovery import recover
from retention.store.database import open_read_only
from retention.store.proofs import LogTree
from tests.bench.sizes import SIZES
from tests.bench.year_data import CAMERAS, Year

SAMPLES = 300
Found = TypeVar("Found")


def measure() -> Iterator[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        year = Year(data)
        year.build(SIZES.segments)
        for line in (
            *(_checked(data, depth) for depth in (Depth.ROWS, Depth.SIZES)),
            _proven(data),
            _recovered(year),
        ):
            yield {"bench": "year", "segments": SIZES.segments, **line}
        year.store.close()


def _checked(data: Path, depth: Depth) -> dict[str, object]:
    seconds, report = _timed(lambda: check(data, depth))
    assert report.ok, report.bad[:3]
    return {
        "what": f"retention check --depth {depth.name.lower()}",
        "seconds": round(seconds, 1),
        "segments_per_second": round(SIZES.segments / seconds),
        "database_mb": round((data / "node.sqlite3").stat().st_size / 1e6),
    }


def _proven(data: Path) -> dict[str, object]:
    with closing(open_read_only(data / "node.sqlite3")) as connection:
        (size,) = connection.execute("SELECT size FROM frontier").fetchone()
        reading, tree = _timed(lambda: LogTree(connection, size))
        places = range(0, size, max(1, size // SAMPLES))
        proving, proofs = _timed(lambda: [tree.inclusion(place) for place in places])
    lengths = [32 * len(proof) for proof in proofs]
    return {
        "what": "inclusion proofs",
        "proofs": len(proofs),
        "seconds_to_read_the_log": round(reading, 2),
        "milliseconds_each": round(1000 * proving / len(proofs), 2),
        "bytes_each": round(sum(lengths) / len(lengths)),
        "bytes_most": max(lengths),
    }


def _recovered(year: Year) -> dict[str, object]:
    stopped, _ = _timed(lambda: _recover(year))
    size = sum(year.leave_open(f"camera-{camera}") for camera in range(CAMERAS))
    crashed, sealed = _timed(lambda: _recover(year))
    assert sealed == CAMERAS, sealed
    return {
        "what": "boot recovery",
        "cameras": CAMERAS,
        "milliseconds_after_a_stop": round(1000 * stopped),
        "milliseconds_after_a_crash": round(1000 * crashed),
        "open_bytes": size,
    }


def _recover(year: Year) -> int:
    names = (f"camera-{camera}" for camera in range(CAMERAS))
    return sum(recover(year.store, year.root, name).sealed for name in names)


def _timed(run: Callable[[], Found]) -> tuple[float, Found]:
    started = time.perf_counter()
    found = run()
    return time.perf_counter() - started, found
