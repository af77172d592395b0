"""The calendar as values: what a day of a camera is, and that unknown is never good."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.days import DAY_US, HOUR_US, bounds_of
from central.pages import heatmap
from central.pages.coverage_rows import spans_of_day
from central.pages.heatmap import cell_of, css_class, length, row_of, table_body, title, total_of

DAY = "2026-01-02"
START, END = bounds_of(DAY)
DAY_MS, HOUR_MS = DAY_US // 1000, HOUR_US // 1000
LATER = END + 30 * DAY_US


@dataclass(frozen=True)
class Row:
    owed_ms: int
    covered_ms: int
    known_until: int
    closed_ms: int = 0

    @property
    def told_ms(self) -> int:
        return self.owed_ms + self.closed_ms


@dataclass(frozen=True)
class GapRow:
    started_at: int
    ended_at: int | None


WHOLE = Row(DAY_MS, DAY_MS, END)


def cell(told: Row | None, *, first: str = "2025-12-01", now: int = LATER) -> heatmap.Cell:
    found = cell_of(DAY, told, first, now)
    assert found is not None
    return found


def test_day_before_the_first_footage_is_not_owed() -> None:
    assert cell_of(DAY, None, "2026-01-03", LATER) is None


def test_day_that_is_still_to_come_is_not_owed() -> None:
    assert cell_of(DAY, None, "2025-12-01", START) is None


def test_day_after_the_node_was_revoked_is_not_owed() -> None:
    assert cell_of(DAY, None, "2025-12-01", LATER, START) is None
    half = cell_of(DAY, Row(DAY_MS // 2, DAY_MS // 2, 0), "2025-12-01", LATER, START + DAY_US // 2)
    assert half is not None
    assert (half.state, half.unknown_ms) == ("full", 0)


def test_hours_that_were_declared_closed_are_neither_missing_nor_unknown() -> None:
    open_ms = 14 * HOUR_MS
    found = cell(Row(open_ms, open_ms, END, DAY_MS - open_ms))
    assert (found.state, found.unknown_ms) == ("full", 0)
    short = cell(Row(open_ms, open_ms - HOUR_MS, END, DAY_MS - open_ms))
    assert (short.state, short.unknown_ms) == ("part", 0)
    assert cell_of(DAY, Row(0, 0, END, DAY_MS), "2025-12-01", LATER) is None


def test_closed_hours_are_drawn_apart_but_for_gaps_that_were_told() -> None:
    closed = [(START, START + 8 * HOUR_US), (END - 2 * HOUR_US, END)]
    gaps = [GapRow(START + 7 * HOUR_US, START + 9 * HOUR_US)]
    told = Row(14 * HOUR_MS, 13 * HOUR_MS, END, 10 * HOUR_MS)
    found = spans_of_day(DAY, told, gaps, "2025-12-01", LATER, None, closed)
    hours = [(span.state, (span.end - span.start) // HOUR_US) for span in found.spans]
    assert hours == [("closed", 7), ("gap", 2), ("held", 13), ("closed", 2)]


def test_gaps_of_two_layers_over_each_other_count_once() -> None:
    gaps = [
        GapRow(START, START + 2 * HOUR_US),
        GapRow(START + HOUR_US, None),
        GapRow(START + HOUR_US, START + 3 * HOUR_US),
    ]
    found = spans_of_day(DAY, WHOLE, gaps, "2025-12-01", LATER)
    assert [(span.state, span.start, span.end) for span in found.spans] == [("gap", START, END)]


def test_whole_day_is_full() -> None:
    assert (cell(WHOLE).state, cell(WHOLE).unknown_ms, cell(WHOLE).so_far) == ("full", 0, False)


@pytest.mark.parametrize(
    ("missing_ms", "state", "mark"),
    [(1, "part", "p9"), (HOUR_MS, "part", "p9"), (DAY_MS // 2, "part", "p5"),
     (DAY_MS - 1, "part", "p0"), (DAY_MS, "none", "n")],
)  # fmt: skip
def test_day_with_something_missing_tells_how_much_is_held(
    missing_ms: int, state: str, mark: str
) -> None:
    found = cell(Row(DAY_MS, DAY_MS - missing_ms, END))
    assert (found.state, css_class(found), found.missing_ms) == (state, mark, missing_ms)


def test_rounding_is_not_unknown_and_what_is_to_come_is_not_counted() -> None:
    rounded = cell(Row(DAY_MS - 3, DAY_MS - 3, END))
    soon = cell(None, now=START + HOUR_US)
    assert rounded.state == "full"
    assert total_of([rounded, soon]).days == 1


def test_day_that_nobody_told_of_is_unknown() -> None:
    assert (cell(None).state, cell(None).unknown_ms) == ("unknown", DAY_MS)


def test_hours_that_nobody_told_of_are_unknown_and_not_good() -> None:
    found = cell(Row(20 * HOUR_MS, 20 * HOUR_MS, START + 20 * HOUR_US))
    assert (found.state, found.unknown_ms) == ("unknown", 4 * HOUR_MS)
    assert total_of([found]).full == 0
    assert total_of([found]).expected_ms == DAY_MS


def test_hole_between_summaries_is_unknown_too() -> None:
    assert cell(Row(20 * HOUR_MS, 20 * HOUR_MS, END)).unknown_ms == 4 * HOUR_MS


def test_first_day_is_owed_from_its_first_footage_on() -> None:
    assert cell(Row(3 * HOUR_MS, 3 * HOUR_MS, END), first=DAY).state == "full"
    behind = cell(Row(3 * HOUR_MS, 3 * HOUR_MS, END - 5 * HOUR_US), first=DAY)
    assert (behind.state, behind.unknown_ms) == ("unknown", 5 * HOUR_MS)


def test_today_is_so_far_and_its_last_hours_may_be_on_their_way() -> None:
    now = START + 10 * HOUR_US
    assert cell(Row(9 * HOUR_MS, 9 * HOUR_MS, START + 9 * HOUR_US), now=now).state == "full"
    assert cell(Row(8 * HOUR_MS, 8 * HOUR_MS, START + 8 * HOUR_US), now=now).so_far
    silent = cell(Row(7 * HOUR_MS, 7 * HOUR_MS, START + 7 * HOUR_US), now=now)
    assert (silent.state, silent.unknown_ms) == ("unknown", 3 * HOUR_MS)
    assert cell(None, now=START + HOUR_US).state == "soon"
    assert cell(None, now=START + 3 * HOUR_US).state == "unknown"


def test_yesterday_has_the_same_patience_just_after_midnight_and_no_longer() -> None:
    told = Row(23 * HOUR_MS, 23 * HOUR_MS, END - HOUR_US)
    assert cell(told, now=END + HOUR_US).state == "full"
    assert cell(told, now=END + 2 * HOUR_US).state == "unknown"


rows = st.builds(
    lambda owed, missing, until: Row(owed, owed - min(owed, missing), START + until * 1000),
    st.integers(0, DAY_MS), st.integers(0, DAY_MS), st.integers(0, DAY_MS),
)  # fmt: skip


@given(
    told=st.none() | rows,
    now=st.integers(START + 1, END + DAY_US),
    first=st.sampled_from(("2026-01-01", DAY)),
)
def test_cell_is_full_only_when_nothing_is_missing_or_unknown(
    told: Row | None, now: int, first: str
) -> None:
    found = cell(told, first=first, now=now)
    assert found.unknown_ms >= 0
    assert found.missing_ms >= 0
    if found.state == "full":
        assert found.covered_ms == found.owed_ms > 0
        assert found.unknown_ms == 0
    assert (found.state == "soon") == (found.expected_ms == 0)
    assert title(found, "购药", "zh").startswith(DAY)


@given(
    told=st.none() | rows,
    now=st.integers(START, END + DAY_US),
    first=st.sampled_from(("2026-01-01", DAY, "2026-01-03")),
    gaps=st.lists(
        st.builds(
            lambda a, b: GapRow(START + a, None if b is None else START + a + b),
            st.integers(-DAY_US, 2 * DAY_US), st.none() | st.integers(-HOUR_US, DAY_US),
        ),
        max_size=5,
    ),
)  # fmt: skip
def test_spans_tile_the_day_and_the_hours_hold_all_of_them(
    told: Row | None, now: int, first: str, gaps: list[GapRow]
) -> None:
    found = spans_of_day(DAY, told, gaps, first, now)
    at = START
    for span in found.spans:
        assert span.start == at < span.end
        at = span.end
    assert at == END
    for state, name in (("held", "held_ms"), ("gap", "gap_ms"), ("unknown", "unknown_ms")):
        whole = sum(span.end - span.start for span in found.spans if span.state == state)
        assert abs(sum(getattr(hour, name) for hour in found.hours) - whole // 1000) <= 24
    assert all(span.end <= now for span in found.spans if span.state in ("held", "gap", "unknown"))


def test_gap_is_drawn_where_it_is_and_the_rest_is_held() -> None:
    told = Row(DAY_MS, DAY_MS - 2 * HOUR_MS, END)
    gap = GapRow(START + 5 * HOUR_US, START + 6 * HOUR_US)
    found = spans_of_day(DAY, told, [gap], "2025-12-01", LATER)
    assert [span.state for span in found.spans] == ["held", "gap", "held"]
    assert (found.hours[5].gap_ms, found.hours[5].held_ms) == (HOUR_MS, 0)
    assert (found.hours[6].gap_ms, found.hours[6].held_ms) == (0, HOUR_MS)
    assert found.unexplained_ms == HOUR_MS


def test_day_on_which_nothing_is_owed_has_nothing_to_show() -> None:
    found = spans_of_day(DAY, None, [], "2026-01-03", LATER)
    assert [span.state for span in found.spans] == ["before"]


def test_first_day_is_drawn_from_its_first_footage_on() -> None:
    told = Row(3 * HOUR_MS, 3 * HOUR_MS, END)
    found = spans_of_day(DAY, told, [], DAY, LATER)
    assert [(span.state, (span.end - span.start) // HOUR_US) for span in found.spans] == [
        ("before", 21), ("held", 3),
    ]  # fmt: skip


def test_gap_that_no_summary_reached_explains_nothing_before_it() -> None:
    told, now = Row(8 * HOUR_MS, 8 * HOUR_MS, START + 8 * HOUR_US), START + 10 * HOUR_US
    found = spans_of_day(DAY, told, [GapRow(START + 9 * HOUR_US, None)], "2025-12-01", now)
    assert found.unexplained_ms == 0


def test_last_hour_of_today_is_on_its_way_and_an_old_one_is_unknown() -> None:
    told, now = Row(9 * HOUR_MS, 9 * HOUR_MS, START + 9 * HOUR_US), START + 10 * HOUR_US
    near = spans_of_day(DAY, told, [], "2025-12-01", now)
    assert [span.state for span in near.spans] == ["held", "soon", "after"]
    far = spans_of_day(DAY, told, [], "2025-12-01", now + 2 * HOUR_US)
    assert [span.state for span in far.spans] == ["held", "unknown", "after"]


def test_open_gap_reaches_to_now_and_no_further() -> None:
    now = START + 10 * HOUR_US
    told = Row(8 * HOUR_MS, 7 * HOUR_MS, START + 8 * HOUR_US)
    found = spans_of_day(DAY, told, [GapRow(START + 7 * HOUR_US, None)], "2025-12-01", now)
    assert [(span.state, (span.end - span.start) // HOUR_US) for span in found.spans] == [
        ("held", 7), ("gap", 3), ("after", 14),
    ]  # fmt: skip
    assert found.unexplained_ms == 0


@pytest.mark.parametrize(
    ("milliseconds", "zh", "en"),
    [(1, "1 秒", "1 s"), (42_000, "42 秒", "42 s"), (26 * 60_000, "26 分钟", "26 min"),
     (5_400_000, "1.5 小时", "1.5 h"), (DAY_MS, "24 小时", "24 h"), (3 * DAY_MS, "3 天", "3 d")],
)  # fmt: skip
def test_length_is_one_number_and_one_unit(milliseconds: int, zh: str, en: str) -> None:
    assert (length(milliseconds, "zh"), length(milliseconds, "en")) == (zh, en)


def test_cell_says_in_words_what_it_shows() -> None:
    found = cell(Row(DAY_MS, DAY_MS - 26 * 60_000, END))
    assert title(found, "购药", "zh") == "2026-01-02 购药 98.2 % 缺 26 分钟"
    assert title(cell(None), "Purchase", "en") == "2026-01-02 Purchase 0.0 % unknown 24 h"


def test_ids_of_nodes_are_text_and_never_markup() -> None:
    row = row_of(
        ("P1", 'n/1"><script>', "c&<b>", "x<i>"), {DAY: WHOLE}, DAY, [DAY, "2026-01-01"], LATER
    )
    body = str(table_body([row], "zh"))
    assert "<script>" not in body
    assert "<b>" not in body
    assert "<i>" not in body
    assert "node=n%2F1%22%3E%3Cscript%3E&amp;camera=c%26%3Cb%3E&amp;day=2026-01-02" in body
