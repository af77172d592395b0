"""Where the fragments of a segment file lie and when they play (ISO/IEC 14496-12).

The same bounded walk as `boxes`, trusting no length and no time it finds: a fragment that goes back
in time or is longer than any that a recorder writes ends the index. Media times count from the
beginning of the file, which begins at 0.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from retention.footage.boxes import (
    MAX_MOOF_BYTES,
    MAX_MOOV_BYTES,
    Box,
    default_sample_ticks,
    fragment_ticks,
    read_body,
    ticks_a_second,
    top_level,
)

MAX_FRAGMENTS = 20_000
LONGEST_FRAGMENT_US = 120_000_000
CACHED_FILES = 512


@dataclass(frozen=True, slots=True)
class Fragment:
    """One `moof` + `mdat`: bytes from `offset`, microseconds from the beginning of the file."""

    offset: int
    size: int
    start_us: int
    duration_us: int

    @property
    def end_us(self) -> int:
        return self.start_us + self.duration_us


@dataclass(frozen=True, slots=True)
class FragmentIndex:
    """`head_bytes` from the file's beginning are what a player needs before any fragment."""

    head_bytes: int
    fragments: tuple[Fragment, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """A fragment in ticks."""

    offset: int
    size: int
    start: int
    end: int


def fragments(path: Path) -> FragmentIndex:
    """Return the index of a segment file, kept until the file changes. Raises OSError."""
    found = path.stat()
    return _indexed(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=CACHED_FILES)
def _indexed(path: Path, mtime_ns: int, size: int) -> FragmentIndex:
    with path.open("rb") as file:
        return index_of(file, os.fstat(file.fileno()).st_size)


def index_of(file: BinaryIO, length: int) -> FragmentIndex:
    """Walk an open file of `length` bytes. Raises OSError only."""
    scale = usual = head = 0
    found: list[_Found] = []
    moof: Box | None = None
    times = (0, 0)
    for box in top_level(file, length):
        if box.kind == b"moov" and not scale and box.size <= MAX_MOOV_BYTES:
            moov = read_body(file, box)
            scale, usual, head = ticks_a_second(moov), default_sample_ticks(moov), box.end
        elif box.kind == b"moof":
            if not scale or box.size > MAX_MOOF_BYTES or len(found) >= MAX_FRAGMENTS:
                break
            told = fragment_ticks(read_body(file, box), usual)
            if told is None or not _plausible(told, found, scale):
                break
            moof, times = box, told
        elif box.kind == b"mdat" and moof is not None and moof.end == box.offset:
            found.append(_Found(moof.offset, box.end - moof.offset, *times))
            moof = None
    return FragmentIndex(head if found else 0, tuple(_timed(found, scale)))


def _plausible(times: tuple[int, int], before: list[_Found], scale: int) -> bool:
    start, end = times
    last = before[-1].start if before else -1
    longest = LONGEST_FRAGMENT_US * scale // 1_000_000
    return last < start < end <= start + longest and start - max(last, 0) <= longest


def _timed(found: list[_Found], scale: int) -> list[Fragment]:
    """Return the fragments in microseconds. One lasts until the next begins, as players see it."""
    made = []
    for number, one in enumerate(found):
        end = found[number + 1].start if number + 1 < len(found) else one.end
        start_us, end_us = (1_000_000 * ticks // scale for ticks in (one.start, end))
        made.append(Fragment(one.offset, one.size, start_us, end_us - start_us))
    return made
