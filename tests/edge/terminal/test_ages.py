"""Age and sex from an identity number: right, coarse, and unknown rather than guessed."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.terminal.people import BANDS, age_and_sex

TODAY = date(2026, 11, 22)


def number(born: date, sequence: int = 1) -> str:
    return f"430102{born:%Y%m%d}{sequence:03d}X"


@pytest.mark.parametrize(
    ("born", "band"),
    [
        (date(2026, 11, 22), "under_14"),
        (date(2012, 11, 23), "under_14"),
        (date(2012, 11, 22), "14_17"),
        (date(2008, 11, 23), "14_17"),
        (date(2008, 11, 22), "18_39"),
        (date(1986, 11, 22), "40_59"),
        (date(1966, 11, 22), "60_69"),
        (date(1956, 11, 22), "70_79"),
        (date(1946, 11, 22), "80_up"),
        (date(1876, 11, 23), "80_up"),
        (date(1876, 11, 22), "unknown"),
        (date(2026, 11, 23), "unknown"),
    ],
)
def test_age_changes_on_the_birthday(born: date, band: str) -> None:
    assert age_and_sex("02", number(born), TODAY)[0] == band


def test_who_is_born_on_a_leap_day_is_older_from_the_first_of_march() -> None:
    born = number(date(2012, 2, 29))
    assert age_and_sex("02", born, date(2026, 2, 28))[0] == "under_14"
    assert age_and_sex("02", born, date(2026, 3, 1))[0] == "14_17"


@pytest.mark.parametrize(
    ("cert_type", "text"),
    [
        ("01", "11010519491231002X"),
        ("02", "11010519491331002X"),
        ("02", "11010519490230002X"),
        ("02", "11010500000101002X"),
        ("02", "110105491231002"),
        ("02", "E12345678"),
        ("02", "11010519491231002Y"),
        ("02", "1101051949123100２X"),
    ],
)
def test_what_tells_no_age_is_unknown(cert_type: str, text: str) -> None:
    assert age_and_sex(cert_type, text, TODAY) == ("unknown", "unknown")


def test_sex_is_the_last_digit_of_the_sequence() -> None:
    born = date(1980, 1, 1)
    assert age_and_sex("02", number(born, 2), TODAY)[1] == "female"
    assert age_and_sex("03", number(born, 3), TODAY)[1] == "male"


@given(st.dates(date(1900, 1, 1), date(2026, 1, 1)), st.integers(0, 60000))
def test_nobody_grows_younger(born: date, days: int) -> None:
    bands = [band for _, band in BANDS]
    before = age_and_sex("02", number(born), born)[0]
    later = born + timedelta(days=days)
    after = age_and_sex("02", number(born), later)[0]
    assert before == "under_14"
    assert after == "unknown" or bands.index(after) >= bands.index(before)
