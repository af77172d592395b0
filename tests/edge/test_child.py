"""What every child process does first."""

from __future__ import annotations

import subprocess
import sys

from edge.child import HEAPS

ALLOCATING = """
import ctypes, threading
from edge.child import bound_heaps
bound_heaps()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
everybody_there = threading.Barrier(8)

def allocate():
    everybody_there.wait(20)
    for _ in range(1000):
        library.malloc(1000)
    everybody_there.wait(20)

threads = [threading.Thread(target=allocate) for _ in range(8)]
for each in threads:
    each.start()
for each in threads:
    each.join()
library.malloc_stats()
"""


def test_threads_share_few_heaps() -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-c", ALLOCATING],
        capture_output=True, check=True, text=True, timeout=60,
    )  # fmt: skip
    assert 1 <= ended.stderr.count("Arena ") <= HEAPS
