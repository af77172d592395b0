"""From what is on a document to what may be kept.

The number becomes an HMAC and the name a mask here, at the edge, before anything else sees them.
Age and sex become as coarse as the child rule and the fairness report need them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import date
from typing import Final

from retention.records.people import AgeBand, Sex

# GB 11643: six digits of the area, eight of the birth date, three in sequence (odd: male), a check
# digit. A social security card bears the same number where it bears one of 18 digits.
IDENTITY_NUMBER: Final = re.compile(
    r"\d{6}(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)\d\d(?P<sex>\d)[0-9Xx]", re.ASCII
)
WITH_IDENTITY_NUMBER: Final = frozenset({"02", "03"})
OLDEST_YEARS: Final = 150
BANDS: Final[tuple[tuple[int, AgeBand], ...]] = (
    (14, "under_14"),
    (18, "14_17"),
    (40, "18_39"),
    (60, "40_59"),
    (70, "60_69"),
    (80, "70_79"),
    (OLDEST_YEARS, "80_up"),
)


def person_ref(key: bytes, cert_type: str, number: str) -> str:
    """Return HMAC-SHA256(key, type ":" number). A written check digit x is the same as X."""
    same = number if cert_type == "01" else number.upper()
    return hmac.new(key, f"{cert_type}:{same}".encode(), hashlib.sha256).hexdigest()


def mask_name(name: str) -> str:
    """Keep the first and the last character of a name: 张*三; of two only the first: 张*.

    Of a name in words (Latin script) each word keeps its first letter: J*** D**. A space within
    a Chinese name (张　三) only fills a form; it is no word and shows no second character.
    """
    words = name.split()
    if len(words) > 1 and name.isascii():
        return " ".join(word[0] + "*" * max(1, len(word) - 1) for word in words)
    word = "".join(words)
    if len(word) <= 2 or word.isascii():
        return word[:1] + "*" * max(1, len(word) - 1)
    return word[0] + "*" * (len(word) - 2) + word[-1]


def age_and_sex(cert_type: str, number: str, today: date) -> tuple[AgeBand, Sex]:
    """Return what an identity number says of its holder's age today and sex.

    Both are unknown for documents without such a number and for a birth date that cannot be. The
    check digit is not asked: who mistypes it is no older for that.
    """
    found = IDENTITY_NUMBER.fullmatch(number) if cert_type in WITH_IDENTITY_NUMBER else None
    if found is None:
        return "unknown", "unknown"
    try:
        born = date(int(found["year"]), int(found["month"]), int(found["day"]))
    except ValueError:
        return "unknown", "unknown"
    years = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    band = next((band for below, band in BANDS if years < below), None)
    if years < 0 or band is None:
        return "unknown", "unknown"
    return band, "male" if int(found["sex"]) % 2 else "female"
