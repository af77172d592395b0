"""The playlist of one scene: HLS (RFC 8216bis) over byte ranges of sealed files, nothing copied.

Media time is time on the session's clock: the entries add up so that second s of the playlist is
origin + s, whatever is missing. What is not there is an EXT-X-GAP of exactly its length. A fragment
stands where its file's start and its own media time put it, never where the one before it ended, so
a file that is longer or shorter than its row says shifts nothing behind it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC

from central.pages.timeline_values import Replay, Scene
from retention.footage.fragments import Fragment, FragmentIndex
from retention.records.clock import from_micros

GROUP_US = 1_000_000  # What one request fetches: short, for a seek waits for it whole.
CLOSE_US = 40_000  # One picture: closer than this is the same moment, and no gap.
MEDIA_TYPE = "application/vnd.apple.mpegurl"


@dataclass(frozen=True, slots=True)
class PlayedFile:
    """A segment file that may be played: its address, and where its media time 0 is."""

    url: str
    started_us: int
    index: FragmentIndex


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the session's time, microseconds from the origin; without a file it is a gap."""

    from_us: int
    to_us: int
    file: PlayedFile | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the playlist: `length` bytes at `offset` of `file`, or nothing."""

    from_us: int
    to_us: int
    file: PlayedFile | None = None
    offset: int = 0
    length: int = 0


def of_scene(replay: Replay, scene: Scene, files: Mapping[str, PlayedFile]) -> str:
    """Return the playlist of one scene of a replay; a segment without its file is a gap."""
    spans = [
        Span(
            piece.from_ms * 1000,
            piece.to_ms * 1000,
            files.get(piece.segment or "") if piece.state == "footage" else None,
        )
        for piece in scene.pieces
    ]
    return playlist(spans, replay.origin)


def playlist(spans: Sequence[Span], origin_us: int) -> str:
    """Return the playlist of spans that tile the time from 0 on, in order."""
    found = list(entries(spans))
    longest = max((entry.to_us - entry.from_us for entry in found), default=0)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:8",
        f"#EXT-X-TARGETDURATION:{max(1, math.ceil(longest / 1_000_000))}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
    ]
    before: Entry | None = None
    for entry in found:
        lines += _lines(entry, before, origin_us)
        before = entry
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def entries(spans: Iterable[Span]) -> Iterator[Entry]:
    """Yield entries that tile the same time without a hole and without an overlap."""
    at = end = 0
    for span in spans:
        end = max(end, span.to_us)
        for entry in _groups(_placed(span)):
            # (1) what the fragment before it covers already is not covered twice
            if entry.from_us < at - CLOSE_US or entry.to_us <= at:
                continue
            # (2) time that no fragment covers is a gap, but a picture's length is none
            if entry.from_us > at + CLOSE_US:
                yield Entry(at, entry.from_us)
                at = entry.from_us
            yield Entry(at, entry.to_us, entry.file, entry.offset, entry.length)
            at = entry.to_us
        if span.to_us > at + CLOSE_US:
            yield Entry(at, span.to_us)
            at = span.to_us
    if end > at:
        yield Entry(at, end)


def _placed(span: Span) -> Iterator[Entry]:
    """Yield the fragments that begin inside a span, on the session's clock."""
    if span.file is None:
        return
    for fragment in span.file.index.fragments:
        from_us = span.file.started_us + fragment.start_us
        if span.from_us - CLOSE_US <= from_us < span.to_us - CLOSE_US:
            yield _entry(span.file, fragment, from_us)


def _entry(file: PlayedFile, fragment: Fragment, from_us: int) -> Entry:
    to_us = from_us + fragment.duration_us
    return Entry(from_us, to_us, file, fragment.offset, fragment.size)


def _groups(placed: Iterable[Entry]) -> Iterator[Entry]:
    """Join neighbours of one file into what one request fetches."""
    open_group: Entry | None = None
    for entry in placed:
        if open_group is None:
            open_group = entry
        elif (
            entry.to_us - open_group.from_us <= GROUP_US
            and open_group.offset + open_group.length == entry.offset
        ):
            length = open_group.length + entry.length
            open_group = Entry(
                open_group.from_us, entry.to_us, entry.file, open_group.offset, length
            )
        else:
            yield open_group
            open_group = entry
    if open_group is not None:
        yield open_group


def _lines(entry: Entry, before: Entry | None, origin_us: int) -> Iterator[str]:
    if before is not None and before.file is not entry.file:
        yield "#EXT-X-DISCONTINUITY"
    file = entry.file
    if file is not None and (before is None or before.file is not file):
        yield f'#EXT-X-MAP:URI="{file.url}",BYTERANGE="{file.index.head_bytes}@0"'
    moment = from_micros(origin_us + entry.from_us).astimezone(UTC)
    yield f"#EXT-X-PROGRAM-DATE-TIME:{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    if file is None:
        yield "#EXT-X-GAP"
    yield f"#EXTINF:{(entry.to_us - entry.from_us) / 1_000_000:.6f},"
    if file is None:
        yield "gap.mp4"  # An entry needs an address; EXT-X-GAP says that nobody fetches it.
    else:
        yield f"#EXT-X-BYTERANGE:{entry.length}@{entry.offset}"
        yield file.url
