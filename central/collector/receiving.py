"""One segment on its way in: a `.part` file and the digests of the bytes so far.

No database and no judgement about what may come; only bytes, their length and their digests. What
was written is never trusted after a failed write or fsync: the file is thrown away.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from urllib.parse import quote

from retention.durable import make_directory_durably, rename_durably
from retention.records.merkle import CHUNK_BYTES, Frontier, leaf_hash
from retention.records.payloads import SegmentSealed

PART = ".part"
REJECTED = ".rejected"


def file_of(root: Path, node: str, segment: str) -> Path:
    """Return where an accepted segment lies. A node id may hold `/`; the folder's name does not."""
    return root / quote(node, safe="") / f"{segment}.mp4"


def remove_halves(root: Path) -> None:
    """Remove what came half before a restart; it is asked for again from its start."""
    for part in root.glob(f"*/*.mp4{PART}"):
        part.unlink(missing_ok=True)


class Receiving:
    """A segment being received. Every method may raise OSError; then call `abandon`."""

    def __init__(self, path: Path, sealed: SegmentSealed, command: str, expires_at: int) -> None:
        self.command, self.expires_at = command, expires_at
        self.size, self.received = sealed.bytes, 0
        self._path, self._sealed = path, sealed
        self._part = path.with_name(path.name + PART)
        self._sha256, self._chunks, self._pending = hashlib.sha256(), Frontier(), bytearray()
        make_directory_durably(path.parent)
        self._file = self._part.open("wb")

    def add(self, content: bytes) -> None:
        """Take the next bytes."""
        self._file.write(content)
        self._sha256.update(content)
        self.received += len(content)
        self._pending += content
        while len(self._pending) >= CHUNK_BYTES:
            self._chunk(CHUNK_BYTES)

    def finish(self) -> str | None:
        """Make the bytes durable; return what does not fit the record, None when all does."""
        if self._pending:
            self._chunk(len(self._pending))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self.received != self.size:
            return "TOO_LONG"
        if self._sha256.hexdigest() != self._sealed.file_sha256:
            return "SHA256_MISMATCH"
        if self._chunks.root().hex() != self._sealed.chunk_root:
            return "CHUNK_ROOT_MISMATCH"
        return None

    def keep(self, *, rejected: bool) -> Path:
        """Give the finished file its name and return it."""
        path = self._path.with_name(self._path.name + REJECTED) if rejected else self._path
        rename_durably(self._part, path)
        return path

    def abandon(self) -> None:
        """Throw the bytes away."""
        with contextlib.suppress(OSError):  # A full disk may refuse the last bytes; they go anyway.
            self._file.close()
        with contextlib.suppress(OSError):  # What cannot be removed now is removed at the start.
            self._part.unlink(missing_ok=True)

    def _chunk(self, length: int) -> None:
        self._chunks = self._chunks.append(leaf_hash(bytes(self._pending[:length])))
        del self._pending[:length]
