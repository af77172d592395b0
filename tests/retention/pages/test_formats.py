from __future__ import annotations

import pytest

from retention.pages import formats


def test_moments_are_shown_in_shanghai_to_the_second() -> None:
    assert formats.absolute("2026-01-02T17:04:05.600000Z") == "2026-01-03 01:04:05"
    assert formats.day_of("2026-01-02T17:04:05.600000Z") == "2026-01-03"


@pytest.mark.parametrize(
    ("seconds", "zh", "en"),
    [
        (-5, "刚刚", "just now"),
        (59, "刚刚", "just now"),
        (60, "1 分钟前", "1 min ago"),
        (7300, "2 小时前", "2 h ago"),
        (200000, "2 天前", "2 d ago"),
    ],
)
def test_age_is_told_in_one_unit(seconds: float, zh: str, en: str) -> None:
    assert (formats.ago(seconds, "zh"), formats.ago(seconds, "en")) == (zh, en)


@pytest.mark.parametrize(("seconds", "text"), [(41.6, "42 s"), (65, "01:05"), (3723, "1:02:03")])
def test_durations(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


def test_sizes_are_decimal() -> None:
    assert [formats.size(n) for n in (999, 1500, 2_500_000)] == ["999 B", "1.5 kB", "2.5 MB"]


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 0, "–"),
        (10, 10, "100 %"),
        (99_999, 100_000, "99.9 %"),
        (0, 5, "0.0 %"),
        (1, 10_000_000, "< 0.1 %"),
    ],
)
def test_a_share_never_rounds_up_to_all(part: int, whole: int, text: str) -> None:
    assert formats.share(part, whole) == text
