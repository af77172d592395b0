"""Durable file operations: what returns from here is on the disk.

After a failed fsync a file is abandoned, never retried: the kernel may have dropped the pages and
a second fsync would lie (the lesson of PostgreSQL's fsync failure).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from pathlib import Path

from retention.records.errors import UsageError


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a new file or replace one, so that after a crash it is the old or the new content."""
    temporary = path.with_name(path.name + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    rename_durably(temporary, path)


def make_directory_durably(path: Path) -> None:
    """Make a directory and its parents, each name durable. Existing ones are left as they are."""
    if path.is_dir():
        return
    make_directory_durably(path.parent)
    path.mkdir(exist_ok=True)
    fsync_directory(path.parent)


def rename_durably(source: Path, target: Path) -> None:
    """Rename within one directory and make the new name durable."""
    os.rename(source, target)
    fsync_directory(target.parent)


class HeldElsewhere(UsageError):
    """Another process holds the lock of something that only one may use."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path}: held by {holder or 'another process'}; only one may run")
        self.path, self.holder = path, holder


class FileLock:
    """An exclusive lock that ends with the process, whatever way that ends (flock).

    The file names its holder's process id. It is never removed: a removed lock file could be
    locked twice, once by its old inode and once by its new one.
    """

    def __init__(self, path: Path, *, wait_seconds: float = 0.0) -> None:
        """Take the lock, waiting for a dying holder. Raises HeldElsewhere, OSError."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait_seconds
        while not self._try_lock():
            if time.monotonic() >= deadline:
                holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
                os.close(self._descriptor)
                raise HeldElsewhere(path, holder and f"process {holder}")
            threading.Event().wait(0.05)
        with contextlib.suppress(OSError):  # The name is for people; a full disk may refuse it.
            os.pwrite(self._descriptor, f"{os.getpid():<10}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock up."""
        os.close(self._descriptor)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_held(path: Path) -> bool:
    """Tell whether a process holds the lock at `path`; takes nothing and creates nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
