"""A disk of its own for a test: tmpfs in a mount namespace of a child process.

Nothing is mounted for anybody else, and the kernel takes it away with the child.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
TIMEOUT_SECONDS = 120


def run_on_a_disk(tmp_path: Path, size_bytes: int, function: str) -> str:
    """Run `module:function` with the mount point as its argument; returns what it printed.

    Skips where this machine lets no test mount anything.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare(1) for a disk of its own")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size={size_bytes} none {disk}"
    own = [unshare, "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*own, mount], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no test mount a disk of its own")
    module, _, name = function.partition(":")
    script = f"from pathlib import Path; from {module} import {name}; {name}(Path({str(disk)!r}))"
    done = subprocess.run(
        [*own, f'{mount} && exec "$0" -c "$1"', sys.executable, script],
        capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def fill_up(disk: Path, leaving: int = 0) -> None:
    """Let something else than the product take a disk's room, but for so many bytes."""
    with (disk / "filler").open("ab", buffering=0) as file:
        size = 2**20
        while size:
            try:
                file.write(bytes(size))
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise
                size //= 2
        file.truncate(file.seek(0, os.SEEK_END) - leaving)
