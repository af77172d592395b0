"""A playlist's entries add up to the session's time, and point at bytes that are there."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.pages.playlist import CLOSE_US, GROUP_US, Entry, PlayedFile, Span, entries, playlist
from retention.footage.fragments import Fragment, FragmentIndex, index_of
from tests.filming import clip

SECOND = 1_000_000
ORIGIN = 1_767_323_045_000_000


def file(start: float, lengths: list[float], url: str = "/a.mp4") -> PlayedFile:
    """A file at a second of the session whose fragments last so long, 100 bytes each."""
    found, at = [], 0
    for number, length in enumerate(lengths):
        long = round(length * SECOND)
        found.append(Fragment(1000 + 100 * number, 100, at, long))
        at += long
    return PlayedFile(url, round(start * SECOND), FragmentIndex(1000, tuple(found)))


def span(start: float, end: float, played: PlayedFile | None = None) -> Span:
    return Span(round(start * SECOND), round(end * SECOND), played)


def told(spans: list[Span]) -> list[tuple[float, float, str | None]]:
    return [
        (one.from_us / SECOND, one.to_us / SECOND, one.file.url if one.file else None)
        for one in entries(spans)
    ]


def test_whole_file_is_told_in_groups_of_a_second():
    found = list(entries([span(0, 2.5, file(0, [0.5] * 5))]))
    assert [(one.from_us, one.to_us) for one in found] == [
        (0, SECOND), (SECOND, 2 * SECOND), (2 * SECOND, 2.5 * SECOND),
    ]  # fmt: skip
    assert [(one.offset, one.length) for one in found] == [(1000, 200), (1200, 200), (1400, 100)]


def test_fragments_with_other_bytes_between_are_fetched_apart():
    index = FragmentIndex(
        1000, (Fragment(1000, 100, 0, 400_000), Fragment(1500, 100, 400_000, 400_000))
    )
    found = list(entries([span(0, 0.8, PlayedFile("/a", 0, index))]))
    assert [(one.offset, one.length) for one in found] == [(1000, 100), (1500, 100)]


def test_gap_between_files_keeps_its_length():
    spans = [span(0, 2, file(0, [2], "/a")), span(2, 9), span(9, 11, file(9, [2], "/b"))]
    assert told(spans) == [(0, 2, "/a"), (2, 9, None), (9, 11, "/b")]


def test_file_that_ends_early_leaves_a_gap_and_shifts_nothing():
    spans = [span(0, 4, file(0, [2, 1.5], "/a")), span(4, 6, file(4, [2], "/b"))]
    assert told(spans) == [(0, 2, "/a"), (2, 3.5, "/a"), (3.5, 4, None), (4, 6, "/b")]


def test_file_that_runs_late_shifts_nothing():
    spans = [span(0, 4, file(0, [2, 2.5], "/a")), span(4, 8, file(4, [2, 2], "/b"))]
    assert told(spans) == [(0, 2, "/a"), (2, 4.5, "/a"), (4.5, 6, None), (6, 8, "/b")]


def test_difference_below_one_picture_is_no_gap():
    spans = [span(0, 2, file(0, [1.98], "/a")), span(2, 4, file(2, [2], "/b"))]
    assert told(spans) == [(0, 1.98, "/a"), (1.98, 4, "/b")]


def test_overlapping_file_is_cut_to_its_piece():
    spans = [span(0, 4, file(0, [2, 2, 2], "/a")), span(4, 8, file(2, [2, 2, 2], "/b"))]
    assert told(spans) == [(0, 2, "/a"), (2, 4, "/a"), (4, 6, "/b"), (6, 8, "/b")]


def test_file_without_a_fragment_is_a_gap():
    empty = PlayedFile("/a", 0, FragmentIndex(0, ()))
    assert told([span(0, 3, empty)]) == [(0, 3, None)]


def test_text_names_every_file_anew_and_marks_what_is_not_there():
    spans = [span(0, 2, file(0, [2], "/a")), span(2, 9), span(9, 11, file(9, [2], "/b"))]
    assert playlist(spans, ORIGIN).splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:8",
        "#EXT-X-TARGETDURATION:7",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        '#EXT-X-MAP:URI="/a",BYTERANGE="1000@0"',
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05.000Z",
        "#EXTINF:2.000000,",
        "#EXT-X-BYTERANGE:100@1000",
        "/a",
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:07.000Z",
        "#EXT-X-GAP",
        "#EXTINF:7.000000,",
        "gap.mp4",
        "#EXT-X-DISCONTINUITY",
        '#EXT-X-MAP:URI="/b",BYTERANGE="1000@0"',
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:14.000Z",
        "#EXTINF:2.000000,",
        "#EXT-X-BYTERANGE:100@1000",
        "/b",
        "#EXT-X-ENDLIST",
    ]


lengths = st.lists(st.floats(0.04, 5), max_size=8)


@st.composite
def tiled(draw: st.DrawFn) -> list[Span]:
    """Pieces without holes; files begin and end more or less where their pieces do."""
    made, at = [], 0
    for number in range(draw(st.integers(0, 6))):
        end = at + draw(st.integers(1, 10_000)) * 1000
        played = None
        if draw(st.booleans()):
            start = at / SECOND + draw(st.sampled_from([0, 0, 0.02, -0.02, -3, 1.5]))
            played = file(start, draw(lengths), f"/{number}")
        made.append(Span(at, end, played))
        at = end
    return made


@given(tiled())
def test_entries_tile_the_time_and_stay_where_their_file_puts_them(spans):
    found = list(entries(spans))
    assert all(one.to_us == following.from_us for one, following in pairwise(found))
    if spans:
        assert found[0].from_us == 0
        assert found[-1].to_us >= spans[-1].to_us
    for one in found:
        assert one.from_us < one.to_us
        if one.file is not None:
            true = [
                one.file.started_us + fragment.start_us
                for fragment in one.file.index.fragments
                if fragment.offset == one.offset
            ]
            assert abs(true[0] - one.from_us) <= CLOSE_US


@given(tiled())
def test_no_byte_is_told_twice_and_no_group_is_long(spans):
    seen: set[tuple[str, int]] = set()
    for one in entries(spans):
        if one.file is None:
            continue
        inside = [
            (one.file.url, fragment.offset)
            for fragment in one.file.index.fragments
            if one.offset <= fragment.offset < one.offset + one.length
        ]
        assert not seen.intersection(inside)
        seen.update(inside)
        assert len(inside) == 1 or one.to_us - one.from_us <= GROUP_US + CLOSE_US


def test_real_file_is_told_to_its_last_byte():
    raw = clip(6, gop=50)
    played = PlayedFile("/a", 0, index_of(io.BytesIO(raw), len(raw)))
    found: list[Entry] = list(entries([span(0, 6, played)]))
    assert [one.to_us / SECOND for one in found] == pytest.approx([2, 4, 6], abs=0.001)
    assert found[0].offset == played.index.head_bytes
    assert found[-1].offset + found[-1].length == len(raw)


def test_lengths_add_up_to_the_session():
    spans = [span(0, 2.5, file(0.02, [2, 0.4])), span(2.5, 60), span(60, 61.234, file(60, [1.234]))]
    total = sum(float(one) for one in re.findall(r"#EXTINF:([0-9.]+),", playlist(spans, ORIGIN)))
    assert total == pytest.approx(61.234)
