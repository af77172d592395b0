"""The file that an export is written to: one ZIP (ZIP64 where needed), entries stored as they are.

Written in exactly one way (`verify.local_header` and its neighbours), so that every byte of the
archive follows from names, sizes and contents, and the check finds any other. Written under a
temporary name, made durable, then renamed: the final name is a whole export or nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from retention.durable import fsync_directory
from retention.export.verify import (
    MAX_ENTRIES,
    WIDE,
    central_header,
    end_records,
    local_header,
)
from retention.records.errors import UsageError

COPY_BYTES = 1024 * 1024
PARTIAL_SUFFIX = ".partial"


class ExportRefused(UsageError):
    """The export cannot be made, or not there."""


@dataclass(frozen=True, slots=True)
class Written:
    """One file of the archive, as the manifest lists it."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    size: int
    crc: int
    offset: int


class EntryWriter:
    """Takes the bytes of one entry."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._sha256 = hashlib.sha256()
        self.size, self.crc = 0, 0

    def write(self, raw: bytes) -> None:
        """Raises OSError."""
        _write_all(self._descriptor, raw)
        self._sha256.update(raw)
        self.crc, self.size = zlib.crc32(raw, self.crc), self.size + len(raw)

    def sha256(self) -> str:
        return self._sha256.hexdigest()


class ArchiveWriter:
    """Writes entries one after the other; leaves nothing behind unless `publish` was reached."""

    def __init__(self, target: Path) -> None:
        """Raises ExportRefused when something has that name already, OSError."""
        self._target = target
        self._partial = target.with_name(target.name + PARTIAL_SUFFIX)
        if target.exists():
            raise ExportRefused(f"{target}: exists already; an export replaces nothing")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._partial, flags, 0o600)
        except FileExistsError:
            raise ExportRefused(
                f"{self._partial}: left by an export that did not end; remove it first"
            ) from None
        except FileNotFoundError:
            raise ExportRefused(f"{target.parent}: no such folder") from None
        self._open, self._published = True, False
        self._entries: list[_Entry] = []
        self._at = 0
        self.written: list[Written] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        if not self._published:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._partial)

    @contextmanager
    def entry(self, name: str, expected_bytes: int = 0) -> Iterator[EntryWriter]:
        """Write one entry; `expected_bytes` decides how wide its header is. Raises OSError.

        One that fails is taken out again, and the archive goes on as if it had not begun.
        """
        if len(self._entries) >= MAX_ENTRIES - 1:
            raise ExportRefused(f"more than {MAX_ENTRIES} files; export a shorter span")
        offset, wide = self._at, expected_bytes >= WIDE
        header_bytes = len(local_header(name, WIDE if wide else 0, 0))
        writer = EntryWriter(self._descriptor)
        try:
            _write_all(self._descriptor, bytes(header_bytes))
            yield writer
            if (writer.size >= WIDE) != wide:
                raise ExportRefused(f"{name}: {writer.size} bytes, expected {expected_bytes}")
        except BaseException:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            os.ftruncate(self._descriptor, offset)
            raise
        os.pwrite(self._descriptor, local_header(name, writer.size, writer.crc), offset)
        self._at = offset + header_bytes + writer.size
        self._entries.append(_Entry(name, writer.size, writer.crc, offset))
        self.written.append(Written(name, writer.size, writer.sha256()))

    def add(self, name: str, content: bytes) -> Written:
        """Write an entry that is in memory. Raises OSError."""
        with self.entry(name) as entry:
            entry.write(content)
        return self.written[-1]

    def copy(self, name: str, source: int, beat: Callable[[int], None]) -> Written:
        """Copy an open file from its descriptor as it is; `beat` hears of each piece.

        Raises SourceUnreadable (the source cannot be read), OSError (the archive not written).
        """
        with self.entry(name, os.fstat(source).st_size) as entry:
            while raw := _read(source):
                entry.write(raw)
                beat(len(raw))
        return self.written[-1]

    def finish(self) -> None:
        """Write the directory and make every byte durable, still under the temporary name."""
        lines = (central_header(one.name, one.size, one.crc, one.offset) for one in self._entries)
        directory = b"".join(lines)
        _write_all(
            self._descriptor,
            directory + end_records(len(self._entries), self._at, len(directory)),
        )
        os.fsync(self._descriptor)
        self._close()

    def publish(self) -> None:
        """Give the finished archive its name. Raises ExportRefused, OSError."""
        if self._target.exists():
            raise ExportRefused(f"{self._target}: exists already; an export replaces nothing")
        os.rename(self._partial, self._target)
        self._published = True
        fsync_directory(self._target.parent)

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._descriptor)


class SourceUnreadable(Exception):
    """A segment file that cannot be read; the archive itself is well."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _read(source: int) -> bytes:
    try:
        return os.read(source, COPY_BYTES)
    except OSError as exc:
        raise SourceUnreadable(exc.strerror or str(exc)) from exc


def _write_all(descriptor: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(descriptor, view) :]
