"""A file that only takes up room, so that the database can be written on a full disk.

    DATA/reserve    RESERVE_BYTES, allocated     held
                    0 bytes                      given up: the database lives on that room now
                    not there                    never made

When a transaction fails for lack of room the file is cut to nothing, and the next try has room for
the gap, the alarm and the breach that say what happened. Recorders begin nothing on the database's
disk until the reserve is held again, or footage would take that room too.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

RESERVE_FILE = "reserve"
RESERVE_BYTES = 64 * 1024 * 1024
"""Some 100,000 records with their rows."""
ROOM_TO_HOLD_AGAIN = 3
"""It is made again when so many times its size is free: not at the first file that goes."""
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}


@dataclass(frozen=True, slots=True)
class Reserve:
    """The reserve of one database."""

    path: Path
    bytes: int = RESERVE_BYTES

    @property
    def held(self) -> bool:
        return self._size() == self.bytes

    @property
    def given_up(self) -> bool:
        return self._size() == 0

    def keep(self) -> bool:
        """Make the reserve when there is room for it; tells whether it is held. Raises OSError."""
        if self.held:
            return True
        facts = os.statvfs(self.path.parent)
        needed = self.bytes * (ROOM_TO_HOLD_AGAIN if self.given_up else 1)
        if facts.f_bavail * facts.f_frsize < needed:
            self._allocate(0)
            return False
        try:
            self._allocate(self.bytes)
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._allocate(0)  # Others were faster; what was allocated goes back.
            return False
        return True

    def give_up(self) -> bool:
        """Free the room, once; tells whether this call did. Never raises OSError."""
        if self._size() in (0, None):
            return False
        try:
            os.truncate(self.path, 0)
        except OSError:
            return False
        return True

    def _size(self) -> int | None:
        try:
            return os.stat(self.path).st_size
        except OSError:
            return None

    def _allocate(self, size: int) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, 0)
            if size:  # Its length grows as room is given to it: a crash leaves no hollow reserve.
                os.posix_fallocate(descriptor, 0, size)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, 0)
            raise
        finally:
            os.close(descriptor)


def reserve_of(database: Path) -> Reserve:
    """Return the reserve that lies beside a database."""
    return Reserve(database.with_name(RESERVE_FILE))


def lacks_room(exc: sqlite3.Error) -> bool:
    """Tell whether the database refused for want of room on its disk."""
    return getattr(exc, "sqlite_errorcode", None) in _NO_ROOM
