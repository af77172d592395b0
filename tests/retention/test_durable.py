from __future__ import annotations

import errno
import os

import pytest

from retention.durable import FileLock, HeldElsewhere, is_held


def test_lock_names_its_holder_and_ends_with_it(tmp_path):
    path = tmp_path / "run" / "one.lock"
    first = FileLock(path)
    with pytest.raises(HeldElsewhere, match=rf"held by process {os.getpid()};"):
        FileLock(path)
    assert is_held(path)
    first.release()
    assert not is_held(path)
    FileLock(path).release()


def test_full_disk_keeps_nobody_from_a_lock(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    lock = FileLock(tmp_path / "one.lock")
    with pytest.raises(HeldElsewhere, match="another process"):
        FileLock(tmp_path / "one.lock")
    lock.release()
