"""Durable file operations: what returns from here is on the disk.

After a failed fsync a file is abandoned, never retried: the kernel may have dropped the pages and
a second fsync would lie (the lesson of PostgreSQL's fsync failure).
"""

from __future__ import annotations

import os
from pathlib import Path


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


def rename_durably(source: Path, target: Path) -> None:
    """Rename within one directory and make the new name durable."""
    os.rename(source, target)
    fsync_directory(target.parent)
