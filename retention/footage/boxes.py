"""A bounded walk over the boxes of a fragmented MP4 file (ISO/IEC 14496-12).

Reads headers and small boxes only, never media data, and trusts no length it finds: a box that
does not fit the file ends the walk. What counts as footage is the file up to the end of the last
whole `moof` + `mdat` pair; `scan` says where that is and how long it plays.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from retention.footage.layout import MAX_IDENTITY_BYTES, SegmentIdentity, identity_from_box

MAX_BOXES = 400_000
MAX_MOOV_BYTES = 1024 * 1024
MAX_MOOF_BYTES = 8 * 1024 * 1024
DEEPEST = 6  # trak holds mdia; whoever nests deeper wants the stack to end
_CONTAINERS = {b"moov", b"trak", b"mdia", b"mvex", b"moof", b"traf"}


@dataclass(frozen=True, slots=True)
class Box:
    """One box: `offset` and `size` cover its header too; `body` is where its content begins."""

    kind: bytes
    offset: int
    size: int
    body: int

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Scan:
    """What a segment file holds. `whole_bytes` is 0 when there is no whole fragment."""

    identity: SegmentIdentity | None
    fragments: int
    whole_bytes: int
    file_bytes: int
    duration_us: int


def scan(path: Path) -> Scan:
    """Walk a segment file. Raises OSError only."""
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        return _scan(file, length)


def recover_length(file: BinaryIO, length: int) -> int:
    """Return the end of the last whole `moof` + `mdat` pair, 0 if there is none."""
    return _scan(file, length).whole_bytes


def _scan(file: BinaryIO, length: int) -> Scan:
    identity: SegmentIdentity | None = None
    timescale, usual, fragments, whole = 0, 0, 0, 0
    first: int | None = None
    last = pending_end = 0
    pending: Box | None = None
    for box in top_level(file, length):
        if box.kind == b"uuid" and identity is None and box.size <= MAX_IDENTITY_BYTES:
            identity = identity_from_box(read_body(file, box))
        elif box.kind == b"moov" and box.size <= MAX_MOOV_BYTES:
            moov = read_body(file, box)
            timescale, usual = ticks_a_second(moov), default_sample_ticks(moov)
        elif box.kind == b"moof":
            if not timescale or box.size > MAX_MOOF_BYTES:
                break
            times = fragment_ticks(read_body(file, box), usual)
            if times is None:
                break
            pending, pending_end = box, times[1]
            first = times[0] if first is None else first
        elif box.kind == b"mdat" and pending is not None and pending.end == box.offset:
            fragments, whole, last, pending = fragments + 1, box.end, pending_end, None
    duration = (last - (first or 0)) * 1_000_000 // timescale if whole else 0
    return Scan(identity, fragments, whole, length, max(0, duration))


def top_level(file: BinaryIO, length: int) -> Iterator[Box]:
    """Yield the boxes of a file in order, up to the first that does not fit it."""
    at = 0
    for _ in range(MAX_BOXES):
        file.seek(at)
        box = _header(file.read(16), at)
        if box is None or box.end > length:
            return
        yield box
        at = box.end


def _header(raw: bytes, at: int) -> Box | None:
    if len(raw) < 8:
        return None
    size, kind = struct.unpack_from(">I4s", raw)
    header = 8
    if size == 1:
        if len(raw) < 16:
            return None
        (size,) = struct.unpack_from(">Q", raw, 8)
        header = 16
    if size < header or not kind.isalnum():
        return None
    return Box(kind, at, size, at + header)


def picture_size(path: Path) -> tuple[int, int]:
    """Return width and height of the first track in pixels, 0 and 0 if unreadable. Raises
    OSError."""
    with path.open("rb") as file:
        for box in top_level(file, os.fstat(file.fileno()).st_size):
            if box.kind == b"moov" and box.size <= MAX_MOOV_BYTES:
                return _track_size(read_body(file, box))
    return 0, 0


def _track_size(moov: bytes) -> tuple[int, int]:
    for box in _inner(moov, 0, len(moov)):
        if box.kind == b"tkhd" and box.end - box.body >= 84:
            width, height = struct.unpack_from(">II", moov, box.end - 8)  # 16.16 fixed point
            return width >> 16, height >> 16
    return 0, 0


def read_body(file: BinaryIO, box: Box) -> bytes:
    """Return a box without its header; the caller bounds its size."""
    file.seek(box.body)
    return file.read(box.end - box.body)


def _inner(raw: bytes, low: int, high: int, deepest: int = DEEPEST) -> Iterator[Box]:
    """Yield the boxes inside a box held in memory, descending into containers."""
    at = low
    while at < high:
        box = _header(raw[at : min(at + 16, high)], at)
        if box is None or box.end > high:
            return
        yield box
        if box.kind in _CONTAINERS and deepest:
            yield from _inner(raw, box.body, box.end, deepest - 1)
        at = box.end


def ticks_a_second(moov: bytes) -> int:
    """Return ticks a second of the first track, 0 if unreadable."""
    for box in _inner(moov, 0, len(moov)):
        if box.kind == b"mdhd" and box.end - box.body >= 24:
            wide = moov[box.body] == 1
            offset = box.body + (20 if wide else 12)
            found: int = struct.unpack_from(">I", moov, offset)[0]
            return found
    return 0


def default_sample_ticks(moov: bytes) -> int:
    """Return how long a sample lasts when no fragment says otherwise (`trex`), 0 if unsaid."""
    for box in _inner(moov, 0, len(moov)):
        if box.kind == b"trex" and box.end - box.body >= 16:
            found: int = struct.unpack_from(">I", moov, box.body + 12)[0]
            return found
    return 0


def fragment_ticks(moof: bytes, usual: int = 0) -> tuple[int, int] | None:
    """Return first and last decode time of a fragment in ticks; None if unreadable.

    `usual` is the length of a sample of which the fragment tells none.
    """
    start: int | None = None
    default, ticks = 0, 0
    try:
        for box in _inner(moof, 0, len(moof)):
            if box.kind == b"tfhd":
                default = _default_duration(moof, box, usual)
            elif box.kind == b"tfdt" and start is None:
                wide = moof[box.body] == 1
                start = struct.unpack_from(">Q" if wide else ">I", moof, box.body + 4)[0]
            elif box.kind == b"trun":
                ticks += _run_ticks(moof, box, default)
    except struct.error:
        return None
    return None if start is None else (start, start + ticks)


def _default_duration(moof: bytes, box: Box, usual: int) -> int:
    flags = int.from_bytes(moof[box.body + 1 : box.body + 4], "big")
    at = box.body + 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    found: int = struct.unpack_from(">I", moof, at)[0] if flags & 0x8 else usual
    return found


def _run_ticks(moof: bytes, box: Box, default: int) -> int:
    flags = int.from_bytes(moof[box.body + 1 : box.body + 4], "big")
    (count,) = struct.unpack_from(">I", moof, box.body + 4)
    if not flags & 0x100:
        return int(count) * default
    at = box.body + 8 + (4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0)
    width = 4 * (flags & 0xF00).bit_count()
    if at + count * width > box.end:
        raise struct.error("trun is longer than its box")
    return sum(struct.unpack_from(">I", moof, at + n * width)[0] for n in range(count))
