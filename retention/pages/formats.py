"""How pages write times, lengths and sizes. Asia/Shanghai; absolute where evidence is meant."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from retention.records.clock import from_micros, from_text

SHANGHAI = ZoneInfo("Asia/Shanghai")
MINUTE, HOUR, DAY = 60, 3600, 86400
Moment = datetime | str | int

_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def instant(moment: Moment) -> datetime:
    """Return a moment (aware datetime, RFC 3339 text or microseconds) in Asia/Shanghai."""
    if isinstance(moment, int):
        moment = from_micros(moment)
    elif isinstance(moment, str):
        moment = from_text(moment)
    return moment.astimezone(SHANGHAI)


def absolute(moment: Moment) -> str:
    """Return 2026-01-02 11:04:05."""
    return f"{instant(moment):%Y-%m-%d %H:%M:%S}"


def time_of_day(moment: Moment) -> str:
    """Return 11:04:05."""
    return f"{instant(moment):%H:%M:%S}"


def day_of(moment: Moment) -> str:
    """Return 2026-01-02."""
    return f"{instant(moment):%Y-%m-%d}"


def ago(seconds: float, lang: str) -> str:
    """Return how long ago, in one unit; the future and the last seconds are now."""
    for length, zh, en in ((DAY, "天", "d"), (HOUR, "小时", "h"), (MINUTE, "分钟", "min")):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {zh}前" if lang == "zh" else f"{count} {en} ago"
    return "刚刚" if lang == "zh" else "just now"


def duration(seconds: float) -> str:
    """Return 42 s, 01:05 or 1:02:03: a length, the same in both languages."""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    hours, rest = divmod(whole, HOUR)
    minutes, left = divmod(rest, MINUTE)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes:02d}:{left:02d}"


def size(count: float) -> str:
    """Return bytes in decimal units: 1.5 MB."""
    for unit, scale in _UNITS:
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count:.0f} B"


def share(part: float, whole: float) -> str:
    """Return a percentage that says 100 only when nothing is missing, and 0 only for nothing."""
    if whole <= 0:
        return "–"
    percent = 100 * part / whole
    if percent >= 100:
        return "100 %"
    return "< 0.1 %" if 0 < percent < 0.1 else f"{min(percent, 99.9):.1f} %"
