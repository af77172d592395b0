"""The file a segment is written to, and its sealing.

Append-only: bytes are hashed as they pass, once, and never read again. The order of sealing is
invariant 2: fsync, close, rename, fsync(directory), one transaction with row and record. After a
failed write or fsync the sink is broken for ever and its file is left to recovery; a failed fsync
of the directory stops the process (DirectorySyncFailed), since no later step could be believed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from retention.durable import fsync_directory, make_directory_durably
from retention.footage.layout import PART_SUFFIX, FootageError, SegmentIdentity
from retention.records.clock import to_text
from retention.records.merkle import CHUNK_BYTES, Frontier
from retention.records.payloads import SegmentSealed
from retention.store import footage
from retention.store.database import NodeStore
from retention.store.footage import MAIN_VOLUME

Operation = Callable[[int], object]
READ_BYTES = 1024 * 1024
HEAD_BYTES = 4096
"""Bytes held back before the file is made: identity and `moov`, which alone are no footage."""


class SegmentBroken(FootageError):
    """The sink took a failed write or fsync; nothing more may be written to this segment."""


class DirectorySyncFailed(FootageError):
    """The name of a sealed segment could not be made durable; the process must stop."""


class Fingerprint:
    """SHA-256 and chunk root of bytes that pass by."""

    def __init__(self) -> None:
        self._file = hashlib.sha256()
        self._chunk = hashlib.sha256(b"\x00")
        self._room = CHUNK_BYTES
        self._chunks = Frontier()
        self.bytes = 0

    def update(self, raw: bytes) -> None:
        self._file.update(raw)
        self.bytes += len(raw)
        view = memoryview(raw)
        while len(view) >= self._room:
            self._chunk.update(view[: self._room])
            view = view[self._room :]
            self._chunks = self._chunks.append(self._chunk.digest())
            self._chunk, self._room = hashlib.sha256(b"\x00"), CHUNK_BYTES
        self._chunk.update(view)
        self._room -= len(view)

    def file_sha256(self) -> str:
        return self._file.hexdigest()

    def chunk_root(self) -> str:
        """Return the Merkle root over 64 KiB chunks, the last one possibly shorter."""
        tail = [] if self._room == CHUNK_BYTES else [self._chunk.digest()]
        return self._chunks.extend(tail).root().hex()


def fingerprint_of(path: Path, beat: Callable[[], None] = lambda: None) -> Fingerprint:
    """Read a file's digest and chunk root again; beats once a mebibyte. Raises OSError."""
    fingerprint = Fingerprint()
    with path.open("rb") as file:
        while raw := file.read(READ_BYTES):
            fingerprint.update(raw)
            beat()
    return fingerprint


@dataclass(frozen=True, slots=True)
class Finished:
    """A file whose bytes are durable under its `.part` name."""

    identity: SegmentIdentity
    part: Path
    fingerprint: Fingerprint
    ended_at: datetime
    recovered: bool = False
    truncated_bytes: int = 0


class SegmentSink:
    """Takes the muxer's bytes: `write` and `tell`, no `seek`, no `read`.

    The identity box goes in after `ftyp`. The file is made with the first footage bytes, so a
    crash before them leaves nothing to explain.
    """

    def __init__(self, root: Path, identity: SegmentIdentity) -> None:
        self.identity = identity
        self.part = root / identity.path(PART_SUFFIX)
        self._fingerprint = Fingerprint()
        self._head = bytearray()
        self._identity_written = False
        self._descriptor: int | None = None
        self._synced = 0
        self._broken = False

    @property
    def broken(self) -> bool:
        """Tell whether a write or fsync failed, or the segment was given up."""
        return self._broken

    @property
    def durable(self) -> bool:
        """Tell whether any footage of this segment is on the disk."""
        return self._synced > 0

    def write(self, raw: bytes) -> int:
        """Take bytes in order. Raises OSError, SegmentBroken."""
        if self._broken:
            raise SegmentBroken(f"{self.part}: written to after a failure")
        if self._descriptor is None:
            self._head += raw
            self._place_identity()
            if len(self._head) > HEAD_BYTES:
                self._make_file()
        else:
            self._append(raw)
        return len(raw)

    def tell(self) -> int:
        return self._fingerprint.bytes + len(self._head)

    def sync(self) -> None:
        """Make every byte so far durable (one call per GOP). Raises OSError."""
        if self._descriptor is None or self._synced == self._fingerprint.bytes:
            return
        self._guarded(os.fdatasync)
        self._synced = self._fingerprint.bytes

    def finish(self, ended_at: datetime) -> Finished:
        """fsync and close. Raises OSError, SegmentBroken."""
        if self._broken:
            raise SegmentBroken(f"{self.part}: sealed after a failure")
        if self._descriptor is None:
            self._make_file()
        self._guarded(os.fsync)
        self._close()
        return Finished(self.identity, self.part, self._fingerprint, ended_at)

    def abandon(self) -> None:
        """Leave the file to recovery, cut back to what is known to be durable. Never raises.

        After a failed fsync the kernel may hold pages that will never reach the disk. Hashing
        them later would seal footage that is not there, hence the cut. A file of which nothing is
        durable is taken away again: a full disk would collect an empty one with every try.
        """
        self._broken = True
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):  # a failing disk: recovery reads what is there
            os.ftruncate(self._descriptor, self._synced)
            if not self._synced:
                os.unlink(self.part)
        with contextlib.suppress(OSError):
            self._close()

    def _place_identity(self) -> None:
        if self._identity_written or len(self._head) < 8:
            return
        size = int.from_bytes(self._head[:4], "big")
        if len(self._head) >= size:
            self._head[size:size] = self.identity.to_box()
            self._identity_written = True

    def _make_file(self) -> None:
        head, self._head = bytes(self._head), bytearray()
        try:
            make_directory_durably(self.part.parent)
            self._descriptor = os.open(
                self.part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640
            )
            fsync_directory(self.part.parent)
        except OSError:
            self._broken = True
            raise
        self._append(head)

    def _append(self, raw: bytes) -> None:
        def write_all(descriptor: int) -> None:
            view = memoryview(raw)
            while view:
                view = view[os.write(descriptor, view) :]

        self._guarded(write_all)
        self._fingerprint.update(raw)

    def _guarded(self, operation: Operation) -> None:
        if self._descriptor is None:
            raise SegmentBroken(f"{self.part}: is closed")
        try:
            operation(self._descriptor)
        except OSError:
            self._broken = True
            raise

    def _close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def seal(
    store: NodeStore, root: Path, finished: Finished, volume: str = MAIN_VOLUME
) -> SegmentSealed:
    """Rename, make the name durable, then index row and record in one transaction.

    Raises OSError (the `.part` stays), DirectorySyncFailed (stop the process), StoreUnavailable
    (the file is named and durable; recovery adopts it).
    """
    target = root / finished.identity.path()
    if finished.part != target:
        os.rename(finished.part, target)
    try:
        fsync_directory(target.parent)
    except OSError as exc:
        raise DirectorySyncFailed(f"{target.parent}: {exc.strerror}") from exc
    sealed = describe(finished)
    with store.write() as connection:
        footage.insert_segment(store, connection, sealed, finished.identity.path(), volume)
    return sealed


def describe(finished: Finished) -> SegmentSealed:
    """Return the record of a finished file."""
    identity, start = finished.identity, finished.identity.start
    ended_at = max(finished.ended_at, start)
    return SegmentSealed(
        segment=identity.segment,
        camera=identity.camera,
        scene_role=identity.scene_role,
        run=identity.run,
        ordinal=identity.ordinal,
        started_at=identity.started_at,
        ended_at=to_text(ended_at),
        duration_ms=round((ended_at - start).total_seconds() * 1000),
        bytes=finished.fingerprint.bytes,
        codec=identity.codec,
        file_sha256=finished.fingerprint.file_sha256(),
        chunk_root=finished.fingerprint.chunk_root(),
        recovered=finished.recovered,
        truncated_bytes=finished.truncated_bytes,
    )
